"""The demo page's answers: each sentence with its citation, the page that it stands on, and why it was found.

All that comes from a document is escaped: it is text, whatever it says.
"""

from html import escape
from typing import Any

import streamlit as st

from qa_system.app.page_parts import Page, generator_of, html_text, plain
from qa_system.app.page_picture import page_picture
from qa_system.document_processor.documents import Box, Document
from qa_system.generation import answer_generator
from qa_system.generation.answer_generator import Answer, AnswerSettings
from qa_system.generation.citation_handler import Citation
from qa_system.retrieval.hybrid_retrieval import Hit, HybridRetriever
from qa_system.retrieval.text_analysis import analyse, is_han
from shared.errors import UserError
from shared.phrases import has_phrase, phrase

ANSWER, CITED = "qa_answer", "qa_cited"
AROUND = 600  # characters shown around a citation in a document without pages
WORDS, MEANING = "#2a78d6", "#e08a00"
MARK = "background:#ffd500;color:#111;border-radius:2px;padding:0 2px"


def ask(page: Page, question: str, settings: AnswerSettings, sources: list[str] | None) -> None:
    """Answer, showing what comes while it comes; the answer is kept for the visit."""
    told = st.empty()
    try:
        with st.spinner(page.say("asking")):
            generator, text = generator_of(page.library, settings), ""
            for event in generator.stream(question, sources):
                if event.kind == "token":
                    text += event.text
                    told.html(f'<p style="font-size:1.15rem">{html_text(text)}</p>')
                elif event.answer is not None:
                    st.session_state[ANSWER], st.session_state[CITED] = event.answer, 0
    except UserError as error:
        st.session_state.pop(ANSWER, None)
        st.error(plain(error))
    told.empty()


def show(page: Page, settings: AnswerSettings) -> None:
    """The last answer of this visit, if there is one."""
    answer: Answer | None = st.session_state.get(ANSWER)
    if answer is None:
        return
    if not is_han(answer.question) and answer_generator.load_reader(settings.reader) is None:
        st.info(page.say("no_reader"))
    citations = list(dict.fromkeys(each.citation for each in answer.sentences if each.citation))
    left, right = st.columns([5, 6], gap="large") if citations else (st.container(), None)
    with left:
        _answer(page, answer, citations, settings)
        _why(page, answer)
    if right is not None:
        with right:
            _cited(page, citations[min(st.session_state.get(CITED, 0), len(citations) - 1)])


def _answer(page: Page, answer: Answer, citations: list[Citation], settings: AnswerSettings) -> None:
    say = page.say
    st.caption(plain(answer.question))
    if answer.abstained:
        st.info(plain(answer.reason), icon=":material/help:")
        least = generator_of(page.library, settings).least_confidence(answer.question)
        st.caption(say("abstained", confidence=f"{answer.confidence:.0%}", threshold=f"{least:.0%}"))
        return
    parts = []
    for sentence in answer.sentences:
        number = citations.index(sentence.citation) + 1 if sentence.citation else None
        mark = f" <sup>[{number}]</sup>" if number else f" <em>({html_text(say('unsupported'))})</em>"
        parts.append(html_text(sentence.text) + mark)
    st.html(f'<div style="font-size:1.15rem;line-height:1.55">{" ".join(parts)}</div>')
    for number, citation in enumerate(citations):
        where = f", {say('page', n=citation.page)}" if citation.page else ""
        chosen = st.session_state.get(CITED, 0) == number
        label = f"\\[{number + 1}\\] {plain(citation.source)}{where}"
        if st.button(label, key=f"qa_cite_{number}", type="primary" if chosen else "secondary"):
            st.session_state[CITED] = number
            st.rerun()
    known = f"qa.page.generator.{answer.generator}"
    writer = phrase(known, page.language) if has_phrase(known) else plain(answer.generator)
    st.caption(say("sure", confidence=f"{answer.confidence:.0%}", generator=writer))
    if answer.reason:
        st.caption(plain(answer.reason))


