"""CLIP and SigLIP by hub name or folder, through transformers' own classes.

CLIP (Radford et al. 2021, arXiv 2103.00020) and SigLIP (Zhai et al. 2023, arXiv 2303.15343) bring a picture and a text
into one space by two transformers. They differ in what a cosine means: CLIP's are compared with those of the other
labels (softmax), SigLIP's each says on its own how well a label fits (sigmoid).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

from multimodal_llm.hub_checkpoint import find_checkpoint, load_checkpoint
from shared.errors import UserError

SUGGESTION = "conse"  # what needs no hub
TEMPLATES = {
    "clip": ("a photo of a {}.", "a picture of a {}.", "a close-up photo of a {}.", "a photo of many {}."),
    "siglip": ("This is a photo of {}.",),
}
"""Texts around a label, whose vectors' mean stands for it (CLIP, section 3.1.4); SigLIP's as its model card has it."""
SIGLIP_TOKENS = 64  # SigLIP was trained on texts padded to this length, and reads others worse


class ClipModel:
    """A CLIP or SigLIP checkpoint.

    >>> clip = ClipModel.load("openai/clip-vit-base-patch32")  # doctest: +SKIP
    >>> clip.encode_images([load_image("photo.jpg")]) @ clip.encode_texts(["a cat"]).T  # doctest: +SKIP
    """

    def __init__(self, name: str, model: Any, tokenizer: Any, pictures: Any) -> None:
        self.name, self.model, self.tokenizer, self.pictures = name, model.eval(), tokenizer, pictures
        self.kind = "siglip" if model.config.model_type.startswith("siglip") else "clip"
        text = model.config.text_config
        self.max_tokens = text.max_position_embeddings
        self.width = getattr(model.config, "projection_dim", None) or text.hidden_size
        if self.kind == "siglip":
            self.width = getattr(text, "projection_size", None) or text.hidden_size
        self.scale = float(model.logit_scale.detach().exp())
        self.bias = float(model.logit_bias.detach()) if self.kind == "siglip" else 0.0

    @classmethod
    def load(cls, name: str, device: str = "auto") -> "ClipModel":
        """From a folder or the hub. Raises UserError where there is none, or it is neither CLIP nor SigLIP."""
        from transformers import CLIPModel, SiglipModel
        from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
        from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

        classes = {"clip": (CLIPModel, CLIPImageProcessorPil), "siglip": (SiglipModel, SiglipImageProcessorPil)}
        folder, settings = find_checkpoint(name, SUGGESTION)
        kind = settings.get("model_type")
        if kind not in classes:
            raise UserError(f"{name}: its model is {kind}, neither clip nor siglip: give another, or {SUGGESTION}")
        parts = load_checkpoint(name, folder, *classes[kind], SUGGESTION, device)
        return cls(name, parts.model, parts.tokenizer, parts.pictures)

    @property
    def fingerprint(self) -> str:
        """What tells its vectors from those of other checkpoints: some of the weights."""
        import hashlib

        digest = hashlib.sha256()
        for weight in self.model.parameters():  # the first alone is the temperature, which most checkpoints share
            digest.update(weight.detach().flatten()[:1000].float().cpu().numpy().tobytes())
        return digest.hexdigest()[:16]

    @torch.inference_mode()
    def encode_images(self, images: Sequence[Image.Image], batch: int = 16) -> np.ndarray:
        """Vectors (N, width) of length 1 of RGB pictures."""
        vectors = []
        for start in range(0, len(images), batch):
            pixels = self.pictures(images=list(images[start : start + batch]), return_tensors="pt")["pixel_values"]
            vectors.append(_unit(self.model.get_image_features(pixel_values=pixels.to(self.model.device))))
        return np.concatenate(vectors)

    @torch.inference_mode()
    def encode_texts(self, texts: Sequence[str], batch: int = 64) -> np.ndarray:
        """Vectors (N, width) of length 1; what lies beyond the model's window is not read."""
        fixed = {"padding": "max_length", "max_length": min(SIGLIP_TOKENS, self.max_tokens)}
        padded = fixed if self.kind == "siglip" else {"padding": True, "max_length": self.max_tokens}
        vectors = []
        for start in range(0, len(texts), batch):
            tokens = self.tokenizer(list(texts[start : start + batch]), truncation=True, return_tensors="pt", **padded)
            wanted = {name: tokens[name].to(self.model.device) for name in ("input_ids", "attention_mask")}
            if self.kind == "siglip":
                del wanted["attention_mask"]  # SigLIP was trained to read the padding too
            vectors.append(_unit(self.model.get_text_features(**wanted)))
        return np.concatenate(vectors) if vectors else np.empty((0, self.width), dtype=np.float32)


def _unit(output: Any) -> np.ndarray:
    vectors = output if isinstance(output, torch.Tensor) else output.pooler_output
    return F.normalize(vectors.float(), dim=-1).cpu().numpy()
