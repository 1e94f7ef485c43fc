"""`answers`: questions in SQuAD's format, put to a store that holds every paragraph of the file.

Questions and paragraphs that the reader was trained on are left out, and counted in `n_excluded`; their articles stay
in the store. With a language model, 200 of the questions are answered by it too, the same ones each time.

exact_match, f1           answers to answerable questions as the user gets them; where it abstains they are wrong
f1_without_abstaining     the same with a threshold of 0: what finding and reading lose
gold_f1, gold_em          the right paragraph given, an answer always
abstain_auroc             does its confidence tell answerable questions from those written to deceive?
gold_abstain_auroc        the same with the right paragraph given
out_of_collection_auroc   does it tell them from the same questions put to the store without their article?
citation_precision        of cited spans, those inside the paragraph that the question was written for
"""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

from qa_system.evaluation.squad import Asked, fill_store, read_squad
from shared.benchmark import Benchmark, BenchmarkConfig, Outcome
from shared.config import check
from shared.errors import UserError
from shared.logging import progress_bar

SHOWN = (
    "f1",
    "exact_match",
    "gold_f1",
    "abstain_auroc",
    "out_of_collection_auroc",
    "citation_precision",
    "citation_coverage",
    "faithfulness",
    "own_words",
    "n",
)
HERE = "here"  # the source of a row that this run measured
WRITTEN = 200  # questions that a language model is given


@dataclass(frozen=True, kw_only=True)
class AnswersConfig(BenchmarkConfig):
    """Answer questions from all paragraphs of a file in SQuAD's format: right, cited, and silent where it should be?"""

    data: str
    """File in SQuAD's format."""
    embedding: str | None = None
    """Encoder of the store: minilm, e5-multilingual, a folder or a hub name; by default minilm."""
    generator: str = "smollm2"
    """A language model or server that answers 200 of the questions too, or `none`."""
    reader: str | None = None
    """Folder of another reader than the packaged one."""
    train: bool = False
    """Train the reader anew first, on the articles that are not scored: minutes on a GPU, else hours, resumable."""
    k: int = 5
    """Passages that an answer is made from."""
    n: int | None = None
    """So many of the questions, by chance; by default all."""

    @property
    def variant(self) -> str:
        name = Path(self.data).stem.replace(".", "-")  # the READMEs' markers end a file's name at a dot
        return f"-{name}"

    def __post_init__(self) -> None:
        super().__post_init__()
        check(Path(self.data).is_file(), "data", self.data, "give a file in SQuAD's format, see docs/data.md")
        check(not (self.train and self.reader), "train", True, "leave out --reader, or this")
        check(self.k >= 1, "k", self.k, "give at least 1")
        check(self.n is None or self.n >= 1, "n", self.n, "give at least 1")


def measure_answers(config: AnswersConfig) -> Outcome:
    from qa_system.evaluation.published import PUBLISHED_ANSWERS
    from qa_system.generation.answer_generator import AnswerGenerator, AnswerSettings
    from qa_system.retrieval.text_analysis import is_han

    if config.train:
        config = replace(config, train=False, reader=trained_anew(config))
    texts, asked = read_squad(Path(config.data))
    asked, n_excluded = without_trained(asked, texts, config.reader)
    if config.n is not None and config.n < len(asked):
        asked = Random(config.seed).sample(asked, config.n)
    settings = AnswerSettings(k=config.k, reader=config.reader)
    with tempfile.TemporaryDirectory() as folder:
        store = fill_store(folder, texts, config.embedding)
        result = measured(AnswerGenerator(store, settings), asked, texts, "extractive")
        name = config.generator
        if name != "none" and not (name == "smollm2" and is_han(asked[0].question)):
            some = Random(0).sample(asked, min(WRITTEN, len(asked)))
            result[name] = measured(AnswerGenerator(store, replace(settings, generator=name)), some, texts, name)
        store.close()
    generators = {"extractive": result, **{name: part for name, part in result.items() if isinstance(part, dict)}}
    rows = [
        {"generator": name, **{key: part[key] for key in SHOWN}, "source": HERE} for name, part in generators.items()
    ]
    if "squad" in Path(config.data).name:
        rows += PUBLISHED_ANSWERS
    counts = {"data": Path(config.data).name, "documents": len(texts), "n_excluded": n_excluded}
    return Outcome({**counts, **result}, rows)


