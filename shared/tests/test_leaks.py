"""The text alone decides on which side it stands, and what stands on two sides is found."""

from collections import Counter

import pytest

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
