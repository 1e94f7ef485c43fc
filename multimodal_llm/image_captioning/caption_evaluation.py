"""How good is a caption, beside what several people wrote about the same photo: CIDEr-D, BLEU and ROUGE-L.

The three measures follow their papers and the captioning community's reference program (pycocoevalcap 1.2), to whose
values the tests hold them:

CIDEr-D   Vedantam et al. 2015, arXiv 1411.5726, section 3 and appendix on CIDEr-D
BLEU      Papineni et al. 2002, https://aclanthology.org/P02-1040, over the whole corpus, closest reference length
ROUGE-L   Lin 2004, https://aclanthology.org/W04-1013, section 3.1, beta 1.2, the best precision and recall of any

Words are what `words` makes of a text (lower case, no punctuation); the reference program's own tokeniser needs Java
and differs in rare cases such as contractions.
"""

import math
import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

from shared.errors import UserError
from shared.text_encoder import TextEncoder

N_GRAMS = 4
SIGMA = 6.0  # of CIDEr-D's penalty for another length, in words
BETA = 1.2  # weighs recall over precision in ROUGE-L
TINY, SMALL = 1e-15, 1e-9  # keep a corpus without any matching 4-gram from dividing by zero, as the reference does

SUPPORTED = 0.5  # cosine from which a tag supports a word

NOT_THINGS = frozenset(
    """
    about across after against all along and another are around away back background beside between big black blue
    both bottom bright brown close colored colorful covered dark dirty down dressed each edge four five for from
    front full gold gray green grey group has have her high him his into its jump jumps large lean leans light
    little long look looks lots many middle near next not off old one orange other out outside over past pink play
    plays purple red ride rides run runs several she short side sit sits six small some stand stands swim swims
    tall tan that the their them there they three through top toward towards two under very walk walks was wear
    wears wet while white who wide with yellow young
    """.split()
)

Words = tuple[str, ...]


def words(text: str) -> Words:
    """A caption as the measures see it: lower-case words and numbers, without punctuation."""
    return tuple(re.findall(r"[^\W_]+(?:'[^\W_]+)?", text.lower()))


def cider_d(candidates: Sequence[str], references: Sequence[Sequence[str]]) -> tuple[float, np.ndarray]:
    """CIDEr-D times 100, its mean and that of each of the N photos (N,).

    n-grams that few photos' references hold weigh most; how few is counted over these very references, so one photo
    alone has no score. Raises UserError for lists of different lengths or a photo without a reference.
    """
    split_candidates, split_references = _split(candidates, references)
    documents: Counter[Words] = Counter()
    for texts in split_references:
        documents.update({gram for text in texts for gram in n_grams(text)})
    log_photos = math.log(len(references))

    def vectors(text: Words) -> tuple[list[dict[Words, float]], list[float], int]:
        """The weighed n-grams by length n, each vector's norm, and the number of word pairs as the text's length."""
        by_length: list[dict[Words, float]] = [{} for _ in range(N_GRAMS)]
        for gram, count in n_grams(text).items():
            by_length[len(gram) - 1][gram] = count * (log_photos - math.log(max(1, documents[gram])))
        return by_length, [math.hypot(*vector.values()) for vector in by_length], max(len(text) - 1, 0)

    scores = np.zeros(len(candidates))
    for number, (candidate, texts) in enumerate(zip(split_candidates, split_references, strict=True)):
        ours, our_norms, our_length = vectors(candidate)
        for text in texts:
            theirs, their_norms, their_length = vectors(text)
            closeness = math.exp(-((our_length - their_length) ** 2) / (2 * SIGMA**2))
            for n in range(N_GRAMS):
                # A word said more often than the reference says it earns nothing more: that is the D of CIDEr-D.
                product = sum(
                    min(weight, theirs[n].get(gram, 0)) * theirs[n].get(gram, 0) for gram, weight in ours[n].items()
                )
                if product:
                    scores[number] += closeness * product / (our_norms[n] * their_norms[n])
        scores[number] *= 10 * 100 / (N_GRAMS * len(texts))  # the paper's factor 10, and ours
    return float(scores.mean()), scores