def trained_anew(config: AnswersConfig) -> str:
    """The folder of a reader that was trained by the recipe of the packaged one, where it is finished the one there."""
    from qa_system.generation.train_reader import TrainReaderConfig, train_reader

    folder = f"runs/qa_system/reader{config.variant}-{config.seed}"
    train_reader(TrainReaderConfig(data=config.data, output=folder, hold_out=True, seed=config.seed))
    return folder


def measured(generator: Any, asked: Sequence[Asked], texts: dict[str, str], name: str) -> dict[str, Any]:
    """All scores of one generator."""
    from qa_system.evaluation.answer_quality import auroc

    result, confidences = scored(generator, asked, texts, name)
    there = [confidence for each, confidence in zip(asked, confidences, strict=True) if each.answers]
    outside = confidence_outside(generator, asked, texts)
    result["out_of_collection_auroc"] = auroc([*there, *outside], [True] * len(there) + [False] * len(outside))
    return {**result, **gold_scores(generator, asked, texts, name)}


def without_trained(asked: Sequence[Asked], texts: dict[str, str], reader: str | None) -> tuple[list[Asked], int]:
    """The questions that, like their paragraphs, the reader was not trained on. Raises UserError where none is left."""
    from qa_system.generation.reader import SHIPPED
    from shared.leaks import load_ids, text_id

    folder = Path(reader) if reader else SHIPPED
    trained_on = load_ids(folder) if folder.exists() else set()
    kept = [
        each
        for each in asked
        if text_id(each.question) not in trained_on
        and text_id(texts[each.source][each.start : each.end]) not in trained_on
    ]
    if not kept:
        raise UserError("nothing left to score: the reader was trained on all of it: give another file")
    return kept, len(asked) - len(kept)


def scored(
    generator: Any, asked: Sequence[Asked], texts: dict[str, str], name: str
) -> tuple[dict[str, Any], list[float]]:
    """What it says and cites, scored; and its confidence for each question."""
    from qa_system.evaluation.answer_quality import (
        answer_relevance,
        auroc,
        citation_scores,
        exact_match,
        faithfulness,
        rouge,
        token_f1,
    )

    answers = []
    forced = []
    with progress_bar(f"{name}: answering", len(asked)) as update:
        for n, each in enumerate(asked, 1):
            answer = generator.answer(each.question)
            answers.append(answer)
            text = answer.text
            if answer.abstained and (found := generator.extract(each.question, answer.hits)) is not None:
                text = answer.hits[found.place].chunk.text[found.start : found.end]
            forced.append(text)
            update(done=n)
    there = [place for place, each in enumerate(asked) if each.answers]
    mean = _mean_over(there)
    given = {place: [*dict.fromkeys(asked[place].answers)] for place in there}
    citations = citation_scores(
        [answers[place] for place in there],
        texts,
        [[(asked[place].source, asked[place].start, asked[place].end)] for place in there],
    )
    cited_everywhere = citation_scores(answers, texts, [None] * len(asked))
    confidences = [answer.confidence for answer in answers]
    given_answers = [answer for answer in answers if not answer.abstained]
    relevance = [answer_relevance(answer, generator.store.embedder) for answer in given_answers[:WRITTEN]]
    scores = {
        "exact_match": mean(lambda place: exact_match(answers[place].text, given[place])),
        "f1": mean(lambda place: token_f1(answers[place].text, given[place])),
        "f1_without_abstaining": mean(lambda place: token_f1(forced[place], given[place])),
        "rouge_l": mean(lambda place: rouge(answers[place].text, given[place])["rouge_l"]),
        "abstain_auroc": auroc(confidences, [bool(each.answers) for each in asked]),
        "answered": mean(lambda place: not answers[place].abstained),
        "unanswerable_refused": _mean_over([p for p in range(len(asked)) if not asked[p].answers])(
            lambda place: answers[place].abstained
        ),
        "citation_precision": citations.precision,
        "citation_coverage": cited_everywhere.coverage,
        "cited_spans": cited_everywhere.spans,
        "cited_spans_verbatim": cited_everywhere.verbatim,
        "faithfulness": _mean([faithfulness(answer) for answer in given_answers]),
        "answer_relevance": _mean(relevance),
        "own_words": _mean([float(answer.generator != "extractive") for answer in given_answers]),
        "n": len(there),
        "n_unanswerable": len(asked) - len(there),
    }
    return scores, confidences


