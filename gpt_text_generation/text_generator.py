"""Continue a text, or answer a request, with any causal language model and any of nine decoding strategies.

python -m gpt_text_generation.text_generator --prompt "The lighthouse keeper had not spoken for"
python -m gpt_text_generation.text_generator --prompt "Once upon a time" --strategy sampling --temperature 0.9 --seed 7
python -m gpt_text_generation.text_generator --prompt "Name three rivers." --chat --strategy greedy
python -m gpt_text_generation.text_generator --prompt "The sea" --model gpt2 --strategy beam_search --stop "."
python -m gpt_text_generation.text_generator --prompt "The sea" --endpoint http://localhost:8080/v1 --model local

The text comes as it is written; Ctrl-C ends it and keeps what there is. Strategies are in decoding.py and search.py. A
server (`--endpoint`) chooses the tokens itself, with the settings it is sent; those beyond temperature and top_p are
not part of the protocol, and servers differ in which they know.
"""

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from gpt_text_generation.decoding import ALLOWED, Settings, chooser, dry_breakers, settings_for
from shared.config import check, parse_config
from shared.errors import UserError, run_program
from shared.files import write_text
from shared.interrupt import StopRequest
from shared.logging import print_result, setup_logging
from shared.timing import Timer

if TYPE_CHECKING:
    from shared.language_model import LanguageModel
    from shared.streaming import Stream

SEARCHES = ("beam_search", "contrastive")  # need more of a model than logits
SEARCHED_AT_ONCE = 8  # texts; each takes several rows of the cache


@dataclass(frozen=True, kw_only=True)
class TextConfig:
    """Continue a text, or answer a request, with a language model."""

    prompt: str
    """The beginning of the text, or with --chat the request."""
    strategy: str = "nucleus"
    """greedy, beam_search, sampling, nucleus, min_p, typical, contrastive, dry or mirostat."""
    model: str = "smollm2"
    """Language model: short name, hub name or path; with --endpoint, the name that the server knows it by."""
    backend: Literal["auto", "transformers", "onnx"] = "auto"
    """What runs the model; auto takes what is faster on this machine."""
    chat: bool = False
    """Put the prompt into the model's chat template, so that it is answered rather than continued."""
    max_new_tokens: int = 200
    """The longest that the text may become; a token is three quarters of a word or so."""
    stop: str | list[str] | None = None
    """End before this text, or before the first of several: '["\\n\\n", "The end"]'."""
    seed: int = 0
    """Seed of the draws: the same one gives the same text."""
    output: str | None = None
    """File for the text too."""
    endpoint: str | None = None
    """Address of a server that speaks OpenAI's protocol, in place of a model here."""
    timeout_s: float = 60.0
    """Of the server: how long it may be silent."""
    temperature: float | None = None
    """Above 1 flatter, below 1 steeper than the model's own probabilities."""
    top_k: int | None = None
    """Draw from so many likeliest tokens; of contrastive search, the number of candidates."""
    top_p: float | None = None
    """Draw from the likeliest tokens that have this probability together."""
    min_p: float | None = None
    """Draw from tokens with at least this share of the likeliest one's probability."""
    typical_p: float | None = None
    """Draw from the tokens of nearly the expected surprise that have this probability together."""
    repetition_penalty: float | None = None
    """Above 1, tokens that the text has already become less likely."""
    dry_multiplier: float | None = None
    """Strength of the penalty for prolonging a repetition."""
    dry_base: float | None = None
    """How fast that penalty grows with the repetition's length."""
    dry_allowed_length: int | None = None
    """Repetitions of fewer tokens are not penalised."""
    mirostat_tau: float | None = None
    """The surprise to hold, in bits a token."""
    mirostat_eta: float | None = None
    """How fast mirostat corrects itself."""
    num_beams: int | None = None
    """Beginnings that beam search keeps."""
    early_stopping: bool | None = None
    """End beam search as soon as there are num_beams finished texts."""
    length_penalty: float | None = None
    """Above 0, beam search favours longer texts."""
    penalty_alpha: float | None = None
    """Weight of being unlike the text before, in contrastive search."""

    def __post_init__(self) -> None:
        check(bool(self.prompt.strip()), "prompt", repr(self.prompt), "give some text to begin with")
        check(self.max_new_tokens >= 1, "max_new_tokens", self.max_new_tokens, "give at least 1")
        check(all(self.stops), "stop", repr(self.stop), "an empty text would stop at once: leave it out")
        check(self.timeout_s > 0, "timeout_s", self.timeout_s, "give a number of seconds above 0")
        searches = self.settings.strategy in SEARCHES
        check(
            not (self.backend == "onnx" and searches),
            "backend",
            self.backend,
            f"{self.strategy} needs more than logits: use --backend transformers",
        )
        if self.endpoint is not None:
            check(not searches, "endpoint", self.endpoint, f"a server gives no logits, which {self.strategy} needs")
            check(self.backend == "auto", "backend", self.backend, "it has no meaning with --endpoint: leave it out")

    @property
    def stops(self) -> tuple[str, ...]:
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())

    @property
    def settings(self) -> Settings:
        """The strategy with its numbers. Raises ValueError where they contradict each other."""
        return settings_for(self.strategy, **{name: getattr(self, name) for name in set().union(*ALLOWED.values())})


