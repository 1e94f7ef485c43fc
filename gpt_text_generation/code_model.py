"""The language model as the code generator uses it: several continuations of a prompt, and how likely each is."""

from collections.abc import Sequence
from zlib import crc32

from gpt_text_generation.decoding import chooser, settings_for
from shared.errors import UserError
from shared.language_model import LanguageModel, load_language_model


def load_code_model(name: str) -> "CodeModel":
    """A causal language model by short name, hub name or path.

    It runs on transformers, which writes many tries at once, in bf16 where that is faster: between near equal tokens of
    a program either may be right.
    """
    return CodeModel(load_language_model(name, "transformers", precision="auto"))


class CodeModel:
    """What the generator needs of a language model."""

    def __init__(self, model: LanguageModel) -> None:
        self.name, self._model = model.name, model

    def generate(
        self, prompts: Sequence[str], *, max_new_tokens: int, temperature: float, n: int, stop: Sequence[str], seed: int
    ) -> list[list[str]]:
        """`n` continuations of each prompt, each ending before a stop; temperature 0 is greedy.

        Raises UserError for a prompt that leaves no room in the model's window.
        """
        longest = max(len(self._model.encode(prompt)) for prompt in prompts)
        if longest >= self._model.context:
            raise UserError(
                f"{self.name}: a request of {longest} tokens, and its window holds {self._model.context} with the "
                "answer: shorten it, or choose a model with a larger window"
            )
        settings = settings_for("greedy")
        if temperature > 0:
            settings = settings_for("sampling", temperature=temperature, top_k=0)
        # A try follows from its own seed, whatever stands beside it in the batch.
        draws = [chooser(settings, (seed, number, crc32(prompt.encode()))) for prompt in prompts for number in range(n)]
        rows = [prompt for prompt in prompts for _ in range(n)]
        texts = self._model.generate_batch(rows, draws, max_new_tokens=max_new_tokens, stop=stop)
        return [texts[start : start + n] for start in range(0, len(texts), n)]

    def mean_log_probabilities(self, prompt: str, continuations: Sequence[str]) -> list[float]:
        """How likely the model itself takes each continuation to be: the mean over its tokens, natural logarithm."""
        before = self._model.encode(prompt)
        rows = [self._model.encode(continuation, start=False) for continuation in continuations]
        return [float(self._model.log_probabilities(before, row).mean()) if row else float("-inf") for row in rows]

    def chat(self, message: str) -> str:
        """The message in the model's chat template, up to where its answer begins. Raises UserError for one without."""
        try:
            return self._model.chat([{"role": "user", "content": message}])
        except UserError as error:
            raise UserError(f"{error}; here: --style completion") from error
