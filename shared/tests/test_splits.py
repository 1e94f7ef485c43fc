"""Every packaged set is split by its rule, its numbers are the known ones, and no text stands on two sides."""

from collections import Counter
from functools import cache

import pytest

from shared.cleaning import normalise
from shared.datasets import load_examples
from shared.errors import UserError
from shared.leaks import exclude, halves, refuse_leaks, shared_texts, side_of, text_ids
from shared.splits import BLOCK, HUMAN_RATED, NAMES, load_packaged, load_rated

packaged = cache(load_packaged)  # reading and splitting the reviews takes seconds


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
        "words": 7_517,
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
    train = load_examples("rotten_tomatoes")
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
    rows = load_examples("imdb")
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


def test_a_set_without_ratings_is_refused_by_name():
    with pytest.raises(UserError) as caught:
        load_rated(["imdb"])
    assert str(caught.value) == f"imdb: has no human ratings: choose among {', '.join(HUMAN_RATED)}"


def test_a_set_that_is_not_packaged_is_refused_by_name():
    with pytest.raises(UserError) as caught:
        load_packaged("easy_vqa")
    assert str(caught.value) == f"easy_vqa: no packaged set of opinions: choose among {', '.join(NAMES)}"
