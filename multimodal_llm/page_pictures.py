"""The pictures of the demo page: a file that is dropped, or a sample for who has none at hand."""

from typing import Any, Protocol

import numpy as np
import streamlit as st
from PIL import Image

from multimodal_llm.image_captioning.captioner import FREE_ONLY, FREE_ONLY_REASON, NOT_HERE
from multimodal_llm.images import load_image
from multimodal_llm.visual_question_answering.drawings import draw
from shared.errors import UserError
from shared.page import choice_key

LARGEST_MB = 25
SAMPLES = ("temple", "flower", "drawing")

LEFT_OUT = {FREE_ONLY_REASON: "free_only", NOT_HERE: "not_here"}  # why weights are not in use, and its phrase


class Say(Protocol):
    """A phrase of the page in the visitor's language."""

    def __call__(self, key: str, **values: object) -> str: ...


def photo_or_sample(say: Say, key: str, default: str | None = None, note: str | None = None) -> Image.Image | None:
    """The photo that was dropped, else the sample that is chosen; `key` tells the fields of one part from another's."""
    file = st.file_uploader(say("photo"), key=f"{key}_photo", max_upload_size=LARGEST_MB)
    if file is not None:
        return picture_in(file, say)
    name = st.segmented_control(
        say("sample"),
        SAMPLES,
        required=default is not None,
        format_func=lambda name: say(f"sample.{name}"),
        key=choice_key(f"{key}_sample", default),
        help=note,
    )
    return None if name is None else sample(name)


def banner(say: Say, key: str, reason: str | None) -> None:
    """Say that something poorer answers, where the weights that ship are left out for this reason."""
    if reason:
        st.info(say(key, reason=say(f"left_out.{LEFT_OUT[reason]}", name=FREE_ONLY)))


def picture_in(file: Any, say: Say) -> Image.Image | None:
    """The picture in an uploaded file; what is wrong with it is said in place."""
    try:
        return load_image(file.getvalue())
    except UserError as error:
        st.error(say("bad_picture", name=file.name, reason=str(error).removeprefix("the picture: ")))
        return None


@st.cache_data(show_spinner=False)
def sample(name: str) -> Image.Image:
    """A photo that comes with scikit-learn, or a drawing of ours."""
    if name == "drawing":
        return draw("three_shapes", np.random.default_rng(4), size=384)
    from sklearn.datasets import load_sample_image

    return Image.fromarray(load_sample_image({"temple": "china.jpg", "flower": "flower.jpg"}[name]))
