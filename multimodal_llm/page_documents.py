"""The demo page's fifth part: drop a document; see how it is read, its fields, and answers with their places."""

import io
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st
from PIL import Image

from multimodal_llm.document_understanding.document import Page
from multimodal_llm.document_understanding.document_qa import Answer, Encode, answer, no_text, text_encoder
from multimodal_llm.document_understanding.document_samples import SAMPLES, draw_sample
from multimodal_llm.document_understanding.export import draw_overlay, to_markdown
from multimodal_llm.document_understanding.fields import find_fields
from multimodal_llm.document_understanding.layout_analysis import read_sheet, upright
from multimodal_llm.document_understanding.marks import ANSWER as ANSWER_COLOUR
from multimodal_llm.document_understanding.marks import boxed, fields_drawn
from multimodal_llm.document_understanding.reasons import in_words
from multimodal_llm.document_understanding.sheets import count_sheets, open_sheets
from multimodal_llm.page_pictures import LARGEST_MB, Say
from shared.errors import UserError
from shared.page import choice_key

KINDS = ["pdf", "png", "jpg", "jpeg", "webp", "tif", "tiff", "bmp"]
VIEWS = ("blocks", "fields", "plain")
TALLEST = 1400  # pixels of a page as it is shown
EXAMPLES = {"receipt": 3, "invoice_zh": 3, "paper": 3}
"""How many questions there are to try for each sample: `documents_try.SAMPLE.NUMBER` in the phrases."""


def show(say: Say) -> None:
    st.markdown(say("documents_lead"))
    chosen = chosen_document(say)
    if chosen is None:
        return
    content, name, sample = chosen
    try:
        with st.spinner(say("documents_reading")):
            page, picture = chosen_page(content, name, say)
    except UserError as error:
        reason = in_words(str(error), say)
        st.error(say("fault", reason=reason.replace(name, say("documents_file"))))
        return
    if not page.lines:
        st.warning(say("documents_nothing", reason=in_words(no_text([page]), say)))
        st.image(shown(picture), width=400)
        return
    left, right = st.columns([1, 1], gap="large")
    with right:
        reply = asked(page, sample, say)
        show_fields(page, say)
        with st.expander(say("documents_text"), expanded=sample == "paper"):
            # Markdown without HTML: what a document says is never run.
            st.markdown(to_markdown([page]))
        with st.expander(say("documents_how_title")):
            st.markdown(say("documents_how"))
    with left:
        show_page(page, picture, reply, say)


def chosen_document(say: Say) -> tuple[bytes, str, str | None] | None:
    """The content and name of the document that was dropped, else of a sample; of that its name among `SAMPLES`."""
    file = st.file_uploader(say("documents_drop"), type=KINDS, key="document", max_upload_size=LARGEST_MB)
    if file is not None:
        return file.getvalue(), file.name, None
    sample = st.segmented_control(
        say("sample"),
        SAMPLES,  # none is chosen at first: reading one takes seconds, and the page's other parts would wait
        format_func=lambda name: say(f"documents_sample.{name}"),
        key=choice_key("document_sample"),
    )
    if sample is None:
        st.info(say("documents_none"))
        return None
    try:
        return sample_file(sample), f"{sample}.png", sample
    except UserError as error:
        st.info(say("fault", reason=error))
        return None


@st.cache_data(show_spinner=False)
def sample_file(name: str) -> bytes:
    file = io.BytesIO()
    draw_sample(name).save(file, "PNG")
    return file.getvalue()


def chosen_page(content: bytes, name: str, say: Say) -> tuple[Page, Image.Image]:
    """The page that is looked at. Raises UserError for a file that is no document, or one that wants a password."""
    password = None
    if name.lower().endswith(".pdf"):
        password = st.text_input(say("documents_password"), type="password", key="document_password") or None
    count = sheets_of(content, name, password)
    number = 1
    if count > 1:
        number = st.number_input(say("documents_page", n=count), 1, count, 1, key="document_page")
    page, picture = read_page(content, name, password, int(number))
    if picture is None:
        raise UserError(page.reason)
    return page, picture


