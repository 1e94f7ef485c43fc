"""The language model that writes code: what the generator needs of one, and one by transformers."""

from pathlib import Path
from typing import Any, Protocol

from shared.errors import UserError
from shared.gguf import ordinary_folder
from shared.hub import resolve_model
from shared.logging import get_logger

log = get_logger(__name__)


class CodeModel(Protocol):
    """What writes. A class of another engine needs no more than this."""

    name: str

    def generate(
        self,
        prompts: list[str],
        *,
        max_new_tokens: int,
        temperature: float,
        n: int,
        stop: tuple[str, ...],
        seed: int,
    ) -> list[list[str]]:
        """`n` continuations of each prompt, each ending with a stop or before it; temperature 0 is greedy."""

    def mean_log_probabilities(self, prompt: str, continuations: list[str]) -> list[float]:
        """How likely the model itself takes each continuation to be: the mean over its tokens, natural logarithm."""

    def chat(self, message: str) -> str:
        """The message in the model's chat template, up to where its answer begins."""


class TransformersModel:
    """A causal language model by short name, hub name or path."""

    def __init__(self, name: str = "smollm2") -> None:
        import torch
        from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
        from transformers.utils import logging as transformers_logging

        from shared.devices import choose_device, choose_precision

        transformers_logging.set_verbosity_error()
        transformers_logging.disable_progress_bar()
        folder: Path = ordinary_folder(resolve_model(name, suggestion="smollm2"))
        self.name = name
        self._device = choose_device().value
        self._tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
        if self._tokenizer.pad_token_id is None:
            self._tokenizer.pad_token = self._tokenizer.eos_token
        precision = choose_precision("auto", self._device, AutoConfig.from_pretrained(folder).hidden_size)
        log.info("%s in %s: %s", name, precision.value, precision.reason)
        dtype = torch.bfloat16 if precision.value == "bf16" else torch.float32
        self._model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).to(self._device).eval()

    def generate(
        self,
        prompts: list[str],
        *,
        max_new_tokens: int,
        temperature: float,
        n: int,
        stop: tuple[str, ...],
        seed: int,
    ) -> list[list[str]]:
        import torch
        from transformers import GenerationConfig

        read = self._read(prompts)
        how: dict[str, Any] = {"do_sample": temperature > 0, "num_return_sequences": n}
        if temperature > 0:
            how |= {"temperature": temperature, "top_k": 0, "top_p": 1.0}
        settings = GenerationConfig(
            max_new_tokens=max_new_tokens,
            pad_token_id=self._tokenizer.pad_token_id,
            eos_token_id=self._tokenizer.eos_token_id,
            stop_strings=list(stop) or None,
            **how,
        )
        torch.manual_seed(seed)
        with torch.inference_mode():
            written = self._model.generate(**read, generation_config=settings, tokenizer=self._tokenizer)
        texts = self._tokenizer.batch_decode(written[:, read["input_ids"].shape[1] :], skip_special_tokens=True)
        return [texts[start : start + n] for start in range(0, len(texts), n)]

    def mean_log_probabilities(self, prompt: str, continuations: list[str]) -> list[float]:
        import torch

        before = self._read([prompt])["input_ids"][0]
        means = []
        with torch.inference_mode():
            for continuation in continuations:
                after = self._read([continuation])["input_ids"][0]
                if not len(after):
                    means.append(float("-inf"))
                    continue
                logits = self._model(torch.cat([before, after])[None, :]).logits[0, len(before) - 1 : -1]  # (T, V)
                chosen = logits.float().log_softmax(-1).gather(1, after[:, None])  # (T, 1)
                means.append(chosen.mean().item())
        return means

    def chat(self, message: str) -> str:
        if self._tokenizer.chat_template is None:
            raise UserError(f"{self.name}: it has no chat template, it only continues texts: use --style completion")
        messages = [{"role": "user", "content": message}]
        return self._tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)

    def _read(self, texts: list[str]) -> Any:
        # The chat template writes the special tokens itself.
        return self._tokenizer(texts, return_tensors="pt", padding=True, add_special_tokens=False).to(self._device)
