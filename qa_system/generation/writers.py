"""What writes an answer to a prompt: a language model on this machine, or a server that speaks OpenAI's protocol."""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache

from qa_system.retrieval.text_analysis import is_han
from shared.endpoint import Endpoint
from shared.errors import UserError
from shared.language_model import load_language_model
from shared.streaming import Stream

Messages = Sequence[dict[str, str]]
Stop = Callable[[], bool]


@lru_cache(maxsize=2)
def load_writer(generator: str, model: str) -> "LocalWriter | ServerWriter":
    """The writer of this name. Raises UserError where there is none."""
    if generator.startswith(("http://", "https://")):
        return ServerWriter(generator, model)
    return LocalWriter(generator)


class LocalWriter:
    """By `shared.language_model`, with the faster of its engines."""

    def __init__(self, name: str) -> None:
        self.model = load_language_model(name)

    def count(self, text: str) -> int:
        return len(self.model.encode(text, start=False))

    def write(self, messages: Messages, most: int, stop: Stop) -> Iterator[str]:
        """The pieces of the answer. Where the prompt is longer than the window, its beginning is cut off.

        Raises UserError where the answer alone would fill the window.
        """
        room = self.model.context - most
        if room < 1:
            raise UserError(
                f"--max_new_tokens {most}: leaves no room for a question in the window of {self.model.context}: "
                "give fewer"
            )
        ids = self.model.encode(self.model.chat(messages))[-room:]
        yield from Stream(self.model.session(), ids, max_new_tokens=most, cancelled=stop)


class ServerWriter:
    """By an OpenAI-compatible server."""

    def __init__(self, url: str, model: str) -> None:
        self.endpoint = Endpoint(url, model=model)

    def count(self, text: str) -> int:
        """An estimate from above: its tokenizer is not known here."""
        return len(text) if is_han(text) else -(-len(text) // 3)

    def write(self, messages: Messages, most: int, stop: Stop) -> Iterator[str]:
        yield from self.endpoint.stream(messages, max_new_tokens=most, cancelled=stop, temperature=0)
