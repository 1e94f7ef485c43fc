"""How well a model foresees a text: perplexity over a sliding window, and bits per byte.

python -m gpt_text_generation.evaluation.perplexity_calculator --file README.md
python -m gpt_text_generation.evaluation.perplexity_calculator --file FILE --model gpt2 --context 1024 --stride 512

The window moves by `stride` tokens, and of each window those tokens are scored that no window before has scored, each
with at least context - stride tokens before it: the definition of https://huggingface.co/docs/transformers/perplexity.
The first token of a text has nothing before it and is not scored.

Perplexities of models with different tokenizers cannot be compared: theirs are of different tokens. Bits per byte can.

Faster than the loop of that page: logits are computed for scored positions only, and in bf16 where the processor gains
by it and the first windows come out equal within .1 %. (The whole network in bf16, not only its products, would take a
quarter less time; on three windows of WikiText-2 it came out .07 to .12 % higher, which is too much.)
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from shared.config import check, parse_config
from shared.datasets import read_text
from shared.errors import UserError, run_program
from shared.logging import get_logger, print_result, progress_bar, setup_logging
from shared.timing import Timer

if TYPE_CHECKING:
    from shared.devices import Choice
    from shared.language_model import TransformersModel

log = get_logger(__name__)

CHECKED_WINDOWS = 2  # read in both precisions
MOST_DIFFERENCE = 0.001  # of the perplexity in bf16
ROWS_AT_ONCE = 128  # positions whose 49,152 scores are compared at once: they stay in the processor's cache


@dataclass(frozen=True, kw_only=True)
class PerplexityConfig:
    """How well a language model foresees a text file."""

    file: str
    """Text to read, in UTF-8."""
    model: str = "smollm2"
    """Language model: short name, hub name or path."""
    context: int = 1024
    """Tokens of a window."""
    stride: int = 512
    """Tokens by which the window moves: the fewer, the more context each token has, and the longer it takes."""
    batch_size: int = 2
    """Windows read at once; the result is the same."""
    max_tokens: int | None = None
    """Only so many tokens from the beginning."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """auto takes bf16 where it is faster and the first windows come out equal within .1 %."""

    def __post_init__(self) -> None:
        check(self.context >= 2, "context", self.context, "give at least 2")
        check(1 <= self.stride <= self.context, "stride", self.stride, "give at least 1, and at most --context")
        check(self.batch_size >= 1, "batch_size", self.batch_size, "give at least 1")
        check(self.max_tokens is None or self.max_tokens >= 2, "max_tokens", self.max_tokens, "give at least 2")


class Window(NamedTuple):
    """Tokens begin:end of a text, of which the last `scored` are scored."""

    begin: int
    end: int
    scored: int


class Score(NamedTuple):
    """What a text costs a model."""

    nats: float
    """Sum of the negative log-probabilities."""
    n_scored: int
    n_bytes: int
    """Of the scored tokens, as UTF-8."""

    @property
    def perplexity(self) -> float:
        return math.exp(self.nats / self.n_scored)

    @property
    def bits_per_byte(self) -> float:
        return self.nats / math.log(2) / self.n_bytes


def windows(n_tokens: int, context: int, stride: int) -> Iterator[Window]:
    """The windows over a text of so many tokens, each token but the first scored once.

    >>> list(windows(10, 4, 3))
    [Window(begin=0, end=4, scored=3), Window(begin=3, end=7, scored=3), Window(begin=6, end=10, scored=3)]
    """
    done = 1  # the first has nothing before it
    for begin in range(0, n_tokens, stride):
        end = min(begin + context, n_tokens)
        # With a stride of a whole context a window's first token has nothing before it either.
        scored = min(end - done, end - begin - 1)
        if scored > 0:
            yield Window(begin, end, scored)
        done = end
        if end == n_tokens:
            return


def score_ids(
    model: "TransformersModel",
    ids: Sequence[int],
    *,
    context: int = 1024,
    stride: int = 512,
    batch: int = 2,
    bf16: bool = False,
    on_progress: Callable[[int], None] = lambda done: None,
) -> Score:
    """The score of a text's tokens. `on_progress` hears how many are scored.

    Raises ValueError for fewer than two tokens, or a context beyond the model's window.
    """
    return _score(model, ids, list(windows(len(ids), context, stride)), batch, bf16, on_progress)


def score_in(
    precision: str,
    model: "TransformersModel",
    ids: Sequence[int],
    *,
    context: int,
    stride: int,
    batch: int,
    on_progress: Callable[[int], None] = lambda done: None,
) -> tuple[Score, str]:
    """As `score_ids`, in fp32 or bf16, or with `auto` in what `choose_bf16` says; and which of the two it was."""
    if precision == "auto":
        precision, reason = choose_bf16(model, ids, context, stride)
        log.info("computing in %s: %s", precision, reason)
    how = {"context": context, "stride": stride, "batch": batch}
    return score_ids(model, ids, **how, bf16=precision == "bf16", on_progress=on_progress), precision


def choose_bf16(model: "TransformersModel", ids: Sequence[int], context: int, stride: int) -> "Choice":
    """Whether bf16 may compute this perplexity: measured on the first windows, where the processor gains by it."""
    from shared.devices import Choice, choose_precision

    offered = choose_precision("auto", model.device, model.config.hidden_size)
    if offered.value == "fp32":
        return offered
    some = list(windows(len(ids), context, stride))[:CHECKED_WINDOWS]
    full, half = (_score(model, ids, some, 1, bf16, lambda done: None).perplexity for bf16 in (False, True))
    difference = half / full - 1
    if abs(difference) <= MOST_DIFFERENCE:
        return Choice("bf16", f"faster here, and {difference:+.3%} on the first {len(some)} windows")
    return Choice("fp32", f"bf16 would change the first {len(some)} windows by {difference:+.2%}")


def _score(
    model: "TransformersModel",
    ids: Sequence[int],
    chosen: Sequence[Window],
    batch: int,
    bf16: bool,
    on_progress: Callable[[int], None],
) -> Score:
    import torch

    if not chosen:
        raise ValueError(f"a text of {len(ids)} tokens: the first is not scored, so give at least two")
    longest = max(window.end - window.begin for window in chosen)
    if longest > model.context:
        raise ValueError(f"a context of {longest}: the model's window holds {model.context}")
    nats, n_scored = 0.0, 0
    # Within the block weights are turned to bf16 once, and not in each of its calls as under inference_mode.
    with torch.no_grad(), torch.autocast(model.device, torch.bfloat16, enabled=bf16):
        for start in range(0, len(chosen), batch):
            together = chosen[start : start + batch]
            nats += _negative_log_probability(model, ids, together)
            n_scored += sum(window.scored for window in together)
            on_progress(n_scored)
    scored = {place for window in chosen for place in range(window.end - window.scored, window.end)}
    rest = [ids[place] for place in range(chosen[-1].end) if place not in scored]
    n_bytes = len(model.decode(ids[: chosen[-1].end]).encode()) - sum(
        len(model.decode([each]).encode()) for each in rest
    )
    return Score(nats, n_scored, n_bytes)


def _negative_log_probability(model: "TransformersModel", ids: Sequence[int], together: Sequence[Window]) -> float:
    """Of the scored tokens of several windows, in nats."""
    import torch

    longest = max(window.end - window.begin for window in together)
    # A shorter window is filled up on the right, where nothing before it can see it.
    rows = [list(ids[window.begin : window.end]) for window in together]
    read = torch.tensor([row + [row[-1]] * (longest - len(row)) for row in rows], device=model.device)  # (B, T)
    first = min(len(row) - window.scored for row, window in zip(rows, together, strict=True))
    # Position t foretells token t + 1: the last position foretells nothing that is known.
    positions = torch.arange(first - 1, longest - 1, device=model.device)
    logits = model.network(read, use_cache=False, logits_to_keep=positions).logits  # (B, P, V)
    nats = 0.0
    for row, window, scores, text in zip(rows, together, logits, read, strict=True):
        begin = len(row) - window.scored - first
        wanted = scores[begin : begin + window.scored]
        targets = text[len(row) - window.scored : len(row)]
        for part, target in zip(wanted.split(ROWS_AT_ONCE), targets.split(ROWS_AT_ONCE), strict=True):
            nats += torch.nn.functional.cross_entropy(part.float(), target, reduction="sum").item()
    return nats


def measure(config: PerplexityConfig) -> dict[str, Any]:
    """The result line. Raises UserError for a file that cannot be read and a context beyond the model's window."""
    text = read_text(Path(config.file))
    model = load_torch_model(config.model, config.context)
    ids = model.encode(text)[: config.max_tokens]
    if len(ids) < 2:
        raise UserError(f"--file {config.file}: {len(ids)} tokens: the first is not scored, so give a longer text")
    how = {"context": config.context, "stride": config.stride, "batch": config.batch_size}
    with Timer() as timer:
        with progress_bar("tokens", len(ids) - 1) as update:
            score, precision = score_in(config.precision, model, ids, **how, on_progress=update)
    return {
        "perplexity": score.perplexity,
        "bits_per_byte": score.bits_per_byte,
        "n_tokens": len(ids),
        "n_bytes": score.n_bytes,
        "tokens_per_s": timer.rate(score.n_scored),
        "model": config.model,
        "context": config.context,
        "stride": config.stride,
        "precision": precision,
        "seconds": timer.seconds,
    }


def load_torch_model(name: str, context: int) -> "TransformersModel":
    """The model on its transformers engine. Raises UserError where its window holds fewer tokens than the context."""
    from shared.language_model import TransformersModel, load_language_model

    model = load_language_model(name, "transformers")
    assert isinstance(model, TransformersModel)
    if context > model.context:
        raise UserError(f"--context {context}: the window of {name} holds {model.context} tokens: give fewer")
    return model


def main(argv: Sequence[str] | None = None) -> None:
    config = parse_config(PerplexityConfig, argv, prog="python -m gpt_text_generation.evaluation.perplexity_calculator")
    setup_logging()
    print_result(measure(config))


if __name__ == "__main__":
    run_program(main)
