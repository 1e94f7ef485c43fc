"""A model that guesses hidden words: an encoder, and BERT's head for that, tied to the word vectors.

Letters in shapes: B texts, T tokens, M hidden words of a batch, D width, E width of the word vectors, V pieces.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as functional
from tokenizers import Tokenizer
from torch import Tensor, nn

from model_optimization.classifier import Classifier, Shape
from model_optimization.families import Weights, family_of, read_all_weights, read_json_object, read_tokenizer
from model_optimization.subject import TOKENIZER, Subject
from model_optimization.training import Batch
from shared.errors import UserError
from shared.hub import resolve_model

HIDDEN_SHARE, MASKED_SHARE, RANDOM_SHARE = 0.15, 0.8, 0.1  # BERT, arXiv 1810.04805, section 3.1


@dataclass(frozen=True)
class Words:
    """What hiding has to know of a vocabulary: the id that hides a word, the number of pieces, and the special ones."""

    mask_id: int
    n_pieces: int
    special: tuple[int, ...]


class Hidden(NamedTuple):
    """A batch with words hidden: ids and mask (B, T), where the hidden ones were (B, T), and what they were (M,)."""

    input_ids: Tensor
    attention_mask: Tensor
    where: Tensor
    words: Tensor


class Guess(NamedTuple):
    """Logits (M, V) of the hidden words, and the encoder's last states there (M, D)."""

    logits: Tensor
    states: Tensor


class MaskedModel(nn.Module):
    """An encoder with a head: one layer with GELU, a normalisation, and the word vectors themselves as output."""

    def __init__(self, encoder: Classifier, words: Words, has_head: bool = False) -> None:
        super().__init__()
        self.encoder, self.words, self.has_head = encoder, words, has_head
        shape = encoder.shape
        self.head = nn.ModuleDict(
            {
                "dense": nn.Linear(shape.width, shape.word_width or shape.width),
                "norm": nn.LayerNorm(shape.word_width or shape.width, shape.epsilon),
            }
        )
        self.head.bias = nn.Parameter(torch.zeros(shape.n_pieces))

    @property
    def shape(self) -> Shape:
        return self.encoder.shape

    def forward(self, hidden: Hidden) -> Guess:
        states = self.encoder.encode(hidden.input_ids, hidden.attention_mask)[hidden.where]  # (M, D)
        x = self.head["norm"](functional.gelu(self.head["dense"](states)))  # (M, E)
        return Guess(functional.linear(x, self.encoder.embedding.words.weight, self.head.bias), states)


def hide_words(batch: Batch, words: Words, seed: int) -> Hidden:
    """Hide 15 % of the tokens: of those 80 % behind the mask, 10 % behind another word, 10 % left as they are.

    What is hidden follows from the seed and the step. At least one token is.
    """
    ids = batch.input_ids.cpu()  # (B, T)
    draw = torch.Generator().manual_seed(seed * 1_000_003 + batch.step)
    chance = torch.rand(ids.shape, generator=draw)
    chance[(batch.attention_mask.cpu() == 0) | torch.isin(ids, torch.tensor(words.special))] = 1.0
    where = chance < max(HIDDEN_SHARE, float(chance.min()) + 1e-6)
    kind = torch.rand(ids.shape, generator=draw)
    other = torch.randint(words.n_pieces, ids.shape, generator=draw)
    shown = torch.where(kind < MASKED_SHARE, words.mask_id, torch.where(kind < MASKED_SHARE + RANDOM_SHARE, other, ids))
    device = batch.input_ids.device
    return Hidden(
        torch.where(where, shown, ids).to(device), batch.attention_mask, where.to(device), ids[where].to(device)
    )


def load_masked_model(name: str, max_length: int) -> tuple[MaskedModel, Subject]:
    """A BERT encoder by short name, path or hub name, with its head where it brings one, and as a classifier to train.

    Raises UserError where it cannot be had or is no BERT.
    """
    folder = resolve_model(name, suggestion="minilm")
    config, stored = read_json_object(folder / "config.json"), read_all_weights(folder)
    family = family_of(config, folder)
    encoder = {key.removeprefix("bert."): weight for key, weight in stored.items()}
    pooling: Any = "mean" if (folder / "1_Pooling").is_dir() else "first"
    model = Classifier(replace(family.shape(config), pooling=pooling))
    model.load_state_dict({**model.state_dict(), **family.rename(encoder, config, folder)})
    tokenizer, head = read_tokenizer(folder / TOKENIZER), _head(stored)
    masked = MaskedModel(model, _words(tokenizer, model.shape.n_pieces, folder), has_head=bool(head))
    if head:
        masked.head.load_state_dict(head)
    length = min(max_length, model.shape.n_positions)
    return masked, Subject(model, tokenizer, ("negative", "positive"), length)


def _head(stored: Weights) -> Weights:
    """BERT's own head by our names; nothing where it has none."""
    names = {
        "dense.weight": "transform.dense.weight",
        "dense.bias": "transform.dense.bias",
        "norm.weight": "transform.LayerNorm.weight",
        "norm.bias": "transform.LayerNorm.bias",
        "bias": "bias",
    }
    found = {ours: stored.get(f"cls.predictions.{theirs}") for ours, theirs in names.items()}
    return {} if None in found.values() else found


def _words(tokenizer: Tokenizer, n_pieces: int, folder: Path) -> Words:
    mask_id = tokenizer.token_to_id("[MASK]")
    if mask_id is None:
        raise UserError(f"{folder}: its tokenizer has no [MASK] to hide words behind: give a BERT, such as minilm")
    special = [tokenizer.token_to_id(token) for token in ("[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]")]
    return Words(mask_id, n_pieces, tuple(place for place in special if place is not None))
