"""`benchmark decode` and `benchmark perplexity`: how fast the model writes and reads, beside plain transformers.

decode      our engine against transformers' `generate` with its key-value cache, in fp32: the same weights, prompt,
            threads and number of new tokens, greedily, one text at a time, in turns. What the engine's rounding costs
            is the ratio of the perplexities on reviews that ship in a package.
perplexity  ours against the plain loop of https://huggingface.co/docs/transformers/perplexity, on the same tokens.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from gpt_text_generation.evaluation.perplexity_calculator import load_torch_model, score_in
from shared.benchmark import Benchmark, BenchmarkConfig, Outcome
from shared.config import check
from shared.datasets import load_examples, mix_labels, read_text
from shared.errors import UserError
from shared.logging import progress_bar
from shared.timing import Timer, time_in_pairs

if TYPE_CHECKING:
    from shared.language_model import TransformersModel

# The prompt to continue: long enough to be one, short enough that writing is what is measured.
PROMPT = (
    "When the last ferry had left, the harbour master locked his office and walked down to the water. For thirty years "
    "he had written every arrival into the same kind of book, with the same kind of pen, and nobody had ever asked to "
    "read it. Tonight a light was moving on the far side of the bay, where no ship had any business to be, and"
)


@dataclass(frozen=True, kw_only=True)
class DecodeConfig(BenchmarkConfig):
    """How fast the model writes, beside transformers' generate."""

    model: str = "smollm2"
    """Language model: short name, hub name or path."""
    backend: Literal["auto", "transformers", "onnx"] = "auto"
    """Our engine; auto is what the programs take on this machine."""
    new_tokens: int = 200
    """Tokens to write: as many as text_generator does by default."""
    turns: int = 7
    """How often each of the two writes them."""
    reviews: int = 40
    """Packaged film reviews on which the perplexities are compared."""
    review_tokens: int = 256
    """The most tokens of a review."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self.new_tokens >= 1, "new_tokens", self.new_tokens, "give at least 1")
        check(self.turns >= 1, "turns", self.turns, "give at least 1")
        check(self.reviews >= 1, "reviews", self.reviews, "give at least 1")
        check(self.review_tokens >= 2, "review_tokens", self.review_tokens, "give at least 2")


@dataclass(frozen=True, kw_only=True)
class PerplexityBenchmarkConfig(BenchmarkConfig):
    """How fast the model reads, and whether it comes to the same perplexity as the plain loop."""

    data: str
    """Text file, for example WikiText-2's test part."""
    model: str = "smollm2"
    """Language model: short name, hub name or path."""
    max_tokens: int = 32_768
    """Tokens from the beginning of the file."""
    context: int = 1024
    """Tokens of a window."""
    stride: int = 512
    """Tokens by which the window moves."""
    batch_size: int = 2
    """Windows that ours reads at once."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self.max_tokens >= 2, "max_tokens", self.max_tokens, "give at least 2")
        check(self.context >= 2, "context", self.context, "give at least 2")
        check(1 <= self.stride < self.context, "stride", self.stride, "give at least 1, and less than --context")
        check(self.batch_size >= 1, "batch_size", self.batch_size, "give at least 1")


def decode(config: DecodeConfig) -> Outcome:
    from shared.fast_decoding import perplexity_ratio
    from shared.language_model import load_language_model
    from shared.streaming import Stream

    ours = load_language_model(config.model, config.backend)
    full = load_torch_model(config.model, config.review_tokens)
    ids = full.encode(PROMPT)
    if len(ids) + config.new_tokens > full.context:
        raise UserError(f"--new_tokens {config.new_tokens}: with the prompt more than the window of {full.context}")
    reviews = [example.text for example in mix_labels(load_examples("imdb"))[: config.reviews]]
    ratio = perplexity_ratio(ours, full, reviews, config.review_tokens)

    def never_end(logits: Any, so_far: Sequence[int]) -> int:
        logits[list(ours.stop_ids)] = -math.inf  # both write all the tokens
        return int(logits.argmax())

    def by_ours() -> None:
        assert len("".join(Stream(ours.session(), ids, never_end, max_new_tokens=config.new_tokens)))

    seconds, reference_seconds = time_in_pairs(by_ours, lambda: by_generate(full, ids, config.new_tokens), config.turns)
    return Outcome(
        {
            "tokens_per_s": config.new_tokens / seconds,
            "transformers_tokens_per_s": config.new_tokens / reference_seconds,
            "times_as_fast": reference_seconds / seconds,
            "backend": ours.backend,
            "perplexity_ratio": ratio,
            "prompt_tokens": len(ids),
            "new_tokens": config.new_tokens,
            "model": config.model,
        }
    )


def by_generate(model: "TransformersModel", ids: Sequence[int], new_tokens: int) -> list[int]:
    """The new tokens of transformers' own greedy search with its cache, end tokens barred."""
    import torch
    from transformers import GenerationConfig

    settings = GenerationConfig(
        max_new_tokens=new_tokens,
        min_new_tokens=new_tokens,
        do_sample=False,
        eos_token_id=sorted(model.stop_ids),
        pad_token_id=min(model.stop_ids, default=0),
    )
    with torch.inference_mode():
        written = model.network.generate(torch.tensor([list(ids)], device=model.device), generation_config=settings)
    return written[0, len(ids) :].tolist()


