"""Characters to ids and back."""

import json

import pytest

from shared.errors import UserError
from transformer_from_scratch.tokenizer import FILE, UNKNOWN, CharTokenizer

TEXT = "naïve 电影 😀\n"


def test_known_text_comes_back_as_it_was():
    tokenizer = CharTokenizer.train(TEXT, 100)
    assert tokenizer.decode(tokenizer.encode(TEXT).tolist()) == TEXT
    assert len(tokenizer) == len(set(TEXT)) + 1


def test_unknown_characters_share_id_zero():
    ids = CharTokenizer("ab").encode("axb" + UNKNOWN + "\ud800").tolist()
    assert ids == [1, 0, 2, 0, 0]


def test_a_small_vocabulary_keeps_the_frequent_characters():
    tokenizer = CharTokenizer.train("aaabbc", 3)
    assert tokenizer.characters == UNKNOWN + "ab"


def test_save_and_load_give_the_same_ids(tmp_path):
    tokenizer = CharTokenizer.train(TEXT, 7)
    tokenizer.save(tmp_path)
    assert CharTokenizer.load(tmp_path).encode(TEXT).tolist() == tokenizer.encode(TEXT).tolist()


@pytest.mark.parametrize("content", ["{", "[]", json.dumps({"characters": "aa"}), json.dumps({"characters": 3})])
def test_a_damaged_file_is_one_clear_line(tmp_path, content):
    (tmp_path / FILE).write_text(content)
    with pytest.raises(UserError, match="damaged"):
        CharTokenizer.load(tmp_path)
