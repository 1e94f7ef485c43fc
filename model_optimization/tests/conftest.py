"""Tiny random models: checkpoints as transformers saves them, runs of the other project, and classifiers of our own."""

import hashlib
import json
import shutil
import threading
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from model_optimization.classifier import Classifier, Shape
from model_optimization.runtime import VARIANT, Variant
from model_optimization.subject import Subject
from shared.datasets import Example

WORDS = "a an the film plot is was good bad great awful dull love hate not very and of it this actor scene".split()
LETTERS = "abcdefghijklmnopqrstuvwxyz"
PAIRS = [first + second for first, second in product(LETTERS, LETTERS)]


def word_piece() -> Tokenizer:
    single = [*LETTERS, *".,!"]
    continued = [f"##{piece}" for piece in [*LETTERS, *PAIRS]]
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *single, *WORDS, *PAIRS, *continued]
    vocabulary = {piece: i for i, piece in enumerate(dict.fromkeys(pieces))}
    tokenizer = Tokenizer(models.WordPiece(vocab=vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]"])
    return tokenizer


def byte_pairs() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=320, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator([" ".join(WORDS)] * 3, trainer)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    return tokenizer


def randomise(model: torch.nn.Module) -> None:
    """All weights at random: with biases of 0 and norms of 1 a lost one would not show, and at the usual .02 all texts
    look alike to so small a model."""
    torch.manual_seed(0)
    for name, weight in model.named_parameters():
        torch.nn.init.normal_(weight, mean=float("norm.weight" in name.lower()), std=0.2)


def build_checkpoint(folder: Path, kind: str, classifies: bool, **changes: Any) -> Path:
    import transformers

    tokenizer, pad = (byte_pairs(), "<pad>") if kind == "roberta" else (word_piece(), "[PAD]")
    names = {"bert": "Bert", "roberta": "Roberta", "distilbert": "DistilBert"}
    size = {"vocab_size": tokenizer.get_vocab_size(), "pad_token_id": tokenizer.token_to_id(pad), "num_labels": 3}
    size["max_position_embeddings"] = 34 if kind == "roberta" else 32  # RoBERTa's start after the padding id
    if kind == "distilbert":
        size |= {"dim": 16, "hidden_dim": 32, "n_layers": 2, "n_heads": 4}
    else:
        size |= {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = getattr(transformers, f"{names[kind]}Config")(**{**size, **changes})
    model = getattr(transformers, names[kind] + ("ForSequenceClassification" if classifies else "Model"))(config)
    randomise(model)
    model.save_pretrained(folder)
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token=pad).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """`checkpoint("bert")`: the folder of a random classifier of transformers, built once a session."""
    built: dict[tuple, Path] = {}

    def get(kind: str = "bert", classifies: bool = True, **changes: Any) -> Path:
        key = (kind, classifies, *sorted(changes.items()))
        if key not in built:
            built[key] = build_checkpoint(tmp_path_factory.mktemp(kind), kind, classifies, **changes)
        return built[key]

    return get


@pytest.fixture
def make_run(checkpoint: Callable[..., Path], tmp_path: Path) -> Callable[..., Path]:
    """`make_run()`: the folder of a run of bert_sentiment_analysis: a whole encoder, or with a `rank` an adapter."""

    def make(kind: str = "bert", rank: int | None = None, base: Path | None = None, **changes: Any) -> Path:
        base = base or checkpoint(kind, classifies=False)
        folder, encoder = tmp_path / "run", load_file(base / "model.safetensors")
        folder.mkdir()
        draw = torch.Generator().manual_seed(1)
        weights = {"output.weight": torch.randn(3, 16, generator=draw), "output.bias": torch.randn(3, generator=draw)}
        settings = {"head": "classification", "label_names": ["no", "maybe", "yes"], "pooling": "mean"}
        settings |= {
            "max_length": 24,
            "overlap": 8,
            "temperature": 1.5,
            "base": None,
            "base_sha256": None,
            "lora_rank": 0,
        }
        if rank is None:
            weights |= {f"encoder.{name}": weight for name, weight in encoder.items()}
            (folder / "encoder").mkdir()
            for name in ("config.json", "tokenizer.json"):
                (folder / "encoder" / name).write_bytes((base / name).read_bytes())
        else:
            checksum = hashlib.sha256((base / "model.safetensors").read_bytes()).hexdigest()
            settings |= {"base": str(base), "base_sha256": checksum, "lora_rank": rank}
            for name, weight in encoder.items() if rank else ():
                words = name.endswith("word_embeddings.weight")
                if weight.ndim == 2 and (words or "embeddings" not in name):
                    out, into = weight.shape
                    sizes = ((out, rank), (rank, into)) if words else ((rank, into), (out, rank))
                    for part, size in zip("ab", sizes, strict=True):
                        key = f"encoder.{name.removesuffix('weight')}{part}"
                        weights[key] = 0.1 * torch.randn(size, generator=draw)
        save_file(weights, folder / "model.safetensors")
        (folder / "classifier.json").write_text(json.dumps({**settings, **changes}))
        return folder

    return make


def build_subject(**changes: Any) -> Subject:
    tokenizer = word_piece()
    sizes = {"n_positions": 64, "width": 16, "head_width": 4, "heads": (4, 4), "neurons": (32, 32), "n_classes": 2}
    model = Classifier(Shape(**{"n_pieces": tokenizer.get_vocab_size(), **sizes, **changes}))
    randomise(model)
    names = ("negative", "positive", "neither")[: model.shape.n_classes]
    return Subject(model.eval(), tokenizer, names, 32, trained_on=frozenset({"0123456789abcdef"}))


@pytest.fixture
def make_subject() -> Callable[..., Subject]:
    """`make_subject(heads=(4, 2), neurons=(32, 8))`: a random classifier with WordPiece, sized as told."""
    return build_subject


@pytest.fixture
def subject() -> Subject:
    return build_subject()


@pytest.fixture(scope="session")
def onnx_variant(tmp_path_factory: pytest.TempPathFactory) -> Variant:
    """`subject` in ONNX, made once a session as the export takes seconds."""
    from model_optimization.deployment.onnx_conversion import convert

    return convert(build_subject(), tmp_path_factory.mktemp("variants") / "fp32_onnx")


@pytest.fixture(scope="session")
def unfused_variant(tmp_path_factory: pytest.TempPathFactory) -> Variant:
    """The same with attention in its parts, as static int8 wants it."""
    from model_optimization.deployment.onnx_conversion import convert

    return convert(build_subject(), tmp_path_factory.mktemp("variants") / "unfused", attention=False)


@pytest.fixture
def make_reviews() -> Callable[[int], list[Example]]:
    """`make_reviews(40)`: texts of several lengths, each good or bad by one word."""

    def make(n: int) -> list[Example]:
        scenes = "film plot actor scene and the of it this a is was very".split()
        texts = []
        for i in range(n):
            words = [scenes[(i * 7 + k * (i % 5 + 1)) % len(scenes)] for k in range(2 + i % 7)]
            words.insert(i % len(words), ("bad", "good")[i % 2])
            texts.append(Example(f"{' '.join(words)} {PAIRS[i % len(PAIRS)]}", label=i % 2))
        return texts

    return make


@pytest.fixture
def two_models(onnx_variant: Variant, tmp_path: Path) -> Path:
    """A folder with the versions 1 and 2 of `onnx_variant`; the second is less sure of everything."""
    for version, temperature in (("1", 1.0), ("2", 3.0)):
        folder = tmp_path / "models" / version
        shutil.copytree(onnx_variant.folder, folder)
        values = json.loads((folder / VARIANT).read_text())
        (folder / VARIANT).write_text(json.dumps({**values, "temperature": temperature}))
    return tmp_path / "models"


class FakeEngine:
    """Answers a window with its first token and its length; notes the batches; holds them while `gate` is closed."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds, self.fails_at = seconds, -1
        self.batches: list[list[list[int]]] = []
        self.threads: set[str] = set()
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        self.batches.append([row[:n].tolist() for row, n in zip(ids, mask.sum(1), strict=True)])
        self.threads.add(threading.current_thread().name)
        assert self.gate.wait(10)
        time.sleep(self.seconds)
        if self.fails_at in ids:
            raise RuntimeError("no memory left")
        return np.stack([ids[:, 0], mask.sum(1)], axis=1).astype(np.float32)

    @property
    def firsts(self) -> list[list[int]]:
        return [[window[0] for window in batch] for batch in self.batches]


@pytest.fixture
def make_engine() -> Callable[..., FakeEngine]:
    """`make_engine(seconds=0.1)`: an engine that says what it was given."""
    return FakeEngine
