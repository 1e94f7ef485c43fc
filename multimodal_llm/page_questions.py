"""The demo page's second part: draw a shape or drop a picture, ask about it, and see when the answer is a guess."""

from pathlib import Path

import numpy as np
import streamlit as st
from PIL import Image

from multimodal_llm.page_pictures import LARGEST_MB, Say, picture_in
from multimodal_llm.visual_question_answering.config import PROJECT, SHIPPED
from multimodal_llm.visual_question_answering.data_loader import COLORS, SHAPES
from multimodal_llm.visual_question_answering.drawings import PICTURE_KINDS, draw, draw_shape
from multimodal_llm.visual_question_answering.measured_shapes import MeasuredShapes
from multimodal_llm.visual_question_answering.vqa_system import SETTINGS, WEIGHTS, Answer, ShapesVqa, VqaSystem
from shared.errors import UserError
from shared.page import choice_key

# English in both languages of the page, as the model reads no other.
SUGGESTED = (
    "what color is the shape?",
    "what figure is drawn here?",
    "is there no circle?",
    "do you see something red?",
    "is there a blue triangle?",
    "is there a dog?",
    "how big is the shape?",
)
ODD = [kind for kind in PICTURE_KINDS if kind != "usual"]
SHOWN_SIZE = 320
LONGEST = 200  # characters
TRAINING = "python -m multimodal_llm.visual_question_answering.train"


def show(say: Say) -> None:
    st.markdown(say("questions_lead"))
    folder = find_weights()
    if folder is None:
        st.warning(say("no_vqa"))
        st.code(TRAINING, language="bash")
    elif folder != SHIPPED:
        st.info(say("own_vqa", folder=folder))
    left, right = st.columns(2, gap="large")
    with left:
        picture = chosen_picture(say)
        if picture is not None:
            st.image(enlarged(picture))
    with right:
        question = asked(say)
        if picture is None:
            st.info(say("no_picture"))
        elif question:
            answer(folder, picture, question, say)


def find_weights() -> Path | None:
    """The folder of the weights that ship, else that of the newest training below the current folder, or none.

    The demo and the training command write to outputs/demo and runs, the settings last.
    """
    if (SHIPPED / WEIGHTS).is_file():
        return SHIPPED
    own = [*Path("outputs/demo", PROJECT).glob(SETTINGS), *Path("runs", PROJECT).glob(f"*/{SETTINGS}")]
    return max(own, key=lambda file: file.stat().st_mtime).parent if own else None


def chosen_picture(say: Say) -> Image.Image | None:
    source = st.segmented_control(
        say("picture_from"),
        ["shape", "odd", "file"],
        required=True,
        format_func=lambda name: say(f"picture_from.{name}"),
        key=choice_key("vqa_source", "shape"),
    )
    if source == "file":
        file = st.file_uploader(say("picture_file"), key="vqa_file", max_upload_size=LARGEST_MB)
        return None if file is None else picture_in(file, say)
    another = st.session_state.setdefault("vqa_seed", 1)
    random = np.random.default_rng(another)
    if source == "odd":
        kind = st.selectbox(
            say("odd_kind"), ODD, format_func=lambda name: say(f"kind.{name}"), key=choice_key("vqa_odd")
        )
        picture = draw(kind, random)
    else:
        shape_column, color_column = st.columns(2)

        def word(name: str) -> str:
            return say(f"word.{name}")

        shape = shape_column.selectbox(say("shape"), SHAPES, format_func=word, key=choice_key("vqa_shape"))
        color = color_column.selectbox(say("color"), COLORS, format_func=word, key=choice_key("vqa_color", "red"))
        picture = draw_shape(shape, color, random)
    st.button(say("draw_another"), on_click=_draw_another, icon=":material/refresh:")
    return picture


def enlarged(picture: Image.Image) -> Image.Image:
    """A drawing of 64 pixels with every pixel to be seen, as the model gets it; a photo is only made to fit."""
    if picture.width < SHOWN_SIZE:
        return picture.resize((SHOWN_SIZE, SHOWN_SIZE), Image.Resampling.NEAREST)
    return picture


def _draw_another() -> None:
    st.session_state["vqa_seed"] += 1


def asked(say: Say) -> str:
    """The question in the field; a suggestion puts itself there."""
    st.session_state.setdefault("vqa_question", SUGGESTED[0])

    def take() -> None:
        if st.session_state["vqa_suggested"]:
            st.session_state["vqa_question"] = st.session_state["vqa_suggested"]

    st.selectbox(
        say("suggestions"), SUGGESTED, index=None, placeholder=say("choose"), key="vqa_suggested", on_change=take
    )
    question = st.text_input(say("question"), key="vqa_question", max_chars=LONGEST).strip()
    if not question:
        st.info(say("empty_question"))
    return question


def answer(folder: Path | None, picture: Image.Image, question: str, say: Say) -> None:
    try:
        with st.spinner(say("looking")):
            [found] = system(folder).answer(picture, [question])
    except UserError as error:
        st.error(say("fault", reason=error))
        return
    for doubt in found.doubts:
        st.warning(say(f"doubt.{doubt}"))
    word = say(f"word.{found.text}")
    st.subheader(say("guess", answer=word) if found.doubts else word)
    if folder is None:
        st.caption(say("vqa_nearest", share=f"{found.confidence:.0%}"))
        return
    st.caption(say("vqa_confidence", share=f"{found.confidence:.1%}"))
    st.dataframe(
        probabilities(found, say),
        hide_index=True,
        column_config={
            say("probability"): st.column_config.ProgressColumn(format="percent", min_value=0, max_value=1),
        },
        height="content",
    )


def probabilities(found: Answer, say: Say) -> list[dict[str, object]]:
    everything = {found.text: found.confidence, **found.alternatives}
    return [{say("answer"): say(f"word.{name}"), say("probability"): share} for name, share in everything.items()]


@st.cache_resource(show_spinner=False, max_entries=2)
def system(folder: Path | None) -> VqaSystem:
    return ShapesVqa.load(folder) if folder else MeasuredShapes()
