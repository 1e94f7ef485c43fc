"""The word vectors, half of a small encoder: those of pieces that hardly occur go, or all of them become narrower.

python -m model_optimization.pruning.vocabulary --run RUN --output FOLDER --at_least 5

Trimming keeps the pieces that occur in the texts often enough, and all single characters, so that every text can still
be read: a word whose piece has gone is spelled in shorter ones. Factorising writes the table of V words by D numbers as
one of V by E and a matrix of E by D, the best such product by its singular values (as ALBERT is built from the start,
arXiv 1909.11942, section 3.1). Neither makes an answer quicker: a table is looked up, not multiplied.
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model_optimization.config import PROJECT, SUBJECT
from shared.config import check, parse_config
from shared.errors import UserError, run_program
from shared.logging import print_result, setup_logging

if TYPE_CHECKING:
    from model_optimization.subject import Subject

CONTINUED = "##"  # how WordPiece marks a piece that does not begin a word


@dataclass(frozen=True)
class VocabularyConfig:
    """Drop the word pieces that hardly occur."""

    run: str = SUBJECT
    """Folder of a trained classifier, or a hub name."""
    output: str = f"runs/{PROJECT}/trimmed"
    """Folder for the smaller classifier; what is there is replaced."""
    at_least: int = 5
    """How often a piece must occur in the film reviews that the classifier may learn from."""

    def __post_init__(self) -> None:
        check(self.at_least >= 1, "at_least", self.at_least, "give at least 1")


def trim(subject: "Subject", texts: Sequence[str], at_least: int) -> "Subject":
    """Without the pieces that occur less often in the texts. Raises UserError for a tokenizer that is not WordPiece."""
    from tokenizers import Tokenizer

    from model_optimization.classifier import Classifier

    described: dict[str, Any] = json.loads(subject.tokenizer.to_str())
    if described["model"]["type"] != "WordPiece":
        raise UserError(
            f"its tokenizer is {described['model']['type']}: only WordPiece, as BERT has it, can be trimmed"
        )
    plain = Tokenizer.from_str(subject.tokenizer.to_str())
    plain.no_padding()
    plain.no_truncation()
    counts = Counter(piece for found in plain.encode_batch_fast(list(texts)) for piece in found.ids)
    added = {token["content"]: token["id"] for token in described["added_tokens"]}  # not all are in the vocabulary
    vocabulary: dict[str, int] = {**described["model"]["vocab"], **added}
    special = {*added, described["model"]["unk_token"]}
    kept = [
        (piece, place)
        for piece, place in sorted(vocabulary.items(), key=lambda item: item[1])
        if piece in special or counts[place] >= at_least or len(piece.removeprefix(CONTINUED)) == 1
    ]
    places = {piece: new for new, (piece, _) in enumerate(kept)}
    described["model"]["vocab"] = places
    for token in described["added_tokens"]:
        token["id"] = places[token["content"]]
    _renumber(described["post_processor"], places)
    weights = subject.model.state_dict()
    weights["embedding.words.weight"] = weights["embedding.words.weight"][[place for _, place in kept]]
    model = Classifier(replace(subject.model.shape, n_pieces=len(kept)))
    model.load_state_dict(weights)
    return replace(subject.with_model(model), tokenizer=Tokenizer.from_str(json.dumps(described)))


def _renumber(part: Any, places: dict[str, int]) -> None:
    """The ids of special tokens in a post-processor's description, wherever they stand."""
    if isinstance(part, dict):
        if "ids" in part and "tokens" in part:
            part["ids"] = [places[token] for token in part["tokens"]]
        for value in part.values():
            _renumber(value, places)
    elif isinstance(part, list):
        if len(part) == 2 and isinstance(part[0], str) and isinstance(part[1], int):  # BERT's own: ["[SEP]", 102]
            part[1] = places[part[0]]
        for value in part:
            _renumber(value, places)


def factorise(subject: "Subject", word_width: int) -> "Subject":
    """Word vectors of `word_width` numbers and a matrix that widens them. Raises UserError for no narrower width."""
    import torch

    from model_optimization.classifier import Classifier

    shape = subject.model.shape
    if not 0 < word_width < (shape.word_width or shape.width):
        raise UserError(f"a word width of {word_width}: give 1 to {(shape.word_width or shape.width) - 1}")
    weights = subject.model.state_dict()
    table = weights["embedding.words.weight"]  # (V, D)
    if shape.word_width:
        table = table @ weights["embedding.widen.weight"].T
    left, sizes, right = torch.linalg.svd(table, full_matrices=False)  # (V, D), (D,), (D, D)
    root = sizes[:word_width].sqrt()
    weights["embedding.words.weight"] = left[:, :word_width] * root  # (V, E)
    weights["embedding.widen.weight"] = (right[:word_width] * root[:, None]).T  # (D, E)
    model = Classifier(replace(shape, word_width=word_width))
    model.load_state_dict(weights)
    return subject.with_model(model)


def main(argv: Sequence[str] | None = None) -> None:
    config = parse_config(VocabularyConfig, argv, prog=f"python -m {PROJECT}.pruning.vocabulary")
    setup_logging()
    from model_optimization.subject import load_subject, save_subject
    from model_optimization.texts import film_texts

    subject = load_subject(config.run)
    smaller = trim(subject, film_texts(), config.at_least)
    save_subject(smaller, Path(config.output))
    pieces = {"pieces": smaller.model.shape.n_pieces, "pieces_before": subject.model.shape.n_pieces}
    print_result({"classifier": config.output, **pieces})


if __name__ == "__main__":
    run_program(main)
