"""A small BLIP for questions about pictures: 0.9 M weights over the frozen word vectors of MiniLM.

As in BLIP (Li et al. 2022, arXiv 2201.12086, section 3.1) the picture becomes a grid of vectors, and a text encoder
reads the question while every layer of it looks at that grid by cross-attention; an answer is read off its first
token. Four things differ, each for a reason:

- The picture goes through three convolutions before its transformer, for small pictures and few (arXiv 2106.14881).
- The question's words come as the vectors of a frozen sentence encoder. It has read a billion sentences and knows that
  a hue is a colour; the 107 questions of easy-VQA could never teach that.
- Each word is also multiplied by the picture's first vector, number by number (Kim et al. 2017, arXiv 1610.04325).
  Whether the named colour is the one seen is a product, and learnt much sooner when it need not be built from sums.
- The answer is chosen among those of training (VQA as classification, arXiv 1505.00468) instead of written by a
  decoder: the confidence is then a probability over all that it could say.
- A gate hears the question alone and says whether it is of the kind that was learnt.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from shared.config import check

WORD_WIDTH = 384  # of MiniLM's vectors


@dataclass(frozen=True, kw_only=True)
class VqaModelConfig:
    """The model's shape."""

    answers: tuple[str, ...]
    image_size: int = 64
    """Pixels; pictures are scaled to a square of it."""
    width: int = 128
    heads: int = 4
    image_layers: int = 2
    text_layers: int = 2
    dropout: float = 0.1
    word_dropout: float = 0.08
    """Share of the words hidden in training, so that no single one is relied on."""

    def __post_init__(self) -> None:
        check(len(self.answers) > 1, "answers", self.answers, "give at least 2")
        check(self.image_size % 8 == 0, "image_size", self.image_size, "give a multiple of 8")
        check(self.width % self.heads == 0, "width", self.width, "give a multiple of --heads")
        check(0 <= self.word_dropout < 1, "word_dropout", self.word_dropout, "give a share below 1")


class Words(NamedTuple):
    """Questions as a frozen encoder's word vectors (N, T, 384), with which places hold a word (N, T)."""

    vectors: Tensor
    mask: Tensor

    def rows(self, index: Tensor) -> "Words":
        """The questions of these numbers (M,), in float, cut to the longest of them."""
        mask = self.mask[index]
        longest = int(mask.sum(1).max())
        return Words(self.vectors[index, :longest].float(), mask[:, :longest])


class QuestionReader:
    """The packaged MiniLM, never trained here, as a source of word vectors."""

    max_tokens = 32

    def __init__(self) -> None:
        from shared.text_encoder import MiniLM

        self.encoder = MiniLM()

    def read(self, texts: Sequence[str], batch: int = 128) -> Words:
        """The word vectors of these questions; longer ones are cut at 32 word pieces."""
        inputs = self.encoder.tokenizer(
            list(texts), padding=True, truncation=True, max_length=self.max_tokens, return_tensors="pt"
        )
        vectors = []
        with torch.inference_mode():
            for start in range(0, len(texts), batch):
                part = {name: rows[start : start + batch].to(self.encoder.device) for name, rows in inputs.items()}
                vectors.append(self.encoder.model(**part).last_hidden_state.half().cpu())
        return Words(torch.cat(vectors).clone(), inputs["attention_mask"].bool())