def bleu(candidates: Sequence[str], references: Sequence[Sequence[str]]) -> list[float]:
    """BLEU-1 to BLEU-4 of the whole corpus, fractions of 1. Raises UserError as `cider_d` does."""
    split_candidates, split_references = _split(candidates, references)
    matches, totals = np.zeros(N_GRAMS), np.zeros(N_GRAMS)
    our_length = their_length = 0
    for candidate, texts in zip(split_candidates, split_references, strict=True):
        most: Counter[Words] = Counter()
        for text in texts:
            most |= n_grams(text)  # the larger of two counts
        for gram, count in n_grams(candidate).items():
            matches[len(gram) - 1] += min(count, most[gram])
            totals[len(gram) - 1] += count
        our_length += len(candidate)
        their_length += min((abs(len(text) - len(candidate)), len(text)) for text in texts)[1]
    brevity = min(1.0, math.exp(1 - (their_length + TINY) / (our_length + TINY))) if our_length else 0.0
    precisions = (matches + TINY) / (totals + SMALL)
    return [brevity * float(np.exp(np.log(precisions[:n]).mean())) for n in range(1, N_GRAMS + 1)]


def rouge_l(candidates: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """ROUGE-L, the mean over photos, a fraction of 1. Raises UserError as `cider_d` does."""
    scores = []
    for candidate, texts in zip(*_split(candidates, references), strict=True):
        common = [_longest_common(candidate, text) for text in texts]
        precision = max(length / max(len(candidate), 1) for length in common)
        recall = max(length / max(len(text), 1) for length, text in zip(common, texts, strict=True))
        both = recall + BETA**2 * precision
        scores.append((1 + BETA**2) * precision * recall / both if precision and recall else 0.0)
    return float(np.mean(scores))


def caption_scores(candidates: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, float]:
    """The benchmark's keys: cider (times 100), bleu4 and rouge_l."""
    return {
        "cider": cider_d(candidates, references)[0],
        "bleu4": bleu(candidates, references)[3],
        "rouge_l": rouge_l(candidates, references),
    }


def faithfulness(
    captions: Sequence[str], tags: Sequence[Sequence[str]], encoder: TextEncoder, threshold: float = SUPPORTED
) -> float:
    """The share of the things a caption names that the photo's tags support, the mean over the captions that name any.

    A word is supported where its sentence vector's cosine with one of the tags' reaches `threshold`. Tags are not all
    that a photo shows, so a person's captions do not reach 1 either; captions about other photos are the floor.
    """
    named = [[word for word in dict.fromkeys(words(caption)) if is_thing(word)] for caption in captions]
    vocabulary = sorted({word for group in (*named, *tags) for word in group})
    if not any(named):
        return 0.0
    vectors = dict(zip(vocabulary, encoder.encode(vocabulary), strict=True))
    shares = []
    for things, group in zip(named, tags, strict=True):
        if things and group:
            near = np.stack([vectors[word] for word in things]) @ np.stack([vectors[tag] for tag in group]).T
            shares.append(float((near.max(1) >= threshold).mean()))
    return float(np.mean(shares))


def is_thing(word: str) -> bool:
    """Whether a word of a caption is likely to name a thing: without a grammar, all that is no common other word."""
    return len(word) > 2 and not word.endswith(("ing", "ly")) and word not in NOT_THINGS


def n_grams(text: Words) -> Counter[Words]:
    """How often every run of one to four words stands in the text."""
    return Counter(text[i : i + n] for n in range(1, N_GRAMS + 1) for i in range(len(text) - n + 1))


def _longest_common(one: Words, other: Words) -> int:
    """Length of the longest common subsequence, by the usual table, a row at a time."""
    row = [0] * (len(other) + 1)
    for word in one:
        diagonal = 0
        for j, there in enumerate(other, 1):
            diagonal, row[j] = row[j], diagonal + 1 if word == there else max(row[j], row[j - 1])
    return row[-1]


def _split(candidates: Sequence[str], references: Sequence[Sequence[str]]) -> tuple[list[Words], list[list[Words]]]:
    if len(candidates) != len(references):
        raise UserError(f"{len(candidates)} captions for {len(references)} photos: give one for each")
    if not candidates or not all(references):
        raise UserError("no captions to compare with: give at least one photo, and each at least one reference")
    return [words(text) for text in candidates], [[words(text) for text in texts] for texts in references]
