"""`fusion`: the settings of hybrid search, scored on training questions; the best of them is the default.

Test questions have no part in it. That choosing the best of many flatters is shown by crossing: each half of the
questions chooses, and the other half scores what was chosen (`crossed`).
"""

from dataclasses import asdict, dataclass
from itertools import product
from typing import Any

import numpy as np

from qa_system.retrieval_benchmark import RetrievalConfig, open_collection
from shared.benchmark import Benchmark, Outcome
from shared.logging import progress_bar

WEIGHTS = (0.3, 0.35, 0.4, 0.45, 0.5, 0.6)  # of the cosine
COMMON = (0.0, 0.5)
MEASURE, DEPTH = "ndcg_10", 10


@dataclass(frozen=True, kw_only=True)
class FusionTrialsConfig(RetrievalConfig):
    """Try settings of hybrid search on a collection's training questions."""

    split: str = "train"
    """Which of qrels/SPLIT.tsv judges; not the one that is reported."""


def measure_fusion(config: FusionTrialsConfig) -> Outcome:
    from qa_system.evaluation.retrieval_metrics import evaluate_rankings
    from qa_system.retrieval.hybrid_retrieval import Fusion

    legs = [Fusion(method=method) for method in ("bm25", "dense")]
    ranks = [Fusion(method="ranks", dense_weight=weight) for weight in WEIGHTS]
    hybrids = [Fusion(dense_weight=weight, common=share) for share, weight in product(COMMON, WEIGHTS)]
    settings = [*legs, *ranks, *hybrids]
    scores = []  # by setting and question
    with (
        open_collection(config) as opened,
        opened.store.view() as view,
        progress_bar("trying settings", len(settings)) as update,
    ):
        for done, fusion in enumerate(settings):
            update(done=done)
            found = evaluate_rankings(opened.rankings(view, fusion, DEPTH), opened.collection.judgements).per_query
            scores.append([found[question][MEASURE] for question in sorted(found)])
    table = np.array(scores)  # (settings, questions)
    halves = table[:, 0::2], table[:, 1::2]
    crossed = [float(other[half.mean(1).argmax()].mean()) for half, other in (halves, halves[::-1])]
    rows: list[dict[str, Any]] = [
        {
            "method": fusion.method,
            "dense_weight": fusion.dense_weight if fusion.method in ("hybrid", "ranks") else None,
            "common": fusion.common if fusion.method == "hybrid" else None,
            MEASURE: float(each.mean()),
            "first_half": float(each[0::2].mean()),
            "second_half": float(each[1::2].mean()),
        }
        for fusion, each in zip(settings, table, strict=True)
    ]
    best = settings[int(table.mean(1).argmax())]
    default = next((row[MEASURE] for row, fusion in zip(rows, settings, strict=True) if fusion == Fusion()), None)
    result = {"n": table.shape[1], "best": asdict(best), "crossed": float(np.mean(crossed)), "default": default}
    return Outcome(result, rows)


BENCHMARKS = {"fusion": Benchmark(FusionTrialsConfig, measure_fusion, "retrieval/scifact")}
