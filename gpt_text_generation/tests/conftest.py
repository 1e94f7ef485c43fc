"""What several tests of this project need."""

from collections.abc import Callable
from typing import Any

import pytest


@pytest.fixture(scope="session")
def every_guard() -> None:
    """Skip where this machine lacks one of the sandbox's guards."""
    from gpt_text_generation.sandbox.guards import guards

    missing = {name: why for name, why in guards().items() if why is not None}
    if missing:
        pytest.skip(f"the sandbox lacks {missing}")


class ScriptedModel:
    """A CodeModel that says what it is told to: `says` maps a part of the prompt to its continuations, greedy first."""

    name = "scripted"

    def __init__(self, says: dict[str, list[str]]) -> None:
        self.says = says
        self.asked: list[dict[str, Any]] = []

    def generate(self, prompts: list[str], **how: Any) -> list[list[str]]:
        self.asked.append({"prompts": prompts, **how})
        found = [next(texts for part, texts in self.says.items() if part in prompt) for prompt in prompts]
        if how["temperature"] == 0:
            return [[texts[0]] for texts in found]
        return [[texts[1 + number % max(1, len(texts) - 1)] for number in range(how["n"])] for texts in found]

    def mean_log_probabilities(self, prompt: str, continuations: list[str]) -> list[float]:
        return [-float(len(each)) for each in continuations]

    def chat(self, message: str) -> str:
        return f"<user>{message}<assistant>"


@pytest.fixture
def scripted() -> Callable[[dict[str, list[str]]], ScriptedModel]:
    return ScriptedModel
