"""The quickstart: trained for seconds, it leaves a whole section in both languages and a run to use."""

import re

import pytest

from multimodal_llm import quickstart
from multimodal_llm.visual_question_answering.vqa_system import load_vqa_system
from shared.phrases import LANGUAGES
from shared.report import read_section

pytestmark = [pytest.mark.network, pytest.mark.slow]  # the encoder and the set come from the package index

BEFORE = ["numbers", "text", "figure", "table", "text", "table", "table"]
DOCUMENT = ["text", "table", "figure", "figure", "next"]
HAN = re.compile(r"[\u4e00-\u9fff]")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A smoke run: its folder and what it returned."""
    folder = tmp_path_factory.mktemp("quickstart") / "out"
    return folder, quickstart.run(folder, smoke=True)


def test_the_section_is_whole_and_in_its_order(finished):
    kinds = [block["kind"] for block in read_section(finished[0])["blocks"]]
    assert kinds in (BEFORE + ["samples"] + DOCUMENT, BEFORE + DOCUMENT)  # captions may be left out


def test_the_receipt_is_shown_so_high_that_it_can_be_read(finished):
    figures = [block["figure"] for block in read_section(finished[0])["blocks"] if block["kind"] == "figure"]
    for language in LANGUAGES:
        assert [figure[language]["layout"].get("height", 0) >= 700 for figure in figures] == [False, True, True]


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_word_is_in_its_language(finished, language):
    section = read_section(finished[0])
    said = [section["title"], section["summary"]]
    for block in section["blocks"]:
        said += [block[part] for part in ("text", "caption") if part in block]
        said += block.get("headings", []) + [number["label"] for number in block.get("numbers", [])]
    assert len(said) > 15
    assert all(bool(HAN.search(text[language])) == (language == "zh") for text in said)


def test_the_run_answers_questions(finished):
    import numpy as np

    from multimodal_llm.visual_question_answering.drawings import draw_shape

    picture = draw_shape("circle", "red", np.random.default_rng(0))
    [answer] = load_vqa_system(finished[0]).answer(picture, ["what color is the shape?"])
    assert answer.text and 0 < answer.confidence <= 1


def test_the_summary_has_the_scores_beside_their_floors(finished):
    summary = finished[1]
    assert summary["question_only_prior"] == pytest.approx(0.67, abs=0.001)
    assert 0 <= summary["paraphrase_accuracy"] <= 1 and summary["n"] == 9673
