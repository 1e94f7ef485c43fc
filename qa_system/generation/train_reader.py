"""Train the English reader on questions in SQuAD's format, and write what ships: an adapter with its model card.

python -m qa_system.generation.train_reader --data squad.json --output runs/qa_system/reader
python -m qa_system.generation.train_reader --data $DATA/qa/squad-dev-v2.0-half.json --hold_out true    the packaged one

practice   questions made from plain texts (`cloze`), all weights free
teachers   from there the real questions, several times with other seeds
student    the low-rank adapter that ships: what a teacher changed is cut to its largest singular values, and trained on
           with the teachers' mean as its teacher (arXiv 1503.02531)
folds      the same on a part of the articles, for scores and for the confidence, which is fitted on the other part

Each stage is kept below --output/stages: a training that was interrupted goes on with the stage it was in.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.config import check, parse_config, to_dict
from shared.errors import run_program
from shared.files import kept_json, write_json, write_text
from shared.logging import print_result, setup_logging
from shared.runs import provenance, read_json

CARD = "README.md"
MAY_CHANGE = ("output", "device")
"""Settings that may be others when a training goes on."""
SQUAD_LICENCE = """\
SQuAD 2.0 (Rajpurkar, Jia and Liang 2018) is CC BY-SA 4.0, and so are Wikipedia's paragraphs in it: these
  weights were made from it and are handed on under CC BY-SA 4.0. LICENSES.md names the terms of the rest."""


@dataclass(frozen=True, kw_only=True)
class TrainReaderConfig:
    """Train the English reader on questions in SQuAD's format."""

    data: str
    """File in SQuAD's format, 1.1 or 2.0."""
    output: str = "runs/qa_system/reader"
    """Folder for the adapter, and below it for the stages."""
    hold_out: bool = False
    """Leave out every third article by title, beginning with the first: they are for scoring."""
    practice: str = "imdb"
    """Texts to practise on first: a packaged set, a text file, or none."""
    practice_questions: int = 113_000
    """Made-up questions to practise with."""
    teachers: int = 3
    """Seeds that the teacher is the mean of."""
    folds: int = 3
    """Parts of the articles for cross-validation, at least 2."""
    rank: int = 40
    """Of the adapter of each linear layer."""
    word_rank: int = 4
    """Of the adapter of the word vectors."""
    encoder: str = "minilm"
    """A BERT by short name or folder."""
    device: str = "auto"
    """auto, cpu, cuda or mps."""
    seed: int = 0
    """Seed of everything random."""

    def __post_init__(self) -> None:
        check(Path(self.data).is_file(), "data", self.data, "give a file in SQuAD's format, see docs/data.md")
        check(self.folds >= 2, "folds", self.folds, "give at least 2")
        for name in ("teachers", "rank", "practice_questions"):
            check(getattr(self, name) >= 1, name, getattr(self, name), "give at least 1")


def split_articles(titles: Sequence[str]) -> tuple[list[str], list[str]]:
    """Titles to train on and titles to score: sorted, every third scores, beginning with the first."""
    ordered = sorted(titles)
    return [title for n, title in enumerate(ordered) if n % 3], ordered[::3]


