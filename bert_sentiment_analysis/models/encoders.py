"""Encoders by short name, hub name or path, through transformers' AutoModel and AutoTokenizer.

minilm         reads both ways; small and quick
smollm2        a language model, which reads left to right: six times the weights, and it knows more words and turns
any other      of BERT's family, or a language model's body, as safetensors or as a GGUF file
"""

import hashlib
from pathlib import Path
from typing import Any

from torch import nn
from transformers import AutoConfig, AutoModel, AutoTokenizer
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, MODEL_FOR_MASKED_LM_MAPPING_NAMES
from transformers.utils import logging as transformers_logging

from bert_sentiment_analysis.config import run_path
from shared.errors import UserError
from shared.gguf import ordinary_folder
from shared.hub import resolve_model

PACKAGED = "minilm"
UNLIMITED = 100_000  # a tokenizer without a limit says 1e30

# What they would say of unused heads and unset lengths is checked below, or does not concern us.
transformers_logging.set_verbosity_error()
transformers_logging.disable_progress_bar()


def load_encoder(name: str) -> tuple[nn.Module, Any, Path]:
    """The pretrained encoder without its pooling layer, its tokenizer, and the folder they came from.

    The folder of one of our own runs gives the encoder that was trained there.
    Raises UserError where it cannot be had, holds no whole encoder, or has no fast tokenizer.
    """
    folder = run_path(name)
    if not (folder / "classifier.json").is_file():
        folder = resolve_model(name, suggestion=PACKAGED)
    if (folder / "classifier.json").is_file():
        from bert_sentiment_analysis.models.bert_classifier import TextClassifier

        trained = TextClassifier.load(folder)
        return trained.encoder, trained.tokenizer, folder
    readable = ordinary_folder(folder)
    if not (readable / "config.json").is_file():
        raise UserError(f"{name}: no encoder here (config.json is missing): give a model's folder, or {PACKAGED}")
    try:
        encoder, found = AutoModel.from_pretrained(readable, output_loading_info=True, dtype="float32")
    except Exception as error:  # transformers raises what it comes across in a damaged config.json
        raise UserError(f"{name}: cannot be loaded ({_first_line(error)}): get it anew, or use {PACKAGED}") from error
    missing = sorted(key for key in found["missing_keys"] if "pooler" not in key)
    if missing:
        # transformers would fill them with random numbers.
        raise UserError(f"{name}: weights are missing, such as {missing[0]}: get the model anew, or use {PACKAGED}")
    encoder.config.use_cache = False  # of a language model: nothing is generated
    return _without_pooler(encoder), load_tokenizer(folder), folder


def build_encoder(folder: Path) -> tuple[nn.Module, Any]:
    """An encoder of the shape in this folder, its weights yet to be put in, and the tokenizer."""
    try:
        encoder = AutoModel.from_config(AutoConfig.from_pretrained(folder))
    except Exception as error:  # transformers raises what it comes across in a damaged config.json
        raise UserError(f"{folder}: missing or damaged ({_first_line(error)}): restore it or train anew") from error
    return _without_pooler(encoder), load_tokenizer(folder)


def save_encoder(encoder: nn.Module, tokenizer: Any, folder: Path) -> None:
    """Write the shape and the tokenizer that `build_encoder` reads; the weights are stored elsewhere."""
    folder.mkdir(parents=True, exist_ok=True)
    encoder.config.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def load_tokenizer(folder: Path) -> Any:
    try:
        tokenizer = AutoTokenizer.from_pretrained(ordinary_folder(folder))
    except Exception as error:  # the tokenizers library raises plain Exception for a damaged file
        raise UserError(f"{folder}: no readable tokenizer ({_first_line(error)}): get the model anew") from error
    if tokenizer.pad_token_id is None and tokenizer.eos_token_id is not None:
        tokenizer.pad_token = tokenizer.eos_token  # a language model's: which one it is, the mask makes irrelevant
    if not tokenizer.is_fast or tokenizer.pad_token_id is None:
        raise UserError(f"{folder}: its tokenizer cannot cut windows or pad: use an encoder with a fast tokenizer")
    return tokenizer


def position_limit(encoder: nn.Module, tokenizer: Any) -> int:
    """The most tokens that the encoder has positions for, special tokens included.

    RoBERTa and its kin count positions from the padding id + 1, so that two of its 514 are never used.
    """
    limit = getattr(encoder.config, "max_position_embeddings", None) or UNLIMITED
    for name, module in encoder.named_modules():
        if name.endswith("position_embeddings") and getattr(module, "padding_idx", None) is not None:
            limit -= module.padding_idx + 1
    limit = min(limit, tokenizer.model_max_length)
    return 512 if limit >= UNLIMITED else int(limit)


def reads_left_to_right(encoder: nn.Module) -> bool:
    """Whether it is a language model's body, whose first token sees nothing of the text after it."""
    kind = encoder.config.model_type
    return kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and kind not in MODEL_FOR_MASKED_LM_MAPPING_NAMES


def weights_checksum(folder: Path) -> str:
    """SHA-256 over the folder's weight files, in the order of their names."""
    digest = hashlib.sha256()
    for file in sorted([*folder.glob("*.safetensors"), *folder.glob("*.gguf")]):
        with open(file, "rb") as opened:
            while block := opened.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def _without_pooler(encoder: nn.Module) -> nn.Module:
    """BERT's layer over the first token was trained for another task; left in place it would only be dead weight."""
    if getattr(encoder, "pooler", None) is not None:
        encoder.pooler = None
    return encoder


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
