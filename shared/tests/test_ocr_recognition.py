"""Letters, words and white out of a recognition model's probabilities, which are made up here."""

import numpy as np
import pytest

from shared.ocr_recognition import decode, is_unspaced

ALPHABET = ["", *"TOALMNU3.", "总", "额", " "]


def probabilities(steps):
    """(steps, characters) of a list of letters, each sure, or of (letter, probability of a space) pairs."""
    made = np.zeros((len(steps), len(ALPHABET)))
    for row, step in enumerate(steps):
        letter, space = step if isinstance(step, tuple) else (step, 0.0)
        made[row, ALPHABET.index(letter)] = 1 - space
        made[row, -1] += space
    return made


def test_repetitions_are_one_letter_unless_something_is_between():
    line = decode(probabilities(["T", "T", "", "O", "", "O", ""]), ALPHABET, 7)
    assert (line.text, line.score) == ("TOO", 1.0)


def test_a_space_that_is_second_choice_parts_words():
    """The known weakness of models that learned mostly Chinese: TOTALAMOUNT."""
    white = ("", 0.2)
    line = decode(probabilities(["T", "", "O", white, "A", "", "M"]), ALPHABET, 7)
    assert line.text == "TO AM"
    assert [word.text for word in line.words] == ["TO", "AM"]
    assert decode(probabilities(["T", "", "O", ("", 0.05), "A", "", "M"]), ALPHABET, 7).text == "TOAM"


def test_a_space_that_is_first_choice_parts_words_and_has_no_part_in_their_score():
    line = decode(probabilities(["T", "O", ("", 0.6), "A", "M"]), ALPHABET, 5)
    assert line.text == "TO AM"
    assert all(word.score == 1.0 for word in line.words)


def test_chinese_characters_are_words_of_their_own_without_white_between():
    line = decode(probabilities(["总", ("", 0.3), "额", ("", 0.3), "3", ".", "3"]), ALPHABET, 7)
    assert line.text == "总额 3.3"
    assert [word.text for word in line.words] == ["总", "额", "3.3"]


def test_places_of_words_follow_each_other_within_the_line():
    line = decode(probabilities(["T", "", "O", ("", 0.9), "", "A", "", "M", "", ""]), ALPHABET, 10)
    first, second = line.words
    assert (first.start, second.end) == (0.0, 1.0)
    assert 0.25 <= first.end <= second.start <= 0.55


def test_a_line_of_nothing_is_empty():
    for steps in ([""], [("", 0.9)], ["", ""]):
        assert decode(probabilities(steps), ALPHABET, len(steps)) == ("", 0.0, ())


@pytest.mark.parametrize(
    ("letter", "unspaced"), [("总", True), ("か", True), ("，", True), ("T", False), ("한", False)]
)
def test_scripts_without_white_between_words(letter, unspaced):
    assert is_unspaced(letter) is unspaced
