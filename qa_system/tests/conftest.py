"""A tiny encoder as a real checkpoint on disk, one that needs no model at all, and documents to fill a store with."""

import hashlib
import json

import numpy as np
import pytest

from qa_system.document_processor.documents import Chunk, Document, Span
from qa_system.retrieval.dense_retrieval import Embedder

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "wing", "engine", "heat", "flow", "the", "of", "机", "翼", "##s"]


class HashedWords:
    """A vector of the words' hashes: texts that share words are near. Enough where the model does not matter."""

    width = 16

    def encode(self, texts, role="query", on_progress=lambda done: None):
        vectors = np.zeros((len(texts), self.width), dtype=np.float32)
        for place, text in enumerate(texts):
            for word in text.lower().split() or [""]:
                vectors[place, hashlib.sha256(word.encode()).digest()[0] % self.width] += 1
        on_progress(len(texts))
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture
def hashed_words():
    return Embedder("hashed", HashedWords(), HashedWords.width, "v1", True, 256)


def make_document_of(source, texts, headings=()):
    """A document of these passages, and its chunks."""
    text = "\n\n".join(texts)
    identity = hashlib.sha256(text.encode()).hexdigest()
    chunks, spans, start = [], [], 0
    for passage in texts:
        end = start + len(passage)
        mark = hashlib.sha256(f"{identity} {start} {passage}".encode()).hexdigest()[:32]
        chunks.append(Chunk(mark, identity, source, passage, start, end, tuple(headings)))
        spans.append(Span(start, end))
        start = end + 2
    return Document(identity, source, "text", text, tuple(spans)), chunks


@pytest.fixture
def make_document():
    """`make_document("a.txt", ["first passage", "second"])`."""
    return make_document_of


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory):
    """A BERT of two layers with random weights, saved as sentence-transformers saves one: mean pooling, 12 tokens."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder = tmp_path_factory.mktemp("tiny_encoder")
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n", encoding="utf-8")
    BertTokenizerFast(vocab=str(folder / "vocab.txt")).save_pretrained(folder)
    torch.manual_seed(0)
    settings = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
    BertModel(BertConfig(vocab_size=len(WORDS), max_position_embeddings=32, **settings)).save_pretrained(folder)
    for file, value in {
        "modules.json": [
            {"type": "sentence_transformers.models.Transformer", "path": ""},
            {"type": "sentence_transformers.models.Pooling", "path": "1_Pooling"},
        ],
        "1_Pooling/config.json": {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False},
        "sentence_bert_config.json": {"max_seq_length": 12},
        "config_sentence_transformers.json": {"prompts": {"query": "the ", "document": "of "}},
    }.items():
        (folder / file).parent.mkdir(exist_ok=True)
        (folder / file).write_text(json.dumps(value), encoding="utf-8")
    return folder


@pytest.fixture
def reading_words(tiny_checkpoint):
    """The same encoder under the name of a folder with a tokenizer, so that documents can be cut for it."""
    return Embedder(str(tiny_checkpoint), HashedWords(), HashedWords.width, "v1", True, 256)
