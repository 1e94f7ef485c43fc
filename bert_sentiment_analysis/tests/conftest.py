"""Tiny encoders of the four architectures and of a language model, random, on disk as a hub download is."""

from collections.abc import Callable
from pathlib import Path

import pytest

WORDS = "a an the film plot is was good bad great awful dull love hate not very and of it this actor scene".split()
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def _word_piece():
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS, *LETTERS, *(f"##{letter}" for letter in LETTERS), *".,!"]
    vocabulary = {piece: i for i, piece in enumerate(dict.fromkeys(pieces))}
    tokenizer = Tokenizer(models.WordPiece(vocab=vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return tokenizer, {"cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]", "unk_token": "[UNK]"}


def _byte_pairs():
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=320, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator([" ".join(WORDS)] * 3, trainer)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    names = {"cls_token": "<s>", "bos_token": "<s>", "pad_token": "<pad>", "sep_token": "</s>", "eos_token": "</s>"}
    return tokenizer, {**names, "unk_token": "<unk>", "mask_token": "<mask>"}


def _bare_byte_pairs():
    """As language models have them: no token before or after a text, and none for padding."""
    from tokenizers import processors

    tokenizer, _ = _byte_pairs()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    return tokenizer, {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}


def _unigram():
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    pieces = [("<pad>", 0.0), ("<unk>", 0.0), ("[CLS]", 0.0), ("[SEP]", 0.0)]
    pieces += [(f"▁{word}", -2.0) for word in WORDS] + [(letter, -5.0) for letter in f"▁{LETTERS}.,!"]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=1))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return tokenizer, {"cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "<pad>", "unk_token": "<unk>"}


def build_encoder(architecture: str, folder: Path, positions: int = 32, dropout: float = 0.1) -> Path:
    import torch
    import transformers
    from transformers import PreTrainedTokenizerFast

    kinds = {"bert": _word_piece, "distilbert": _word_piece, "roberta": _byte_pairs, "albert": _unigram}
    kinds["llama"] = _bare_byte_pairs
    raw, names = kinds[architecture]()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, **names)
    size = {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id}
    wide = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    drop = {"hidden_dropout_prob": dropout, "attention_probs_dropout_prob": dropout}
    names = {"bert": "Bert", "distilbert": "DistilBert", "roberta": "Roberta", "albert": "Albert", "llama": "Llama"}
    name = names[architecture]
    if architecture == "distilbert":
        shape = {"dim": 16, "hidden_dim": 32, "n_layers": 2, "n_heads": 2, "dropout": dropout}
        shape |= {"attention_dropout": dropout, "max_position_embeddings": positions}
    elif architecture == "albert":
        shape = {**wide, **drop, "embedding_size": 8, "max_position_embeddings": positions}
    elif architecture == "llama":
        shape = {**wide, "max_position_embeddings": positions}
    else:
        # RoBERTa's positions start after the padding id.
        extra = tokenizer.pad_token_id + 1 if architecture == "roberta" else 0
        shape = {**wide, **drop, "max_position_embeddings": positions + extra}
    torch.manual_seed(0)
    model = getattr(transformers, f"{name}Model")(getattr(transformers, f"{name}Config")(**size, **shape))
    for weight in model.parameters():
        if weight.ndim > 1:
            torch.nn.init.normal_(weight, std=0.2)  # at the usual .02 all texts would look alike to so small a model
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """`tiny_encoder("bert")`: the folder of a random encoder of 32 positions, built once a session."""
    built: dict[tuple, Path] = {}

    def get(architecture: str = "bert", **options) -> Path:
        key = (architecture, *sorted(options.items()))
        if key not in built:
            built[key] = build_encoder(architecture, tmp_path_factory.mktemp(architecture), **options)
        return built[key]

    return get
