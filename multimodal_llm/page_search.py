"""The demo page's fourth part: search a folder of photos by words and a picture, with plus and minus."""

from functools import partial
from pathlib import Path

import streamlit as st
from PIL import Image, ImageOps

from multimodal_llm.clip_applications.image_index import ImageIndex
from multimodal_llm.clip_applications.image_search import Hit, ImageSearch, Results
from multimodal_llm.clip_applications.index_update import encode_here, update
from multimodal_llm.clip_applications.joint_space import left_out
from multimodal_llm.clip_applications.query import Query, parse
from multimodal_llm.clip_applications.spaces import CHINESE, DEFAULT, FREE, NamedSpace, load_space
from multimodal_llm.image_search import parts
from multimodal_llm.images import load_image
from multimodal_llm.page_pictures import LARGEST_MB, Say, banner, picture_in
from multimodal_llm.picture_files import listed
from shared.errors import UserError

FOLDER = "runs/multimodal_llm/page-index"  # of the page's index, one for each space
COLUMNS, MOST = 4, 24
THUMBNAIL = 320  # pixels of the side


def show(say: Say) -> None:
    st.markdown(say("search_lead"))
    banner(say, "space_left_out", left_out())
    with st.expander(say("collection"), expanded=not photos_in_index()):
        bring_up_to_date(say)
    if not photos_in_index():
        st.info(say("search_empty"))
        return
    left, middle, right = st.columns([3, 2, 2], gap="medium")
    text = left.text_input(say("search_text"), key="search_text", placeholder=say("search_example"))
    minus = middle.text_input(say("search_minus"), key="search_minus", placeholder=say("search_minus_example"))
    file = right.file_uploader(say("search_like"), key="search_like", max_upload_size=LARGEST_MB)
    always = st.toggle(say("search_always"), key="search_always", help=say("search_always_help"))
    try:
        picture = None if file is None else picture_in(file, say)
        if not text.strip() and picture is None:
            st.caption(say("search_count", n=f"{photos_in_index():,}"))
            return
        query = asked(text, minus, picture)
        name = usual_space() if query.is_latin else CHINESE
        if not photos_in_index(name):
            st.info(say("search_no_chinese"))
            return
        if query.not_texts:
            st.caption(say("search_subtracted", words=", ".join(query.not_texts)))
        results = search(query, name, not always)
    except UserError as error:
        st.error(say("fault", reason=error))
        return
    gallery(results, say)


def asked(text: str, minus: str, picture: Image.Image | None) -> Query:
    """The query of the three fields. Raises UserError where the text names nothing that is wanted."""
    wanted, unwanted = parse(text) if text.strip() else ((), ())
    return Query(texts=wanted, not_texts=(*unwanted, *parts(minus)), pictures=() if picture is None else (picture,))


def bring_up_to_date(say: Say) -> None:
    folder = st.text_input(say("folder"), key="search_folder", placeholder="~/Pictures")
    chinese = st.toggle(say("search_chinese"), key="search_chinese", help=say("search_chinese_help"))
    if not st.button(say("bring_up_to_date"), key="search_update", disabled=not folder.strip()):
        return
    bar = st.progress(0.0, text=say("looking"))
    try:
        for name in (CHINESE, usual_space()) if chinese else (usual_space(),):
            made = index(name, create=True)
            changes = update(
                made,
                [folder.strip()],
                partial(encode_here, space(name)),
                progress=lambda done, total: bar.progress(done / max(total, 1), text=f"{done:,} / {total:,}"),
            )
            made.close()
    except UserError as error:
        st.error(say("fault", reason=error))
        return
    finally:
        bar.empty()
    st.success(
        say(
            "updated",
            added=changes.added + changes.copied,
            changed=changes.changed + changes.moved,
            removed=changes.removed,
        )
    )
    if changes.broken:
        st.warning(say("broken", n=len(changes.broken)))
        st.dataframe(changes.broken, hide_index=True)
    if changes.passed_over:
        st.warning(say("passed_over", kinds=listed(changes.passed_over)))


def gallery(results: Results, say: Say) -> None:
    """The photos as squares, the best first."""
    shown = results.hits
    if not shown:
        st.info(say("search_nothing"))
        if results.closest is None:
            return
        st.caption(say("search_closest"))
        shown = [results.closest]
    for start in range(0, len(shown), COLUMNS):
        for column, hit in zip(st.columns(COLUMNS), shown[start : start + COLUMNS], strict=False):
            with column:
                tile(hit, say)


def tile(hit: Hit, say: Say) -> None:
    try:
        st.image(thumbnail(hit.path, Path(hit.path).stat().st_mtime_ns), width="stretch")
    except (UserError, OSError):
        st.warning(say("photo_gone", name=Path(hit.path).name))
        return
    also = say("near_duplicates", n=len(hit.near_duplicates)) if hit.near_duplicates else ""
    st.caption(f"{Path(hit.path).name} · {hit.cosine:.2f} {also}", help=hit.path)


@st.cache_data(show_spinner=False, max_entries=512)
def thumbnail(path: str, changed_ns: int) -> Image.Image:
    return ImageOps.fit(load_image(path), (THUMBNAIL, THUMBNAIL))


@st.cache_resource(show_spinner=False, max_entries=2)
def space(name: str) -> NamedSpace:
    return load_space(name)


def usual_space() -> str:
    """The space of queries in English."""
    return FREE if left_out() else DEFAULT


def index(name: str, create: bool = False) -> ImageIndex:
    """The page's index in this space, for which no model is loaded unless it is to be made.

    Raises UserError where there is none and `create` is false, and where it is of other weights.
    """
    folder = f"{FOLDER}-{name}"
    if not create:
        return ImageIndex(folder)
    used = space(name)
    return ImageIndex(folder, {"space": used.name, "fingerprint": used.fingerprint, "width": str(used.width)})


def photos_in_index(name: str | None = None) -> int:
    try:
        opened = index(name or usual_space())
    except UserError:
        return 0
    opened.close()
    return len(opened)


def search(query: Query, name: str, cut: bool) -> Results:
    opened = index(name, create=True)  # which refuses vectors of other weights
    try:
        return ImageSearch(space(name), opened).search(query, MOST, cut=cut)
    finally:
        opened.close()