class Attention(nn.Module):
    """Multi-head attention of `queries` to `keys`; to themselves where they are the same."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)

    def forward(self, queries: Tensor, keys: Tensor, mask: Tensor | None = None) -> Tensor:
        """queries (B, T, D), keys (B, S, D), mask (B, S) true where there is something -> (B, T, D)."""
        q = self._split(self.query(queries))  # (B, H, T, D/H)
        k, v = (self._split(part) for part in self.key_value(keys).chunk(2, dim=-1))  # (B, H, S, D/H)
        mask = None if mask is None else mask[:, None, None, :]
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return self.out(mixed.transpose(1, 2).flatten(2))

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class Layer(nn.Module):
    """A pre-norm transformer layer; with `looks` it attends to a picture between itself and the MLP."""

    def __init__(self, config: VqaModelConfig, looks: bool) -> None:
        super().__init__()
        width = config.width
        self.self_norm, self.self_attention = nn.LayerNorm(width), Attention(width, config.heads)
        self.looks = looks
        if looks:
            self.cross_norm, self.cross_attention = nn.LayerNorm(width), Attention(width, config.heads)
            self.asked, self.seen, self.match = (nn.Linear(width, width) for _ in range(3))
        self.mlp = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self, x: Tensor, mask: Tensor | None = None, grid: Tensor | None = None, first_only: bool = False
    ) -> Tensor:
        """x (B, T, D); of a text `mask` (B, T) and the pictures' grid (P, S, D), the same number of texts for each.

        With `first_only` what becomes of the first token, (B, 1, D), from all of them.
        """
        normed = self.self_norm(x)
        if first_only:
            x = x[:, :1]
        x = x + self.dropout(self.self_attention(normed[:, : x.shape[1]], normed, mask))
        if self.looks and grid is not None:
            # All questions about a picture are laid end to end: its keys and values are then computed once.
            ends = self.cross_norm(x).reshape(len(grid), -1, x.shape[-1])  # (P, Q T, D)
            looked = self.cross_attention(ends, grid) + self.match(self.asked(ends) * self.seen(grid[:, :1]))
            x = x + self.dropout(looked.reshape(x.shape))
        return x + self.dropout(self.mlp(x))


class ImageEncoder(nn.Module):
    """Pictures (B, 3, S, S) to grids (B, 1 + (S/8)^2, D); the first vector stands for the whole, as in BLIP's ViT."""

    def __init__(self, config: VqaModelConfig) -> None:
        super().__init__()
        width, cells = config.width, (config.image_size // 8) ** 2
        channels = (3, width // 4, width // 2, width)
        self.stem = nn.Sequential(
            *(
                nn.Sequential(
                    nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(after), nn.GELU()
                )
                for before, after in zip(channels, channels[1:], strict=False)
            )
        )
        self.position = nn.Parameter(torch.randn(cells, width) * 0.02)
        self.whole = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.layers = nn.ModuleList(Layer(config, looks=False) for _ in range(config.image_layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, pictures: Tensor) -> Tensor:
        """Pictures (B, 3, H, W) -> their grids (B, 1 + cells, D), of which the first is of the whole."""
        return self.after_stem(self.stem(pictures).flatten(2))

    def after_stem(self, x: Tensor) -> Tensor:
        """The convolutions' output (B, D, cells) -> (B, 1 + cells, D)."""
        x = torch.cat([self.whole.expand(len(x), -1, -1), x.transpose(1, 2) + self.position], dim=1)
        for layer in self.layers:
            x = layer(x)
        return self.norm(x)


class TextEncoder(nn.Module):
    """A question's word vectors, read while looking at a grid; gives what its first token has become."""

    def __init__(self, config: VqaModelConfig) -> None:
        super().__init__()
        self.project = nn.Sequential(nn.LayerNorm(WORD_WIDTH), nn.Linear(WORD_WIDTH, config.width))
        self.word_dropout = config.word_dropout
        self.layers = nn.ModuleList(Layer(config, looks=True) for _ in range(config.text_layers))
        self.norm = nn.LayerNorm(config.width)

    def forward(self, words: Words, grid: Tensor) -> Tensor:
        """Questions (B, T, 384) and grids (B, 1 + cells, D) -> (B, D)."""
        mask = words.mask
        if self.training:
            hidden = torch.rand(mask.shape) < self.word_dropout
            hidden[:, 0] = False  # the answer is read off here
            mask = mask & ~hidden.to(mask.device)
        x = self.project(words.vectors)
        *layers, last = self.layers
        for layer in layers:
            x = layer(x, mask, grid)
        # Nothing reads the last layer's other tokens, which would be almost half of all the work.
        return self.norm(last(x, mask, grid, first_only=True)[:, 0])


class QuestionGate(nn.Module):
    """Whether a question is of the kind that was learnt: the strongest sign in any of its words."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.signs = nn.Sequential(nn.LayerNorm(WORD_WIDTH), nn.Dropout(0.2), nn.Linear(WORD_WIDTH, width), nn.GELU())
        self.weigh = nn.Sequential(nn.Dropout(0.2), nn.Linear(2 * width, 1))

    def forward(self, words: Words) -> Tensor:
        """Logits (N,), above 0 for a question as those of training."""
        signs = self.signs(words.vectors)  # (N, T, D)
        there = words.mask[..., None]
        strongest = signs.masked_fill(~there, -1e4).amax(1)
        mean = (signs * there).sum(1) / there.sum(1)
        return self.weigh(torch.cat([strongest, mean], dim=-1)).squeeze(-1)


class VqaModel(nn.Module):
    """Pictures and questions to a score for each answer."""

    def __init__(self, config: VqaModelConfig) -> None:
        super().__init__()
        self.config = config
        self.image_encoder = ImageEncoder(config)
        self.text_encoder = TextEncoder(config)
        # Two layers: "is there no circle?" turns the answer around, which no weighted sum of both facts can.
        self.answer = nn.Sequential(
            nn.Linear(config.width, config.width), nn.GELU(), nn.Linear(config.width, len(config.answers))
        )
        self.gate = QuestionGate(config.width)

    def forward(self, pictures: Tensor, words: Words) -> Tensor:
        """pictures (P, 3, S, S) in 0..1 and P times Q questions, picture by picture -> logits (P Q, answers)."""
        return self.read_off(self.image_encoder(pictures), words)

    def read_off(self, grid: Tensor, words: Words) -> Tensor:
        """As `forward`, from grids (P, 1 + cells, D) that the image encoder made."""
        return self.answer(self.text_encoder(words, grid))


def to_pixels(picture: Image.Image, size: int) -> np.ndarray:
    """A picture as bytes (3, S, S): scaled to a square, as easy-VQA's are."""
    if picture.size != (size, size):
        picture = picture.resize((size, size), Image.Resampling.LANCZOS)
    return np.array(picture.convert("RGB")).transpose(2, 0, 1)  # a copy: torch wants to own what it gets


def from_pixels(pixels: np.ndarray | Tensor) -> Tensor:
    """Bytes (B, 3, S, S) as the model takes them: -1 to 1."""
    return torch.as_tensor(pixels).float() / 127.5 - 1


def parameter_count(model: nn.Module) -> int:
    return sum(weight.numel() for weight in model.parameters())


def settings_of(config: VqaModelConfig) -> dict[str, Any]:
    from shared.config import to_dict

    return {**to_dict(config), "answers": list(config.answers)}
