"""How varied is what a model writes, how often does it repeat itself, and does it stay with its subject?

python -m gpt_text_generation.evaluation.diversity_metrics --file texts.jsonl
python -m gpt_text_generation.evaluation.diversity_metrics --file texts.jsonl --reference human.jsonl

distinct-n  different n-grams by all n-grams, all texts together (Li et al. 2016, arXiv 1510.03055, section 5)
self-BLEU   BLEU-4 of each text against all the others, mean; high is alike (Zhu et al. 2018, arXiv 1802.01886)
rep-4       1 - different by all 4-grams of one text, mean (seq-rep-4, Welleck et al. 2020, arXiv 1908.04319, section 6)
MATTR       different words by words in a window that moves, mean (Covington & McFall 2010, Cutting the Gordian Knot)
Zipf        how steeply a word's count falls with its rank (Holtzman et al. 2020, arXiv 1904.09751, section 5.2)
coherence   cosine of the sentence vectors of prompt and text, mean (Su et al. 2022, arXiv 2202.06417, section 4.1)
MAUVE       how much the texts overlap with human ones (Pillutla et al. 2021, arXiv 2102.01454), by mauve-text

All but MAUVE's own scale change with the length and the number of texts: longer texts repeat more of what they said.
So every source is measured on equally many texts of equally many words: each text is cut after the same number of
words, those that are shorter are left out and counted. Words are what `words` gives, not a model's tokens, so that
models with different tokenizers can stand beside each other.
"""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from gpt_text_generation.evaluation.samples import Sample, by_source, read_samples
from shared.config import check, parse_config
from shared.errors import UserError, run_program
from shared.logging import print_result, print_table, setup_logging
from shared.text_encoder import TextEncoder, load_text_encoder

