"""A causal language model by short name, hub name or path, behind one small interface, with two engines.

    model = load_language_model("smollm2")
    ids = model.encode(model.chat([{"role": "user", "content": "Name three rivers."}]))
    for piece in Stream(model.session(), ids, max_new_tokens=60):     # shared/streaming.py
        print(piece, end="", flush=True)

transformers  torch, every architecture, batches, and the network itself (`model.network`) for whoever needs more
onnx          onnxruntime-genai, weights of 4 bits, one text at a time: the faster on most CPUs (fast_decoding.py)

Which engine is the faster one is measured once on each machine and kept in the cache.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from shared.devices import choose_device, choose_precision
from shared.errors import UserError, reason_of
from shared.gguf import ordinary_folder
from shared.hub import resolve_model
from shared.logging import get_logger
from shared.streaming import Choose, Session, Stream, TextWriter, greedy

log = get_logger(__name__)

Backend = Literal["auto", "transformers", "onnx"]
Precision = Literal["fp32", "bf16", "auto"]

ROWS_AT_ONCE = 16  # of a batch, whose caches lie in memory together


def load_language_model(name: str, backend: Backend = "auto", precision: Precision = "fp32") -> "LanguageModel":
    """The model of this short name (`smollm2`), hub name, or path of a folder or GGUF file.

    `auto` takes the engine that is faster on this machine, and transformers where the other one cannot run the model;
    `model.reason` says why. `precision` is that of the transformers engine. It is fp32 unless asked otherwise, so that
    a batch writes what its texts alone would; `auto` takes bf16 where the processor gains by it.

    Raises UserError for a name that cannot be found, a folder without a causal language model, a damaged file, and for
    `onnx` where that engine cannot run the model.
    """
    folder = ordinary_folder(resolve_model(name, suggestion="smollm2"))
    if backend == "transformers":
        return TransformersModel(name, folder, "as asked", precision)
    from shared import fast_decoding

    if backend == "onnx":
        return fast_decoding.load(name, folder, "as asked")
    return fast_decoding.load_faster(name, folder, precision)


class LanguageModel(ABC):
    """Tokenizer, window and chat template, the same for both engines; a subclass adds the computing."""

    backend = "none"

    def __init__(self, name: str, folder: Path, reason: str) -> None:
        """Raises UserError where the folder holds no causal language model, as a subclass does for its weights."""
        from transformers import AutoConfig, AutoTokenizer, GenerationConfig
        from transformers.utils import logging as transformers_logging

        transformers_logging.set_verbosity_error()
        transformers_logging.disable_progress_bar()
        self.name, self.reason = name, reason
        """What it was asked for as, and why this engine runs it."""
        try:
            self.config: Any = AutoConfig.from_pretrained(folder, local_files_only=True)
            self.tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        except Exception as error:  # whatever a damaged file makes transformers raise
            raise _not_a_model(name, error) from error
        self.context: int = _window(self.config, self.tokenizer)
        """The most tokens it can read, prompt and answer together."""
        self.vocabulary: int = self.config.get_text_config().vocab_size  # of a model that sees, its reading part's
        try:
            ends = GenerationConfig.from_pretrained(folder, local_files_only=True).eos_token_id
        except OSError:
            ends = self.config.eos_token_id
        ends = ends if isinstance(ends, list) else [ends]
        self.stop_ids = frozenset(end for end in [*ends, self.tokenizer.eos_token_id] if end is not None)
        """Tokens that end an answer."""

    def encode(self, text: str, start: bool = True) -> list[int]:
        """The tokens of a text. With `start`, what the tokenizer puts before every text (of many models: nothing)."""
        bos = self.tokenizer.bos_token
        # A chat template writes the first token itself.
        special = start and not (bos and text.startswith(bos))
        return self.tokenizer(text, add_special_tokens=special)["input_ids"]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of these tokens, without end tokens and the like."""
        return self.tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)

    def chat(self, messages: Sequence[dict[str, str]]) -> str:
        """Messages (`role`, `content`) in the model's own template, up to where its answer begins.

        Raises UserError for a model without one: it was only trained to continue texts.
        """
        if self.tokenizer.chat_template is None:
            raise UserError(f"{self.name}: it has no chat template, it only continues texts: use smollm2, or no chat")
        return self.tokenizer.apply_chat_template(list(messages), add_generation_prompt=True, tokenize=False)

    @abstractmethod
    def session(self) -> Session:
        """A text to write. Sessions of one model do not disturb each other, but only one thread may use each."""

    def log_probabilities(self, before: Sequence[int], after: Sequence[int]) -> np.ndarray:
        """How likely the model takes each token of `after` to be, following `before`: (len(after),), natural logarithm.

        Raises ValueError where `before` is empty, or both together are more than the window holds.
        """
        if not len(before):
            raise ValueError("nothing before the tokens: the first one needs something to follow")
        logits = self.session().last_logits([*before, *after], len(after) + 1)[:-1].astype(np.float64)  # (T, V)
        logits -= logits.max(axis=1, keepdims=True)
        chosen = logits[np.arange(len(after)), list(after)]
        return chosen - np.log(np.exp(logits).sum(axis=1))

    def generate_batch(
        self,
        prompts: Sequence[str],
        choose: Choose | Sequence[Choose] = greedy,
        *,
        max_new_tokens: int = 256,
        stop: Sequence[str] = (),
    ) -> list[str]:
        """What follows each prompt; `choose` is one function for all or one for each.

        The texts are those that a Stream of each prompt alone would give. Raises ValueError where a prompt leaves no
        room in the window.
        """
        texts = []
        session = self.session()
        for prompt, own in zip(prompts, _one_each(choose, len(prompts)), strict=True):
            stream = Stream(session, self.encode(prompt), own, max_new_tokens=max_new_tokens, stop=stop)
            texts.append("".join(stream))
        return texts


