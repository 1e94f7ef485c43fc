"""A small transformer that writes a sentence while looking at a grid of image features.

The features of each grid cell become vectors of the model's width; a few self-attention layers let the cells talk to
each other; the decoder then predicts word after word, each layer attending first to the words so far and then to the
cells ("Attention Is All You Need", arXiv 1706.03762, section 3; layer normalisation comes first, arXiv 2002.04745).
The word table is used twice, to read words and to predict them (arXiv 1608.05859).
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from multimodal_llm.image_encoder import CLASSES, FEATURES, STRIDE
from shared.config import check


@dataclass(frozen=True, kw_only=True)
class CaptionSettings:
    """The shape of a captioner."""

    n_words: int
    """Size of the vocabulary, the four special numbers included."""
    side: int = 224
    """Pixels of the square that a photo is brought to."""
    width: int = 320
    heads: int = 8
    encoder_layers: int = 2
    decoder_layers: int = 2
    feed_forward: int = 4
    """Inner width of the feed-forward layers, in widths."""
    dropout: float = 0.1
    cell_dropout: float = 0.0
    """Share of grid cells hidden from the model at each training step."""
    use_classes: bool = False
    """Whether the classifier's probabilities are one more thing to look at."""
    max_words: int = 24
    """Longest sentence, the end included."""

    @property
    def cells(self) -> int:
        return (-(-self.side // STRIDE)) ** 2

    def __post_init__(self) -> None:
        for name in ("side", "width", "heads", "decoder_layers", "feed_forward"):
            check(getattr(self, name) >= 1, name, getattr(self, name), "give at least 1")
        for name in ("encoder_layers", "decoder_layers"):
            check(getattr(self, name) <= 100, name, getattr(self, name), "give at most 100")
        check(self.width % self.heads == 0, "width", self.width, f"give a multiple of the {self.heads} heads")
        check(0 <= self.dropout < 1, "dropout", self.dropout, "give a share from 0 to below 1")
        check(0 <= self.cell_dropout < 1, "cell_dropout", self.cell_dropout, "give a share from 0 to below 1")


class Attention(nn.Module):
    """Multi-head attention of x to what it is given; `keys_and_values` is separate so that a decoder can keep them."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.query, self.out = nn.Linear(width, width), nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)

    def keys_and_values(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(N, S, width) to two of (N, heads, S, width / heads)."""
        key, value = self.key_value(x).chunk(2, -1)
        return self._by_head(key), self._by_head(value)

    def forward(
        self, x: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None, causal: bool = False
    ) -> Tensor:
        """`mask` (N, 1, 1, S) is true where the model may look. N may be a multiple of the keys' N."""
        dropout = self.dropout if self.training else 0.0
        found = F.scaled_dot_product_attention(
            self._by_head(self.query(x)), key, value, attn_mask=mask, dropout_p=dropout, is_causal=causal
        )  # (N, heads, L, width / heads)
        return self.out(found.transpose(1, 2).flatten(2))

    def _by_head(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class Layer(nn.Module):
    """Self-attention, in a decoder attention to the picture, and a feed-forward network, each added to its input."""

    def __init__(self, settings: CaptionSettings, *, looks: bool) -> None:
        super().__init__()
        width, heads, dropout = settings.width, settings.heads, settings.dropout
        self.attend, self.attend_norm = Attention(width, heads, dropout), nn.LayerNorm(width)
        if looks:
            self.look, self.look_norm = Attention(width, heads, dropout), nn.LayerNorm(width)
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, settings.feed_forward * width),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(settings.feed_forward * width, width),
        )
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        x: Tensor,
        picture: tuple[Tensor, Tensor] | None = None,
        mask: Tensor | None = None,
        past: tuple[Tensor, Tensor] | None = None,
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """x (N, L, width), and the keys and values of all words so far.

        With `picture`, the keys and values of its cells, the layer is a decoder's: a word sees only those before it.
        """
        normed = self.attend_norm(x)
        key, value = self.attend.keys_and_values(normed)
        if past is not None:
            key, value = torch.cat([past[0], key], 2), torch.cat([past[1], value], 2)
        own_mask = mask if picture is None else None
        causal = picture is not None and past is None
        x = x + self.dropout(self.attend(normed, key, value, own_mask, causal))
        if picture is not None:
            x = x + self.dropout(self.look(self.look_norm(x), *picture, mask))
        return x + self.dropout(self.feed_forward(x)), (key, value)


class CaptionModel(nn.Module):
    """Grid in, words out."""

    def __init__(self, settings: CaptionSettings) -> None:
        super().__init__()
        self.settings = settings
        width = settings.width
        self.project = nn.Linear(FEATURES, width)
        self.project_norm = nn.LayerNorm(width)
        self.cell_places = nn.Parameter(torch.randn(settings.cells, width) * 0.02)
        self.classes = nn.Linear(CLASSES, width) if settings.use_classes else None
        self.encoder = nn.ModuleList(Layer(settings, looks=False) for _ in range(settings.encoder_layers))
        self.encoder_norm = nn.LayerNorm(width)
        self.words = nn.Embedding(settings.n_words, width)
        self.word_places = nn.Parameter(torch.randn(settings.max_words + 1, width) * 0.02)
        self.decoder = nn.ModuleList(Layer(settings, looks=True) for _ in range(settings.decoder_layers))
        self.decoder_norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(settings.dropout)
        nn.init.normal_(self.words.weight, std=width**-0.5)

    def look(self, cells: Tensor, probabilities: Tensor | None = None) -> "Picture":
        """Photos' grid cells (N, cells, 1280), and class probabilities (N, 1000) where the model uses them."""
        x = self.project_norm(self.project(cells)) + self.cell_places  # (N, cells, width)
        if self.classes is not None:
            assert probabilities is not None
            x = torch.cat([x, self.classes(probabilities.sqrt())[:, None]], 1)
        mask = None
        if self.training and self.settings.cell_dropout:
            mask = torch.rand(x.shape[:2], device=x.device)[:, None, None] >= self.settings.cell_dropout
        x = self.dropout(x)
        for layer in self.encoder:
            x, _ = layer(x, mask=mask)
        x = self.encoder_norm(x)
        return Picture([layer.look.keys_and_values(x) for layer in self.decoder], mask)

    def forward(self, words: Tensor, picture: "Picture", past: list | None = None) -> tuple[Tensor, list]:
        """Logits (N, L, n_words) of the word after each of `words` (N, L), and what to give as `past` for the next.

        Without `past` the words are the sentences from their start; with it, one further word each.
        """
        start = past[0][0].shape[2] if past else 0
        x = self.words(words) * self.settings.width**0.5 + self.word_places[start : start + words.shape[1]]
        x = self.dropout(x)
        kept = []
        for number, layer in enumerate(self.decoder):
            x, keys = layer(x, picture.cells[number], picture.mask, past[number] if past else None)
            kept.append(keys)
        return F.linear(self.decoder_norm(x), self.words.weight), kept


class Picture:
    """What the decoder looks at: for each of its layers the keys and values of the cells, and which it may see."""

    def __init__(self, cells: list[tuple[Tensor, Tensor]], mask: Tensor | None = None) -> None:
        self.cells, self.mask = cells, mask

    def __len__(self) -> int:
        return len(self.cells[0][0])

    def pick(self, photos: Tensor) -> "Picture":
        """These photos (M,), by number, as often as they are named."""
        cells = [(key[photos], value[photos]) for key, value in self.cells]
        return Picture(cells, None if self.mask is None else self.mask[photos])

    def repeat(self, times: int) -> "Picture":
        """Each photo that many times in a row, for several sentences about it."""
        return self.pick(torch.arange(len(self), device=self.cells[0][0].device).repeat_interleave(times))


def count_parameters(model: nn.Module) -> int:
    """What is stored in a weights file."""
    return sum(parameter.numel() for parameter in model.parameters())
