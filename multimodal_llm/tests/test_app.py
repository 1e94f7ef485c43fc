"""The demo page, played without a browser, on stand-ins for the models."""

from functools import partial
from pathlib import Path

import pytest

from multimodal_llm import page_caption, page_questions
from multimodal_llm.image_captioning.captioner import Caption
from multimodal_llm.visual_question_answering.vqa_system import WEIGHTS, Answer
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
    monkeypatch.setattr(page_questions, "system", FakeVqa)
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


def test_without_weights_the_page_names_the_command(open_page, monkeypatch, tmp_path):
    monkeypatch.setattr(page_questions, "SHIPPED", tmp_path / "none")
    page = open_page()
    assert page_questions.TRAINING in [code.value for code in page.code]


def test_a_suggested_question_puts_itself_into_the_field(open_page):
    page = open_page()
    page.selectbox(key="vqa_suggested").set_value("is there a dog?").run()
    assert page.text_input(key="vqa_question").value == "is there a dog?" and not page.exception