@st.cache_data(show_spinner=False, max_entries=8)
def sheets_of(content: bytes, name: str, password: str | None) -> int:
    with tempfile.TemporaryDirectory() as folder:
        return count_sheets(_put(content, name, folder), password)


@st.cache_data(show_spinner=False, max_entries=16)
def read_page(content: bytes, name: str, password: str | None, number: int) -> tuple[Page, Image.Image | None]:
    """One page and its upright picture. Raises UserError as `open_sheets` does."""
    with tempfile.TemporaryDirectory() as folder:
        for sheet in open_sheets(_put(content, name, folder), password, range(number, number + 1)):
            page = read_sheet(sheet)
            return page, None if sheet.picture is None else Image.fromarray(np.asarray(upright(sheet.picture, page)))
    raise UserError(f"{name}: has no page {number}")


def _put(content: bytes, name: str, folder: str) -> Path:
    file = Path(folder) / f"document{Path(name).suffix.lower()}"
    file.write_bytes(content)
    return file


def asked(page: Page, sample: str | None, say: Say) -> Answer | None:
    """The question and what is answered; None without a question."""
    question = st.text_input(say("documents_question"), key="document_question", placeholder=say("documents_example"))
    if sample:
        for number in range(1, EXAMPLES[sample] + 1):
            text = say(f"documents_try.{sample}.{number}")
            st.button(text, key=f"document_try_{number}", type="tertiary", on_click=type_question, args=(text,))
    if not question.strip():
        return None
    try:
        with st.spinner(say("looking")):
            reply = answer(question, [page], encoder())
    except UserError as error:
        st.error(say("fault", reason=in_words(str(error), say)))
        return None
    if reply.found:
        st.success(f"**{plain(reply.text)}**")
        st.caption(say("documents_because", share=f"{reply.confidence:.0%}", reason=plain(in_words(reply.reason, say))))
    else:
        st.warning(say("documents_no_answer", reason=plain(in_words(reply.reason, say))))
    return reply


def type_question(text: str) -> None:
    st.session_state["document_question"] = text


@st.cache_resource(show_spinner=False)
def encoder() -> Encode:
    return text_encoder()


def show_fields(page: Page, say: Say) -> None:
    fields = find_fields([page])
    st.subheader(say("documents_fields"))
    if not fields:
        st.caption(say("documents_no_fields"))
        return
    rows = [
        {
            say("documents_field"): say(f"documents_field.{name}"),
            say("documents_value"): found.value,
            say("documents_confidence"): round(100 * found.confidence),
        }
        for name, found in fields.items()
    ]
    bar = st.column_config.ProgressColumn(min_value=0, max_value=100, format="%d%%")
    st.dataframe(rows, hide_index=True, width="stretch", column_config={say("documents_confidence"): bar})


def show_page(page: Page, picture: Image.Image, reply: Answer | None, say: Say) -> None:
    if reply is not None and reply.box is not None:
        st.image(shown(boxed(picture, {"": (reply.box, ANSWER_COLOUR)})), width="stretch")
        return
    view = st.segmented_control(
        say("documents_view"),
        VIEWS,
        required=True,
        format_func=lambda name: say(f"documents_view.{name}"),
        key=choice_key("document_view", VIEWS[0]),
    )
    drawings: dict[str, Any] = {
        "blocks": lambda: draw_overlay(np.asarray(picture), page),
        "fields": lambda: fields_drawn(picture, page, find_fields([page])),
        "plain": lambda: picture,
    }
    st.image(shown(drawings[view]()), width="stretch")


def shown(picture: Image.Image) -> Image.Image:
    """The picture, not larger than a screen needs."""
    smaller = picture.copy()
    smaller.thumbnail((TALLEST, TALLEST))
    return smaller


def plain(text: str) -> str:
    """Text without Markdown's signs: what a document says is shown as it stands there."""
    return "".join(f"\\{sign}" if sign in "\\`*_{}[]()#+-.!|~$<>:" else sign for sign in text)
