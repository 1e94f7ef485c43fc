"""The demo page's second part: many texts, from a file or pasted; answers, and scores where there are labels."""

import csv
import io
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from bert_sentiment_analysis.data.rows import Rows, check_texts, column_names, read_rows
from bert_sentiment_analysis.evaluation.picture_data import class_name
from bert_sentiment_analysis.evaluation.visualization import confusion_map
from bert_sentiment_analysis.inference.predictor import Prediction
from bert_sentiment_analysis.page_models import GREY, SHADES, Page
from bert_sentiment_analysis.page_quality import measured
from shared.datasets import LOCAL_FORMATS, TEXT_COLUMNS
from shared.errors import UserError
from shared.files import as_cell
from shared.page import chart
from shared.phrases import has_phrase

MOST_ROWS, MOST_MB = 5_000, 20
SHOWN_REASONS = 100


def show(page: Page) -> None:
    say = page.say
    st.markdown(say("many", rows=f"{MOST_ROWS:,}", mb=MOST_MB))
    folder = page.model.folder or Path("RUN")  # counted words are of this page alone
    folder = folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder
    st.code(f"python -m bert_sentiment_analysis.predict --run {folder} --file FILE --output answers.jsonl",
            language="bash", wrap_lines=True)  # fmt: skip
    left, right = st.columns(2, gap="large")
    kinds = [suffix.removeprefix(".") for suffix in LOCAL_FORMATS]
    file = left.file_uploader(say("file"), type=kinds, key="file", max_upload_size=MOST_MB)
    pasted = right.text_area(say("paste"), key="pasted", height=130)
    try:
        rows = _read(page, file.name, file.getvalue()) if file else _read_lines(pasted)
    except UserError as error:
        st.error(say("fault", reason=error))
        return
    if rows is None:
        return
    _show_skipped(page, rows)
    texts = [example.text for example in rows.examples]
    if not texts:
        return
    if len(texts) > MOST_ROWS:
        st.warning(say("too_many", rows=f"{len(texts):,}", most=f"{MOST_ROWS:,}"))
        texts = texts[:MOST_ROWS]
    # The answers stay while other things on the page change. A run of the page is started by every click.
    asked = (page.model.version, hash(tuple(texts)))
    if st.button(say("answer_all", n=f"{len(texts):,}"), type="primary", key="answer_all"):
        st.session_state["answers"] = (asked, _answer(page, texts))
    kept, answers = st.session_state.get("answers", (None, []))
    if kept == asked:
        _show_answers(page, rows, texts, answers)
        _show_scores(page, [example.label for example in rows.examples[: len(texts)]], answers)


def _read(page: Page, name: str, content: bytes) -> Rows | None:
    """The rows of an uploaded file. The visitor chooses among several columns."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"upload{Path(name).suffix.lower()}"
        path.write_bytes(content)
        try:
            columns = column_names(path)
            column = columns[0] if len(columns) == 1 else None
            if len(columns) > 1:
                usual = next((columns.index(each) for each in TEXT_COLUMNS if each in columns), 0)
                column = st.selectbox(page.say("text_column"), columns, usual, key=f"column-{name}")
            return read_rows(path, column)
        except UserError as error:
            raise UserError(str(error).replace(str(path), name)) from error


def _read_lines(pasted: str) -> Rows | None:
    lines = [line for line in pasted.split("\n") if line.strip()]
    return check_texts(lines) if lines else None


def _show_skipped(page: Page, rows: Rows) -> None:
    if not rows.skipped:
        return
    say = page.say
    with st.expander(say("skipped", n=f"{len(rows.skipped):,}", total=f"{len(rows.skipped) + len(rows.examples):,}")):
        shown = list(rows.skipped.items())[:SHOWN_REASONS]
        st.table([{say("row"): number, say("reason"): _reason(page, reason)} for number, reason in shown])
        if len(rows.skipped) > SHOWN_REASONS:
            st.caption(say("more_skipped", n=f"{len(rows.skipped) - SHOWN_REASONS:,}"))


def _reason(page: Page, reason: str) -> str:
    key = f"reason.{reason}"
    return page.say(key) if has_phrase(f"sentiment.page.{key}") else reason


def _answer(page: Page, texts: Sequence[str]) -> list[Prediction]:
    answers = []
    bar = st.progress(0.0)
    for found in page.model.predictor.stream(texts):
        answers.append(found)
        if len(answers) % 20 == 0:
            done = page.say("progress", done=f"{len(answers):,}", total=f"{len(texts):,}")
            bar.progress(len(answers) / len(texts), done)
    bar.empty()
    return answers


def _show_answers(page: Page, rows: Rows, texts: Sequence[str], answers: Sequence[Prediction]) -> None:
    say = page.say
    st.subheader(say("distribution"))
    chart(distribution(page, answers), "distribution")
    st.subheader(say("results"))
    number, times, shape = ("rating", 1, "%+.2f") if page.model.rates else ("probability", 100, "%.1f%%")
    table = [
        {
            say("row"): row,
            say("text_cell"): text,
            say("label"): _word(page, found),
            say(number): times * getattr(found, number),
        }
        for row, text, found in zip(rows.numbers, texts, answers, strict=False)
    ]
    config = {
        say("row"): st.column_config.NumberColumn(width=60),
        say("text_cell"): st.column_config.TextColumn(width="large"),
        say(number): st.column_config.NumberColumn(format=shape),
    }
    st.dataframe(table, hide_index=True, column_config=config, key="results")
    name = f"{page.model.folder.name if page.model.folder else 'counted_words'}.csv"
    st.download_button(say("download"), as_csv(rows.numbers, texts, answers), name, "text/csv", key="download")


def _word(page: Page, found: Prediction) -> str:
    return page.say("unsure") if found.label is None else class_name(found.label, page.language)


def as_csv(numbers: Sequence[int], texts: Sequence[str], answers: Sequence[Prediction]) -> bytes:
    """The answers as a spreadsheet reads them: with a byte order mark, and no cell that it would run as a formula."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    writer.writerow(["row", "text", "label", "abstained", "probability", "rating"])
    for number, text, found in zip(numbers, texts, answers, strict=False):
        figures = ["" if value is None else round(value, 4) for value in (found.probability, found.rating)]
        writer.writerow([number, as_cell(text).replace("\0", ""), found.label or "", found.abstained, *figures])
    return buffer.getvalue().encode("utf-8-sig", "replace")


