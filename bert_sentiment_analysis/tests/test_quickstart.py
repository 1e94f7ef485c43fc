"""The quickstart: trained in seconds on a few texts, it leaves a whole section in both languages and a run to use."""

import json
import re

import pytest

from bert_sentiment_analysis import quickstart
from bert_sentiment_analysis.inference.predictor import Predictor
from shared.phrases import LANGUAGES
from shared.report import read_section, write_report

pytestmark = pytest.mark.network  # the encoder and the set come from the package index

KINDS = ["numbers", "text", "figure", "table", "text", "figure", "table", "text", "figure", "figure", "text"]
KINDS += ["table", "text", "table", "next"]
HAN = re.compile(r"[\u4e00-\u9fff]")
FACTS = {"date": "today", "commit": "abc", "hardware": "a processor", "seconds": 1, "command": "python demo.py"}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A smoke run: its folder and what it returned."""
    folder = tmp_path_factory.mktemp("quickstart") / "out"
    return folder, quickstart.run(folder, smoke=True)


@pytest.fixture(scope="module")
def section(finished):
    return read_section(finished[0])


def words(section) -> dict[str, list[str]]:
    """The words that explain, by language: not those within figures and in the cells of tables."""
    texts = [section["title"], section["summary"]]
    for block in section["blocks"]:
        texts += [block[part] for part in ("text", "caption") if part in block]
        texts += block.get("headings", []) + [number["label"] for number in block.get("numbers", [])]
    return {language: [text[language] for text in texts] for language in LANGUAGES}


def test_the_section_is_whole_and_in_its_order(section):
    assert [block["kind"] for block in section["blocks"]] == KINDS


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_word_is_in_its_language(section, language):
    said = words(section)[language]
    assert len(said) > 30
    assert all(bool(HAN.search(text)) == (language == "zh") for text in said)
    assert not [text for text in said if "{" in text or "nan" in text.split()]


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_figure_is_drawn_in_its_language(section, language):
    figures = [block["figure"][language] for block in section["blocks"] if block["kind"] == "figure"]
    assert len(figures) == 4
    assert all(figure["data"] for figure in figures)
    assert all(bool(HAN.search(json.dumps(figure, ensure_ascii=False))) == (language == "zh") for figure in figures)


def test_the_page_can_show_it(section, tmp_path):
    write_report(tmp_path / "report.html", [{**section, "command": "python -m x", "seconds": 1.0}], [], FACTS)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert section["title"]["zh"] in page and section["title"]["en"] in page


def test_the_ladder_starts_from_guessing_and_ends_with_the_trained_model(section, finished):
    tables = [block for block in section["blocks"] if block["kind"] == "table"]
    accuracies = [row[1]["en"] for row in tables[0]["rows"]]
    assert len(accuracies) == 3 and accuracies[2] == f"{finished[1]['accuracy']:.1%}"


def test_the_mistakes_are_mistakes_and_the_surest_come_first(section):
    rows = [block for block in section["blocks"] if block["kind"] == "table"][-1]["rows"]
    assert 0 < len(rows) <= quickstart.SHOWN_MISTAKES
    for _, rating, answer, _ in rows:
        assert (float(rating["en"]) > 0) == (answer["en"] == "negative")
    probabilities = [float(row[3]["en"]) for row in rows]
    assert probabilities == sorted(probabilities, reverse=True)


def test_the_run_answers_afterwards(finished):
    answer = Predictor.load(finished[0], abstain_below=0).predict(["a film to love"])[0]
    assert answer.label in ("negative", "positive")
