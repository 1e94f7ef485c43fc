"""Questions for your own documents, to measure with where nobody wrote any.

python -m qa_system.evaluation.question_maker --store runs/qa_system/store --output questions.jsonl

A name, number or phrase is taken out of a sentence, and what is left asks for it. Such questions repeat the words of
their sentence, so that they are easier than people's: they serve to compare settings, not to promise a score. A line
has `question`, `answer` and `sources`, as `qa_system.evaluate` reads it; read them through and mend or delete them.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from shared.config import check, parse_config
from shared.errors import UserError, run_program
from shared.files import write_text
from shared.logging import print_result, setup_logging

SHORTEST, LONGEST = 6, 30  # words of a sentence; of Chinese twice as many characters
CHINESE_NUMBER = re.compile(r"\d[\d,.]*(?=[\u4e00-\u9fff%])")


@dataclass(frozen=True, kw_only=True)
class QuestionsConfig:
    """Make questions with answers from the documents of a store."""

    store: str
    """Folder of the store, or address of a Milvus server."""
    output: str = "questions.jsonl"
    """File for the questions, one a line."""
    n: int = 50
    """Questions."""
    seed: int = 0
    """Seed of the choice."""

    def __post_init__(self) -> None:
        check(self.n >= 1, "n", self.n, "give at least 1")


def questions_of(text: str, random: Random) -> Iterator[tuple[str, str]]:
    """A question and its answer for each sentence of a text that has something to ask for."""
    from qa_system.document_processor.text_splitter import sentences
    from qa_system.generation.cloze import YEAR, phrases
    from qa_system.retrieval.text_analysis import is_han

    for first, last in sentences(text):
        sentence = " ".join(text[first:last].split())
        if is_han(sentence):
            found = list(CHINESE_NUMBER.finditer(sentence))
            if found and 2 * SHORTEST <= len(sentence) <= 2 * LONGEST:
                chosen = random.choice(found)
                asked = sentence[: chosen.start()] + "多少" + sentence[chosen.end() :]
                yield asked.rstrip("。！；") + "？", chosen[0]
            continue
        places = phrases(sentence)
        if not places or not SHORTEST <= len(sentence.split()) <= LONGEST:
            continue
        start, end, kind = random.choice([place for place in places if place[2] != "thing"] or list(places))
        answer = sentence[start:end]
        asks = ("which year" if YEAR.search(answer) else "how many") if kind == "number" else "what"
        yield (sentence[:start] + asks + sentence[end:]).rstrip(" .!;:") + "?", answer


def make_questions(store: Any, n: int, random: Random) -> list[dict[str, Any]]:
    """At most n questions, spread over the documents."""
    made = []
    for line in store.documents():
        document = store.document(line.source)
        found = list(questions_of(document.text, random)) if document else []
        random.shuffle(found)
        made.append([{"question": asked, "answer": answer, "sources": [line.source]} for asked, answer in found])
    turns = [row for turn in range(max(map(len, made), default=0)) for rows in made for row in rows[turn : turn + 1]]
    return turns[:n]


def main(argv: Sequence[str] | None = None) -> None:
    config = parse_config(QuestionsConfig, argv, prog="python -m qa_system.evaluation.question_maker")
    setup_logging()
    from qa_system.store import open_store

    store = open_store(config.store)
    made = make_questions(store, config.n, Random(config.seed))
    store.close()
    if not made:
        raise UserError(f"--store {config.store}: no sentence in it can be asked for: put documents into it first")
    lines = [json.dumps(line, ensure_ascii=False) + "\n" for line in made]
    write_text(Path(config.output), "".join(lines))
    print_result({"output": config.output, "questions": len(made)})


if __name__ == "__main__":
    run_program(main)
