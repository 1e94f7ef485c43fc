"""The models that the demo page offers, shipped with the project or trained here, and what they think of texts.

Without any there are counted words, learned while the visitor waits.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from bert_sentiment_analysis.config import DEFAULT_RUN, PROJECT, SETTINGS, SHIPPED
from bert_sentiment_analysis.evaluation.picture_data import BLUE, ORANGE
from shared.errors import UserError
from shared.phrases import Language
from shared.splits import load_packaged

if TYPE_CHECKING:  # they load torch and scikit-learn, and a page can be shown before
    from bert_sentiment_analysis.inference.attributions import Explanation
    from bert_sentiment_analysis.inference.counted_words import CountedWords
    from bert_sentiment_analysis.inference.predictor import Prediction, Predictor

TRAINING = "python -m bert_sentiment_analysis.train --model minilm --dataset rotten_tomatoes --lora_rank 8"
COUNTED_SET = "rotten_tomatoes"
SHADES: dict[str | None, str] = {"negative": ORANGE, "positive": BLUE}  # other classes, and no answer, are grey
GREY = "#8a8f98"

Say = Callable[..., str]


@dataclass(frozen=True)
class Model:
    """A model in memory. `version` changes with its files. Without a folder it is counted words."""

    folder: Path | None
    predictor: "Predictor"
    version: tuple

    @property
    def rates(self) -> bool:
        return self.predictor.settings.head == "rating"

    @property
    def classes(self) -> tuple[str, ...]:
        return self.predictor.settings.label_names

    @property
    def counted(self) -> "CountedWords | None":
        """The counted words, where no encoder answers."""
        from bert_sentiment_analysis.inference.counted_words import CountedWords

        return self.predictor if isinstance(self.predictor, CountedWords) else None


@dataclass(frozen=True)
class Page:
    """The model of the visitor's choice, the language, and the words in it."""

    model: Model
    language: Language
    say: Say


def find_models() -> list[Path]:
    """Folders of trained classifiers: those that ship (the default first), then the newest below the current folder."""
    shipped = sorted(file.parent for file in SHIPPED.glob(f"*/{SETTINGS}"))
    shipped.sort(key=lambda folder: folder.name != DEFAULT_RUN)
    own = sorted(Path("runs", PROJECT).glob(f"*/{SETTINGS}"), key=lambda file: file.stat().st_mtime, reverse=True)
    return shipped + [file.parent for file in own]


def model_name(folder: Path, say: Say) -> str:
    return say("shipped", name=folder.name) if folder.parent == SHIPPED else say("own", name=folder.name)


def load(folder: Path | None) -> Model:
    """A model, kept in memory until its files change; counted words without a folder.

    Raises UserError where files are missing or damaged, and where the texts to learn from cannot be had.
    """
    if folder is None:
        return Model(None, _count_words(), ("counted words",))
    changed = sorted((file.name, file.stat().st_mtime_ns) for file in folder.glob("*.*"))
    version = (str(folder.resolve()), *changed)
    return Model(folder, _load(str(folder), version), version)


def load_or_say(folder: Path | None, say: Say) -> Model | None:
    """As `load`; a fault is shown on the page."""
    try:
        return load(folder)
    except UserError as error:
        st.error(say("fault", reason=error))
        return None


def answer(model: Model, text: str) -> "Prediction":
    return _answer(model.predictor, model.version, text)


def explanation(model: Model, text: str) -> "Explanation":
    if model.counted:
        return model.counted.explain(text)
    return _explain(model.predictor, model.version, text)


@st.cache_resource(max_entries=4, show_spinner=False)
def _load(folder: str, version: tuple) -> "Predictor":
    from bert_sentiment_analysis.inference.predictor import Predictor

    return Predictor.load(folder)


@st.cache_resource(show_spinner=False)
def _count_words() -> "CountedWords":
    from bert_sentiment_analysis.inference.counted_words import CountedWords

    return CountedWords(load_packaged(COUNTED_SET))


# Streamlit leaves arguments that begin with an underscore out of a cache's key; `version` stands for them.
@st.cache_data(max_entries=500, show_spinner=False)
def _answer(_predictor: "Predictor", version: tuple, text: str) -> "Prediction":
    return _predictor.predict([text])[0]


@st.cache_data(max_entries=100, show_spinner=False)
def _explain(_predictor: "Predictor", version: tuple, text: str) -> "Explanation":
    from bert_sentiment_analysis.inference.attributions import explain

    return explain(_predictor.classifier, text)
