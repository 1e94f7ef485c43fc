"""All sets of this project, split so that no text stands on two sides: the packaged ones, files, and the hub's.

The file is named after its best-known set. `shared/splits.py` has the packaged sets and the rule for each.

a file   80/10/10 by a fixed hash of the text's key
a hub set
         its own parts; what it lacks is cut from its train part by the same hash
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from bert_sentiment_analysis.data.rows import read_rows
from shared.datasets import LOCAL_FORMATS, Example, load_examples
from shared.errors import UserError
from shared.leaks import Side, side_of
from shared.logging import get_logger
from shared.splits import NAMES, Splits, load_packaged, refuse_empty, separate, split_by_hash

log = get_logger(__name__)


def load_splits(name: str, *, text_column: str | None = None, label_column: str | None = None) -> Splits:
    """A set to classify: a packaged one by short name, a local file, or a hub set.

    Human-rated texts get the sign of their rating as label. The columns are asked of local files only.
    Raises UserError for a name or a file that cannot be had, and for data that leaves a part empty.
    """
    if Path(name).is_file():
        return _file(name, text_column, label_column)
    if (text_column or label_column) and Path(name).suffix not in LOCAL_FORMATS:
        raise UserError(f"{name}: --text_column and --label_column are for local files: leave them out")
    if name in NAMES:
        return load_packaged(name)
    return _hub(name)


def _file(name: str, text_column: str | None, label_column: str | None) -> Splits:
    rows = read_rows(name, text_column, label_column, labelled=True)
    if rows.skipped:
        log.warning("%s: %s", name, rows.describe_skipped())
    splits = split_by_hash(name, rows.examples, label_names=_label_names(name, rows.examples))
    return replace(splits, skipped=rows.skipped)


def _hub(name: str) -> Splits:
    """The set's own parts; what it lacks is cut from its train part by the hash."""
    train, n_unlabelled = _labelled(load_examples(name, "train"))
    parts: dict[Side, list[Example]] = {}
    for side in ("validation", "test"):
        try:
            # Competitions keep the labels of their test set to themselves and write -1.
            parts[side], n = _labelled(load_examples(name, side))
            n_unlabelled += n
        except UserError as error:
            if "unknown split" not in str(error).lower():
                raise
            parts[side] = []
    names = _label_names(name, [*train, *parts["validation"], *parts["test"]])
    cut = {side for side in ("validation", "test") if not parts[side]}
    rest = []
    for example in train:
        side = side_of(example.text)
        parts[side].append(example) if side in cut else rest.append(example)
    splits = separate(name, rest, parts["validation"], parts["test"])
    dropped = {**splits.dropped, **({"rows without a label": n_unlabelled} if n_unlabelled else {})}
    return refuse_empty(replace(splits, label_names=names, dropped=dropped))


def _labelled(examples: Sequence[Example]) -> tuple[list[Example], int]:
    kept = [example for example in examples if example.label is not None and example.label >= 0]
    return kept, len(examples) - len(kept)


def _label_names(name: str, examples: Iterable[Example]) -> tuple[str, ...]:
    """Names for the classes 0, 1, ... of a set that brings none. Raises UserError where a number is left out."""
    found = sorted({example.label for example in examples if example.label is not None})
    if found != list(range(len(found))) or len(found) < 2:
        listed = ", ".join(map(str, found[:10])) or "none"
        raise UserError(f"{name}: the labels are {listed}: give at least two classes, numbered 0, 1, ... without a gap")
    known = {2: ("negative", "positive"), 3: ("negative", "neutral", "positive")}
    return known.get(len(found), tuple(map(str, found)))
