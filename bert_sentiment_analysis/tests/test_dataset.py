"""Every set is split by its rule, its numbers are the known ones, and no text stands on two sides."""

import json
import sys
import types
from collections import Counter
from functools import cache

import pytest

from bert_sentiment_analysis.data import imdb_dataset
from bert_sentiment_analysis.data.imdb_dataset import load_splits
from shared.cleaning import normalise
from shared.datasets import Example
from shared.errors import UserError
from shared.leaks import (
    TRAIN_IDS,
    exclude,
    halves,
    load_ids,
    refuse_leaks,
    save_ids,
    shared_texts,
    side_of,
    text_hash,
    text_id,
    text_ids,
)
from shared.splits import BLOCK, NAMES, RATED, label_by_sign, load_rated

packaged = cache(load_splits)  # reading and splitting the reviews takes seconds


def fault(action, *arguments, **named) -> str:
    with pytest.raises(UserError) as caught:
        action(*arguments, **named)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def some_examples(n: int) -> list[Example]:
    return [Example(f"text number {i}", label=i % 2) for i in range(n)]


# The side of a text.


def test_the_side_is_fixed_by_the_text_alone():
    """Shipped weights were trained by these sides: they must never change."""
    sides = {"a": "train", "很好": "train", "good film": "validation", "x17": "validation", "x1": "test", "x22": "test"}
    assert {text: side_of(text) for text in sides} == sides
    assert side_of("Good  FILM!!") == side_of("good film")


def test_the_sides_are_80_10_10_and_the_halves_are_even_within_each():
    examples = some_examples(20_000)
    sides = Counter(side_of(example.text) for example in examples)
    assert sides["train"] == pytest.approx(16_000, abs=250)
    assert sides["validation"] == pytest.approx(2_000, abs=200)
    for side in sides:
        part = [example for example in examples if side_of(example.text) == side]
        tune, report = halves(part)
        assert len(tune) == pytest.approx(len(report), rel=0.15)
        assert sorted(e.text for e in tune + report) == sorted(e.text for e in part)
        assert shared_texts(tune, report) == []


def test_the_halves_do_not_hang_on_order_or_company():
    examples = some_examples(50)
    tune, _ = halves(examples)
    assert halves(examples[::-1])[0] == tune[::-1]
    assert halves(tune) == (tune, [])


# Leaks.


def test_shared_texts_finds_copies_that_are_written_differently():
    first = [Example("Lilo &amp; Stitch"), Example("new"), Example(":)")]
    assert shared_texts(first, [Example("lilo & stitch ."), Example(":(")]) == ["Lilo &amp; Stitch"]


def test_leaking_parts_are_refused_with_an_example():
    parts = {"train": [Example("a"), Example("b")], "validation": [Example("c")], "test": [Example("B!")]}
    assert fault(refuse_leaks, "mine", parts).startswith("mine: 1 texts are both in train and in test, such as b:")
    parts["test"] = [Example("d")]
    refuse_leaks("mine", parts)


def test_hashes_are_of_the_key_each_once_and_sorted():
    ids = text_ids(["b", "A", "a!", "\ud83d"])
    assert ids == sorted({text_id("a"), text_id("b"), text_id("\ufffd")})
    assert text_hash("A?") == "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"  # sha256 of "a"


def test_what_the_weights_were_trained_on_is_left_out_and_counted(tmp_path):
    save_ids(tmp_path, ["Seen, before.", "other"])
    assert len((tmp_path / TRAIN_IDS).read_text().splitlines()) == 2
    new = Example("new", label=1)
    assert exclude([Example("seen before"), new, Example("OTHER")], load_ids(tmp_path)) == ([new], 2)


def test_a_test_with_nothing_left_fails(tmp_path):
    assert "nothing left to test on" in fault(exclude, [Example("a")], text_ids(["A"]))
    assert "nothing left to test on" in fault(exclude, [], [])
    assert f"no {TRAIN_IDS} beside the weights" in fault(load_ids, tmp_path)


# The packaged sets.


@pytest.mark.network
@pytest.mark.parametrize("name", NAMES)
def test_no_text_stands_on_two_sides_and_no_row_is_lost(name):
    splits = packaged(name)
    refuse_leaks(name, splits.parts)
    kept = sum(map(len, splits.parts.values()))
    rows = {
        "imdb": 25_000,
        "rotten_tomatoes": 8_530 + 2_128,
        "zh_reviews": 35_123,
        "tweets": 4_200,
        "movie_snippets": 10_605,
        "amazon": 3_708,
        "nyt": 5_190,
    }
    assert kept + sum(splits.dropped.values()) == rows[name]
    assert all(example.label in (0, 1) for part in splits.parts.values() for example in part)