class GivenPassage:
    """Takes the place of a search: finds one passage, the right one."""

    def __init__(self, store: Any) -> None:
        self.store = store
        self.hits: list[Any] = []

    def give(self, asked: Asked, text: str) -> None:
        from qa_system.document_processor.documents import Chunk
        from qa_system.retrieval.hybrid_retrieval import Hit

        passage = Chunk(asked.id, "", asked.source, text, asked.start, asked.end)
        self.hits = [Hit(passage, 1.0, 1.0, 1.0)]

    def search(self, question: str, k: int, sources: Sequence[str] | None = None) -> list[Any]:
        return self.hits


def gold_scores(generator: Any, asked: Sequence[Asked], texts: dict[str, str], name: str) -> dict[str, Any]:
    """The same generator with the right paragraph given, and always an answer."""
    from qa_system.evaluation.answer_quality import auroc, exact_match, token_f1
    from qa_system.generation.answer_generator import AnswerGenerator

    given = GivenPassage(generator.store)
    reading = AnswerGenerator(given, replace(generator.settings, threshold=0.0))
    answers = []
    with progress_bar(f"{name}: with the right paragraph", len(asked)) as update:
        for n, each in enumerate(asked, 1):
            given.give(each, texts[each.source][each.start : each.end])
            answers.append(reading.answer(each.question))
            update(done=n)
    mean = _mean_over([place for place, each in enumerate(asked) if each.answers])
    confidences = [answer.confidence for answer in answers]
    return {
        "gold_f1": mean(lambda place: token_f1(answers[place].text, asked[place].answers)),
        "gold_exact_match": mean(lambda place: exact_match(answers[place].text, asked[place].answers)),
        "gold_abstain_auroc": auroc(confidences, [bool(each.answers) for each in asked]),
    }


def confidence_outside(generator: Any, asked: Sequence[Asked], texts: dict[str, str]) -> list[float]:
    """Its confidence for each answerable question, put to the store without its article."""
    confidences = []
    there = [each for each in asked if each.answers]
    with progress_bar("asking without the article", len(there)) as update:
        for n, each in enumerate(there, 1):
            others = [source for source in texts if source != each.source]
            hits = generator.retriever.search(each.question, generator.settings.k, others)
            found = generator.extract(each.question, hits)
            confidences.append(found.confidence if found else 0.0)
            update(done=n)
    return confidences


def _mean_over(places: Sequence[int]) -> Callable[[Callable[[int], float]], float | None]:
    return lambda score: _mean([float(score(place)) for place in places])


def _mean(values: Sequence[float | None]) -> float | None:
    kept = [value for value in values if value is not None]
    return sum(kept) / len(kept) if kept else None


SQUAD = "qa/squad-dev-v2.0-half.json"
BENCHMARKS = {"answers": Benchmark(AnswersConfig, measure_answers, SQUAD, sample={"n": 200, "generator": "none"})}
