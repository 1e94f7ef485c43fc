"""A minute with the project: three documents are read, and ten questions answered from them, or not.

python -m qa_system.quickstart --output outputs/demo/qa_system
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from qa_system.example import EXAMPLE_NAMES, QUESTIONS, ExampleQuestion
from shared.config import parse_config, to_dict
from shared.errors import run_program
from shared.files import write_text
from shared.logging import get_logger, print_result, progress_bar, setup_logging
from shared.phrases import Language, both, phrase
from shared.report import Section
from shared.runs import RunFolder
from shared.timing import Timer

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from qa_system.generation.answer_generator import Answer

log = get_logger(__name__)

PROJECT = "qa_system"
SECONDS = 40  # measured on 2 cores; the demo's estimate of the time left starts from it
ANSWERS = "answers.jsonl"
SHOWN = 160  # characters of a citation in the table
BLUE, ORANGE = "#2a78d6", "#e08a00"


@dataclass(frozen=True)
class QuickstartConfig:
    """Read a paper and a handbook in two languages, and answer ten questions from them; about a minute."""

    output: str = f"outputs/demo/{PROJECT}"
    """Folder for the store, the answers and their section of the report."""
    smoke: bool = False
    """The handbook alone and four questions: seconds, to see that all works."""


class Answered(NamedTuple):
    """A question, its answer, and what words and meaning gave to the score of the best passage."""

    question: ExampleQuestion
    answer: "Answer"
    words: float
    meaning: float
    least: float
    """The confidence below which it is not answered."""


def run(out_dir: str | Path, smoke: bool = False) -> dict[str, Any]:
    """Write into `out_dir`: the store, answers.jsonl and section.json. Returns the result line."""
    from qa_system.generation.answer_generator import AnswerGenerator
    from qa_system.store import open_store

    folder = RunFolder.create(out_dir, PROJECT, to_dict(QuickstartConfig(str(out_dir), smoke)))
    setup_logging(folder.path)
    questions = QUESTIONS[3:9:2] + QUESTIONS[-1:] if smoke else QUESTIONS
    names = EXAMPLE_NAMES[1:] if smoke else EXAMPLE_NAMES
    with Timer() as timer:
        store = open_store(str(folder.path / "store"), create=True)
        pages = read_documents(store, names)
        generator = AnswerGenerator(store)
        answers = ask_all(generator, questions)
    lines = [json.dumps(as_line(each), ensure_ascii=False) for each in answers]
    write_text(folder.path / ANSWERS, "\n".join(lines) + "\n")
    summary = {
        "documents": len(names),
        "pages": pages,
        "passages": len(store),
        "questions": len(questions),
        "answered": sum(not each.answer.abstained for each in answers),
        "abstained": sum(each.answer.abstained for each in answers),
        "cited_word_for_word": all_verbatim(store, answers),
        "seconds": timer.seconds,
    }
    store.close()
    folder.write_summary(summary)
    _describe(folder, summary, answers).save(folder.path)
    return summary


def read_documents(store: Any, names: tuple[str, ...]) -> int:
    """Put the example's documents into the store; gives the number of their pages."""
    from qa_system.example import example_documents
    from qa_system.ingest import IngestConfig
    from qa_system.read_files import FileReader

    config, pages, documents = IngestConfig(store=str(store.folder)), 0, example_documents(names)
    with FileReader(config, store.embedder) as reader:
        for name, path in documents.items():
            with progress_bar(f"reading {name}", None) as update:
                read = reader.read(path, name, lambda done, total, update=update: update(done, f"of {total} pages"))  # type: ignore[misc]
            with progress_bar(f"indexing {name}", len(read.chunks)) as update:
                store.add(read.document, read.chunks, split=config.split, on_progress=update)
            pages += len(read.document.pages)
            log.info("%s: %d pages, %d passages", name, len(read.document.pages), len(read.chunks))
    return pages


def ask_all(generator: Any, questions: tuple[ExampleQuestion, ...]) -> list[Answered]:
    """The answers, each shown as it comes."""
    answers = []
    with progress_bar("answering", len(questions)) as update:
        for question in questions:
            answer = generator.answer(question.text)
            parts = generator.retriever.parts(question.text, answer.hits[0]) if answer.hits else (0.0, 0.0)
            answers.append(Answered(question, answer, parts[0], parts[1], generator.least_confidence(question.text)))
            log.info("%s\n  %s", question.text, answer.text or f"– {answer.reason}")
            update(len(answers))
    return answers


