"""The demo page's third part: labels of one's own for a photo, and the classes behind each answer."""

import streamlit as st
from PIL import Image

from multimodal_llm.clip_applications.query import is_latin
from multimodal_llm.clip_applications.zero_shot_classification import (
    Classification,
    clean_labels,
    load_classifier,
)
from multimodal_llm.page_pictures import SAMPLES, Say, photo_or_sample
from shared.errors import UserError

MOST_LABELS = 200  # of a page; the command takes more
SHOWN = 8
WORTH_A_REASON = 0.01  # of the probability; what moved a label that lost wholly says nothing


def show(say: Say) -> None:
    st.markdown(say("labels_lead"))
    left, right = st.columns([2, 3], gap="large")
    with left:
        picture = photo_or_sample(say, "labels", default=SAMPLES[0])
        if picture is not None:
            st.image(picture, width="stretch")
    with right:
        typed = st.text_area(say("labels"), key="labels", help=say("labels_help"), height=80)
        example = say("labels_example")
        st.button(say("labels_try", labels=example), key="labels_try", on_click=type_labels, args=(example,))
        if picture is None:
            st.info(say("no_picture"))
        elif typed:
            answer(picture, typed, say)
        with st.expander(say("labels_how_title")):
            st.markdown(say("labels_how"))


def type_labels(labels: str) -> None:
    st.session_state["labels"] = labels


def answer(picture: Image.Image, typed: str, say: Say) -> None:
    try:
        labels = clean_labels(typed.replace("，", ",").replace("、", ",").replace("\n", ",").split(","))
        if len(labels) > MOST_LABELS:
            st.warning(say("too_many_labels", most=MOST_LABELS))
            labels = labels[:MOST_LABELS]
        with st.spinner(say("looking")):
            found = classify(picture, tuple(labels))
    except UserError as error:
        st.error(say("fault", reason=error))
        return
    if found.fits is False:
        st.warning(say("labels_none"))
    if found.fits is None:
        st.caption(say("labels_unknown"))
    for score in found.scores:
        # Of a label alone there is no probability: the bar then shows the cosine.
        share = max(score.cosine, 0.0) if score.probability is None else score.probability
        number = f"{score.cosine:.2f}" if score.probability is None else f"{share:.0%}"
        st.progress(min(share, 1.0), text=f"**{score.label}** · {number}")
        if score.because and share >= WORTH_A_REASON:
            reasons = ", ".join(f"{name} ({given:+.2f})" for name, given in score.because)
            st.caption(say("because", reasons=reasons))


@st.cache_resource(show_spinner=False, max_entries=2)
def classifier(name: str) -> object:
    return load_classifier(name)


@st.cache_data(show_spinner=False, max_entries=64, hash_funcs={Image.Image: lambda image: image.tobytes()})
def classify(picture: Image.Image, labels: tuple[str, ...]) -> Classification:
    name = "conse" if all(map(is_latin, labels)) else "conse-e5"
    return classifier(name).classify([picture], labels, SHOWN)[0]