class TransformersModel(LanguageModel):
    """By torch. `network` is transformers' model itself, in evaluation mode on `device`."""

    backend = "transformers"

    def __init__(self, name: str, folder: Path, reason: str, precision: Precision = "fp32") -> None:
        import torch
        from transformers import AutoModelForCausalLM

        super().__init__(name, folder, reason)
        self.device = choose_device().value
        self.precision = choose_precision(precision, self.device, self.config.hidden_size).value
        dtype = torch.bfloat16 if self.precision == "bf16" else torch.float32
        try:
            # Named as safetensors, so that nothing is unpickled.
            network: Any
            network, found = AutoModelForCausalLM.from_pretrained(
                folder, dtype=dtype, use_safetensors=True, local_files_only=True, output_loading_info=True
            )
            if missing := sorted(found["missing_keys"]):  # an encoder's folder: transformers fills in random numbers
                raise ValueError(f"it lacks weights such as {missing[0]}")
        except Exception as error:  # of transformers, safetensors or torch: whatever a damaged file leads to
            raise _not_a_model(name, error) from error
        self.network = network.to(self.device).eval()

    def session(self) -> "TransformersSession":
        return TransformersSession(self)

    def generate_batch(
        self,
        prompts: Sequence[str],
        choose: Choose | Sequence[Choose] = greedy,
        *,
        max_new_tokens: int = 256,
        stop: Sequence[str] = (),
    ) -> list[str]:
        """As the base class says, many rows at a time. In bf16 a near tie may fall differently than alone."""
        chosen = _one_each(choose, len(prompts))
        rows = [self.encode(prompt) for prompt in prompts]
        for row in rows:
            if not 0 < len(row) < self.context:
                raise ValueError(f"a prompt of {len(row)} tokens: give at least 1, and fewer than {self.context}")
        texts = [""] * len(rows)
        # Rows of like length stand together, so that little is padded.
        order = sorted(range(len(rows)), key=lambda row: len(rows[row]))
        for start in range(0, len(order), ROWS_AT_ONCE):
            places = order[start : start + ROWS_AT_ONCE]
            batch = _Batch(self, [rows[i] for i in places], [chosen[i] for i in places], stop)
            for place, text in zip(places, batch.run(max_new_tokens), strict=True):
                texts[place] = text
        return texts


class TransformersSession:
    """A key-value cache, cut back to what the next text shares with the last one."""

    def __init__(self, model: TransformersModel) -> None:
        self.model = model
        self._seen: list[int] = []
        self._cache: Any = None

    def next_logits(self, ids: Sequence[int]) -> np.ndarray:
        return self.last_logits(ids, 1)[0]

    def last_logits(self, ids: Sequence[int], n: int) -> np.ndarray:
        import torch

        ids = list(ids)
        check_length(ids, n, self.model.context)
        kept = self._cut_back(ids, n)
        self._seen = []  # until the model has read the new ones, an error leaves the cache in an unknown state
        with torch.inference_mode():
            logits = self.model.network(
                input_ids=torch.tensor([ids[kept:]], device=self.model.device),
                past_key_values=self._cache,
                use_cache=True,
                logits_to_keep=n,
            ).logits  # (1, n, V)
        self._seen = ids
        return logits[0].float().cpu().numpy()

    def _cut_back(self, ids: list[int], n: int) -> int:
        """How many of `ids` stay in the cache: the last `n` are read anew, for their logits."""
        from transformers import DynamicCache

        kept = min(common_beginning(self._seen, ids), len(ids) - n)
        if self._cache is not None and 0 < kept < len(self._seen) and self._cache.is_croppable:
            self._cache.crop(kept - len(self._seen))
        elif kept < len(self._seen) or kept == 0:
            self._cache, kept = DynamicCache(config=self.model.network.config), 0
        return kept


