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

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from shared.config import check, parse_config, to_dict
from shared.errors import run_program
from shared.files import atomic_path, kept_json, write_json, write_text
from shared.logging import get_logger, print_result, progress_bar, setup_logging
from shared.runs import provenance

log = get_logger(__name__)

# Chosen by cross-validation over the training articles.
PRACTICE: dict[str, Any] = {"learning_rate": 3e-4, "epochs": 1, "batch_size": 128, "dropout": 0.0}
QUESTIONS: dict[str, Any] = {"learning_rate": 2e-4, "epochs": 4}
STUDENT: dict[str, Any] = {
    "learning_rate": 8e-4,
    "epochs": 4,
    "teacher_share": 0.8,
    "negatives": 0.4,
    "cloze": 0.7,
    "dropout": 0.05,
}
PASSAGE_CHARACTERS = 600  # of the texts to practise on
LOST = 0.05  # of the right answers, that the threshold may cost
RIGHT = 0.5  # the F1 from which on an answer counts as right
CONFIDENCE_QUESTIONS = 2000
CARD = "README.md"


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
    from shared.errors import UserError
    from shared.leaks import save_ids

    texts, asked = read_squad(Path(config.data))
    train = split_articles(list(texts))[0] if config.hold_out else sorted(texts)
    asked = [each for each in asked if each.source in set(train)]
    if len(train) < config.folds or not any(each.places for each in asked):
        raise UserError(
            f"--data {config.data}: {len(train)} articles for {config.folds} folds: give more, or fewer folds"
        )
    stages = _Stages(config, {title: texts[title] for title in train}, asked)
    folds = [stages.fold(n) for n in range(config.folds)]
    confidence = kept_json(stages.folder / "confidence.json", lambda: stages.confidence())
    output = Path(config.output)
    stages.student(None, output, confidence["fitted"])
    passages = {texts[each.source][each.start : each.end] for each in asked}
    save_ids(output, [*(each.question for each in asked), *passages])
    scores = {name: sum(fold[name] for fold in folds) / len(folds) for name in folds[0] if name != "n"}
    summary = {"cross_validation": scores, **confidence, "articles": train, "questions": len(asked), **provenance()}
    write_json(output / "summary.json", summary)
    write_text(output / CARD, card(config, summary, (output / "reader.safetensors").stat().st_size))
    return {"output": str(output), **scores, "threshold": confidence["fitted"]["threshold"]}


