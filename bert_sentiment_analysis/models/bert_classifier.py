"""A text classifier over any encoder of the BERT family, for texts of any length.

Letters in shapes: B texts, W windows (one or more a text), T tokens of the longest window, D width of the encoder, C
classes (1 for a rating).

The encoder gives D numbers a token. They are pooled to one vector a window: the first token, as in BERT (arXiv
1810.04805, section 3.2), but the mean of all tokens for minilm, which was trained that way (arXiv 1908.10084), and for
a language model, whose first token knows nothing of the rest. One linear layer makes logits or a rating of it. A text
longer than a window is read in overlapping windows, and its answer is the mean of theirs, weighted by their tokens.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import torch
import torch.nn.functional as functional
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import BatchEncoding

from bert_sentiment_analysis.config import SETTINGS, Freeze, Head, run_path
from bert_sentiment_analysis.models.classifier_settings import ClassifierSettings, load_settings, usual_pooling
from bert_sentiment_analysis.models.encoders import (
    build_encoder,
    load_encoder,
    position_limit,
    reads_left_to_right,
    save_encoder,
    weights_checksum,
)
from bert_sentiment_analysis.models.lora import add_lora, merge_lora
from shared.errors import UserError
from shared.files import atomic_path, write_json
from shared.logging import get_logger

log = get_logger(__name__)

PART_NUMBERS = 8192 * 6 * 384  # tokens x layers x width: 8,192 tokens of minilm, whose training then takes some 2 GB
# Tokens that go through the encoder at once, padding included. On a processor, of 256 to 4096, some 1024 to 2048 were
# fastest: smaller groups leave its multipliers idle, larger ones its cache.
CPU_TOKENS, GPU_TOKENS = 2048, 65_536
MODEL, ENCODER = "model.safetensors", "encoder"


Windows = list[list[int]]  # the windows of one text, each a list of token ids


class TextClassifier(nn.Module):
    """An encoder, its tokenizer, and one linear layer. See `from_pretrained` and `load` for how to get one."""

    def __init__(self, encoder: nn.Module, tokenizer, settings: ClassifierSettings) -> None:
        super().__init__()
        self.encoder, self.tokenizer, self.settings = encoder, tokenizer, settings
        self.partner: TextClassifier | None = None
        self.in_groups = True  # False computes a batch as it comes, with all its padding
        self.dropout = nn.Dropout(settings.dropout)
        self.output = nn.Linear(encoder.config.hidden_size, settings.n_outputs)
        nn.init.normal_(self.output.weight, std=0.02)  # as BERT's own layers start
        nn.init.zeros_(self.output.bias)

    @classmethod
    def from_pretrained(
        cls,
        model: str,
        label_names: Sequence[str] = ("negative", "positive"),
        *,
        head: Head = "classification",
        pooling: str = "auto",
        max_length: int = 256,
        overlap: int = 64,
        dropout: float = 0.1,
        encoder_dropout: float | None = None,
        freeze: Freeze = "nothing",
        lora_rank: int = 0,
    ) -> "TextClassifier":
        """A classifier to train, over an encoder by short name, hub name or path.

        Over a run with an adapter of the same rank, that adapter learns on.
        Why 256 tokens a window where minilm has 512 positions: its authors trained it on no longer texts (the model
        card cuts there), attention costs by the square of the length, and windows read the rest anyhow.
        Raises UserError where the encoder cannot be had or does not fit.
        """
        begun = cls._with_adapter(run_path(model), lora_rank)
        encoder, tokenizer, folder = (begun.encoder, begun.tokenizer, run_path(model)) if begun else load_encoder(model)
        if encoder_dropout is not None:
            for module in encoder.modules():
                if isinstance(module, nn.Dropout):
                    module.p = encoder_dropout
        limit = position_limit(encoder, tokenizer)
        if max_length > limit:
            log.info("windows of %d tokens, not %d: %s has no more positions", limit, max_length, model)
            max_length, overlap = limit, min(overlap, limit // 2)
        if pooling == "auto":
            pooling = "mean" if reads_left_to_right(encoder) else usual_pooling(folder)
        keeps_base = freeze == "encoder" or lora_rank > 0
        settings = ClassifierSettings(
            label_names=tuple(label_names),
            head=head,
            pooling=pooling,  # type: ignore[arg-type]
            max_length=max_length,
            overlap=overlap,
            dropout=dropout,
            lora_rank=lora_rank,
            base=(str(Path(model).resolve()) if Path(model).exists() else model) if keeps_base else None,
            base_sha256=weights_checksum(folder) if keeps_base else None,
        )
        if begun:
            settings = replace(settings, base=begun.settings.base, base_sha256=begun.settings.base_sha256)
        elif lora_rank:
            add_lora(encoder, lora_rank)
        elif freeze == "encoder":
            encoder.requires_grad_(False)
        elif freeze == "embeddings":
            getattr(encoder, "embeddings", encoder.get_input_embeddings()).requires_grad_(False)
        return cls(encoder, tokenizer, settings)

    def train(self, mode: bool = True) -> "TextClassifier":
        """As usual, but an encoder that learns nothing drops nothing either."""
        super().train(mode)
        if not any(weight.requires_grad for weight in self.encoder.parameters()):
            self.encoder.eval()
        return self

    @property
    def device(self) -> torch.device:
        return self.output.weight.device

    @property
    def part_tokens(self) -> int:
        """How many tokens a training step keeps the inner results of."""
        return PART_NUMBERS // (self.encoder.config.num_hidden_layers * self.encoder.config.hidden_size)

    @property
    def group_tokens(self) -> int:
        """How many tokens go through the encoder at once: what is fast on this device."""
        return CPU_TOKENS if self.device.type == "cpu" else GPU_TOKENS

    def encode(self, texts: Sequence[str]) -> list[Windows]:
        """The token ids of each text, in windows of at most `max_length`, special tokens included. No text is cut."""
        if not texts:
            return []
        encoded = self.tokenize(texts)
        windows: list[Windows] = [[] for _ in texts]
        for ids, text in zip(encoded["input_ids"], encoded["overflow_to_sample_mapping"], strict=True):
            windows[text].append(ids)
        return windows

    def tokenize(self, texts: Sequence[str], **more: bool) -> BatchEncoding:
        """What the tokenizer makes of each window; `more` are its switches for what else it shall tell of them."""
        encoded = self.tokenizer(
            list(texts),
            truncation=True,
            max_length=self.settings.max_length,
            stride=self.settings.overlap,
            return_overflowing_tokens=True,
            return_attention_mask=False,
            return_token_type_ids=False,
            **more,
        )
        # To a language model an empty text is no token at all: one of padding gives it an answer.
        padding = {"input_ids": self.tokenizer.pad_token_id, "special_tokens_mask": 1, "offset_mapping": (0, 0)}
        for name, value in padding.items():
            if name in encoded:
                encoded[name] = [window or [value] for window in encoded[name]]
        return encoded

    def window_logits(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Token ids (W, T) and what is no padding (W, T) to the logits of each window (W, C), in fp32."""
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state  # (W, T, D)
        return self.pooled_logits(hidden, attention_mask)

    def pooled_logits(self, hidden: Tensor, attention_mask: Tensor) -> Tensor:
        """What the encoder made of each token (W, T, D) to the logits of each window (W, C), in fp32."""
        if self.settings.pooling == "mean":
            pooled = mean_of_tokens(hidden, attention_mask)  # (W, D)
        else:
            pooled = hidden[:, 0]  # (W, D)
        return self.output(self.dropout(pooled)).float()

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, text_index: Tensor, labels: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Windows (W, T) of the texts `text_index` (W,) to logits (B, C) and, with labels (B,), the loss.

        The loss is the cross-entropy of the classes, or the squared error of the ratings.
        """
        if self.in_groups:
            logits = self._logits_in_groups(input_ids, attention_mask)  # (W, C)
        else:
            logits = self.window_logits(input_ids, attention_mask)  # (W, C)
        logits = average_windows(logits, attention_mask.sum(1), text_index)  # (B, C)
        if labels is None:
            return {"logits": logits}
        if self.settings.head == "rating":
            return {"loss": functional.mse_loss(logits[:, 0], labels), "logits": logits}
        return {"loss": functional.cross_entropy(logits, labels), "logits": logits}

    def _logits_in_groups(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """As `window_logits`, with hardly any padding: windows of similar length together, cut to their longest."""
        lengths, order = attention_mask.sum(1).sort()
        logits = []
        for batch in batches_by_budget(lengths.tolist(), self.group_tokens):
            rows, longest = order[batch], lengths[batch][-1]
            logits.append(self.window_logits(input_ids[rows, :longest], attention_mask[rows, :longest]))
        return torch.cat(logits)[order.argsort()]

    def save(self, folder: Path) -> None:
        """Write what `load` needs: settings, weights, and of a whole encoder its shape and tokenizer."""
        if self.settings.base is None:
            save_encoder(self.encoder, self.tokenizer, folder / ENCODER)
        with atomic_path(folder / MODEL) as draft:
            save_file({name: tensor.cpu().contiguous() for name, tensor in self._stored().items()}, draft)
        write_json(folder / SETTINGS, asdict(self.settings))  # last, as it marks the model as whole

    @classmethod
    def load(cls, run: str | Path) -> "TextClassifier":
        """A saved classifier, by its folder or, if it ships, its name; ready to predict, its adapter merged.

        Raises UserError where files are missing, damaged or do not belong together, or its base is another one.
        """
        classifier = cls._load(run_path(run))
        merge_lora(classifier.encoder)
        classifier.settings = replace(classifier.settings, base=None, base_sha256=None, lora_rank=0)  # now it is whole
        if classifier.settings.partner:
            classifier.partner = cls._partner(run_path(run), classifier.settings)
        return classifier.eval()

    @classmethod
    def _partner(cls, folder: Path, settings: ClassifierSettings) -> "TextClassifier":
        beside = folder.parent / str(settings.partner)
        other = load_settings(beside)
        if (other.head, other.label_names, other.partner) != (settings.head, settings.label_names, None):
            raise UserError(
                f"{folder}: its partner {settings.partner} answers another question, or has a partner itself: "
                "restore the runs' own files"
            )
        partner = cls.load(beside)
        partner.settings = replace(partner.settings, temperature=settings.temperature)
        return partner

    @classmethod
    def _load(cls, folder: Path) -> "TextClassifier":
        """As it was saved, an adapter beside its base."""
        settings = load_settings(folder)
        if settings.base is None:
            encoder, tokenizer = build_encoder(folder / ENCODER)
        else:
            encoder, tokenizer, base = load_encoder(settings.base)
            if weights_checksum(base) != settings.base_sha256:
                raise UserError(
                    f"{folder}: trained upon {settings.base}, whose weights are others now: "
                    "restore those weights, or train anew"
                )
        if settings.lora_rank:
            add_lora(encoder, settings.lora_rank)
        classifier = cls(encoder, tokenizer, settings)
        classifier._put_weights(folder / MODEL)
        return classifier

    @classmethod
    def _with_adapter(cls, folder: Path, rank: int) -> "TextClassifier | None":
        """The run in this folder, if it holds an adapter of this rank."""
        if rank == 0 or not (folder / SETTINGS).is_file() or load_settings(folder).lora_rank != rank:
            return None
        return cls._load(folder)

    def _stored(self) -> dict[str, Tensor]:
        """The weights that a saved classifier holds: all of them, or with a base those that were trained."""
        if self.settings.base is None:
            return self.state_dict()
        kept = (".a", ".b") if self.settings.lora_rank else ()
        return {
            name: value
            for name, value in self.state_dict().items()
            if name.startswith("output.") or name.endswith(kept)
        }

    @torch.no_grad()
    def _put_weights(self, file: Path) -> None:
        if not file.is_file():
            raise UserError(f"{file}: missing: restore it, or train anew")
        try:
            found = load_file(file)
        except (SafetensorError, OSError) as error:
            raise UserError(f"{file}: damaged or unreadable ({error}): restore it or train anew") from error
        here = self._stored()
        wrong = [name for name in here.keys() | found.keys() if _shape(here, name) != _shape(found, name)]
        if wrong:
            raise UserError(f"{file}: does not fit {SETTINGS} beside it ({min(wrong)}): restore the run's own files")
        for name, tensor in here.items():
            tensor.copy_(found[name])


def batches_by_budget(lengths: Sequence[int], budget: int) -> Iterator[slice]:
    """Cut ascending lengths into runs whose padded size stays within the budget, of one length at least."""
    start = 0
    for end in range(1, len(lengths) + 1):
        if end == len(lengths) or (end + 1 - start) * lengths[end] > budget:
            yield slice(start, end)
            start = end


def mean_of_tokens(hidden: Tensor, attention_mask: Tensor) -> Tensor:
    """Vectors of tokens (W, T, D) to one a window (W, D): their mean, but for padding, where the mask (W, T) is 0."""
    mask = attention_mask[..., None].to(hidden.dtype)  # (W, T, 1)
    return (hidden * mask).sum(1) / mask.sum(1)


def average_windows(logits: Tensor, lengths: Tensor, text_index: Tensor) -> Tensor:
    """Logits of windows (W, C) to those of texts (B, C): their mean, weighted by the windows' tokens `lengths` (W,)."""
    n_texts = int(text_index[-1]) + 1  # the windows of a text stand together, in the order of the texts
    weights = lengths.to(logits.dtype)
    totals = torch.zeros(n_texts, dtype=logits.dtype, device=logits.device).index_add(0, text_index, weights)
    shares = (weights / totals[text_index])[:, None]  # (W, 1)
    return torch.zeros(n_texts, logits.size(1), dtype=logits.dtype, device=logits.device).index_add(
        0, text_index, logits * shares
    )


def _shape(weights: dict[str, Tensor], name: str) -> torch.Size | None:
    return weights[name].shape if name in weights else None
