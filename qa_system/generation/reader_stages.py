"""The stages of a reader's training, each kept on disk once it is done, so that an interrupted training goes on.

`train_reader` says what they are for.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qa_system.evaluation.answer_quality import auroc
from shared.errors import UserError
from shared.files import atomic_path, kept_json
from shared.logging import progress_bar
from shared.runs import hardware

if TYPE_CHECKING:
    from qa_system.generation.train_reader import TrainReaderConfig

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
LOST = 0.05  # of the answers from the right passage, that the threshold may cost
CONFIDENCE_QUESTIONS = 600


class Stages:
    """The stages of one training, each done once."""

    def __init__(self, config: "TrainReaderConfig", texts: dict[str, str], asked: Sequence[Any]) -> None:
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
        """The weights after practice on made-up questions, None without. Raises UserError where too few can be made."""
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
        if not made:
            raise UserError(f"--practice {self.config.practice}: no question can be made of it: give English prose")
        return self._stage("practice", None, lambda epoch: made, PRACTICE, 0)

    def teacher(self, fold: int | None, seed: int) -> Path:
        from qa_system.generation.reader_training import StageSettings, questions_of_epoch

        name = f"teacher-{'all' if fold is None else fold}-{seed}"
        if (self.folder / f"{name}.safetensors").exists():
            return self.folder / f"{name}.safetensors"
        questions = questions_of_epoch(self.part(fold), StageSettings(**QUESTIONS), seed)
        return self._stage(name, self.practice(), questions, QUESTIONS, seed)

    def student(self, fold: int | None, target: Path) -> None:
        """Train the adapter and write it to `target`, as yet without its confidence."""
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
            made = {"encoder": config.encoder, "confidence": NOTHING, "hardware": hardware()}
            save_reader(network, target, config.rank, config.word_rank, **made)

    def fold(self, fold: int) -> dict[str, float | None]:
        """The scores of the reader that was trained without this fold, on it."""
        from qa_system.generation.reader import Reader, read_examples
        from qa_system.generation.reader_training import scores

        target = self.folder / f"fold-{fold}"
        self.student(fold, target)

        def score() -> dict[str, float | None]:
            reader, held = Reader(target), self.part(fold, held_out=True)
            return scores(held, read_examples(reader.network, reader.cutter, held, self.bf16))

        return kept_json(target / "scores.json", score)

    def confidence(self) -> dict[str, Any]:
        """Fitted on what the folds' readers say of the questions they were not trained on, put to all the articles."""
        import numpy as np

        from qa_system.generation.confidence import SIGNS, fit_confidence

        table = np.array(kept_json(self.folder / "signs.json", lambda: {"rows": list(self._signs())})["rows"])
        signs, (holds, kind, number) = table[:, : len(SIGNS)], table[:, len(SIGNS) :].T
        fitted = fit_confidence(signs, holds)
        sure = fitted.of(signs)
        # The passage that would answer each question.
        best = np.array(
            [rows[sure[rows].argmax()] for rows in (np.flatnonzero(number == n) for n in np.unique(number))]
        )
        sure, holds, kind = sure[best], holds[best] == 1, kind[best]
        threshold = float(np.quantile(sure[holds], LOST)) if holds.any() else 0.0
        report: dict[str, float | None] = {"answered": float((sure[kind == 0] >= threshold).mean())}
        for name, other in (("abstain_auroc", 1), ("out_of_collection_auroc", 2)):
            asked = (kind == 0) | (kind == other)
            report[name] = auroc(sure[asked], kind[asked] == 0)
        return {"fitted": {**asdict(fitted), "threshold": threshold}, "confidence": report}

    def _signs(self) -> Iterator[list[float]]:
        """Of each passage found for a question: its signs, whether it holds the answer, the question's kind and number.

        The kinds: 0 answerable, 1 not, 2 answerable by an article that was left out of the search.
        """
        import tempfile
        from random import Random

        from qa_system.evaluation.squad import fill_store
        from qa_system.generation.confidence import signs_of
        from qa_system.generation.reader import Reader
        from qa_system.retrieval.hybrid_retrieval import HybridRetriever

        titles = sorted(self.texts)
        readers = [Reader(self.folder / f"fold-{fold}") for fold in range(self.config.folds)]
        some = Random(0).sample(self.asked, min(CONFIDENCE_QUESTIONS, len(self.asked)))
        with tempfile.TemporaryDirectory() as folder, progress_bar("confidence", len(some)) as update:
            store = fill_store(folder, self.texts)
            for n, each in enumerate(some):
                reader = readers[titles.index(each.source) % self.config.folds]
                searches: list[tuple[int, list[str] | None]] = [(0 if each.answers else 1, None)]
                if each.answers and n % 2:
                    searches.append((2, [title for title in titles if title != each.source]))
                for kind, sources in searches:
                    hits = HybridRetriever(store).search(each.question, 5, sources)
                    spans = reader.read(each.question, [hit.chunk.text for hit in hits])
                    for hit, signs in zip(hits, signs_of(hits, spans), strict=True):
                        holds = hit.chunk.source == each.source and any(
                            hit.chunk.start <= each.start + first and each.start + last <= hit.chunk.end
                            for first, last in each.places
                        )
                        yield [*signs.tolist(), int(holds), kind, 2 * n + kind // 2]
                update(done=n + 1)
            store.close()

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
"""The confidence of a reader on which it is only being fitted."""


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