# A Han character, a word with its apostrophes, or a sign.
_WORD = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]|[^\W\u3400-\u9fff\uf900-\ufaff]+(?:['’][^\W_]+)*|[^\w\s]")
LONGEST_N = 4  # of n-grams
WINDOW = 50  # words, of MATTR
ZIPF_RANKS = 5000  # the words beyond are too rare to have a rank
MAUVE_SEEDS = 5
REACHED_BY = 0.9  # the share of a source's texts that are as long as the length they are cut to, by default


@dataclass(frozen=True, kw_only=True)
class DiversityConfig:
    """Measure how varied, repetitive and coherent texts are, each source on equally many texts of equal length."""

    file: str
    """Texts to measure: JSON lines with text, and where known prompt and source."""
    reference: str | None = None
    """Human texts in the same form, for MAUVE."""
    length: int | None = None
    """Words that each text is cut to; by default as many as nine in ten texts of every source have."""
    encoder: Literal["minilm", "e5-multilingual"] = "minilm"
    """Gives the sentence vectors: minilm reads English, e5-multilingual Chinese too."""
    coherence: bool = True
    """Compare texts with their prompts, where there are prompts."""

    def __post_init__(self) -> None:
        check(self.length is None or self.length >= LONGEST_N, "length", self.length, f"give at least {LONGEST_N}")


def words(text: str) -> list[str]:
    """Words, numbers, signs and single Han characters, in lower case.

    >>> words("Don't stop, 世界!")
    ["don't", 'stop', ',', '世', '界', '!']
    """
    return [word.lower() for word in _WORD.findall(text)]


def cut(text: str, length: int) -> str:
    """The text up to its `length`-th word."""
    for number, word in enumerate(_WORD.finditer(text), start=1):
        if number == length:
            return text[: word.end()]
    return text


def n_grams(tokens: Sequence[str], n: int) -> list[tuple[str, ...]]:
    return list(zip(*(tokens[start:] for start in range(n)), strict=False))


def distinct_n(texts: Sequence[Sequence[str]], n: int) -> float:
    """Different n-grams by all n-grams, of all the texts (each its words) together; 1 is never a repeat."""
    grams = [gram for tokens in texts for gram in n_grams(tokens, n)]
    return len(set(grams)) / len(grams) if grams else math.nan


def repetition(tokens: Sequence[str], n: int = LONGEST_N) -> float:
    """1 - different n-grams by all n-grams within one text: rep-n; 0 is never a repeat."""
    return 1 - distinct_n([tokens], n)


def self_bleu(texts: Sequence[Sequence[str]], longest: int = LONGEST_N) -> float:
    """BLEU of each text against all the others, mean. The texts must have one length, so none is "too brief".

    An n-gram counts as often as it stands in that other text which has it most often (Papineni et al. 2002). Where no
    n-gram of a length is found, the precision 0 would make all 0; as sacrebleu does, it is halved from that of one
    match for every such length. To look into each pair of texts would take N * N; it is enough to know of every n-gram
    in which text it stands most often, and how often in the next. Raises ValueError for a single text, and for texts
    of different lengths.
    """
    if len(texts) < 2 or len({len(tokens) for tokens in texts}) != 1:
        raise ValueError("self-BLEU needs two texts or more, all of one length: cut them first")
    counts = [[Counter(n_grams(tokens, n)) for n in range(1, longest + 1)] for tokens in texts]
    best: dict[tuple[str, ...], list[tuple[int, int]]] = {}  # n-gram -> the two highest (count, text)
    for number, per_n in enumerate(counts):
        for gram, count in (item for counter in per_n for item in counter.items()):
            best[gram] = sorted([*best.get(gram, ()), (count, number)], reverse=True)[:2]
    scores = []
    for number, per_n in enumerate(counts):
        logs, missing = [], 0
        for counter in per_n:
            total = sum(counter.values())
            found = sum(
                min(count, next((most for most, owner in best[gram] if owner != number), 0))
                for gram, count in counter.items()
            )
            missing += not found
            logs.append(math.log(found / total if found else 1 / (2**missing * total)))
        scores.append(math.exp(sum(logs) / len(logs)) if missing < longest else 0.0)
    return sum(scores) / len(scores)


def mattr(tokens: Sequence[str], window: int = WINDOW) -> float:
    """Different words by all words in every window of so many; of a shorter text the whole is the only window."""
    window = min(window, len(tokens))
    if not window:
        return math.nan
    counts = Counter(tokens[:window])
    ratios = [len(counts) / window]
    for leaving, coming in zip(tokens, tokens[window:], strict=False):
        counts[coming] += 1
        counts[leaving] -= 1
        if not counts[leaving]:
            del counts[leaving]
        ratios.append(len(counts) / window)
    return sum(ratios) / len(ratios)


def zipf(texts: Sequence[Sequence[str]]) -> float:
    """s of count = c / rank^s, a straight line through the logarithms by least squares. Human English is near 1."""
    counts = sorted(Counter(word for tokens in texts for word in tokens).values(), reverse=True)[:ZIPF_RANKS]
    if len(counts) < 2:
        return math.nan
    return float(-np.polyfit(np.log(np.arange(1, len(counts) + 1)), np.log(counts), 1)[0])


def coherence(prompts: Sequence[str], texts: Sequence[str], encoder: TextEncoder) -> float:
    """The mean cosine between prompt and text."""
    vectors = encoder.encode([*prompts, *texts])
    before, after = vectors[: len(prompts)], vectors[len(prompts) :]  # (N, D) each, of length 1
    return float((before * after).sum(axis=1).mean())


class Mauve(NamedTuple):
    mean: float
    spread: float
    """Standard deviation over the seeds of its clustering: differences below it say nothing."""


def mauve(texts: Sequence[str], human: Sequence[str], encoder: TextEncoder) -> Mauve:
    """MAUVE over sentence vectors, with several seeds. 1 is no difference from the human texts.

    The paper takes GPT-2's vectors, so these numbers compare with each other and not with published ones. Raises
    UserError where mauve-text is not installed.
    """
    try:
        from mauve import compute_mauve
    except ImportError as error:
        raise UserError(
            "MAUVE needs one more package: run `pip install mauve-text`, or leave out --reference"
        ) from error
    features = {"p_features": encoder.encode(list(texts)), "q_features": encoder.encode(list(human))}
    scores = [compute_mauve(**features, seed=seed, verbose=False).mauve for seed in range(MAUVE_SEEDS)]
    return Mauve(float(np.mean(scores)), float(np.std(scores)))


class Controlled(NamedTuple):
    """The texts that are compared: of each source equally many, all cut to one length."""

    groups: dict[str, list[Sample]]
    length: int
    too_short: dict[str, int]


def control_length(groups: Mapping[str, Sequence[Sample]], length: int | None = None) -> Controlled:
    """Cut every text after `length` words, leave out the shorter ones, and take as many of each source as all have.

    Raises UserError where a source keeps no text.
    """
    lengths = {source: [len(words(sample.text)) for sample in samples] for source, samples in groups.items()}
    if length is None:
        reached = [sorted(counts, reverse=True)[math.ceil(REACHED_BY * len(counts)) - 1] for counts in lengths.values()]
        length = max(min(reached), LONGEST_N)
    kept, too_short = {}, {}
    for source, samples in groups.items():
        long = [count >= length for count in lengths[source]]
        kept[source] = [
            sample._replace(text=cut(sample.text, length))
            for sample, enough in zip(samples, long, strict=True)
            if enough
        ]
        too_short[source] = len(samples) - len(kept[source])
        if not kept[source]:
            name = f" of {source}" if source else ""
            raise UserError(f"no text{name} has {length} words: give longer texts, or a smaller --length")
    n = min(map(len, kept.values()))
    return Controlled({source: samples[:n] for source, samples in kept.items()}, length, too_short)


def measure(texts: Sequence[str]) -> dict[str, float | None]:
    """The measures that need no model, of texts of one length. self-BLEU of a single text is None."""
    tokens = [words(text) for text in texts]
    return {
        "distinct_1": distinct_n(tokens, 1),
        "distinct_2": distinct_n(tokens, 2),
        "self_bleu": self_bleu(tokens) if len(tokens) > 1 else None,
        "rep_4": float(np.mean([repetition(each) for each in tokens])),
        "mattr": float(np.mean([mattr(each) for each in tokens])),
        "zipf": zipf(tokens),
    }


def compare(
    groups: Mapping[str, Sequence[Sample]],
    length: int | None = None,
    encoder: TextEncoder | None = None,
    human: Sequence[Sample] = (),
) -> tuple[list[dict[str, Any]], Controlled]:
    """A row for each source, and what was compared. With an encoder also coherence, where every text has a prompt, and
    with human texts MAUVE; these are cut to the same length. Raises UserError where texts are too short.
    """
    controlled = control_length(groups, length)
    rows = []
    for source, samples in controlled.groups.items():
        texts = [sample.text for sample in samples]
        row: dict[str, Any] = {"source": source, "n_texts": len(texts), "n_too_short": controlled.too_short[source]}
        row |= measure(texts)
        prompts = [sample.prompt for sample in samples]
        if encoder is not None:
            row["coherence"] = coherence(prompts, texts, encoder) if all(map(str.strip, prompts)) else None
        if encoder is not None and human:
            people = control_length({"reference": human}, controlled.length).groups["reference"]
            score = mauve(texts, [sample.text for sample in people], encoder)
            row |= {"mauve": score.mean, "mauve_spread": score.spread, "n_human": len(people)}
        rows.append(row)
    return rows, controlled


def main(argv: Sequence[str] | None = None) -> None:
    config = parse_config(DiversityConfig, argv, prog="python -m gpt_text_generation.evaluation.diversity_metrics")
    setup_logging()
    samples = read_samples(config.file)
    human = read_samples(config.reference) if config.reference else []
    prompted = config.coherence and any(sample.prompt.strip() for sample in samples)
    encoder = load_text_encoder(config.encoder) if prompted or human else None
    rows, controlled = compare(by_source(samples), config.length, encoder, human)
    print_table(f"{config.file}, the first {controlled.length} words of each text", rows)
    print_result({"length": controlled.length, "encoder": config.encoder if encoder else None, "rows": rows})


if __name__ == "__main__":
    run_program(main)
