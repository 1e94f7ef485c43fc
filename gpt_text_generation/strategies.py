"""`benchmark strategies`: what each decoding strategy writes, each with the same number of settings to choose from.

A strategy with more knobs to turn would look better by luck alone (https://arxiv.org/abs/2506.13681 on min-p). So every
strategy may try the same number of settings on the same openings, the roadmap's own among them, and takes the one whose
texts are nearest to what people wrote there; then all are measured on other openings, in several blocks. An interval is
that of the mean over the blocks (Student's t), so it holds the luck of the draws and of the openings.

The openings are the first tokens of packaged film reviews; how the reviews really go on is a row of its own. Texts of
one block are compared at one length (evaluation/diversity_metrics.py).
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gpt_text_generation.decoding import generation_configs, settings_for
from gpt_text_generation.evaluation.diversity_metrics import compare
from gpt_text_generation.evaluation.samples import Sample
from gpt_text_generation.text_generator import write, write_all
from shared.benchmark import Benchmark, BenchmarkConfig, Outcome
from shared.cleaning import clean
from shared.config import check
from shared.datasets import load_examples
from shared.errors import UserError
from shared.files import kept_json
from shared.logging import get_logger, progress_bar
from shared.timing import Timer

if TYPE_CHECKING:
    from shared.language_model import LanguageModel
    from shared.text_encoder import TextEncoder

log = get_logger(__name__)

HUMAN = "people"
SAMPLE_OPENING = "The lighthouse keeper had not spoken to anyone for a year when"  # is continued by each, to be read
MEASURES = ("distinct_1", "distinct_2", "self_bleu", "rep_4", "perplexity", "coherence")

# Of each strategy as many: the settings of its name, and three others.
GRIDS: dict[str, list[dict[str, Any]]] = {
    "greedy": [{}, {"repetition_penalty": 1.1}, {"repetition_penalty": 1.2}, {"repetition_penalty": 1.3}],
    "beam_search": [{}, {"repetition_penalty": 1.1}, {"repetition_penalty": 1.2}, {"repetition_penalty": 1.3}],
    "sampling": [{}, {"temperature": 0.9}, {"temperature": 1.0}, {"temperature": 1.0, "top_k": 200}],
    "nucleus": [{}, {"top_p": 0.8}, {"top_p": 0.95}, {"top_p": 0.98}],
    "min_p": [{}, {"min_p": 0.02}, {"min_p": 0.05}, {"min_p": 0.05, "temperature": 1.2}],
    "typical": [{}, {"typical_p": 0.2}, {"typical_p": 0.7}, {"typical_p": 0.9}],
    "contrastive": [{}, {"penalty_alpha": 0.4}, {"penalty_alpha": 0.8}, {"top_k": 10}],
    "dry": [{}, {"temperature": 0.9}, {"temperature": 1.0}, {"dry_multiplier": 2.0}],
    "mirostat": [{}, {"mirostat_tau": 3.0}, {"mirostat_tau": 5.0}, {"mirostat_tau": 6.0}],
}


@dataclass(frozen=True, kw_only=True)
class StrategiesConfig(BenchmarkConfig):
    """Decoding strategies, tuned with equal budgets: how varied, repetitive, likely and coherent their texts are."""

    model: str = "smollm2"
    """Language model: short name, hub name or path."""
    blocks: int = 5
    """Blocks of openings to measure on, each with its own seeds; one more is for tuning."""
    openings: int = 10
    """Openings of a block; each is continued once."""
    prompt_tokens: int = 32
    """Tokens of an opening."""
    new_tokens: int = 64
    """Tokens to write."""
    output: str = "runs/gpt_text_generation/strategies"
    """Folder in which texts are kept, so that an interrupted run goes on."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self.blocks >= 2, "blocks", self.blocks, "give at least 2, for an interval")
        check(self.openings >= 2, "openings", self.openings, "give at least 2")
        check(self.prompt_tokens >= 1, "prompt_tokens", self.prompt_tokens, "give at least 1")
        check(self.new_tokens >= 8, "new_tokens", self.new_tokens, "give at least 8")


