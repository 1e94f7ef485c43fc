"""The extractive answer: words of a passage, so that nothing can be made up.

English questions are put to the trained reader, passage by passage. Where there is none, and for Chinese, it is the
sentence that shares most of the question's words (by how rare they are among the passages' sentences), and of that the
number or date alone where the question asks for one.
"""

import math
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from qa_system.document_processor.text_splitter import sentences
from qa_system.generation.confidence import signs_of
from qa_system.retrieval.hybrid_retrieval import Hit
from qa_system.retrieval.text_analysis import analyse, is_han


class Extract(NamedTuple):
    """Where the answer stands, `hits[place].chunk.text[start:end]`, the sentence around it, and how sure it is."""

    place: int
    start: int
    end: int
    sentence: tuple[int, int]
    confidence: float


def extract_with_reader(question: str, hits: Sequence[Hit], reader: Any) -> Extract | None:
    """By the trained reader; None without a passage."""
    if not hits:
        return None
    spans = reader.read(question, [hit.chunk.text for hit in hits])
    probabilities = reader.confidence.of(signs_of(hits, spans))
    place = int(np.argmax(probabilities))
    start, end = spans[place].start, spans[place].end
    if end <= start:
        return None
    around = sentence_around(hits[place].chunk.text, start, end)
    return Extract(place, start, end, around, float(probabilities[place]))


def sentence_around(text: str, start: int, end: int) -> tuple[int, int]:
    """The sentences that the span touches."""
    touched = [where for where in sentences(text) if where[0] < end and where[1] > start]
    return (min(start, touched[0][0]), max(end, touched[-1][1])) if touched else (start, end)


# What a question asks for, and what an answer to it looks like. "多少年" asks how long, "哪一年" when.
ASKED_FOR = [
    (
        re.compile(r"哪一?年|何年|什么时候|何时|哪天|哪一天|日期"),
        r"(?:公元前?)?\d{1,4}年(?:\d{1,2}月)?(?:\d{1,2}[日号])?|\d{1,2}世纪(?:\d{2}年代)?",
    ),
    (re.compile(r"百分之多少|多少百分比|比例|百分比"), r"百分之[\d.一二三四五六七八九十百点]+|\d[\d.]*\s*%"),
    (
        re.compile(r"多少|几[个名位人次年月天种座条家所场只岁]|多大|多高|多长|多远|多久"),
        r"[约近超过]?\d[\d,.]*\s*(?:%|[万亿千百]+)?\s*[\u4e00-\u9fff]{0,2}",
    ),
]


# Words that ask, and stand in no answer; pairs of characters must not reach over them.
ASKING = re.compile(
    r"什么时候|为什么|什么|怎么样|怎样|怎么|如何|哪一?[年个些种位里天]|哪[儿]?|多少|几[个名位年月天种座次]?|谁|何时|何年|何|吗|呢|请问|的是|是|了|的"
)


def asked_terms(question: str) -> set[str]:
    """What an answering sentence may have in common with a question."""
    return set(analyse(ASKING.sub(" ", question) if is_han(question) else question))


def extract_sentence(question: str, hits: Sequence[Hit], embedder: Any) -> Extract | None:
    """By words, and by meaning where the encoder reads the question's language; None without a passage."""
    spans = [(place, *where) for place, hit in enumerate(hits) for where in sentences(hit.chunk.text)]
    asked = asked_terms(question)
    if not spans or not asked:
        return None
    texts = [hits[place].chunk.text[start:end] for place, start, end in spans]
    terms = [set(analyse(text)) for text in texts]
    counts = Counter(term for words in terms for term in words)
    rarity = {term: math.log(1 + len(texts) / (1 + counts[term])) for term in asked}
    shares = np.array([sum(rarity[term] for term in asked & words) for words in terms]) / sum(rarity.values())
    scores = shares + np.array([0.5 * hits[place].score for place, _, _ in spans])
    if embedder.reads_chinese or not is_han(question):
        vector = embedder.encode([question], "query")[0]
        scores = scores + embedder.comparable(embedder.encode(texts, "passage") @ vector)
    best = int(scores.argmax())
    place, start, end = spans[best]
    found = _asked_for(question, texts[best])
    confidence = float(np.clip((shares[best] + hits[place].bm25) / 2, 0, 1))
    return Extract(place, start + found[0], start + found[1], (start, end), confidence)


def _asked_for(question: str, sentence: str) -> tuple[int, int]:
    """The number or date that a Chinese question asks for, where the sentence has one; else all of the sentence."""
    for asks, looks_like in ASKED_FOR:
        if asks.search(question):
            found = [match for match in re.finditer(looks_like, sentence) if match[0] not in question]
            if found:
                words = set(analyse(question))
                return max(found, key=lambda match: _nearness(sentence, match.span(), words)).span()
    return 0, len(sentence)


def _nearness(sentence: str, span: tuple[int, int], words: set[str]) -> int:
    """How many of the question's terms stand close by."""
    return len(words & set(analyse(sentence[max(0, span[0] - 12) : span[1] + 12])))
