"""BERT, RoBERTa, DistilBERT and ALBERT without their pretraining: random weights, equal size, data and steps.

What is known by these names is mostly how they were pretrained. What is left without that:

BERT        the Transformer encoder with learned positions (arXiv 1810.04805)
RoBERTa     the same network: its authors changed the pretraining, the tokenizer and the data (arXiv 1907.11692).
            From scratch, with one tokenizer for all, it must score as BERT does, but for chance; positions are counted
            from the padding id, and it has one kind of token where BERT has two
DistilBERT  BERT without kinds of tokens, and half its layers (arXiv 1910.01108); here it has as many as the others, so
            that only the first remains
ALBERT      one layer's weights used in every layer, and word vectors of half the width that a matrix widens
            (arXiv 1909.11942): far fewer parameters, and about as much to compute
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from bert_sentiment_analysis.comparison import Contestant, fine_tune
from bert_sentiment_analysis.config import TrainingConfig
from bert_sentiment_analysis.models.baselines import Answers
from shared.assets import asset_path
from shared.devices import seed_everything
from shared.splits import Splits

WIDTH, LAYERS, HEADS, INNER, POSITIONS = 128, 4, 2, 512, 128
ALBERT_WORD_WIDTH = 64
# Of random weights everything has to be learned: as fast as this small a network bears, and read by its mean token,
# as a first token that means "the text" is a product of pretraining.
TRAINING: dict[str, Any] = {
    "learning_rate": 1e-3,
    "pooling": "mean",
    "max_length": POSITIONS,
    "overlap": 32,
    "patience": 0,
}


def contestants(epochs: int, n_train: int | None) -> list[Contestant]:
    """The four, to be compared by `comparison.measure`; each seed starts from other weights."""
    training = TrainingConfig(epochs=epochs, n_train=n_train, tracking="none", **TRAINING)
    return [Contestant(name, partial(_train_from_scratch, name, training)) for name in ARCHITECTURES]


def _train_from_scratch(
    architecture: str, training: TrainingConfig, splits: Splits, seed: int, folder: Path
) -> Answers:
    encoder = build_encoder(architecture, folder / "encoder", seed)
    return fine_tune(replace(training, model=str(encoder)), splits, seed, folder / "run")


def build_encoder(architecture: str, folder: Path, seed: int) -> Path:
    """Write a random encoder of this architecture as a downloaded one lies on disk, with minilm's word pieces.

    It follows from the seed, so that building it again after a kill changes nothing. Gives its folder.
    """
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(asset_path("minilm"))
    seed_everything(seed)
    model = ARCHITECTURES[architecture](vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _bert_like(name: str, more_positions: int = 0, **shape: Any) -> Any:
    import transformers

    settings = {
        "hidden_size": WIDTH,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "intermediate_size": INNER,
        "max_position_embeddings": POSITIONS + more_positions,
        "hidden_dropout_prob": 0.1,
        "attention_probs_dropout_prob": 0.1,
    }
    return getattr(transformers, f"{name}Model")(getattr(transformers, f"{name}Config")(**settings, **shape))


def _roberta(pad_token_id: int, **shape: Any) -> Any:
    more = pad_token_id + 1  # positions that are never used, as counting starts after the padding id
    return _bert_like("Roberta", more_positions=more, pad_token_id=pad_token_id, type_vocab_size=1, **shape)


def _distilbert(**shape: Any) -> Any:
    from transformers import DistilBertConfig, DistilBertModel

    sizes = {"dim": WIDTH, "n_layers": LAYERS, "n_heads": HEADS, "hidden_dim": INNER}
    return DistilBertModel(DistilBertConfig(**sizes, max_position_embeddings=POSITIONS, **shape))


def _albert(**shape: Any) -> Any:
    # Its authors' activation and BERT's differ only in how GELU is computed.
    return _bert_like("Albert", embedding_size=ALBERT_WORD_WIDTH, **shape)


ARCHITECTURES: dict[str, Callable[..., Any]] = {
    "bert": partial(_bert_like, "Bert"),
    "roberta": _roberta,
    "distilbert": _distilbert,
    "albert": _albert,
}