def strategies(config: StrategiesConfig) -> Outcome:
    from shared.language_model import load_language_model
    from shared.text_encoder import load_text_encoder

    # All on one engine, for the searches run on no other: their speeds compare with each other.
    model = load_language_model(config.model, "transformers")
    if config.prompt_tokens + config.new_tokens > model.context:
        raise UserError(f"--new_tokens {config.new_tokens}: with an opening more than the window of {model.context}")
    encoder = load_text_encoder("minilm")
    tuning, *blocks = openings(config, model)
    chosen = {}
    with progress_bar("strategies", len(GRIDS) * (len(tuning_grid()) + len(blocks))) as update:
        done = 0
        tried: dict[str, list[Sample]] = {HUMAN: tuning}
        for strategy, changes in GRIDS.items():
            for place, change in enumerate(changes):
                tried[f"{strategy} {place}"] = _texts(config, model, tuning, 0, strategy, change)
                update(done := done + 1, note=strategy)
        scores = measure_block(tried, model, encoder)
        for strategy, changes in GRIDS.items():
            distances = [distance(scores[f"{strategy} {place}"], scores[HUMAN]) for place in range(len(changes))]
            chosen[strategy] = changes[distances.index(min(distances))]
            log.info("%s: %s", strategy, described(strategy, chosen[strategy]))
        measured = []
        for number, block in enumerate(blocks, start=1):
            groups = {HUMAN: block}
            for strategy, change in chosen.items():
                groups[strategy] = _texts(config, model, block, number, strategy, change)
                update(done := done + 1, note=strategy)
            measured.append(measure_block(groups, model, encoder))
    rows = []
    for name in (*GRIDS, HUMAN):
        own = name != HUMAN
        speed = _tokens_per_s(model, blocks[0][0].prompt, name, chosen[name], config.new_tokens) if own else None
        settings = described(name, chosen[name]) if own else "how the reviews go on"
        row = {"strategy": name, "settings": settings, **summary([each[name] for each in measured])}
        row |= {"tokens_per_s": speed, "sample": None}
        if own:
            opening = [Sample("", SAMPLE_OPENING, HUMAN)]
            row["sample"] = _texts(config, model, opening, len(blocks) + 1, name, chosen[name])[0].text.strip()
        rows.append(row)
    if config.save:
        from gpt_text_generation.strategy_figure import draw_strategies

        draw_strategies(rows, Path(__file__).parent / "results" / "strategies.png")
    hidden = [key for key in rows[0] if key.endswith("_interval") or key == "sample"]
    shown = [{key: value for key, value in row.items() if key not in hidden} for row in rows]
    told: dict[str, Any] = {"blocks": config.blocks, "openings": config.openings, "new_tokens": config.new_tokens}
    told["sample_opening"] = SAMPLE_OPENING
    return Outcome({"model": config.model, "tries_each": len(tuning_grid()), **told}, rows, shown)


def tuning_grid() -> list[dict[str, Any]]:
    """The settings that one strategy may try; of all others there are as many."""
    return next(iter(GRIDS.values()))


def openings(config: StrategiesConfig, model: "LanguageModel") -> list[list[Sample]]:
    """Blocks of reviews that are long enough, each cut into its opening and how it goes on; the first is for tuning.

    Raises UserError where too few are long enough.
    """
    wanted = (config.blocks + 1) * config.openings
    found: list[Sample] = []
    reviews = load_examples("imdb")
    end = config.prompt_tokens + config.new_tokens
    for place in np.random.default_rng(config.seed).permutation(len(reviews)):
        ids = model.encode(" ".join(clean(reviews[place].text).split()))
        if len(ids) >= end:
            prompt = model.decode(ids[: config.prompt_tokens])
            found.append(Sample(model.decode(ids[config.prompt_tokens : end]), prompt, HUMAN))
        if len(found) == wanted:
            break
    else:
        raise UserError(
            f"--openings {config.openings}: only {len(found)} reviews are long enough: give fewer or shorter"
        )
    return [found[start : start + config.openings] for start in range(0, wanted, config.openings)]


