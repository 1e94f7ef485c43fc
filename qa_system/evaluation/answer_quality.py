"""How good answers are: against given ones, against their evidence, and whether it abstains where it should.

Exact match and F1 follow the official SQuAD 2.0 script (arXiv 1806.03822): lower case, no punctuation, no articles, and
of several given answers the nearest counts. Chinese is compared by character, as in CMRC 2018 (arXiv 1810.07366).

Faithfulness and answer relevance are those of RAGAS (arXiv 2309.15217, section 3) without a language model as judge: a
sentence is held to be supported by the same measure as in `citation_handler`, and an answer to be relevant by the
cosine of question and answer.
"""

import re
import string
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

HAN = r"\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation + "，。！？；：、“”‘’（）《》〈〉【】「」『』—…·－％")
_TOKENS = re.compile(rf"[{HAN}]|[^\s{HAN}]+")


def normalised_tokens(text: str) -> list[str]:
    """Words of English, characters of Chinese, as answers are compared."""
    return _TOKENS.findall(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)))


def exact_match(said: str, given: Sequence[str]) -> float:
    """1 where it equals one of the given answers, else 0. No given answer means that "" is right."""
    tokens = normalised_tokens(said)
    return float(any(tokens == normalised_tokens(each) for each in given or [""]))


def token_f1(said: str, given: Sequence[str]) -> float:
    """The F1 of shared tokens with the nearest of the given answers; for none, 1 where nothing is said."""
    return max(_f1(Counter(normalised_tokens(said)), Counter(normalised_tokens(each))) for each in given or [""])


def rouge(said: str, given: Sequence[str]) -> dict[str, float]:
    """F1 of single tokens, of pairs, and of the longest common subsequence, with the nearest of the given answers.

    ROUGE-1, -2 and -L (Lin 2004), without stemming.
    """
    tokens = normalised_tokens(said)
    best = {"rouge_1": 0.0, "rouge_2": 0.0, "rouge_l": 0.0}
    for each in given or [""]:
        other = normalised_tokens(each)
        long = _longest_common(tokens, other)
        found = {
            "rouge_1": _f1(Counter(tokens), Counter(other)),
            "rouge_2": _f1(
                Counter(zip(tokens, tokens[1:], strict=False)), Counter(zip(other, other[1:], strict=False))
            ),
            "rouge_l": 2 * long / (len(tokens) + len(other)) if tokens and other else float(tokens == other),
        }
        best = {name: max(value, found[name]) for name, value in best.items()}
    return best


def faithfulness(answer: Any) -> float | None:
    """The share of an answer's sentences that its passages support; None where it abstains."""
    from qa_system.generation.citation_handler import cite_sentences, split_sentences

    if answer.abstained:
        return None
    cited = cite_sentences(split_sentences(answer.text), answer.hits, lambda source: None)
    return sum(sentence.supported for sentence in cited) / max(len(cited), 1)


def answer_relevance(answer: Any, embedder: Any) -> float | None:
    """The cosine of question and answer, -1 to 1; None where it abstains."""
    if answer.abstained:
        return None
    return float(np.prod(embedder.encode([answer.question, answer.text], "query"), axis=0).sum())


def auroc(scores: Sequence[float], positive: Sequence[bool]) -> float | None:
    """The chance that a positive has the higher score than a negative, ties counting half; None without both.

    By the ranks (Mann and Whitney 1947).
    """
    values, there = np.asarray(scores, dtype=np.float64), np.asarray(positive, dtype=bool)
    n, m = int(there.sum()), int((~there).sum())
    if not n or not m:
        return None
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]  # equal scores share the mean of their ranks
    return float((ranks[there].sum() - n * (n + 1) / 2) / (n * m))


def roc_curve(scores: Sequence[float], positive: Sequence[bool]) -> list[tuple[float, float, float]]:
    """Threshold, share of the negatives answered, share of the positives answered; from the strictest threshold on."""
    values, there = np.asarray(scores, dtype=np.float64), np.asarray(positive, dtype=bool)
    rows = []
    for threshold in np.unique(values)[::-1]:
        given = values >= threshold
        shares = (given & ~there).sum() / max((~there).sum(), 1), (given & there).sum() / max(there.sum(), 1)
        rows.append((float(threshold), float(shares[0]), float(shares[1])))
    return rows


class CitationScores(NamedTuple):
    """How answers cite. `precision`: of the cited spans, those that lie in a right place."""

    spans: int
    verbatim: int
    precision: float | None
    coverage: float | None
    """Of the answers that were given, those with at least one citation."""


def citation_scores(answers: Sequence[Any], texts: dict[str, str], right: Sequence[Any]) -> CitationScores:
    """`texts` by source; `right[i]` are the places (source, start, end) that a citation of answer i may lie in.

    Answers that abstain count nowhere. One without right places has no part in the precision.
    """
    spans = verbatim = inside = judged = given = covered = 0
    for answer, places in zip(answers, right, strict=True):
        if answer.abstained:
            continue
        cited = [sentence.citation for sentence in answer.sentences if sentence.citation is not None]
        given += 1
        covered += bool(cited)
        for each in cited:
            spans += 1
            verbatim += texts.get(each.source, "")[each.start : each.end] == each.text
            if places:
                judged += 1
                inside += any(
                    source == each.source and start <= each.start and each.end <= end for source, start, end in places
                )
    return CitationScores(spans, verbatim, inside / judged if judged else None, covered / given if given else None)


def _f1(said: Counter, given: Counter) -> float:
    if not said or not given:
        return float(said == given)
    return 2 * (said & given).total() / (said.total() + given.total())


def _longest_common(one: Sequence[str], other: Sequence[str]) -> int:
    row = [0] * (len(other) + 1)
    for token in one:
        before = row
        row = [0]
        for place, each in enumerate(other):
            row.append(before[place] + 1 if token == each else max(before[place + 1], row[-1]))
    return row[-1]