def sizes(splits) -> tuple[int, ...]:
    return tuple(map(len, splits.parts.values()))


@pytest.mark.network
def test_rotten_tomatoes_tests_on_the_2128_sentences_that_only_the_rated_set_has():
    splits = packaged("rotten_tomatoes")
    assert sizes(splits) == (7_655, 858, 2_128)
    assert all(example.label == (example.rating > 0) for example in splits.test)
    tune, report = halves(splits.test)
    assert (len(tune), len(report)) == (1_055, 1_073)
    trained = splits.train + splits.validation
    assert exclude(splits.test, text_ids(example.text for example in trained)) == (splits.test, 0)


@pytest.mark.network
def test_train_rows_hidden_by_an_entity_do_not_train():
    """Regression: 15 held-out sentences with `&amp;` are rows of the train set, where it is `&`."""
    splits = packaged("rotten_tomatoes")
    assert splits.dropped == {
        "repeats of a text": 2,
        "validation texts that are held out": 1,
        "training texts that are held out": 14,
    }
    held_out = next(example for example in splits.test if example.text.startswith("Superb production values &amp;"))
    train = imdb_dataset.load_examples("rotten_tomatoes")
    assert len(shared_texts([held_out], train)) == 1
    assert shared_texts([held_out], splits.train + splits.validation) == []


@pytest.mark.network
def test_a_sentence_of_both_film_sets_validates_in_both_or_in_neither():
    films, rated = packaged("rotten_tomatoes"), load_rated(["movie_snippets"])["movie_snippets"]
    assert {side_of(example.text) for example in films.validation} == {"validation"}
    assert shared_texts(films.validation, rated.train + rated.test) == []
    assert len(shared_texts(films.validation, rated.validation)) > 800
    assert shared_texts(films.test, rated.train + rated.validation) == []
    assert len(shared_texts(films.test, rated.test)) == len(films.test)


@pytest.mark.network
def test_imdb_is_held_out_in_blocks_spread_evenly_over_each_label():
    splits = packaged("imdb")
    assert sizes(splits) == (17_910, 2_000, 5_000)
    rows = imdb_dataset.load_examples("imdb")
    place = {normalise(example.text): i for i, example in enumerate(rows)}  # a repeat has its last place
    for part, n_blocks in ((splits.test, 10), (splits.validation, 4)):
        assert Counter(example.label for example in part) == {0: len(part) // 2, 1: len(part) // 2}
        starts = [rows.index(example) for example in part[::BLOCK]]
        assert len(starts) == n_blocks
        for start, block in zip(starts, (part[i : i + BLOCK] for i in range(0, len(part), BLOCK)), strict=True):
            assert block == rows[start : start + BLOCK]
        gaps = {later - earlier for earlier, later in zip(starts, starts[1:], strict=False)}
        assert gaps == {12_500 // (n_blocks // 2)} or gaps == {5_000, 7_500}
    assert len(place) == 24_901


@pytest.mark.network
def test_the_rated_sets_have_one_side_a_text_across_sources():
    rated = load_rated()
    assert {name: sizes(splits) for name, splits in rated.items()} == {
        "tweets": (3_351, 396, 453),
        "movie_snippets": (7_614, 853, 2_136),
        "amazon": (2_941, 386, 381),
        "nyt": (4_181, 498, 511),
    }
    together = {
        side: [example for splits in rated.values() for example in splits.parts[side]]
        for side in ("train", "validation", "test")
    }
    refuse_leaks("all four", together)
    assert len(shared_texts(rated["amazon"].train, rated["nyt"].train)) > 0  # so the line above says something
    assert all(-4 <= example.rating <= 4 for part in together.values() for example in part)


@pytest.mark.network
def test_chinese_texts_with_both_labels_are_dropped_and_counted():
    splits = packaged("zh_reviews")
    assert sizes(splits) == (13_902, 1_717, 1_705)
    assert splits.dropped == {"rows of texts that have two labels": 256, "repeats of a text": 17_543}


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


def test_a_set_without_ratings_is_refused_by_name():
    assert fault(load_rated, ["imdb"]) == f"imdb: has no human ratings: choose among {', '.join(RATED)}"


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