def _texts(
    config: StrategiesConfig,
    model: "LanguageModel",
    block: Sequence[Sample],
    number: int,
    strategy: str,
    change: Mapping[str, Any],
) -> list[Sample]:
    """What the strategy writes after the block's openings, from the run folder or anew."""
    prompts = [sample.prompt for sample in block]
    told = [config.model, config.new_tokens, config.seed, number, described(strategy, change), prompts]
    settings = settings_for(strategy, **change)
    seeds = [(config.seed, number, place) for place in range(len(prompts))]
    name = f"{strategy}-{number}-{sha256(json.dumps(told).encode()).hexdigest()[:12]}"
    kept = kept_json(
        Path(config.output) / f"{name}.json",
        lambda: {"texts": write_all(model, prompts, settings, max_new_tokens=config.new_tokens, seeds=seeds)},
    )
    return [Sample(text, prompt, strategy) for text, prompt in zip(kept["texts"], prompts, strict=True)]


def measure_block(
    groups: Mapping[str, Sequence[Sample]], model: "LanguageModel", encoder: "TextEncoder"
) -> dict[str, dict[str, float]]:
    """The measures of each group's texts. The perplexity is that of the model itself, of the whole texts.

    Raises UserError where a group keeps less than two texts, for then no text is measured against another.
    """
    rows, controlled = compare(groups, encoder=encoder)
    if (kept := rows[0]["n_texts"]) < 2:
        shortest = max(controlled.too_short, key=lambda name: controlled.too_short[name])
        raise UserError(
            f"--openings {len(groups[shortest])}: only {kept} text of {shortest} is long enough to be compared: "
            "give more openings, or more --new_tokens"
        )
    scores = {}
    for row in rows:
        nats, n_tokens = 0.0, 0
        for sample in groups[row["source"]]:
            after = model.encode(sample.text, start=False)
            nats -= float(model.log_probabilities(model.encode(sample.prompt), after).sum())
            n_tokens += len(after)
        scores[row["source"]] = {**row, "perplexity": math.exp(nats / n_tokens)}
    return scores


def distance(scores: Mapping[str, float], human: Mapping[str, float]) -> float:
    """How far texts are from people's: the differences of the measures, of the perplexity its logarithm's, summed."""
    differences = [abs(scores[name] - human[name]) for name in MEASURES if name != "perplexity"]
    return sum(differences) + abs(math.log(scores["perplexity"] / human["perplexity"]))


def summary(blocks: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """The mean of each measure over the blocks, and its 95 % interval."""
    from scipy.stats import t

    found: dict[str, Any] = {}
    for name in MEASURES:
        values = np.array([block[name] for block in blocks])
        half = t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values))
        found[name] = float(values.mean())
        found[f"{name}_interval"] = [float(values.mean() - half), float(values.mean() + half)]
    return found


def described(strategy: str, change: Mapping[str, Any]) -> str:
    """The settings in words, as in `temperature 0.7, top_k 50`."""
    values = {**generation_configs[strategy], **change}
    return ", ".join(f"{name} {value}" for name, value in values.items()) or "–"


def _tokens_per_s(
    model: "LanguageModel", prompt: str, strategy: str, change: Mapping[str, Any], new_tokens: int
) -> float:
    """One text at a time, after a short one to warm up."""
    ids, settings = model.encode(prompt), settings_for(strategy, **change)
    list(write(model, ids, settings, max_new_tokens=8))
    with Timer() as timer:
        stream = write(model, ids, settings, max_new_tokens=new_tokens)
        list(stream)
    return timer.rate(len(stream.ids))


SAMPLE = {"blocks": 2, "openings": 2, "new_tokens": 32}
BENCHMARKS = {"strategies": Benchmark(StrategiesConfig, strategies, sample=SAMPLE)}
