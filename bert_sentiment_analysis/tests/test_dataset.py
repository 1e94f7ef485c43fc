"""Users' files and hub sets are split by rule; tests of the packaged sets stand in shared."""

import json
import sys
import types

import pytest

from bert_sentiment_analysis.data import imdb_dataset
from bert_sentiment_analysis.data.imdb_dataset import load_splits
from shared.datasets import Example
from shared.errors import UserError
from shared.leaks import side_of
from shared.splits import label_by_sign


def fault(action, *arguments, **named) -> str:
    with pytest.raises(UserError) as caught:
        action(*arguments, **named)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def some_examples(n: int) -> list[Example]:
    return [Example(f"text number {i}", label=i % 2) for i in range(n)]


@pytest.mark.network
def test_the_raters_agree_with_97_percent_of_the_film_labels():
    """The ceiling: 20 people's mean has the sign of the label in 8,215 of the 8,440 train rows they rated, 0 aside."""
    from bert_sentiment_analysis.data.checks import TextSet, overlap
    from shared.cleaning import letters

    films = imdb_dataset.load_examples("rotten_tomatoes")
    keys = {letters(example.text) for example in films}
    rated = imdb_dataset.load_examples("movie_snippets")
    known = [example for example in rated if letters(example.text) in keys]
    assert (len(known), len(rated) - len(known)) == (8_469, 2_136)
    found = overlap(TextSet(label_by_sign(known)), TextSet(films))
    assert (found.rows, found.same_label) == (8_440, 8_215)


def sizes(splits) -> tuple[int, ...]:
    return tuple(map(len, splits.parts.values()))


# Users' files and hub sets.


def test_a_file_is_split_by_the_hash_and_its_bad_rows_are_told(tmp_path, monkeypatch):
    told: list[str] = []
    monkeypatch.setattr(imdb_dataset.log, "warning", lambda message, *values: told.append(message % values))
    lines = [json.dumps({"text": e.text, "label": e.label}) for e in some_examples(200)]
    lines[3:3] = [json.dumps({"text": None, "label": 1}), "not JSON", lines[0]]
    file = tmp_path / "mine.jsonl"
    file.write_text("\n".join(lines))
    splits = load_splits(str(file))
    assert splits.skipped == {4: "no text", 5: "not valid JSON"}
    assert splits.dropped == {"repeats of a text": 1}
    assert sum(sizes(splits)) == 200
    assert all(side_of(example.text) == side for side, part in splits.parts.items() for example in part)
    assert told == [f"{file}: 2 of 203 rows skipped: row 4 (no text), row 5 (not valid JSON)"]


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ([0, 4], "the labels are 0, 4: give at least two classes, numbered 0, 1, ... without a gap"),
        ([1], "the labels are 1: give at least two"),
    ],
)
def test_labels_with_gaps_are_refused(tmp_path, labels, words):
    file = tmp_path / "a.json"
    file.write_text(json.dumps([{"text": f"text {i}", "label": labels[i % len(labels)]} for i in range(99)]))
    assert words in fault(load_splits, str(file))


def test_a_file_too_small_to_split_is_refused(tmp_path):
    file = tmp_path / "a.csv"
    file.write_text("text,label\na,1\nb,0\n")
    assert "no row falls into the" in fault(load_splits, str(file))


def test_a_class_that_could_not_be_learned_is_refused(tmp_path):
    rows = [{"text": f"text {i}", "label": i % 2} for i in range(99)] + [{"text": "x1", "label": 2}]
    (tmp_path / "a.json").write_text(json.dumps(rows))
    assert side_of("x1") == "test"
    assert "no row of class 2 falls into the train part" in fault(load_splits, str(tmp_path / "a.json"))


def test_classes_have_names(tmp_path):
    def names(n_classes: int) -> tuple[str, ...]:
        rows = [{"text": f"text {i}", "label": i % n_classes} for i in range(99)]
        (tmp_path / "a.json").write_text(json.dumps(rows))
        return load_splits(str(tmp_path / "a.json")).label_names

    assert names(2) == ("negative", "positive")
    assert names(3) == ("negative", "neutral", "positive")
    assert names(5) == ("0", "1", "2", "3", "4")


@pytest.mark.parametrize("name", ["imdb", "owner/set"])
def test_columns_are_asked_of_files_only(name):
    assert "are for local files" in fault(load_splits, name, text_column="body")


@pytest.fixture
def hub(monkeypatch):
    """A stand-in for the hub: `hub(train=rows, ...)` says what `datasets.load_dataset` finds."""

    def fill(**parts):
        def load_dataset(name, configuration, split):
            if split not in parts:
                raise ValueError(f'Unknown split "{split}". Should be one of {list(parts)}.')
            return parts[split]

        module = types.ModuleType("datasets")
        module.load_dataset = load_dataset
        monkeypatch.setitem(sys.modules, "datasets", module)
        monkeypatch.setattr("shared.datasets.hub_is_reachable", lambda: True)

    return fill


def rows_of(examples) -> list[dict]:
    return [{"sentence": example.text, "label": example.label} for example in examples]


def test_a_hub_set_keeps_its_own_parts_and_what_they_share_does_not_train(hub):
    texts = some_examples(30)
    hub(train=rows_of(texts[:20]), validation=rows_of(texts[18:25]), test=rows_of(texts[24:]))
    splits = load_splits("owner/set")
    assert splits.test == texts[24:] and splits.validation == texts[18:24] and splits.train == texts[:18]
    assert splits.dropped == {"validation texts that are held out": 1, "training texts that are held out": 2}


def test_a_hub_set_without_a_labelled_test_part_has_one_cut_by_the_hash(hub):
    """Competitions publish their test texts with the label -1."""
    texts = some_examples(300)
    hidden = [{"sentence": f"hidden {i}", "label": -1} for i in range(10)]
    hub(train=rows_of(texts), test=hidden)
    splits = load_splits("owner/set")
    assert sum(sizes(splits)) == 300 and splits.dropped == {"rows without a label": 10}
    assert {side_of(example.text) for example in splits.test} == {"test"}
    assert {side_of(example.text) for example in splits.validation} == {"validation"}


def test_other_refusals_of_the_hub_are_passed_on(hub):
    hub(test=rows_of(some_examples(3)))
    assert 'Unknown split "train"' in fault(load_splits, "owner/set")
