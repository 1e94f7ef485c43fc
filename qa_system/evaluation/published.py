"""Scores that others published on the collections measured here, to stand beside ours: each with its source.

Nothing here was run by us. A row says what it is of: another encoder, another fusion, another analysis of the words.
"""

from typing import Any

_FUSION = "[Pyserini, fusion](https://github.com/castorini/pyserini/blob/master/docs/experiments-beir-fusion.md)"
_ANSERINI = "[Anserini, BEIR](https://github.com/castorini/anserini)"
_MTEB = "[MTEB results](https://github.com/embeddings-benchmark/results)"
_BM25S = "[bm25-benchmarks](https://github.com/xhluca/bm25-benchmarks)"
_LUCENE = "[CS7IS3-Lucene-Cranfield](https://github.com/ruthbrennankk/CS7IS3-Lucene-Cranfield)"

PUBLISHED: dict[str, list[dict[str, Any]]] = {
    "scifact": [
        {"method": "BM25, Lucene", "ndcg_10": 0.6789, "recall_100": 0.9253, "source": _ANSERINI},
        {"method": "BM25, bm25s", "ndcg_10": 0.687, "source": _BM25S},
        {"method": "all-MiniLM-L6-v2", "ndcg_10": 0.6451, "source": _MTEB},
        {"method": "multilingual-e5-small", "ndcg_10": 0.6758, "source": _MTEB},
        {"method": "bge-base-en-v1.5 (110 M parameters)", "ndcg_10": 0.741, "source": _FUSION},
        {"method": "BM25 + bge-base, ranks", "ndcg_10": 0.742, "recall_100": 0.977, "source": _FUSION},
        {"method": "BM25 + bge-base, min-max", "ndcg_10": 0.747, "source": _FUSION},
    ],
    "cranfield": [
        {"method": "BM25, Lucene's EnglishAnalyzer", "map": 0.4234, "mrr": 0.8125, "source": _LUCENE},
    ],
    "xquad_zh_retrieval": [
        {"method": "all-MiniLM-L6-v2", "ndcg_10": 0.2422, "source": _MTEB},
        {"method": "bm25s, its own analysis", "ndcg_10": 0.1205, "source": _MTEB},
        {"method": "multilingual-e5-base (278 M parameters)", "ndcg_10": 0.9549, "source": _MTEB},
    ],
}
"""By the name of the collection's folder, questions and passages of one language. Read in the sources' snapshots of
2026; BEIR's and MTEB's SciFact and XQuAD are the sets measured here."""

_SQUAD = "[SQuAD's leaderboard](https://rajpurkar.github.io/SQuAD-explorer/)"
_DISTILBERT = "[its model card](https://huggingface.co/distilbert/distilbert-base-cased-distilled-squad)"

PUBLISHED_ANSWERS: list[dict[str, Any]] = [
    {"generator": "people, SQuAD 1.1 test", "gold_f1": 0.9122, "source": _SQUAD},
    {"generator": "BERT-base-cased (108 M), SQuAD 1.1 dev", "gold_f1": 0.887, "source": _DISTILBERT},
    {"generator": "DistilBERT-base-cased (65 M), SQuAD 1.1 dev", "gold_f1": 0.871, "source": _DISTILBERT},
]
"""Questions that have an answer, the paragraph given: SQuAD 1.1's development questions are those of 2.0 with one. Each
of these models was trained on all 87,599 of SQuAD's training questions, which are in no package."""