def perplexity(config: PerplexityBenchmarkConfig) -> Outcome:
    model = load_torch_model(config.model, config.context)
    ids = model.encode(read_text(Path(config.data)))[: config.max_tokens]
    if len(ids) < 2:
        raise UserError(f"--data {config.data}: {len(ids)} tokens: give a longer text")
    # Ours before and after the loop, so that a machine that slows down or speeds up favours neither.
    with Timer() as timer:
        ours = [_ours(config, model, ids)]
    first_seconds = timer.seconds
    with Timer() as reference_timer:
        reference = plain_loop(model, ids, config.context, config.stride)
    with Timer() as timer:
        ours.append(_ours(config, model, ids))
    seconds = (first_seconds + timer.seconds) / 2
    score, precision = ours[0]
    return Outcome(
        {
            "perplexity": score.perplexity,
            "bits_per_byte": score.bits_per_byte,
            "tokens_per_s": score.n_scored / seconds,
            "reference_perplexity": reference,
            "reference_tokens_per_s": score.n_scored / reference_timer.seconds,
            "times_as_fast": reference_timer.seconds / seconds,
            "precision": precision,
            "n_tokens": len(ids),
            "context": config.context,
            "stride": config.stride,
            "model": config.model,
        }
    )


def _ours(config: PerplexityBenchmarkConfig, model: "TransformersModel", ids: Sequence[int]) -> tuple[Any, str]:
    """What the program does, the choice of precision included."""
    how = {"context": config.context, "stride": config.stride, "batch": config.batch_size}
    with progress_bar("ours", len(ids) - 1) as update:
        return score_in("auto", model, ids, **how, on_progress=update)


def plain_loop(model: "TransformersModel", ids: Sequence[int], context: int, stride: int) -> float:
    """The perplexity by the definition: one window at a time, all its logits, the loss of transformers' own model."""
    import torch

    text = torch.tensor([list(ids)], device=model.device)
    nats, scored, before = 0.0, 0, 0
    with progress_bar("plain loop", len(ids)) as update:
        for begin in range(0, len(ids), stride):
            end = min(begin + context, len(ids))
            read = text[:, begin:end]
            labels = read.clone()
            labels[:, : -(end - before)] = -100  # the model's loss leaves these out
            with torch.no_grad():
                loss = model.network(read, labels=labels).loss
            # As many as the loss is the mean of. (The page takes one fewer of each window, which is lost in the rest.)
            n = end - before - (before == 0)
            nats, scored, before = nats + loss.item() * n, scored + n, end
            update(end)
            if end == len(ids):
                break
    return math.exp(nats / scored)


BENCHMARKS = {
    "decode": Benchmark(DecodeConfig, decode),
    "perplexity": Benchmark(
        PerplexityBenchmarkConfig, perplexity, data="text/wikitext2/test.txt", sample={"max_tokens": 8192}
    ),
}
