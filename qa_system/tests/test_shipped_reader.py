"""The packaged reader: small enough, described, and it says what it was trained on."""

import json

import pytest

from qa_system.generation.reader import SHIPPED, WEIGHTS, Reader
from shared.leaks import load_ids


def test_it_is_small_and_its_card_names_data_licence_and_limits():
    assert (SHIPPED / WEIGHTS).stat().st_size <= 4e6
    card = (SHIPPED / "README.md").read_text(encoding="utf-8")
    summary = json.loads((SHIPPED / "summary.json").read_text(encoding="utf-8"))
    assert "CC BY-SA 4.0" in card and "Limits" in card and "python -m qa_system.generation.train_reader" in card
    assert all(title in card for title in summary["articles"]) and len(summary["articles"]) == 12
    # A question or paragraph has one id; some of the questions are asked twice.
    assert summary["questions"] * 0.99 < len(load_ids(SHIPPED)) < summary["questions"] * 1.2


def test_its_threshold_is_one_that_some_answers_pass():
    confidence = json.loads((SHIPPED / "reader.json").read_text(encoding="utf-8"))["confidence"]
    assert 0 < confidence["threshold"] < 0.5 and any(confidence["weights"])


@pytest.mark.slow
@pytest.mark.network
def test_it_finds_an_answer_and_doubts_where_there_is_none():
    reader = Reader(SHIPPED)
    passage = "The tower was opened in 1889. It was designed by Maurice Koechlin, an engineer from Alsace."
    (who,) = reader.read("Who designed the tower?", [passage])
    assert passage[who.start : who.end].startswith("Maurice Koechlin")
    (missing,) = reader.read("How many people live in Lima?", [passage])
    assert who.score > missing.score and who.answerable > missing.answerable
