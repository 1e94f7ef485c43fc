"""Continue a text with a trained model, one character at a time.

python -m transformer_from_scratch.generate --run runs/transformer_from_scratch/20261124-101500 --prompt "the film "
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from shared.config import check, parse_config
from shared.errors import run_program
from shared.logging import print_result
from shared.timing import Timer
from transformer_from_scratch.config import PROJECT, Sampling


@dataclass(frozen=True, kw_only=True)
class GenerateConfig(Sampling):
    """Continue a text with a trained model, one character at a time."""

    run: str
    """Folder of the training run."""
    prompt: str = "\n"
    """Text to continue."""
    n_tokens: int = 300
    """Characters to write."""
    seed: int | None = None
    """Give one to get the same text again."""
    use_cache: bool = True
    """Keep the keys and values of earlier characters instead of computing them anew."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self.n_tokens >= 1, "n_tokens", self.n_tokens, "give at least 1")
        check(self.prompt != "", "prompt", "''", "give at least one character to start from")


def main(argv: Sequence[str] | None = None) -> None:
    config = parse_config(GenerateConfig, argv, prog=f"python -m {PROJECT}.generate")

    import torch

    from transformer_from_scratch.checkpoint import load_model
    from transformer_from_scratch.sampling import generate_tokens

    model, tokenizer = load_model(config.run)
    prompt = torch.from_numpy(tokenizer.encode(config.prompt))
    unknown = sorted({character for character, i in zip(config.prompt, prompt, strict=True) if i == 0})
    if unknown:
        shown = " ".join(repr(character) for character in unknown)
        print(f"note: the model never saw {shown}; it reads each as an unknown character", file=sys.stderr)

    print(config.prompt, end="", flush=True)
    written = []
    with Timer() as timer:
        for token in generate_tokens(
            model, prompt, config.n_tokens, config, seed=config.seed, use_cache=config.use_cache
        ):
            written.append(tokenizer.decode([token]))
            print(written[-1], end="", flush=True)
    print()
    rate = timer.rate(len(written))
    print_result({"text": "".join(written), "tokens_per_s": rate, "seconds": timer.seconds, "seed": config.seed})


if __name__ == "__main__":
    run_program(main)