def as_line(answered: Answered) -> dict[str, Any]:
    """An answer as a line of the file."""
    question, answer = answered.question, answered.answer
    citations = [each.citation for each in answer.sentences if each.citation]
    return {
        "question": question.text,
        "answerable": question.answerable,
        "answer": answer.text,
        "reason": answer.reason,
        "confidence": round(answer.confidence, 3),
        "citations": [
            {"source": each.source, "page": each.page, "start": each.start, "end": each.end, "text": each.text}
            for each in citations
        ],
    }


def all_verbatim(store: Any, answers: list[Answered]) -> bool:
    """Whether each citation is the document's own text, character for character."""
    citations = [each.citation for answered in answers for each in answered.answer.sentences if each.citation]
    texts = {source: store.document(source).text for source in {each.source for each in citations}}
    return all(texts[each.source][each.start : each.end] == each.text for each in citations)


def _describe(folder: RunFolder, summary: dict[str, Any], answers: list[Answered]) -> Section:
    """The questions with their answers and citations, in numbers and pictures."""
    section = Section(both("qa.title"), both("qa.summary"))
    section.numbers(
        [
            (both("qa.number.passages"), summary["passages"]),
            (both("qa.number.answered"), summary["answered"]),
            (both("qa.number.abstained"), summary["abstained"]),
            (both("qa.number.seconds"), f"{summary['seconds']:.0f}"),
        ]
    )
    section.text(both("qa.explain.answers"))
    section.table([_row(each) for each in answers], both("qa.caption.answers"))
    section.figure(lambda language: confidences(answers, language), both("qa.caption.confidence"))
    section.figure(lambda language: why_found(answers, language), both("qa.caption.why"))
    section.next(both("qa.explain.next", store=str(folder.path / "store"), file=str(folder.path / ANSWERS)))
    return section


def _row(answered: Answered) -> dict[str, Any]:
    answer = answered.answer
    citation = next((each.citation for each in answer.sentences if each.citation), None)
    if citation is None:
        where: Any = both("qa.nothing")
    elif citation.page is None:
        where = citation.source
    else:
        where = both("qa.where", source=citation.source, page=citation.page)
    text = answer.text if len(answer.text) <= SHOWN else f"{answer.text[:SHOWN]} …"
    return {
        "question": answered.question.text,
        "answer": text or answer.reason,
        "citation": where,
        "confidence": answer.confidence,
    }


def confidences(answers: list[Answered], language: Language) -> "go.Figure":
    """How sure it was of each question; the marks are where answering begins."""
    import plotly.graph_objects as go

    figure = go.Figure()
    for answerable, colour in ((True, BLUE), (False, ORANGE)):
        chosen = [each for each in answers if each.question.answerable == answerable]
        figure.add_bar(
            y=[each.question.text for each in chosen],
            x=[each.answer.confidence for each in chosen],
            orientation="h",
            marker={"color": colour},
            name=phrase("qa.legend.answerable" if answerable else "qa.legend.unanswerable", language),
        )
    figure.add_scatter(
        y=[each.question.text for each in answers],
        x=[each.least for each in answers],
        mode="markers",
        marker={"symbol": "line-ns-open", "size": 18, "color": "#888", "line": {"width": 2}},
        name=phrase("qa.legend.least", language),
    )
    figure.update_xaxes(title=phrase("qa.axis.confidence", language), range=[0, 1])
    return _by_question(figure, answers)


def why_found(answers: list[Answered], language: Language) -> "go.Figure":
    """What words and meaning gave to the score of the best passage of each question."""
    import plotly.graph_objects as go

    figure = go.Figure()
    for name, colour in (("words", BLUE), ("meaning", ORANGE)):
        figure.add_bar(
            y=[each.question.text for each in answers],
            x=[getattr(each, name) for each in answers],
            orientation="h",
            marker={"color": colour},
            name=phrase(f"qa.page.by_{name}", language),
        )
    figure.update_layout(barmode="stack")
    figure.update_xaxes(title=phrase("qa.axis.score", language))
    return _by_question(figure, answers)


def _by_question(figure: "go.Figure", answers: list[Answered]) -> "go.Figure":
    order = [each.question.text for each in answers][::-1]
    figure.update_yaxes(categoryorder="array", categoryarray=order, automargin=True)
    legend = {"orientation": "h", "y": 1.12, "traceorder": "normal"}
    return figure.update_layout(height=150 + 34 * len(answers), legend=legend)


def main() -> None:
    config = parse_config(QuickstartConfig, prog=f"python -m {PROJECT}.quickstart")
    print_result(run(config.output, config.smoke))


if __name__ == "__main__":
    run_program(main)
