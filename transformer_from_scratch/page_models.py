"""The models that the demo page offers: shipped with the project, trained here, or a small one of random weights."""

from pathlib import Path

import streamlit as st
import torch

from shared.runs import SUMMARY
from transformer_from_scratch.checkpoint import load_model
from transformer_from_scratch.config import PRESETS, PROJECT, TrainingConfig
from transformer_from_scratch.tokenizer import CharTokenizer
from transformer_from_scratch.transformer_block import LanguageModel

SHIPPED = Path(__file__).with_name("weights")
UNTRAINED_ALPHABET = "\n !\"'(),-.0123456789:;?abcdefghijklmnopqrstuvwxyz的一是不了在人有我他这书本很好看喜欢。，"


def find_models(language: str) -> list[Path]:
    """Folders of finished runs: those that ship (the page's language first), then the newest below the current folder.

    The demo and the training script write to outputs/demo and runs.
    """
    shipped = sorted(file.parent for file in SHIPPED.glob(f"*/{SUMMARY}"))
    shipped.sort(key=lambda folder: not folder.name.startswith(language))
    own = [*Path("outputs/demo").glob(f"{PROJECT}/{SUMMARY}"), *Path("runs", PROJECT).glob(f"*/{SUMMARY}")]
    return shipped + [file.parent for file in sorted(own, key=lambda file: file.stat().st_mtime, reverse=True)]


def load(folder: Path | None) -> tuple[LanguageModel, CharTokenizer]:
    """The model of a run, kept in memory until its files change. Raises UserError where they are damaged."""
    if folder is None:
        return untrained()
    changed = sorted((file.name, file.stat().st_mtime_ns) for file in folder.glob("*.*"))
    return _load(str(folder), (str(folder.resolve()), *changed))


def reads_chinese(tokenizer: CharTokenizer) -> bool:
    """Whether most of the characters it knows are Chinese."""
    return 2 * sum("\u4e00" <= character <= "\u9fff" for character in tokenizer.characters) > len(tokenizer)


@st.cache_resource(max_entries=4, show_spinner=False)
def _load(folder: str, version: tuple) -> tuple[LanguageModel, CharTokenizer]:
    return load_model(folder)


@st.cache_resource(show_spinner=False)
def untrained() -> tuple[LanguageModel, CharTokenizer]:
    """A small model of random weights, for a page opened before any training."""
    torch.manual_seed(0)
    tokenizer = CharTokenizer(UNTRAINED_ALPHABET)
    return LanguageModel(TrainingConfig(**PRESETS["tiny"]), len(tokenizer)).eval(), tokenizer