class Rows:
    """Texts side by side in one cache, a row each, padded on the left: a step for all of them costs little more.

    Letters in shapes: B rows, T tokens of the longest, V vocabulary, D width.
    """

    def __init__(self, model: TransformersModel, with_states: bool = False) -> None:
        """With `with_states`, `states` (B, T, D) are the last hidden states of the tokens that were read last."""
        import inspect

        self.model, self.with_states = model, with_states
        self.states: Any = None
        self._placed = "position_ids" in inspect.signature(model.network.forward).parameters
        self._cache: Any = None
        self._padding: Any = None  # (B,) places before each row's first token
        self._length = 0

    def read(self, texts: Sequence[Sequence[int]]) -> Any:
        """Read these texts in place of what there was; a tensor of the logits (B, V) in fp32 after each."""
        import torch
        from transformers import DynamicCache

        self._cache = DynamicCache(config=self.model.network.config)
        longest, pad = max(map(len, texts)), self.model.tokenizer.pad_token_id or 0
        gaps = [longest - len(text) for text in texts]
        self._padding = torch.tensor(gaps, device=self.model.device)
        self._length = 0
        return self._run([[pad] * gap + list(text) for gap, text in zip(gaps, texts, strict=True)])

    def go_on(self, parents: Sequence[int], tokens: Sequence[int]) -> Any:
        """Row i becomes what stood in row `parents[i]`, and one token more; the logits (B, V) in fp32 after each."""
        import torch

        if list(parents) != list(range(len(self._padding))):
            kept = torch.tensor(parents, device=self.model.device)
            with torch.inference_mode():
                self._cache.batch_select_indices(kept)
            self._padding = self._padding[kept]
        return self._run([[token] for token in tokens])

    def _run(self, ids: list[list[int]]) -> Any:
        import torch

        new = torch.tensor(ids, device=self.model.device)  # (B, T)
        self._length += new.shape[1]
        mask = torch.arange(self._length, device=self.model.device)[None, :] >= self._padding[:, None]  # (B, all T)
        named: dict[str, Any] = {"attention_mask": mask.long()}
        if self._placed:
            named["position_ids"] = (mask.cumsum(-1) - 1).clamp(min=0)[:, -new.shape[1] :]
        if self.with_states:
            named["output_hidden_states"] = True
        with torch.inference_mode():
            out = self.model.network(new, past_key_values=self._cache, use_cache=True, logits_to_keep=1, **named)
            self.states = out.hidden_states[-1].float() if self.with_states else None
            return out.logits[:, -1].float()


class _Batch:
    """Several texts written together; a finished one leaves the batch."""

    def __init__(
        self, model: TransformersModel, prompts: Sequence[list[int]], choose: Sequence[Choose], stop: Sequence[str]
    ) -> None:
        self.model, self.choose = model, choose
        self.ids = [list(prompt) for prompt in prompts]
        self.texts = [""] * len(prompts)
        self.writers = [TextWriter(model.decode, prompt, stop) for prompt in prompts]

    def run(self, max_new_tokens: int) -> list[str]:
        rows, live, going = Rows(self.model), list(range(len(self.ids))), []
        for step in range(max_new_tokens):
            logits = rows.go_on(going, [self.ids[row][-1] for row in live]) if step else rows.read(self.ids)
            scores = logits.cpu().numpy()  # (B, V)
            going = [place for place, row in enumerate(live) if self._write(row, scores[place])]
            if not going:
                break
            live = [live[place] for place in going]
        return [text + writer.rest() for text, writer in zip(self.texts, self.writers, strict=True)]

    def _write(self, row: int, scores: np.ndarray) -> bool:
        """Whether the row goes on after its next token."""
        token = self.choose[row](scores, self.ids[row])
        self.ids[row].append(token)
        if token in self.model.stop_ids:
            return False
        self.texts[row] += self.writers[row].add(token)
        return not self.writers[row].stopped and len(self.ids[row]) < self.model.context


def check_length(ids: Sequence[int], n: int, context: int) -> None:
    """Raise ValueError where there are no ids, more than the window holds, or fewer than the `n` asked for."""
    if not 0 < n <= len(ids) <= context:
        raise ValueError(f"logits of the last {n} of {len(ids)} tokens: give 1 to {context} tokens, and n up to that")


def common_beginning(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens two texts share at their beginning."""
    shortest = min(len(one), len(other))
    if one[:shortest] == other[:shortest]:
        return shortest
    return next(place for place in range(shortest) if one[place] != other[place])


def _one_each(choose: Choose | Sequence[Choose], n: int) -> list[Choose]:
    return [choose] * n if callable(choose) else list(choose)


def _window(config: Any, tokenizer: Any) -> int:
    """The trained positions; of a model without any, what the tokenizer says, else 2,048."""
    if window := getattr(config, "max_position_embeddings", None):
        return window
    return tokenizer.model_max_length if tokenizer.model_max_length < 1e9 else 2048


def _not_a_model(name: str, error: Exception) -> UserError:
    reason = reason_of(error)
    return UserError(f"{name}: no causal language model can be loaded from it ({reason}): use for example smollm2")
