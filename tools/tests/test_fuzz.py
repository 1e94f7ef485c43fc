"""Damaged files: every parser gives one clear line. A few here; thousands by `python -m tools.fuzz`."""

import random

import pytest

from shared.errors import UserError
from tools.fuzz import damaged, fuzz
from tools.fuzz_case import text_file
from tools.fuzz_parsers import PARSERS

# Numbers of examples that gave a traceback, or several lines.
FOUND = {
    "config": [15],
    "jsonl": [22, 50],
    "run": [13],
    "problems": [45],
    "samples": [58],
    "votes": [9],
    "windows": [17],
    "captions": [23],
    "captions_table": [43],
    "labels": [3],
    "vqa": [36],
    "classifier": [48, 51],
    "store": [4, 9, 59, 66, 80],
    "subject": [55, 97],
    "index": [8, 25],
    "joint_space": [16, 60, 67],
    "captioner": [18, 39],
}
FOUND_BY_SEED = [
    FOUND,
    {"classifier": [155, 172], "votes": [281], "index": [267]},
    {"language_model": [3]},
    {"subject": [256], "store": [115]},
    {"language_model": [68], "captioner": [229]},
    {"classifier": [96]},
]
QUICK = [
    name
    for name in PARSERS
    if name not in ("language_model", "classifier", "subject", "readings", "captioner", "joint_space")
]


@pytest.mark.parametrize("name", QUICK)
def test_a_damaged_file_is_one_clear_line(name, tmp_path):
    assert fuzz(PARSERS[name], range(12), 0, tmp_path) == []


@pytest.mark.parametrize(
    ("seed", "name", "examples"),
    [(seed, *found) for seed, all_found in enumerate(FOUND_BY_SEED) for found in all_found.items()],
)
def test_what_was_found_once_is_one_clear_line_now(seed, name, examples, tmp_path):
    assert fuzz(PARSERS[name], examples, seed, tmp_path) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", PARSERS)
def test_many_damaged_files_are_one_clear_line(name, tmp_path):
    assert fuzz(PARSERS[name], range(300), 1, tmp_path) == []


def raising(error):
    def read(file):
        if file.read_bytes() != b"whole":
            raise error

    return text_file("toy", "a.txt", "whole", read)


@pytest.mark.parametrize(
    ("error", "found"),
    [(KeyError("x"), "KeyError at"), (RecursionError("x"), "RecursionError at"), (UserError("x"), "")],
)
def test_any_other_exception_is_found(error, found, tmp_path):
    wrong = fuzz(raising(error), range(20), 0, tmp_path)
    assert len(wrong) == bool(found) and all(found in line for line in wrong)


def test_the_damage_follows_from_its_number_and_changes_something():
    whole = b'{"text": "a good film", "label": 1}\n'
    tried = [damaged(whole, random.Random(number)) for number in range(200)]
    assert tried == [damaged(whole, random.Random(number)) for number in range(200)]
    assert len(set(tried)) > 100 and sum(each != whole for each in tried) > 150