def write(
    model: "LanguageModel",
    prompt_ids: Sequence[int],
    settings: Settings,
    *,
    max_new_tokens: int,
    stop: Sequence[str] = (),
    seed: int = 0,
    cancelled: Callable[[], bool] = lambda: False,
    session: Any = None,
) -> "Stream":
    """The text that a strategy writes after a prompt, as a Stream to iterate over.

    A `session` of the model that has read the beginning of the prompt before saves reading it again. Raises UserError
    for beam search and contrastive search on an engine other than transformers, and ValueError for a prompt that leaves
    no room in the window.
    """
    from shared.streaming import Stream, greedy

    how: dict[str, Any] = {"max_new_tokens": max_new_tokens, "stop": stop, "cancelled": cancelled}
    if settings.strategy not in SEARCHES:
        breakers = dry_breakers(model.encode) if settings.dry_multiplier else frozenset()
        return Stream(session or model.session(), prompt_ids, chooser(settings, seed, breakers), **how)
    from gpt_text_generation.search import BeamSearch, ContrastiveSearch

    if settings.strategy == "contrastive":
        contrastive: Any = ContrastiveSearch(model, settings)  # takes the place of a session
        return Stream(contrastive, prompt_ids, greedy, **how)
    search: Any = BeamSearch(model, settings, max_new_tokens=max_new_tokens, cancelled=cancelled)
    # What a search has found when it is cancelled is handed out whole.
    return Stream(search, prompt_ids, greedy, **{**how, "cancelled": lambda: cancelled() and not search.has_more})


def write_all(
    model: "LanguageModel", prompts: Sequence[str], settings: Settings, *, max_new_tokens: int, seeds: Sequence[Any]
) -> list[str]:
    """The text that a strategy writes after each prompt, with a seed for each: what `write` gives, in shared steps.

    Raises UserError and ValueError as `write` does.
    """
    if settings.strategy not in SEARCHES:
        breakers = dry_breakers(model.encode) if settings.dry_multiplier else frozenset()
        choose = [chooser(settings, seed, breakers) for seed in seeds]
        return model.generate_batch(prompts, choose, max_new_tokens=max_new_tokens)
    from gpt_text_generation.search import BeamSearch, ContrastiveSearch
    from shared.streaming import TextWriter

    ids = [model.encode(prompt) for prompt in prompts]
    for row in ids:
        if not 0 < len(row) < model.context:
            raise ValueError(f"a prompt of {len(row)} tokens: give at least 1, and fewer than {model.context}")
    found: list[list[int]] = []
    for start in range(0, len(ids), SEARCHED_AT_ONCE):
        together = ids[start : start + SEARCHED_AT_ONCE]
        if settings.strategy == "contrastive":
            found += ContrastiveSearch(model, settings).search(together, max_new_tokens)
        else:
            found += BeamSearch(model, settings, max_new_tokens=max_new_tokens).search(together)
    texts = []
    for prompt_ids, new in zip(ids, found, strict=True):
        writer = TextWriter(model.decode, prompt_ids, ())
        texts.append("".join(writer.add(token) for token in new if token not in model.stop_ids) + writer.rest())
    return texts


