"""The demo page's second part: one text, answered by every variant on the disk, one after the other."""

from pathlib import Path
from statistics import median
from threading import Lock
from typing import NamedTuple

import numpy as np
import streamlit as st

from model_optimization.config import PROJECT, SUBJECT
from model_optimization.page_ship import Say
from model_optimization.runtime import VARIANT, Variant
from shared.cleaning import clean
from shared.errors import UserError, describe_os_error
from shared.phrases import Language, has_phrase, phrase
from shared.timing import Timer

# English in both languages of the page, as the classifier that ships reads no other.
REVIEW = "Beautiful pictures, but the story goes nowhere and the ending left me cold."
LONGEST = 2_000  # characters: it is read some twenty times by each variant
WARM_UP, TIMED = 3, 20  # calls

MADE = ("fp32_torch", "fp32_onnx", "int8_dynamic", "trimmed_int8", "student_int8")
MADE_IN = Path("runs", PROJECT, "page")
COMPRESSING = f"python -m {PROJECT}.optimize --run FOLDER --methods int8_dynamic,trimmed_int8"

# A second visitor would make the same files, or spoil the times of the first.
ONE_AT_A_TIME = Lock()


class Answer(NamedTuple):
    label: str
    probability: float
    milliseconds: float


def show(language: Language, say: Say) -> None:
    folders = find_variants()
    if not folders:
        _offer_to_make(say)
        return
    st.session_state.setdefault("optimization_text", REVIEW)
    st.markdown(say("text_lead", folder=folders[0].parent.parent))
    text = clean(st.text_area(say("text"), key="optimization_text", height=110, max_chars=LONGEST))
    if not text:
        st.info(say("empty"))
        return
    place, rows = st.empty(), []
    for folder in folders:
        try:
            found = _ask(folder, text)
        except UserError as error:
            st.error(say("fault", reason=error))
            continue
        rows.append(
            {
                phrase("optimization.measure.method", language): folder.name,
                say("label"): _class_name(found.label, language),
                say("probability"): found.probability,
                say("milliseconds"): found.milliseconds,
            }
        )
        columns = {
            say("probability"): st.column_config.NumberColumn(format="percent"),
            say("milliseconds"): st.column_config.NumberColumn(format="%.2f"),
        }
        place.dataframe(rows, hide_index=True, column_config=columns, height="content")
    st.caption(say("timed", timed=TIMED, warm_up=WARM_UP))


def find_variants() -> list[Path]:
    """The finished variants in the newest folder of them, in the order in which they were made."""
    found = Path("runs", PROJECT).glob(f"*/variants/*/{VARIANT}")
    folders = [file.parent for file in sorted(found, key=lambda file: (file.stat().st_mtime, file))]
    return [folder for folder in folders if folder.parent == folders[-1].parent]


def answer(variant: Variant, text: str) -> Answer:
    """The likeliest class, its calibrated probability, and the median time of a call once the caches are warm."""
    for _ in range(WARM_UP):
        logits = variant.logits([text])[0]
    milliseconds = []
    for _ in range(TIMED):
        with Timer() as timer:
            variant.logits([text])
        milliseconds.append(1000 * timer.seconds)
    likelihoods = np.exp((logits - logits.max()) / variant.settings.temperature)
    best = int(logits.argmax())
    probability = float(likelihoods[best] / likelihoods.sum())
    return Answer(variant.settings.label_names[best], probability, median(milliseconds))


def make_variants(say: Say) -> None:
    """Five variants of the classifier that ships, with a bar that says what is being made.

    Raises UserError where the classifier is missing or damaged.
    """
    bar = st.progress(0.0, say("loading"))
    with ONE_AT_A_TIME:
        from model_optimization.subject import load_subject
        from model_optimization.texts import Texts
        from model_optimization.workshop import Workshop

        nothing_to_learn = Texts("none", [], [], [])
        workshop = Workshop(load_subject(SUBJECT), nothing_to_learn, MADE_IN, shipped_student=True)
        for done, name in enumerate(MADE):
            bar.progress(done / len(MADE), say("making", name=name, number=done + 1, total=len(MADE)))
            workshop.variant(name)


def _offer_to_make(say: Say) -> None:
    if not Path(SUBJECT).is_dir():
        st.warning(say("no_subject", folder="/".join(Path(SUBJECT).parts[-3:])))
        st.code(COMPRESSING, language="bash", wrap_lines=True)
        return
    st.info(say("no_variants", names=", ".join(f"`{name}`" for name in MADE)))
    if not st.button(say("make"), key="optimization_make"):
        return
    try:
        make_variants(say)
    except UserError as error:
        st.error(say("fault", reason=error))
    except OSError as error:
        st.error(say("fault", reason=describe_os_error(error)))
    else:
        st.rerun()


def _ask(folder: Path, text: str) -> Answer:
    changed = sorted((file.name, file.stat().st_mtime_ns) for file in folder.glob("*.*"))
    version = (str(folder.resolve()), *changed)
    return _answer(_open(folder, version), version, text)


@st.cache_resource(max_entries=40, show_spinner=False)
def _open(folder: Path, version: tuple) -> Variant:
    """A variant, kept in memory until its files change."""
    return Variant(folder)


# Streamlit leaves arguments that begin with an underscore out of a cache's key; `version` stands for the variant.
@st.cache_data(max_entries=1000, show_spinner=False)
def _answer(_variant: Variant, version: tuple, text: str) -> Answer:
    with ONE_AT_A_TIME:
        return answer(_variant, text)


def _class_name(label: str, language: Language) -> str:
    key = f"sentiment.class.{label}"
    return phrase(key, language) if has_phrase(key) else label
