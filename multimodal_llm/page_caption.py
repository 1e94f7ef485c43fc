"""The demo page's first part: drop a photo, get a sentence and how sure the model is of it."""

from typing import Any, Protocol

import numpy as np
import streamlit as st
from PIL import Image

from multimodal_llm.image_captioning.captioner import Caption, left_out, load_captioner
from multimodal_llm.images import load_image
from multimodal_llm.visual_question_answering.drawings import draw
from shared.errors import UserError

UNSURE = 0.35  # mean probability of a word below which the sentence is called a guess
LARGEST_MB = 25


class Say(Protocol):
    """A phrase of the page in the visitor's language."""

    def __call__(self, key: str, **values: object) -> str: ...


def show(say: Say) -> None:
    st.markdown(say("caption_lead"))
    if reason := left_out():
        st.info(say("captioner_left_out", reason=reason))
    left, right = st.columns([2, 3], gap="large")
    with left:
        picture = chosen_picture(say)
        if picture is not None:
            st.image(picture, width="stretch")
    with right:
        if picture is None:
            st.info(say("no_photo"))
        else:
            describe(picture, say)
        with st.expander(say("caption_limits_title")):
            st.markdown(say("caption_limits"))


def chosen_picture(say: Say) -> Image.Image | None:
    """The photo that was dropped, else a drawing where one is asked for."""
    file = st.file_uploader(say("photo"), key="photo", max_upload_size=LARGEST_MB)
    drawn = st.toggle(say("try_drawing"), key="caption_drawing", help=say("try_drawing_help"))
    if file is not None:
        return picture_in(file, say)
    return draw("three_shapes", np.random.default_rng(4), size=384) if drawn else None


def picture_in(file: Any, say: Say) -> Image.Image | None:
    """The picture in an uploaded file; what is wrong with it is said in place."""
    try:
        return load_image(file.getvalue())
    except UserError as error:
        st.error(say("bad_picture", name=file.name, reason=str(error).removeprefix("the picture: ")))
        return None


def describe(picture: Image.Image, say: Say) -> None:
    try:
        with st.spinner(say("looking")):
            caption = caption_of(picture)
    except UserError as error:
        st.error(say("fault", reason=error))
        return
    st.subheader(caption.text[:1].upper() + caption.text[1:])
    if caption.confidence is None:
        return
    st.progress(
        min(max(caption.confidence, 0.0), 1.0), text=say("caption_confidence", share=f"{caption.confidence:.0%}")
    )
    if caption.confidence < UNSURE:
        st.warning(say("caption_guess"))


@st.cache_resource(show_spinner=False)
def captioner() -> Any:
    return load_captioner()


@st.cache_data(show_spinner=False, max_entries=64, hash_funcs={Image.Image: lambda image: image.tobytes()})
def caption_of(picture: Image.Image) -> Caption:
    return captioner().caption([picture])[0]
