"""The demo page's documents: bring them, watch them being read, see what is there, delete."""

import streamlit as st

from qa_system.app.jobs import Job
from qa_system.app.library import LibraryFull
from qa_system.app.names import safe_name
from qa_system.app.page_parts import Page, plain
from qa_system.example import EXAMPLE_NAMES, example_documents
from shared.errors import UserError

JOBS, ROUND, FAULTS = "qa_jobs", "qa_upload_round", "qa_upload_faults"
KINDS = ["pdf", "docx", "md", "html", "htm", "txt"]
SHOWN = 100  # documents that are listed


def show(page: Page) -> None:
    """The sidebar's part: upload, progress, list."""
    say = page.say
    st.sidebar.subheader(say("documents"))
    files = st.sidebar.file_uploader(
        say("upload"),
        KINDS,
        accept_multiple_files=True,
        key=f"qa_upload_{st.session_state.get(ROUND, 0)}",
        max_upload_size=int(page.library.config.max_mb),
        help=say("upload_help", mb=f"{page.library.config.max_mb:g}"),
    )
    if files:
        st.session_state[FAULTS] = []
        for file in files:
            _bring(page, file.name, file.getbuffer())
        # A new key empties the widget: what was taken is in the list below from now on.
        st.session_state[ROUND] = st.session_state.get(ROUND, 0) + 1
        st.rerun()
    for line in st.session_state.get(FAULTS, []):
        st.sidebar.error(page.say("job.refused", detail=plain(line)))
    if st.session_state.get(FAULTS) and st.sidebar.button(page.say("seen"), key="qa_seen"):
        st.session_state[FAULTS] = []
        st.rerun()
    waiting = [job for job in _jobs(page) if not job.ended]
    # A fragment: while something is read this part is drawn anew every second, and the rest of the page is not.
    with st.sidebar:
        st.fragment(_progress, run_every=1.0 if waiting else None)(page)
    _list(page)


def try_example(page: Page) -> None:
    """Bring the documents that come with the project."""
    try:
        with st.spinner(page.say("fetching")):
            documents = example_documents()
        for name, path in documents.items():
            _note(page.library.bring(path, name))
    except (UserError, LibraryFull, OSError) as error:
        st.session_state.setdefault(FAULTS, []).append(str(error))
    st.rerun()


def has_example(page: Page) -> bool:
    """Whether a document that comes with the project is there."""
    return any(line.source in EXAMPLE_NAMES for line in page.library.documents())


def is_reading(page: Page) -> bool:
    return any(not job.ended for job in _jobs(page))


def _bring(page: Page, name: str, data: memoryview) -> None:
    source = safe_name(name)
    try:
        if not source:
            raise UserError(page.say("no_name"))
        if len(data) > page.library.config.max_mb * 1e6:
            raise UserError(page.say("too_large", name=source, mb=f"{page.library.config.max_mb:g}"))
        with page.library.receive(source) as incoming:
            incoming.write(bytes(data))
            _note(incoming.take())
    except (UserError, LibraryFull, OSError) as error:
        st.session_state.setdefault(FAULTS, []).append(str(error))


def _note(job: Job) -> None:
    st.session_state.setdefault(JOBS, []).append(job.id)


def _jobs(page: Page) -> list[Job]:
    """This visit's uploads."""
    found = (page.library.job(identity) for identity in st.session_state.get(JOBS, []))
    return [job for job in found if job is not None]


def _progress(page: Page) -> None:
    say, jobs = page.say, _jobs(page)
    for job in jobs:
        if not job.ended:
            share = job.done / job.total if job.total else 0.0
            st.progress(share, say(f"job.{job.state}", name=plain(job.source), done=job.done, total=job.total or "?"))
    if any(job.ended for job in jobs):
        # What has ended goes into the list, or to the refusals, which stay in sight until they were seen.
        refused = [job.detail for job in jobs if job.state in ("refused", "failed")]
        st.session_state[FAULTS] = st.session_state.get(FAULTS, []) + refused
        st.session_state[JOBS] = [job.id for job in jobs if not job.ended]
        st.rerun()


def _list(page: Page) -> None:
    lines = page.library.documents()
    st.sidebar.caption(page.say("in_store", n=len(lines), passages=len(page.library.store)))
    for line in lines[:SHOWN]:
        name, button = st.sidebar.columns([6, 1], vertical_alignment="center")
        empty = page.say("empty_pages", n=line.pages_without_text) if line.pages_without_text else ""
        pages = page.say("pages", n=line.pages) if line.pages else line.kind
        name.markdown(f"{plain(line.source)}  \n:small[:gray[{pages}{empty}]]")
        if button.button("", icon=":material/delete:", key=f"qa_delete_{line.source}", help=page.say("delete")):
            page.library.delete(line.source)
            st.rerun()