class _Stages:
    """The stages of one training, each done once."""

    def __init__(self, config: TrainReaderConfig, texts: dict[str, str], asked: Sequence[Any]) -> None:
        from qa_system.generation.reader_windows import Example, Windows
        from shared.devices import choose_device, choose_precision
        from shared.hub import resolve_model

        self.config, self.texts, self.asked = config, texts, list(asked)
        self.folder = Path(config.output) / "stages"
        self.encoder = resolve_model(config.encoder, suggestion="minilm")
        self.cutter = Windows(self.encoder)
        self.device = choose_device(config.device).value
        self.bf16 = choose_precision("auto", self.device, 384).value == "bf16"
        # A question whose answers are not where the file says teaches nothing.
        self.examples = [
            Example(each.question, texts[each.source][each.start : each.end], each.places, each.id, each.source)
            for each in self.asked
            if each.places or not each.answers
        ]

    def part(self, fold: int | None, held_out: bool = False) -> list[Any]:
        """The examples of the other folds, or with `held_out` of this one; all of them where there is no fold."""
        held = {title for n, title in enumerate(sorted(self.texts)) if n % self.config.folds == fold}
        return [example for example in self.examples if (example.article in held) == held_out]

    def practice(self) -> Path | None:
        from random import Random

        from qa_system.generation.cloze import cloze_examples

        if self.config.practice == "none":
            return None
        random = Random(1)
        documents = passages_of(self.config.practice)
        random.shuffle(documents)
        made: list[Any] = []
        for example in cloze_examples(documents, random):
            made.append(example)
            if len(made) == self.config.practice_questions:
                break
        return self._stage("practice", None, lambda epoch: made, PRACTICE, 0)

    def teacher(self, fold: int | None, seed: int) -> Path:
        from qa_system.generation.reader_training import StageSettings, questions_of_epoch

        name = f"teacher-{'all' if fold is None else fold}-{seed}"
        if (self.folder / f"{name}.safetensors").exists():
            return self.folder / f"{name}.safetensors"
        questions = questions_of_epoch(self.part(fold), StageSettings(**QUESTIONS), seed)
        return self._stage(name, self.practice(), questions, QUESTIONS, seed)

    def student(self, fold: int | None, target: Path, confidence: dict[str, Any] | None = None) -> None:
        """Train the adapter and write it to `target`."""
        from qa_system.generation.reader import WEIGHTS, save_reader
        from qa_system.generation.reader_training import StageSettings, questions_of_epoch, train_stage

        if not (target / WEIGHTS).exists():
            config, settings = self.config, StageSettings(**STUDENT)
            seeds = range(config.seed, config.seed + (config.teachers if fold is None else 1))
            teachers = [self._network(self.teacher(fold, seed)).eval().requires_grad_(False) for seed in seeds]
            network = self._network(None, config.rank, config.word_rank)
            network.approximate(teachers[0])
            with progress_bar(f"student {'' if fold is None else fold}", 1) as update:
                train_stage(
                    network,
                    self.cutter,
                    questions_of_epoch(self.part(fold), settings, config.seed + 7),
                    settings,
                    config.seed + 7,
                    teachers=teachers,
                    bf16=self.bf16,
                    on_progress=lambda done, loss: update(done=done, note=f"loss {loss:.2f}"),
                )
            save_reader(
                network, target, config.rank, config.word_rank, encoder=config.encoder, confidence=confidence or NOTHING
            )

    def fold(self, fold: int) -> dict[str, float]:
        """The scores of the reader that was trained without this fold, on it."""
        from qa_system.generation.reader import Reader, read_examples
        from qa_system.generation.reader_training import scores

        target = self.folder / f"fold-{fold}"
        self.student(fold, target)

        def score() -> dict[str, float]:
            reader, held = Reader(target), self.part(fold, held_out=True)
            return scores(held, read_examples(reader.network, reader.cutter, held, self.bf16))

        return kept_json(target / "scores.json", score)

    def confidence(self) -> dict[str, Any]:
        """Fitted on what the folds' readers say of the questions they were not trained on, put to all the articles."""
        import tempfile

        import numpy as np

        from qa_system.evaluation.answer_quality import auroc
        from qa_system.evaluation.squad import fill_store
        from qa_system.generation.confidence import fit_confidence

        with tempfile.TemporaryDirectory() as folder:
            store = fill_store(folder, self.texts)
            rows = list(self._signs(store))
            store.close()
        signs, right, kind, group = (np.concatenate(parts) for parts in zip(*rows, strict=True))
        fitted = fit_confidence(signs, right)
        best: dict[int, tuple[float, bool, int]] = {}
        for value, is_right, what, number in zip(fitted.of(signs), right, kind, group, strict=True):
            if value > best.get(number, (-1.0, False, 0))[0]:
                best[number] = (float(value), bool(is_right), int(what))
        threshold = float(np.quantile([value for value, is_right, _ in best.values() if is_right], LOST))
        there = [value for value, _, what in best.values() if what == 0]
        report = {}
        for name, what in (("abstain_auroc", 1), ("out_of_collection_auroc", 2)):
            others = [value for value, _, each in best.values() if each == what]
            report[name] = auroc([*there, *others], [True] * len(there) + [False] * len(others))
        answered = [value >= threshold for value in there]
        report["answered"] = sum(answered) / len(answered)
        return {"fitted": {**asdict(fitted), "threshold": threshold}, "confidence": report}

    def _signs(self, store: Any) -> Iterator[tuple[Any, Any, Any, Any]]:
        """Of each question: signs (N, 6), which spans are right, its kind (0 answered, 1 not, 2 elsewhere), its number."""
        from random import Random

        import numpy as np

        from qa_system.evaluation.answer_quality import token_f1
        from qa_system.generation.confidence import signs_of
        from qa_system.generation.reader import Reader
        from qa_system.retrieval.hybrid_retrieval import HybridRetriever

        retriever = HybridRetriever(store)
        titles = sorted(self.texts)
        readers = [Reader(self.folder / f"fold-{fold}") for fold in range(self.config.folds)]
        some = Random(0).sample(self.asked, min(CONFIDENCE_QUESTIONS, len(self.asked)))
        with progress_bar("confidence", len(some)) as update:
            for number, each in enumerate(some):
                reader = readers[titles.index(each.source) % self.config.folds]
                others = [title for title in titles if title != each.source]
                asks: list[tuple[int, Any]] = [(0 if each.answers else 1, None)]
                asks += [(2, others)] if each.answers and number % 2 else []
                for kind, sources in asks:
                    hits = retriever.search(each.question, 5, sources)
                    spans = reader.read(each.question, [hit.chunk.text for hit in hits])
                    right = [
                        kind == 0
                        and hit.chunk.source == each.source
                        and token_f1(hit.chunk.text[span.start : span.end], each.answers) >= RIGHT
                        for hit, span in zip(hits, spans, strict=True)
                    ]
                    if hits:
                        n = len(hits)
                        yield (
                            signs_of(hits, spans),
                            np.array(right),
                            np.full(n, kind),
                            np.full(n, 2 * number + kind // 2),
                        )
                update(done=number + 1)

    def _stage(self, name: str, start: Path | None, questions: Any, chosen: dict[str, Any], seed: int) -> Path:
        from safetensors.torch import save_file

        from qa_system.generation.reader_training import StageSettings, train_stage

        target = self.folder / f"{name}.safetensors"
        if target.exists():
            return target
        network = self._network(start)
        with progress_bar(name, 1) as update:
            train_stage(
                network,
                self.cutter,
                questions,
                StageSettings(**chosen),
                seed,
                bf16=self.bf16,
                on_progress=lambda done, loss: update(done=done, note=f"loss {loss:.2f}"),
            )
        with atomic_path(target) as draft:
            save_file({key: weight.cpu().contiguous() for key, weight in network.state_dict().items()}, draft)
        return target

    def _network(self, start: Path | None, rank: int | None = None, word_rank: int = 0) -> Any:
        import torch
        from safetensors.torch import load_file

        from qa_system.generation.reader import build_network

        torch.manual_seed(self.config.seed)
        network = build_network(self.encoder, rank, word_rank)
        if start is not None:
            network.load_state_dict(load_file(start))
        return network.to(self.device)


NOTHING: dict[str, Any] = {"weights": [0.0] * 6, "bias": 0.0, "threshold": 0.0}
"""The confidence of a fold's reader, on which it is only being fitted."""


def passages_of(practice: str) -> list[list[str]]:
    """Each text of a set, cut into passages of some 600 characters. Raises UserError for a set that is not there."""
    import re

    from qa_system.document_processor.text_splitter import sentences
    from shared.cleaning import clean
    from shared.datasets import load_examples

    documents = []
    for example in load_examples(practice):
        text = re.sub(r"\s+", " ", clean(example.text)).strip()
        passages, start = [], 0
        places = list(sentences(text))
        for n, (first, last) in enumerate(places):
            if last - start > PASSAGE_CHARACTERS or (n == len(places) - 1 and last - start > PASSAGE_CHARACTERS / 4):
                passages.append(text[start:last].strip())
                start = places[n + 1][0] if n + 1 < len(places) else first
        if passages:
            documents.append(passages)
    return documents


def card(config: TrainReaderConfig, summary: dict[str, Any], size: int) -> str:
    """The model card, in Markdown."""
    scores, sure = summary["cross_validation"], summary["confidence"]
    rows = "\n".join(f"| {name} | {value:.3f} |" for name, value in {**scores, **sure}.items())
    flags = " --hold_out true" if config.hold_out else ""
    return f"""# {Path(config.output).name}

An extractive reader for English: it finds the words of a passage that answer a question, and says how likely they are
an answer. A low-rank adapter (rank {config.rank}, of the word vectors {config.word_rank}) with two heads over the
packaged `{config.encoder}`, {size / 1e6:.1f} MB in half precision.

- **Made by** `python -m qa_system.generation.train_reader --data {Path(config.data).name}{flags}` ·
  {summary["date"]} · `{summary["commit"]}` · {summary["hardware"]}.
- **Data** {summary["questions"]:,} questions (a part of them without an answer) on {len(summary["articles"])} articles
  of `{Path(config.data).name}`: {", ".join(title.replace("_", " ") for title in summary["articles"])}. Before that
  {config.practice_questions:,} questions made from `{config.practice}`. The ids of questions and paragraphs (the first 16
  digits of their SHA-256) are in `train_ids.sha256`.
- **Licence** SQuAD 2.0 (Rajpurkar, Jia and Liang 2018) is CC BY-SA 4.0, and so are the Wikipedia paragraphs in it: these
  weights were made from it and are handed on under CC BY-SA 4.0. LICENSES.md names the terms of the rest.
- **Limits** English; encyclopaedic prose. One span of at most 24 word pieces from one passage: it adds nothing up and
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
