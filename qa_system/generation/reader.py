"""The English extractive reader: where in a passage does the answer to a question stand, and is there one at all?

Letters in shapes: B windows, T tokens, D width of the encoder, R the rank of the adapter.

minilm is an encoder of sentences: as it comes it knows what a text is about, not where in it something stands. Two
logits a token, for "the answer begins here" and "ends here", are learned on top (BERT, arXiv 1810.04805, section 4.3),
with `[CLS]` standing for "no answer". A second head looks at the place that was found once more and says whether it is
an answer (as the verifier of arXiv 1808.05759, which has a network of its own for it). The encoder itself changes by a
low-rank adapter: each weight W becomes W + BA (arXiv 2106.09685).
"""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from qa_system.generation.confidence import Confidence
from qa_system.generation.reader_windows import TYPES, Example, Span, Window, Windows, best_span

SHIPPED = Path(__file__).parents[1] / "weights" / "english-reader"
WEIGHTS, SETTINGS = "reader.safetensors", "reader.json"
VERIFIER_WIDTH = 128
OUTSIDE = -1e4  # the logit of what is no place in the passage; bf16 holds it


class LowRank(nn.Module):
    """W (O, I) becomes W + BA with B (O, R) and A (R, I); B starts at zero, so that nothing changes at first."""

    def __init__(self, weight: Tensor, rank: int) -> None:
        super().__init__()
        self.b = nn.Parameter(torch.zeros(weight.shape[0], rank))
        self.a = nn.Parameter(torch.randn(rank, weight.shape[1]) / weight.shape[1] ** 0.5)

    def forward(self, weight: Tensor) -> Tensor:
        """The adapted weight (O, I)."""
        return weight + self.b @ self.a


