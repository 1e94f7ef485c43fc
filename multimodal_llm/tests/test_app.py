"""The demo page, played without a browser, on stand-ins for the models."""

import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from multimodal_llm import page_caption, page_questions
from multimodal_llm.clip_applications import joint_space
from multimodal_llm.image_captioning import captioner
from multimodal_llm.image_captioning.captioner import Caption
from multimodal_llm.visual_question_answering.measured_shapes import MeasuredShapes
from multimodal_llm.visual_question_answering.vqa_system import SETTINGS, WEIGHTS, Answer
from shared.phrases import LANGUAGES, phrase

PAGE = Path(page_caption.__file__).with_name("app.py")


class FakeCaptioner:
    confidence = 0.8

    def caption(self, images, prefix=""):
        return [Caption("a dog runs", self.confidence) for _ in images]


class FakeVqa:
    doubts = ()

    def answer(self, picture, questions):
        return [Answer(q, "circle", 0.9, {"triangle": 0.06, "rectangle": 0.04}, self.doubts) for q in questions]


@pytest.fixture
def open_page(run_page, tmp_path, monkeypatch):
    (tmp_path / WEIGHTS).write_bytes(b"")
    monkeypatch.setattr(page_questions, "SHIPPED", tmp_path)
    monkeypatch.setattr(page_questions, "system", lambda folder: FakeVqa() if folder else MeasuredShapes())
    monkeypatch.setattr(page_caption, "captioner", FakeCaptioner)
    monkeypatch.setattr(page_caption, "left_out", lambda: None)
    page_caption.caption_of.clear()
    return partial(run_page, PAGE)


def say(key, language="en", **values):
    return phrase(f"multimodal.page.{key}", language, **values)


def headings(page):
    return [heading.value for heading in page.subheader]


def png():
    import io

    from PIL import Image

    file = io.BytesIO()
    Image.new("RGB", (30, 20), "red").save(file, format="PNG")
    return file.getvalue()


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_opens_and_answers_in_both_languages(open_page, language):
    page = open_page(language)
    assert not page.exception
    assert headings(page) == [say("word.circle", language)]
    assert say("no_photo", language) in [info.value for info in page.info]


def test_a_dropped_photo_gets_its_sentence_and_confidence(open_page):
    page = open_page()
    page.file_uploader(key="caption_photo").set_value(("dog.png", png(), "image/png")).run()
    assert "A dog runs" in headings(page) and not page.exception and not page.warning


def test_a_sentence_that_the_model_is_unsure_of_is_called_a_guess(open_page, monkeypatch):
    monkeypatch.setattr(FakeCaptioner, "confidence", 0.1)
    page = open_page()
    page.button_group(key="caption_sample-en").set_value("drawing").run()
    assert [warning.value for warning in page.warning] == [say("caption_guess")]


def test_a_file_that_is_no_picture_is_refused_in_place(open_page):
    page = open_page()
    page.file_uploader(key="caption_photo").set_value(("dog.png", b"no picture", "image/png")).run()
    assert "dog.png" in page.error[0].value and not page.exception


def test_doubts_are_said_and_the_answer_becomes_a_guess(open_page, monkeypatch):
    monkeypatch.setattr(FakeVqa, "doubts", ("question", "picture"))
    page = open_page()
    assert [warning.value for warning in page.warning] == [say("doubt.question"), say("doubt.picture")]
    assert headings(page) == [say("guess", answer="circle")]


@pytest.mark.parametrize("kind", page_questions.ODD)
def test_every_odd_picture_can_be_asked_about(open_page, kind):
    page = open_page()
    page.button_group(key="vqa_source-en").set_value("odd").run()
    page.selectbox(key="vqa_odd-en").set_value(kind).run()
    assert not page.exception and headings(page)


def test_an_empty_question_asks_for_one(open_page):
    page = open_page()
    page.text_input(key="vqa_question").set_value("  ").run()
    assert say("empty_question") in [info.value for info in page.info] and not headings(page)


@pytest.fixture
def without_weights(tmp_path, monkeypatch):
    """Where nothing ships; in a folder in which nothing was trained."""
    monkeypatch.setattr(page_questions, "SHIPPED", tmp_path / "none")
    monkeypatch.setattr(page_caption, "left_out", captioner.left_out)
    for module in (captioner, joint_space):
        monkeypatch.setattr(module, "SHIPPED", tmp_path / "none")
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("language", LANGUAGES)
def test_without_weights_the_page_says_so_and_names_the_command(open_page, without_weights, language):
    page = open_page(language)
    assert not page.exception and [warning.value for warning in page.warning] == [say("no_vqa", language)]
    assert page_questions.TRAINING in [code.value for code in page.code]
    reason = say("left_out.not_here", language)
    assert say("word.red", language) in headings(page)  # by rules: that is the shape which is drawn first
    infos = [info.value for info in page.info]
    assert {say(f"{name}_left_out", language, reason=reason) for name in ("captioner", "space")} <= set(infos)
    page.button_group(key=f"caption_sample-{language}").set_value("drawing").run()
    assert "A dog runs" in headings(page)  # by the captioner that does without


@pytest.mark.parametrize("language", LANGUAGES)
def test_only_free_weights_are_a_reason_in_both_languages(open_page, without_weights, monkeypatch, language):
    monkeypatch.setenv(captioner.FREE_ONLY, "1")
    reason = say("left_out.free_only", language, name=captioner.FREE_ONLY)
    assert say("captioner_left_out", language, reason=reason) in [info.value for info in open_page(language).info]


@pytest.mark.parametrize("folder", ["outputs/demo/multimodal_llm", "runs/multimodal_llm/20260101-101500"])
def test_what_was_trained_here_answers_where_nothing_ships(open_page, without_weights, tmp_path, folder):
    (tmp_path / folder).mkdir(parents=True)
    (tmp_path / folder / SETTINGS).write_bytes(b"")
    page = open_page()
    assert not page.warning and headings(page) == [say("word.circle")]
    assert say("own_vqa", folder=folder) in [info.value for info in page.info]


def test_a_suggested_question_puts_itself_into_the_field(open_page):
    page = open_page()
    page.selectbox(key="vqa_suggested").set_value("is there a dog?").run()
    assert page.text_input(key="vqa_question").value == "is there a dog?" and not page.exception


def test_a_photo_can_be_given_before_torch_is_loaded():
    program = (
        "import sys\n"
        "from multimodal_llm import page_caption\n"
        "page_caption.show = lambda say: sys.exit(3 if 'torch' in sys.modules else 0)\n"
        "import multimodal_llm.app\n"
        "sys.exit(4)"
    )
    assert subprocess.run([sys.executable, "-c", program], cwd=PAGE.parents[1], capture_output=True).returncode == 0
