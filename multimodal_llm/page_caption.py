"""The demo page's first part: drop a photo, get a sentence and how sure the model is of it."""

from typing import Any

import streamlit as st
from PIL import Image

from multimodal_llm.image_captioning.captioner import Caption, left_out, load_captioner
from multimodal_llm.page_pictures import Say, banner, photo_or_sample
from shared.errors import UserError

UNSURE = 0.4  # mean probability of a word below which the sentence is called a guess; a choice, not a measurement


def show(say: Say) -> None:
    st.markdown(say("caption_lead"))
    banner(say, "captioner_left_out", left_out())
    left, right = st.columns([2, 3], gap="large")
    with left:
        picture = photo_or_sample(say, "caption", note=say("caption_sample_help"))
        if picture is not None:
            st.image(picture, width="stretch")
    with right:
        if picture is None:
            st.info(say("no_photo"))
        else:
            describe(picture, say)
        with st.expander(say("caption_limits_title"), expanded=picture is None):
            st.markdown(say("caption_limits"))


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