def distribution(page: Page, answers: Sequence[Prediction]) -> go.Figure:
    """How many texts have which rating, or which probability of being positive (of the answer, with more classes)."""
    say, classes = page.say, page.model.classes
    if page.model.rates:
        axis, low, high = say("rating"), -4.0, 4.0
        values = [found.rating for found in answers]
    elif len(classes) == 2:
        axis, low, high = say("probability_of", label=class_name(classes[1], page.language)), 0.0, 1.0
        values = [found.probabilities[classes[1]] for found in answers if found.probabilities is not None]
    else:
        axis, low, high = say("probability"), 0.0, 1.0
        values = [found.probability for found in answers]
    edges = np.linspace(low, high, 21)
    figure = go.Figure()
    for label in (*classes, None):
        chosen = [value for value, found in zip(values, answers, strict=True) if found.label == label]
        if not chosen:
            continue
        counts, _ = np.histogram(np.clip(chosen, low, high), edges)
        name = say("unsure") if label is None else class_name(label, page.language)
        figure.add_bar(
            x=(edges[:-1] + edges[1:]) / 2,
            y=counts,
            name=f"{name} ({len(chosen):,})",
            marker_color=SHADES.get(label, GREY),
            hovertemplate="%{y:,}<extra></extra>",
        )
    return figure.update_layout(
        barmode="stack",
        bargap=0.06,
        xaxis={
            "title": axis,
            "tickformat": "+.0f" if page.model.rates else ".0%",
            "range": [low, high],
            "dtick": (high - low) / 4,
        },
        yaxis={"title": say("texts"), "tickformat": ",d", "dtick": 1 if len(answers) < 10 else None},
        legend={"orientation": "h", "y": 1.15},
        showlegend=True,
        height=320,
        margin={"t": 30, "b": 10, "l": 10, "r": 30},
    )


def _show_scores(page: Page, labels: Sequence[int | None], answers: Sequence[Prediction]) -> None:
    """How the answers compare with the file's own labels, where it has any."""
    say, classes = page.say, page.model.classes
    pairs = [(label, found) for label, found in zip(labels, answers, strict=True) if label is not None]
    if not pairs:
        return
    st.subheader(say("scores"))
    if max(label for label, _ in pairs) >= len(classes):
        names = "、".join if page.language == "zh" else ", ".join
        st.info(say("other_labels", labels=names(f"{i} {class_name(n, page.language)}" for i, n in enumerate(classes))))
        return
    true = np.array([label for label, _ in pairs])
    if page.model.rates:
        predicted = np.array([classes.index(found.label) for _, found in pairs])
        confusion = np.zeros((len(classes), len(classes)), dtype=int)
        np.add.at(confusion, (true, predicted), 1)
        st.metric(say("sign_accuracy", n=f"{len(true):,}"), f"{(true == predicted).mean():.1%}")
        chart(confusion_map(confusion.tolist(), classes, page.language), "scores-confusion")
        return
    given = [list(found.probabilities.values()) for _, found in pairs if found.probabilities is not None]
    measured(page, true, np.array(given), "scores")