def train_reader(config: TrainReaderConfig) -> dict[str, Any]:
    """Train, or go on; returns the scores on articles left out in turn. Raises UserError for data it cannot use."""
    from qa_system.evaluation.squad import read_squad
    from qa_system.generation.reader import SETTINGS
    from qa_system.generation.reader_stages import Stages
    from shared.errors import UserError
    from shared.leaks import save_ids

    output = Path(config.output)
    texts, asked = read_squad(Path(config.data))
    train = split_articles(list(texts))[0] if config.hold_out else sorted(texts)
    asked = [each for each in asked if each.source in set(train)]
    if len(train) < config.folds or not any(each.places for each in asked):
        why = f"{len(train)} articles for {config.folds} folds"
        raise UserError(f"--data {config.data}: {why}: give more articles, or fewer folds")
    stages = Stages(config, {title: texts[title] for title in train}, asked)
    made_for = {name: value for name, value in to_dict(config).items() if name not in MAY_CHANGE}
    made_for["data"] = hashlib.sha256(Path(config.data).read_bytes()).hexdigest()
    if kept_json(stages.folder / "made_for.json", lambda: made_for) != made_for:
        raise UserError(
            f"--output {output}: holds stages of a training with other data or settings: name another folder"
        )
    if not all(any(example.answers for example in stages.part(n)) for n in range(config.folds)):
        raise UserError(f"--data {config.data}: all its answers are in one fold: give more articles, or fewer folds")
    folds = [stages.fold(n) for n in range(config.folds)]
    confidence = kept_json(stages.folder / "confidence.json", lambda: stages.confidence())
    stages.student(None, output)
    made = read_json(output / SETTINGS)
    write_json(output / SETTINGS, {**made, "confidence": confidence["fitted"]})
    passages = {texts[each.source][each.start : each.end] for each in asked}
    save_ids(output, [*(each.question for each in asked), *passages])
    scores = {name: _mean([fold[name] for fold in folds]) for name in folds[0] if name != "n"}
    summary = {"cross_validation": scores, **confidence, "articles": train, "questions": len(asked), **provenance()}
    summary["hardware"] = made["hardware"]  # of its training, which may have been long ago and elsewhere
    write_json(output / "summary.json", summary)
    write_text(output / CARD, card(config, summary, (output / "reader.safetensors").stat().st_size))
    return {"output": str(output), **scores, "threshold": confidence["fitted"]["threshold"]}


def _mean(values: Sequence[float | None]) -> float | None:
    """None where a fold has no such score: of a fold whose questions all have an answer, or none."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if len(known) == len(values) else None


def card(config: TrainReaderConfig, summary: dict[str, Any], size: int) -> str:
    """The model card, in Markdown."""
    scores, sure = summary["cross_validation"], summary["confidence"]
    shown = {name: "–" if value is None else f"{value:.3f}" for name, value in {**scores, **sure}.items()}
    rows = "\n".join(f"| {name} | {value} |" for name, value in shown.items())
    flags = " --hold_out true" if config.hold_out else ""
    name = Path(config.data).name
    other = f"that of `{name}`, whose terms are not known here. LICENSES.md names the terms of the rest."
    licence = SQUAD_LICENCE if name.lower().startswith("squad") else other
    return f"""# {Path(config.output).name}

An extractive reader for English: it finds the words of a passage that answer a question, and says how likely they are
an answer. A low-rank adapter (rank {config.rank}, of the word vectors {config.word_rank}) with two heads over the
packaged `{config.encoder}`, {size / 1e6:.1f} MB in half precision.

- **Made by** `python -m qa_system.generation.train_reader --data {Path(config.data).name}{flags}` ·
  {summary["date"]} · `{summary["commit"]}` · {summary["hardware"]}.
- **Data** {summary["questions"]:,} questions (a part of them without an answer) on {len(summary["articles"])} articles
  of `{Path(config.data).name}`: {", ".join(title.replace("_", " ") for title in summary["articles"])}. Before that
  {config.practice_questions:,} questions made from `{config.practice}`. The ids of questions and paragraphs (the first
  16 digits of their SHA-256) are in `train_ids.sha256`.
- **Licence** {licence}
- **Limits** English; prose as in the data. One span of at most 24 word pieces from one passage: it adds nothing up and
  compares nothing. Of questions that were written to deceive it takes many for answerable. It has no knowledge of its
  own, and believes what a document says.

On articles that were left out in turn (the first rows with the right paragraph given and an answer always; the last
ones from a search in all articles):

| score | |
|---|---|
{rows}
"""


def main(argv: Sequence[str] | None = None) -> None:
    config = parse_config(TrainReaderConfig, argv, prog="python -m qa_system.generation.train_reader")
    setup_logging()
    result = train_reader(config)
    write_json(Path(config.output) / "config.json", to_dict(config))
    print_result(result)


if __name__ == "__main__":
    run_program(main)
