"""Any encoder of sentence vectors in the layout of the library sentence-transformers, from a folder or the hub.

What is read of such a folder: the transformer and its tokenizer; how token vectors become one vector
(1_Pooling/config.json); whether it is brought to length 1 (a module of type Normalize; we always do, so that the
product of two vectors is their cosine); how many tokens are read (sentence_bert_config.json); and the words that it
was trained with before questions and passages (config_sentence_transformers.json). No code of the folder is run.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from shared.errors import UserError
from shared.hub import resolve_model
from shared.text_encoder import Progress, Role

POOLING = ("cls_token", "mean_tokens", "max_tokens", "lasttoken")
# The names that published models give to these words.
PROMPT_NAMES: dict[Role, tuple[str, ...]] = {"query": ("query",), "passage": ("passage", "document", "corpus")}


class SentenceEncoder:
    """A transformer with pooling. `encode` is that of `shared.text_encoder.TextEncoder`, of its own width."""

    batch_texts = 32

    def __init__(self, name: str) -> None:
        """Load it. Raises UserError for a folder with parts that this loader does not know, naming the part."""
        from transformers import AutoModel, AutoTokenizer
        from transformers.utils import logging as transformers_logging

        from shared.devices import choose_device, choose_precision

        transformers_logging.set_verbosity_error()
        transformers_logging.disable_progress_bar()
        folder = resolve_model(name, suggestion="minilm or e5-multilingual")
        self.pooling = _pooling(name, folder)
        self.prompts = _read(folder / "config_sentence_transformers.json").get("prompts") or {}
        self.device = choose_device().value
        try:
            self.tokenizer: Any = AutoTokenizer.from_pretrained(folder)
            self.model: Any = AutoModel.from_pretrained(folder, use_safetensors=True).eval().to(self.device)
        except Exception as error:  # whatever a damaged file makes transformers raise
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise UserError(
                f"{name}: no sentence encoder ({reason}): give a folder with safetensors weights"
            ) from error
        self.width = int(self.model.config.hidden_size)
        self.precision = choose_precision("auto", self.device, self.width).value
        self.n_parameters = sum(weight.numel() for weight in self.model.parameters())
        limits = [_read(folder / "sentence_bert_config.json").get("max_seq_length"), self.tokenizer.model_max_length]
        limits.append(getattr(self.model.config, "max_position_embeddings", None))
        self.max_tokens = min(int(limit) for limit in limits if limit)
        # What a store keeps, to refuse vectors of another model: its weights and its tokenizer, by content.
        self.fingerprint = _fingerprint(folder)

    def encode(
        self, texts: Sequence[str], role: Role = "query", on_progress: Progress = lambda done: None
    ) -> np.ndarray:
        import torch

        before = next((self.prompts[name] for name in PROMPT_NAMES[role] if name in self.prompts), "")
        vectors = np.empty((len(texts), self.width), dtype=np.float32)
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))  # similar lengths need little padding
        with torch.inference_mode(), torch.autocast(self.device, torch.bfloat16, enabled=self.precision == "bf16"):
            for start in range(0, len(order), self.batch_texts):
                places = order[start : start + self.batch_texts]
                inputs = self.tokenizer(
                    [before + texts[i] for i in places],
                    truncation=True,
                    max_length=self.max_tokens,
                    padding=True,
                    return_tensors="pt",
                ).to(self.device)
                hidden = self.model(**inputs).last_hidden_state.float()  # (B, T, D)
                pooled = pool(hidden, inputs["attention_mask"], self.pooling)  # (B, D)
                vectors[places] = torch.nn.functional.normalize(pooled, dim=-1).cpu().numpy()
                on_progress(start + len(places))
        return vectors


def pool(hidden: Any, mask: Any, how: str) -> Any:
    """One vector a text (B, D) from its token vectors (B, T, D); mask (B, T) is 1 where there is a token."""
    import torch

    if how == "cls_token":
        return hidden[torch.arange(len(hidden)), mask.argmax(1)]  # the first token, also with padding on the left
    if how == "lasttoken":
        last = mask.shape[1] - 1 - mask.flip(1).argmax(1)
        return hidden[torch.arange(len(hidden)), last]
    if how == "max_tokens":
        return hidden.masked_fill(mask[..., None] == 0, float("-inf")).amax(1)
    return (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)


def _pooling(name: str, folder: Path) -> str:
    """Which of POOLING; the mean where the folder does not say. Raises UserError for parts that are not known."""
    modules = _read(folder / "modules.json") or []
    known = ("Transformer", "Pooling", "Normalize")
    other = [module["type"] for module in modules if module["type"].rsplit(".", 1)[-1] not in known]
    if other:
        raise UserError(f"{name}: has a part {other[0]}, which is not read here: choose a model of {', '.join(known)}")
    path = next((module["path"] for module in modules if module["type"].endswith("Pooling")), "1_Pooling")
    settings = _read(folder / path / "config.json")
    if "pooling_mode" in settings:  # the newer form
        chosen = [kind for kind in POOLING if kind.startswith(str(settings["pooling_mode"]))]
    else:
        chosen = [kind for kind in POOLING if settings.get(f"pooling_mode_{kind}")]
        unknown = [key for key, on in settings.items() if on is True and key.startswith("pooling_mode_")]
        chosen = chosen if len(unknown) == len(chosen) else []
        chosen = chosen if settings else ["mean_tokens"]
    if len(chosen) != 1:
        raise UserError(f"{name}: its pooling is not one of {', '.join(POOLING)}: choose another model")
    return chosen[0]


def _read(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}


def _fingerprint(folder: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted(folder.glob("*")):
        if file.suffix == ".safetensors" or file.name in ("tokenizer.json", "vocab.txt", "tokenizer.model"):
            digest.update(file.name.encode())
            with open(file, "rb") as content:
                digest.update(hashlib.file_digest(content, "sha256").digest())
    return digest.hexdigest()[:16]