class SpanNetwork(nn.Module):
    """The encoder with its heads."""

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.encoder = encoder
        width = encoder.config.hidden_size
        embeddings = encoder.embeddings
        before = embeddings.token_type_embeddings.weight.detach()
        embeddings.token_type_embeddings = nn.Embedding(TYPES, width)
        with torch.no_grad():  # a word that both have begins as the word of the question or passage that it is
            embeddings.token_type_embeddings.weight.copy_(before[[0, 1, 1, 0]])
        self.places = nn.Linear(width, 2)
        self.verifier = nn.Sequential(nn.Linear(3 * width, VERIFIER_WIDTH), nn.GELU(), nn.Linear(VERIFIER_WIDTH, 1))

    def forward(self, ids: Tensor, types: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Ids, types and mask (B, T) to start and end logits (B, T), OUTSIDE where no answer can stand, and (B,)."""
        hidden = self.encoder(input_ids=ids, token_type_ids=types, attention_mask=mask).last_hidden_state  # (B, T, D)
        hidden = hidden.float()
        possible = (types == 1) | (types == 2)
        possible[:, 0] = True
        logits = self.places(hidden).float().masked_fill(~(possible & mask.bool())[..., None], OUTSIDE)  # (B, T, 2)
        inside = logits.clone()
        inside[:, 0] = OUTSIDE
        found = inside.softmax(1).transpose(1, 2) @ hidden  # (B, 2, D): what stands where it begins and ends
        answerable = self.verifier(torch.cat([hidden[:, 0], found.flatten(1)], -1)).float()[:, 0]
        return logits[..., 0], logits[..., 1], answerable

    def adapt(self, rank: int, word_rank: int) -> None:
        """Freeze the encoder's matrices and give each an adapter; biases and norms, which are small, learn freely."""
        for layer in self._matrices():
            layer.weight.requires_grad_(False)
            chosen = word_rank if isinstance(layer, nn.Embedding) else rank
            if chosen:
                parametrize.register_parametrization(layer, "weight", LowRank(layer.weight, chosen))
        self.encoder.embeddings.position_embeddings.weight.requires_grad_(False)

    def approximate(self, other: "SpanNetwork") -> None:
        """Take over what another, wholly trained network learned, as far as the adapter's rank allows.

        The best approximation of a difference of matrices by rank R are its R largest singular values. What the
        position vectors learned is left behind.
        """
        own, theirs = dict(self.named_parameters()), dict(other.named_parameters())
        with torch.no_grad():
            for name, weight in theirs.items():
                if name in own and own[name].requires_grad:
                    own[name].copy_(weight)
            for mine, full in zip(self._matrices(), other._matrices(), strict=True):
                if parametrize.is_parametrized(mine):
                    product = mine.parametrizations.weight[0]
                    u, s, v = torch.svd_lowrank((full.weight - mine.parametrizations.weight.original).float(), 80, 4)
                    rank = product.a.shape[0]
                    product.b.copy_(u[:, :rank] * s[:rank].sqrt())
                    product.a.copy_((v[:, :rank] * s[:rank].sqrt()).T)

    def _matrices(self) -> list[Any]:
        words = self.encoder.embeddings.word_embeddings
        return [words, *(part for part in self.encoder.encoder.modules() if isinstance(part, nn.Linear))]

    def learned(self) -> dict[str, Tensor]:
        """Every weight that is not the packaged encoder's own, by name."""
        trained = {name for name, weight in self.named_parameters() if weight.requires_grad}
        return {name: weight.detach() for name, weight in self.state_dict().items() if name in trained}


def build_network(folder: Path, rank: int | None = None, word_rank: int = 0) -> SpanNetwork:
    """A network over the encoder in this folder; with a rank, only an adapter of it is to be trained."""
    from transformers import AutoModel
    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    encoder = AutoModel.from_pretrained(folder, add_pooling_layer=False, local_files_only=True, dtype=torch.float32)
    network = SpanNetwork(encoder)
    if rank is not None:
        network.adapt(rank, word_rank)
    return network


def save_reader(network: SpanNetwork, target: Path, rank: int, word_rank: int, **more: Any) -> None:
    """Write what was learned in half precision, and beside it how to put it together again."""
    from safetensors.torch import save_file

    from shared.files import atomic_path, write_json

    target.mkdir(parents=True, exist_ok=True)
    with atomic_path(target / WEIGHTS) as draft:
        save_file({name: weight.half().cpu().contiguous() for name, weight in network.learned().items()}, draft)
    write_json(target / SETTINGS, {"rank": rank, "word_rank": word_rank, **more})


def load_network(target: Path, encoder: Path) -> SpanNetwork:
    """The network of what was saved in `target`, over the encoder in its folder, in evaluation mode.

    Raises UserError where the files are missing or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from shared.errors import UserError
    from shared.files import parse_json

    try:
        settings = parse_json((target / SETTINGS).read_text(encoding="utf-8"))
        network = build_network(encoder, settings["rank"], settings["word_rank"])
        weights = {name: weight.float() for name, weight in load_file(target / WEIGHTS).items()}
        if set(weights) != set(network.learned()):
            raise ValueError("other weights than the settings speak of")
        network.load_state_dict(weights, strict=False)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise UserError(f"{target}: no reader can be loaded from it ({error}): train one anew") from error
    for layer in network._matrices():
        if parametrize.is_parametrized(layer):  # W + BA is computed once
            parametrize.remove_parametrizations(layer, "weight")
    return network.eval().requires_grad_(False)


@torch.inference_mode()
def read_windows(
    network: SpanNetwork, windows: Sequence[Window], pad: int, batch_tokens: int = 8192, bf16: bool = False
) -> list[Span]:
    """The best span of each window, in their order."""
    device = next(network.parameters()).device
    order = sorted(range(len(windows)), key=lambda place: len(windows[place].ids))
    spans: list[Span | None] = [None] * len(windows)
    start = 0
    while start < len(order):
        size = 1
        while start + size < len(order) and (size + 1) * len(windows[order[start + size]].ids) <= batch_tokens:
            size += 1
        places = order[start : start + size]
        ids, types, mask = padded([windows[place] for place in places], pad)
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            outputs = network(ids.to(device), types.to(device), mask.to(device))
        begins, ends, answerable = (output.float().cpu().numpy() for output in outputs)
        for row, place in enumerate(places):
            spans[place] = best_span(windows[place], begins[row], ends[row], answerable[row])
        start += size
    return [span for span in spans if span is not None]


def padded(windows: Sequence[Window], pad: int) -> tuple[Tensor, Tensor, Tensor]:
    """Ids, types and mask (B, T)."""
    longest = max(len(window.ids) for window in windows)
    ids, types = torch.full((len(windows), longest), pad), torch.zeros(len(windows), longest, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, window in enumerate(windows):
        n = len(window.ids)
        ids[row, :n], types[row, :n], mask[row, :n] = torch.tensor(window.ids), torch.tensor(window.types), 1
    return ids, types, mask


def read_examples(network: SpanNetwork, cutter: Windows, examples: Sequence[Example], bf16: bool = False) -> list[Span]:
    """The best span of each example's passage."""
    windows = cutter.cut(examples)
    best: list[Span | None] = [None] * len(examples)
    for window, span in zip(windows, read_windows(network, windows, cutter.pad, bf16=bf16), strict=True):
        before = best[window.example]
        if before is None or span.score > before.score:
            best[window.example] = span
    return [span or Span(0, 0, float("-inf"), float("-inf")) for span in best]


class Reader:
    """A trained reader, ready for questions. Of several threads one is served at a time."""

    def __init__(self, folder: Path) -> None:
        """Load what `save_reader` wrote. Raises UserError where it is missing or damaged."""
        from shared.devices import choose_device, choose_precision
        from shared.errors import UserError
        from shared.hub import resolve_model
        from shared.runs import read_json

        settings = read_json(folder / SETTINGS)
        try:
            encoder = resolve_model(settings.get("encoder", "minilm"), suggestion="minilm")
            self.confidence = Confidence(**settings["confidence"])
        except (AttributeError, KeyError, TypeError) as error:
            raise UserError(f"{folder / SETTINGS}: damaged ({error}): train the reader anew") from error
        device = choose_device().value
        self.network = load_network(folder, encoder).to(device)
        self.cutter = Windows(encoder)
        self._bf16 = choose_precision("auto", device, self.network.encoder.config.hidden_size).value == "bf16"
        self._lock = threading.Lock()

    def read(self, question: str, passages: Sequence[str]) -> list[Span]:
        """The best span of each passage."""
        with self._lock:
            return read_examples(
                self.network, self.cutter, [Example(question, text, ()) for text in passages], self._bf16
            )