def generate_text(config: TextConfig, show: Callable[[str], None] = lambda piece: None) -> dict[str, Any]:
    """The text with how it came about; `show` gets each piece at once.

    Raises UserError for a model that cannot be loaded, a prompt too long for its window, and a dead or slow server.
    """
    from shared.streaming import Stream

    with StopRequest() as stopping:
        pieces, about = (_from_server if config.endpoint else _from_model)(config, lambda: stopping.requested)
        text = ""
        with Timer() as timer:
            for piece in pieces:
                text += piece
                show(piece)
    about = {"text": text, "strategy": config.strategy, "model": config.model, "seed": config.seed, **about}
    about |= {"ended_by": "cancelled" if stopping.requested else "server"}
    if isinstance(pieces, Stream):
        n = len(pieces.ids)
        about |= {"ended_by": pieces.reason, "new_tokens": n, "tokens_per_s": timer.rate(n)}
    return {**about, "seconds": timer.seconds}


def _from_model(config: TextConfig, cancelled: Callable[[], bool]) -> tuple[Iterable[str], dict[str, Any]]:
    from shared.language_model import load_language_model

    backend = "transformers" if config.strategy in SEARCHES else config.backend
    model = load_language_model(config.model, backend)
    prompt = model.chat([{"role": "user", "content": config.prompt}]) if config.chat else config.prompt
    ids = model.encode(prompt)
    if len(ids) >= model.context:
        raise UserError(
            f"--prompt: {len(ids)} tokens, and the window of {config.model} holds {model.context} with the answer: "
            "shorten it, or choose a model with a larger window"
        )
    how: dict[str, Any] = {"max_new_tokens": config.max_new_tokens, "stop": config.stops, "seed": config.seed}
    stream = write(model, ids, config.settings, **how, cancelled=cancelled)
    return stream, {"backend": model.backend, "prompt_tokens": len(ids)}


def _from_server(config: TextConfig, cancelled: Callable[[], bool]) -> tuple[Iterable[str], dict[str, Any]]:
    from shared.endpoint import Endpoint

    # A server may refuse what it does not know, so it hears only of what changes something.
    neutral, asked = Settings(config.strategy), config.settings
    changed = {name for name in ALLOWED[config.strategy] if getattr(asked, name) != getattr(neutral, name)}
    sampling = {name: getattr(asked, name) for name in sorted(changed)}
    sampling["temperature"] = 0.0 if config.strategy == "greedy" else asked.temperature
    pieces = Endpoint(config.endpoint or "", config.model, config.timeout_s).stream(
        [{"role": "user", "content": config.prompt}] if config.chat else config.prompt,
        max_new_tokens=config.max_new_tokens,
        stop=config.stops,
        cancelled=cancelled,
        seed=config.seed,
        **sampling,
    )
    return pieces, {"backend": "endpoint"}


def main(argv: Sequence[str] | None = None) -> None:
    config = parse_config(TextConfig, argv, prog="python -m gpt_text_generation.text_generator")
    setup_logging()
    shown: list[str] = []

    def show(piece: str) -> None:
        shown.append(piece)
        sys.stdout.write(piece)
        sys.stdout.flush()

    try:
        result = generate_text(config, show)
    finally:
        # Whatever ends it, the text so far is complete on its line and in its file.
        if shown:
            sys.stdout.write("\n")
        if config.output is not None and shown:
            write_text(Path(config.output), "".join(shown))
    print_result({**result, "output": config.output})


if __name__ == "__main__":
    run_program(main)
