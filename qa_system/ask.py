"""Ask a store: the answer as it is written, where each sentence of it stands, and one JSON line.

python -m qa_system.ask "When was the tower opened?" --store runs/qa_system/store
python -m qa_system.ask "临界温度是多少？" --store library --sources paper.pdf,handbook.md
python -m qa_system.ask "What is attention?" --store library --generator smollm2
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from shared.config import check, parse_config, split_texts
from shared.errors import UserError, run_program
from shared.logging import print_result, setup_logging


@dataclass(frozen=True, kw_only=True)
class AskConfig:
    """Answer a question from a store, with citations."""

    store: str
    """Folder of the store, or address of a Milvus server."""
    generator: str = "extractive"
    """extractive, smollm2, another model by hub name or path, or the http:// address of a server."""
    model: str = "default"
    """The model's name on that server."""
    k: int = 5
    """Passages that the answer is made from."""
    sources: str | None = None
    """Only from these documents, with commas between."""
    threshold: float | None = None
    """The confidence, 0 to 1, below which there is no answer; by default what was best in our trials."""
    unsupported: Literal["drop", "mark"] = "drop"
    """What becomes of a sentence that no passage supports."""

    def __post_init__(self) -> None:
        check(self.k >= 1, "k", self.k, "give at least 1")
        inside = self.threshold is None or 0 <= self.threshold <= 1
        check(inside, "threshold", self.threshold, "give 0 to 1")


def ask(config: AskConfig, question: str) -> dict[str, Any]:
    """The answer as its JSON line; its text is written to stdout as it comes."""
    from qa_system.generation.answer_generator import AnswerGenerator, AnswerSettings
    from qa_system.store import open_store

    store = open_store(config.store)
    sources = None if config.sources is None else [source.strip() for source in config.sources.split(",")]
    unknown = set(sources or ()) - {line.source for line in store.documents()}
    if unknown:
        raise UserError(f"--sources {', '.join(sorted(unknown))}: not in the store: see qa_system.list_documents")
    chosen: dict[str, Any] = {} if config.threshold is None else {"threshold": config.threshold}
    settings = AnswerSettings(
        generator=config.generator, model=config.model, k=config.k, unsupported=config.unsupported, **chosen
    )
    shown, answer = "", None
    for event in AnswerGenerator(store, settings).stream(question, sources):
        if event.kind == "token":
            shown += event.text
            sys.stdout.write(event.text)
            sys.stdout.flush()
        answer = event.answer or answer
    store.close()
    assert answer is not None
    lines = [] if shown.strip() == answer.text.strip() else ["", answer.text]
    lines += [f"({answer.reason})"] if answer.reason else []
    for sentence in answer.sentences:
        cited = sentence.citation
        where = "no passage says so"
        if cited is not None:
            where = cited.source if cited.page is None else f"{cited.source}, page {cited.page}"
            where += f": {' '.join(cited.text.split())}"
        lines.append(f"  {where}")
    sys.stdout.write("\n".join([*lines, ""]) if shown == "" else "\n" + "\n".join([*lines, ""]))
    return as_json(answer)


def as_json(answer: Any) -> dict[str, Any]:
    """An answer as plain values, without the passages' texts."""
    sentences = []
    for sentence in answer.sentences:
        line: dict[str, Any] = {"text": sentence.text, "supported": sentence.supported}
        if (cited := sentence.citation) is not None:
            line |= {"source": cited.source, "page": cited.page, "start": cited.start, "end": cited.end}
            line |= {"cited": cited.text}
        sentences.append(line)
    return {
        "question": answer.question,
        "answer": answer.text,
        "abstained": answer.abstained,
        "reason": answer.reason,
        "confidence": round(answer.confidence, 4),
        "generator": answer.generator,
        "sentences": sentences,
        "passages": [{"source": hit.chunk.source, "pages": list(hit.chunk.pages)} for hit in answer.hits],
    }


def main(argv: Sequence[str] | None = None) -> None:
    options, words = split_texts(sys.argv[1:] if argv is None else argv)
    config = parse_config(AskConfig, options, prog="python -m qa_system.ask QUESTION")
    setup_logging()
    question = " ".join(words).strip()
    if not question:
        raise UserError("no question: write it behind the command, in quotes")
    print_result(ask(config, question))


if __name__ == "__main__":
    run_program(main)