def _why(page: Page, answer: Answer) -> None:
    """The passages, and what words and meaning gave to the score of each."""
    say = page.say
    if not answer.hits:
        return
    st.markdown(f"**{say('why')}**")
    st.html(
        f'<div style="font-size:.85rem"><span style="color:{WORDS}">■</span> {say("by_words")} &nbsp; '
        f'<span style="color:{MEANING}">■</span> {say("by_meaning")}</div>'
    )
    retriever = HybridRetriever(page.library.store)
    asked = {term: term for term in analyse(answer.question)}
    asked |= {term: word.strip(".,;:?!\"'()") for word in answer.question.split() for term in analyse(word)}
    for number, hit in enumerate(answer.hits, 1):
        pages = ", ".join(map(str, hit.chunk.pages))
        where = f", {say('page', n=pages)}" if pages else ""
        with st.expander(f"{number}. {plain(hit.chunk.source)}{where}", expanded=number == 1):
            st.html(_bar(page, *retriever.parts(answer.question, hit), hit))
            shared = {
                asked[term] if len(asked[term]) < 30 else term: None
                for term in analyse(hit.chunk.text)
                if term in asked
            }
            if shared:
                st.caption(say("shared", words=plain(", ".join(shared))))
            if hit.chunk.headings:
                st.caption(plain(" › ".join(hit.chunk.headings)))
            st.html(f'<div style="font-size:.9rem;line-height:1.5">{html_text(hit.chunk.text)}</div>')


def _bar(page: Page, words: float, meaning: float, hit: Hit) -> str:
    bars = "".join(
        f'<div style="width:{100 * min(max(share, 0), 1):.1f}%;background:{colour};height:10px"></div>'
        for share, colour in ((words, WORDS), (meaning, MEANING))
    )
    told = page.say("score", score=f"{hit.score:.2f}", words=f"{words:.2f}", meaning=f"{meaning:.2f}")
    track = "display:flex;background:rgba(128,128,128,.18);border-radius:5px;overflow:hidden"
    return f'<div style="{track}">{bars}</div><div style="font-size:.8rem;opacity:.75">{told}</div>'


def _cited(page: Page, citation: Citation) -> None:
    """The page with the citation marked, or the text around it."""
    say = page.say
    document = page.library.store.document(citation.source)
    if document is None:
        st.caption(say("gone"))
        return
    where = f" — {say('page', n=citation.page)}" if citation.page else ""
    st.markdown(f"**{plain(citation.source)}**{where}")
    file = page.library.file_of(document.id)
    if file and citation.boxes:
        close = st.toggle(say("close_up"), key="qa_close_up")
        with st.spinner(say("drawing")):
            picture = _picture(str(file), citation.page, citation.boxes, close)
        if picture is not None:
            st.image(picture, width="stretch")
            return
    frame = "border:1px solid rgba(128,128,128,.35);border-radius:8px;padding:.4rem 1.2rem;line-height:1.6"
    st.html(f'<div style="{frame}">{text_around(document, citation.start, citation.end)}</div>')


def text_around(document: Document, start: int, end: int) -> str:
    """The lines around `text[start:end]` as HTML, with that marked; headings in bold."""
    near = [span for span in document.spans if span.end > start - AROUND and span.start < end + AROUND]
    paragraphs: list[str] = []
    last = None
    for span in near:
        # What stands before, within and after the mark; where it does not touch the line, two of them are empty.
        first, past = (min(max(place, span.start), span.end) for place in (start, end))
        before, cited, after = (
            escape(document.text[one:other]) for one, other in ((span.start, first), (first, past), (past, span.end))
        )
        line = before + (f'<mark style="{MARK}">{cited}</mark>' if cited else "") + after
        line = f"<strong>{line}</strong>" if span.heading else line
        if last is None or "\n\n" in document.text[last.end : span.start]:
            paragraphs.append(line)
        else:
            paragraphs[-1] += f"<br>{line}"
        last = span
    return "".join(f"<p>{paragraph}</p>" for paragraph in paragraphs)


@st.cache_data(max_entries=32, show_spinner=False, hash_funcs={Box: lambda box: (box.page, box.left, box.top)})
def _picture(file: str, number: int, boxes: tuple[Box, ...], close: bool) -> Any:
    from pathlib import Path

    return page_picture(Path(file), number, boxes, close)
