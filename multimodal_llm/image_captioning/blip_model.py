"""BLIP by hub name or folder, through transformers' own classes (Li et al. 2022, arXiv 2201.12086).

A vision transformer turns the picture into a row of vectors; a text decoder attends to them while it writes. What this
file adds: sentences by beam search or nucleus sampling, with or without a beginning of your own, no run of three words
twice, and a confidence, which the model's own program does not give.

`BlipForConditionalGeneration.generate` in short: the picture is encoded once, the text starts with the decoder's own
start token and the prefix, and ends at [SEP].
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from PIL import Image
from torch import Tensor

from multimodal_llm.hub_checkpoint import find_checkpoint, load_checkpoint
from multimodal_llm.image_captioning.captioner import Caption
from shared.config import check
from shared.devices import seed_everything
from shared.errors import UserError

SUGGESTION = "small"  # what needs no hub


@dataclass(frozen=True, kw_only=True)
class BlipDecoding:
    """How BLIP writes."""

    strategy: Literal["beam", "nucleus"] = "beam"
    """beam: the likeliest sentence; nucleus: drawn from the likeliest words that hold top_p together, so it varies."""
    beams: int = 3
    top_p: float = 0.9
    max_new_tokens: int = 20
    no_repeat: int = 3
    """No run of so many tokens stands twice; 0 allows all."""
    seed: int = 0
    """Of nucleus sampling."""

    def __post_init__(self) -> None:
        check(self.beams >= 1, "beams", self.beams, "give at least 1")
        check(0 < self.top_p <= 1, "top_p", self.top_p, "give a share above 0, at most 1")
        check(self.max_new_tokens >= 1, "max_new_tokens", self.max_new_tokens, "give at least 1")

    def arguments(self) -> dict[str, Any]:
        """What `generate` is told."""
        chosen = (
            {"num_beams": self.beams, "do_sample": False}
            if self.strategy == "beam"
            else {"num_beams": 1, "do_sample": True, "top_p": self.top_p, "top_k": 0}
        )
        return {**chosen, "max_new_tokens": self.max_new_tokens, "no_repeat_ngram_size": self.no_repeat}


class BlipCaptioner:
    """A BLIP captioning checkpoint.

    >>> captioner = BlipCaptioner.load("Salesforce/blip-image-captioning-base")  # doctest: +SKIP
    >>> captioner.caption([load_image("photo.jpg")], prefix="a photo of")  # doctest: +SKIP
    """

    def __init__(self, model: Any, tokenizer: Any, pictures: Any, decoding: BlipDecoding | None = None) -> None:
        self.model, self.tokenizer, self.pictures = model.eval(), tokenizer, pictures
        self.decoding = decoding or BlipDecoding()

    @classmethod
    def load(cls, name: str, device: str = "auto", decoding: BlipDecoding | None = None) -> "BlipCaptioner":
        """From a folder or the hub. Raises UserError where there is none, or it is no BLIP captioning model."""
        from transformers import BlipForConditionalGeneration
        from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil

        folder, settings = find_checkpoint(name, SUGGESTION)
        # transformers would load another all the same, fill what is missing with noise, and write nonsense.
        found = settings.get("architectures") or ["none named"]
        if "BlipForConditionalGeneration" not in found:
            raise UserError(
                f"{name}: its model is {found[0]}, not BlipForConditionalGeneration: use small, tags, or a BLIP"
            )
        parts = load_checkpoint(name, folder, BlipForConditionalGeneration, BlipImageProcessorPil, SUGGESTION, device)
        return cls(parts.model, parts.tokenizer, parts.pictures, decoding)

    @torch.inference_mode()
    def caption(self, images: Sequence[Image.Image], prefix: str = "", batch: int = 8) -> list[Caption]:
        """A caption for each RGB picture, starting with `prefix`; the same seed gives the same captions."""
        seed_everything(self.decoding.seed)
        captions = []
        for start in range(0, len(images), batch):
            pixels = self.pictures(images=list(images[start : start + batch]), return_tensors="pt")["pixel_values"]
            captions += self._write(pixels.to(self.model.device), prefix)
        return captions

    def _write(self, pixels: Tensor, prefix: str) -> list[Caption]:
        beginning = self.tokenizer(prefix, return_tensors="pt")["input_ids"].to(pixels.device)  # [CLS] ... [SEP]
        room = self.model.config.text_config.max_position_embeddings - beginning.shape[1]
        if room < 1:
            raise UserError(
                f"--prefix {prefix:.40}: {beginning.shape[1]} tokens, more than the model reads: shorten it"
            )
        arguments = self.decoding.arguments()
        arguments["max_new_tokens"] = min(arguments["max_new_tokens"], room)
        ids = self.model.generate(pixels, input_ids=beginning.repeat(len(pixels), 1), **arguments)  # (N, L)
        confidences = self._confidence(pixels, ids, given=beginning.shape[1] - 1).tolist()
        texts = self.tokenizer.batch_decode(ids, skip_special_tokens=True)
        return [Caption(text.strip(), sure) for text, sure in zip(texts, confidences, strict=True)]

    def _confidence(self, pixels: Tensor, ids: Tensor, given: int) -> Tensor:
        """The geometric mean of the probabilities of the tokens after the first `given`, up to [SEP]: (N,).

        The model reads its own sentence once more, which serves beam search and sampling alike.
        """
        text = self.model.config.text_config
        logits = self.model(pixels, input_ids=ids, attention_mask=torch.ones_like(ids)).logits  # (N, L, V)
        logs = logits[:, :-1].float().log_softmax(-1).gather(2, ids[:, 1:, None])[..., 0]  # (N, L - 1)
        ended = (ids[:, 1:] == text.sep_token_id).cumsum(1)
        written = (ended == 0) | ((ended == 1) & (ids[:, 1:] == text.sep_token_id))  # the end itself counts
        written[:, : given - 1] = False
        return ((logs * written).sum(1) / written.sum(1).clamp(min=1)).exp()
