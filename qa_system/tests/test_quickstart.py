"""The quickstart: what it writes, on the handbook and an encoder of hashed words."""

import json

import pytest

from qa_system import quickstart, read_files
from qa_system.document_processor import vector_store
from qa_system.example import EXAMPLE_NAMES, HANDBOOK, QUESTIONS
from qa_system.generation import answer_generator
from shared.report import read_section


@pytest.fixture
def small(monkeypatch, reading_words, tiny_checkpoint):
    monkeypatch.setattr(vector_store, "load_embedder", lambda name: reading_words)
    monkeypatch.setattr(read_files, "asset_path", lambda name: tiny_checkpoint)
    monkeypatch.setattr(answer_generator, "load_reader", lambda folder: None)


def test_it_answers_cites_word_for_word_and_writes_its_section(small, tmp_path):
    summary = quickstart.run(tmp_path / "out", smoke=True)
    assert summary["documents"] == 2 and summary["cited_word_for_word"]
    assert summary["answered"] + summary["abstained"] == summary["questions"] == 4
    lines = [json.loads(line) for line in (tmp_path / "out" / quickstart.ANSWERS).read_text().splitlines()]
    assert [bool(line["answer"]) for line in lines].count(True) == summary["answered"] > 0
    assert all(line["citations"] or not line["answer"] for line in lines)
    kinds = [block["kind"] for block in read_section(tmp_path / "out")["blocks"]]
    assert kinds == ["numbers", "text", "table", "figure", "figure", "next"]


def test_the_handbook_says_the_same_in_both_languages():
    english, chinese = ((HANDBOOK / name).read_text(encoding="utf-8") for name in EXAMPLE_NAMES[1:])
    for text in ("`make setup`", "3.11", "127.0.0.1", "8000", "50 MB", "429", "`e5-multilingual`", "Mirostat", "MIT"):
        assert text in english and text in chinese, text
    assert english.count("\n## ") == chinese.count("\n## ")


def test_ten_questions_of_which_two_have_no_answer():
    assert len(QUESTIONS) == 10 and sum(not each.answerable for each in QUESTIONS) == 2
    assert {each.language for each in QUESTIONS if not each.answerable} == {"en", "zh"}
