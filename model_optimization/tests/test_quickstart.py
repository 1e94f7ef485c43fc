"""The quickstart leaves a whole section in two languages, whose numbers are those that were measured."""

import json
import re

import pytest

from model_optimization import quickstart
from shared.phrases import LANGUAGES
from shared.report import read_section, write_report

pytestmark = [pytest.mark.network, pytest.mark.slow]  # the encoder and the set come from the package index

KINDS = ["numbers", "text", "figure", "figure", "table", "text", "text", "figure", "table", "next"]
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


def test_the_section_is_whole_and_in_its_order(section):
    assert [block["kind"] for block in section["blocks"]] == KINDS


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_word_is_in_its_language(section, language):
    said = [section["title"][language], section["summary"][language]]
    for block in section["blocks"]:
        said += [block[part][language] for part in ("text", "caption") if part in block]
        said += [number["label"][language] for number in block.get("numbers", [])]
    assert len(said) > 15
    assert all(bool(HAN.search(text)) == (language == "zh") for text in said)
    assert not [text for text in said if "{" in text or "nan" in text.split()]


def test_the_table_says_what_was_measured(section, finished):
    table = next(block for block in section["blocks"] if block["kind"] == "table")
    measured = {row["method"]: row for row in finished[1]["rows"] if row["batch"] == 1}
    assert [row[0]["en"] for row in table["rows"]] == list(measured) == ["fp32_torch", "int8_dynamic", "student_int8"]
    for row in table["rows"]:
        assert row[1]["en"] == f"{measured[row[0]['en']]['accuracy']:.1%}"
    smaller = measured["fp32_torch"]["size_mb"] / measured["student_int8"]["size_mb"]
    assert section["blocks"][0]["numbers"][1]["value"] == f"{smaller:.1f} ×" and smaller > 6


def test_where_the_models_part_they_say_different_things(section):
    rows = [block for block in section["blocks"] if block["kind"] == "table"][-1]["rows"]
    assert 0 < len(rows) <= quickstart.SHOWN_DISAGREEMENTS
    assert all(row[2]["en"] != row[3]["en"] and row[1]["en"] in ("negative", "positive") for row in rows)


def test_the_page_can_show_it(section, tmp_path):
    write_report(tmp_path / "report.html", [{**section, "command": "python -m x", "seconds": 1.0}], [], FACTS)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert section["title"]["zh"] in page and json.dumps(section["title"]["en"])[1:-1] in page
