"""Damaged files: every parser gives one clear line. A few here; thousands by `python -m tools.fuzz`."""

import random

import pytest

from shared.errors import UserError
from tools.fuzz import damaged, fuzz
from tools.fuzz_parsers import PARSERS, text_file

QUICK = [
    name
    for name in PARSERS
    if name not in ("language_model", "classifier", "subject", "readings", "captioner", "joint_space")
]


@pytest.mark.parametrize("name", QUICK)
def test_a_damaged_file_is_one_clear_line(name, tmp_path):
    assert fuzz(PARSERS[name], 12, 0, tmp_path) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", PARSERS)
def test_many_damaged_files_are_one_clear_line(name, tmp_path):
    assert fuzz(PARSERS[name], 300, 1, tmp_path) == []


def raising(error):
    def read(file):
        if file.read_text() != "whole":
            raise error

    return text_file("toy", "a.txt", "whole", read)


@pytest.mark.parametrize(
    ("error", "found"), [(KeyError("x"), "KeyError at"), (UserError("two\nlines"), "two\nlines"), (UserError("x"), "")]
)
def test_another_exception_and_a_second_line_are_found(error, found, tmp_path):
    wrong = fuzz(raising(error), 20, 0, tmp_path)
    assert len(wrong) == bool(found) and all(found in line for line in wrong)


def test_the_damage_follows_from_its_number_and_changes_something():
    whole = b'{"text": "a good film", "label": 1}\n'
    tried = [damaged(whole, random.Random(number)) for number in range(200)]
    assert tried == [damaged(whole, random.Random(number)) for number in range(200)]
    assert len(set(tried)) > 150 and sum(each != whole for each in tried) > 180
