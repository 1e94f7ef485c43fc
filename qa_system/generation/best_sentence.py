"""The sentence of the passages that is nearest to a question: the extractive answer where there is no reader."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from qa_system.document_processor.text_splitter import sentences
from qa_system.retrieval.hybrid_retrieval import Hit
from qa_system.retrieval.text_analysis import analyse, is_han


def best_sentence(question: str, hits: Sequence[Hit], embedder: Any) -> tuple[int, int, int, float] | None:
    """Which hit, where in its text, and how confident; None without any sentence.

    Words count, and meaning where the encoder reads the question's language.
    """
    spans = [(place, *where) for place, hit in enumerate(hits) for where in sentences(hit.chunk.text)]
    if not spans:
        return None
    texts = [hits[place].chunk.text[start:end] for place, start, end in spans]
    asked = set(analyse(question))
    scores = np.array([len(asked & set(analyse(text))) / max(len(asked), 1) for text in texts])
    if embedder.reads_chinese or not is_han(question):
        vector = embedder.encode([question], "query")[0]
        scores = (scores + embedder.comparable(embedder.encode(texts, "passage") @ vector)) / 2
    best = int(scores.argmax())
    return *spans[best], float(np.clip(scores[best], 0, 1))
