"""A low-rank adapter: the weights W stay as they are, and W + BA is learned with B and A small (arXiv 2106.09685).

Letters in shapes: I numbers in, O numbers out, R the rank, V words. As in section 4.1 of the paper one factor starts at
random and the other at zero, so that training starts from the model as it was, and BA is scaled by ALPHA / R, so that
another rank wants no other learning rate. We adapt every linear layer of the encoder, not the attention's alone, and
its word vectors: which opinion a word tells of is a few directions that an encoder trained for topics hardly has.
"""

import math
from collections.abc import Iterator
from types import UnionType

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

ALPHA = 16.0


class LoraLinear(nn.Module):
    """A linear layer I to O with a frozen weight W (O, I), plus the learned product of B (O, R) and A (R, I)."""

    def __init__(self, base: nn.Linear, rank: int) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.a = nn.Parameter(torch.empty(rank, base.in_features, device=base.weight.device))
        self.b = nn.Parameter(torch.zeros(base.out_features, rank, device=base.weight.device))
        self.scale = ALPHA / rank
        nn.init.kaiming_uniform_(self.a, a=math.sqrt(5))  # as a linear layer of torch starts

    def forward(self, inputs: Tensor) -> Tensor:
        """Inputs (..., I) to (..., O)."""
        # Two thin products instead of W + BA: the gradient of the whole matrix is never computed.
        return self.base(inputs) + functional.linear(functional.linear(inputs, self.a), self.b) * self.scale

    @torch.no_grad()
    def merge(self) -> nn.Linear:
        """A plain linear layer with W + BA, which computes the same and costs nothing extra."""
        merged = nn.Linear(
            self.base.in_features, self.base.out_features, self.base.bias is not None, device=self.base.weight.device
        )
        merged.weight.copy_(self.base.weight + self.scale * self.b @ self.a)
        if self.base.bias is not None:
            merged.bias.copy_(self.base.bias)
        return merged


class LoraEmbedding(nn.Module):
    """Word vectors W (V, O), frozen, plus the learned product of one row of A (V, R) a word and B (R, O)."""

    def __init__(self, base: nn.Embedding, rank: int) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.a = nn.Parameter(torch.zeros(base.num_embeddings, rank, device=base.weight.device))
        self.b = nn.Parameter(torch.empty(rank, base.embedding_dim, device=base.weight.device))
        self.scale = ALPHA / rank
        nn.init.normal_(self.b, std=float(base.weight.std()))  # of the size of the word vectors themselves

    def forward(self, ids: Tensor) -> Tensor:
        """Ids (...) to word vectors (..., O)."""
        return self.base(ids) + functional.embedding(ids, self.a) @ self.b * self.scale

    @torch.no_grad()
    def merge(self) -> nn.Embedding:
        """Plain word vectors W + AB."""
        merged = nn.Embedding(
            self.base.num_embeddings, self.base.embedding_dim, self.base.padding_idx, device=self.base.weight.device
        )
        merged.weight.copy_(self.base.weight + self.scale * self.a @ self.b)
        return merged


def add_lora(encoder: nn.Module, rank: int) -> None:
    """Freeze the encoder, and give each of its linear layers and its word vectors an adapter of this rank."""
    encoder.requires_grad_(False)
    for parent, name, layer in list(_children(encoder, nn.Linear)):
        setattr(parent, name, LoraLinear(layer, rank))
    encoder.set_input_embeddings(LoraEmbedding(encoder.get_input_embeddings(), rank))


def merge_lora(encoder: nn.Module) -> None:
    """Put W + BA in the place of every adapter; the encoder is an ordinary one again, all of it trainable."""
    for parent, name, layer in list(_children(encoder, LoraLinear | LoraEmbedding)):
        setattr(parent, name, layer.merge())
    encoder.requires_grad_(True)


def _children(module: nn.Module, kind: type[nn.Module] | UnionType) -> Iterator[tuple[nn.Module, str, nn.Module]]:
    """Every part of this kind, with what holds it and its name there."""
    for parent in module.modules():
        for name, child in parent.named_children():
            if isinstance(child, kind):
                yield parent, name, child
