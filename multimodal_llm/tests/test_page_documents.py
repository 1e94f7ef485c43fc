"""The page's documents, played without a browser, on a page that was read before."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from multimodal_llm import page_caption, page_documents, page_search
from multimodal_llm.clip_applications.spaces import NamedSpace
from multimodal_llm.document_understanding.document import Page
from multimodal_llm.document_understanding.document_samples import RECEIPT, SAMPLES, draw_sample
from multimodal_llm.tests.document_fixtures import page_of
from shared.errors import UserError
from shared.phrases import LANGUAGES, phrase

PAGE = Path(page_caption.__file__).with_name("app.py")
READ = page_of(RECEIPT)


def receipt(content, name, password, number):
    return READ, Image.new("RGB", (int(READ.width), int(READ.height)), "white")


@pytest.fixture
def open_page(run_page, tmp_path, monkeypatch):
    monkeypatch.setattr(page_caption, "captioner", lambda: None)
    monkeypatch.setattr(page_caption, "left_out", lambda: None)
    monkeypatch.setattr(page_search, "space", lambda: NamedSpace("joint", None, "v1"))
    monkeypatch.setattr(page_search, "FOLDER", str(tmp_path / "index"))
    monkeypatch.setattr(page_documents, "read_page", receipt)
    monkeypatch.setattr(page_documents, "sheets_of", lambda *_: 1)
    monkeypatch.setattr(page_documents, "encoder", lambda: lambda texts: np.eye(len(texts)))

    def with_sample(**asked):
        page = run_page(PAGE, **asked)
        page.session_state[f"document_sample-{asked.get('language', 'en')}"] = "receipt"
        return page.run()

    return with_sample


def say(key, language="en", **values):
    return phrase(f"multimodal.page.{key}", language, **values)


def shown(elements):
    return [element.value for element in elements]


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_sample_is_read_and_its_fields_are_shown_in_both_languages(open_page, language):
    page = open_page(language=language)
    assert not page.exception
    assert say("documents_lead", language) in shown(page.markdown)
    [fields] = [table.value for table in page.dataframe if say("documents_value", language) in table.value]
    assert "MAPLE & RYE BAKERY LTD" in set(fields[say("documents_value", language)])
    assert "30.29" in set(fields[say("documents_value", language)])


def test_nothing_is_read_before_a_document_is_chosen(open_page, run_page, monkeypatch):
    monkeypatch.setattr(page_documents, "read_page", None)
    page = run_page(PAGE)
    assert not page.exception and say("documents_none") in shown(page.info)


def test_a_question_is_answered_with_what_speaks_for_it(open_page):
    page = open_page()
    page.text_input(key="document_question").set_value("How much change was given?").run()
    assert not page.exception
    assert [text for text in shown(page.success) if "9\\.71" in text]
    assert any("Change" in text for text in shown(page.caption))


def test_a_question_to_try_and_what_the_receipt_does_not_tell(open_page):
    page = open_page()
    page.button(key="document_try_3").click().run()
    assert any("nothing on these pages" in text for text in shown(page.warning))
    page.text_input(key="document_question").set_value("?").run()
    assert any("the question is empty" in text for text in shown(page.error))


def test_a_page_without_text_and_a_broken_file_are_said(open_page, monkeypatch):
    empty = Page(1, 10, 10, "empty", "the page is blank")
    monkeypatch.setattr(page_documents, "read_page", lambda *_: (empty, Image.new("RGB", (10, 10))))
    assert any("the page is blank" in text for text in shown(open_page().warning))

    def broken(*_):
        raise UserError("document.pdf: wants a password: give it")

    monkeypatch.setattr(page_documents, "read_page", broken)
    assert any("wants a password" in text for text in shown(open_page().error))


def test_on_the_chinese_page_what_speaks_for_an_answer_is_told_in_chinese(open_page):
    page = open_page(language="zh")
    page.button(key="document_try_1").click().run()
    [told] = [text for text in shown(page.caption) if "依据" in text]
    assert say("documents_reason.cash_less_change", "zh") in told and "“total”" in told and "labelled" not in told


def test_on_the_chinese_page_what_is_not_answered_is_told_in_chinese(open_page):
    page = open_page(language="zh")
    page.button(key="document_try_3").click().run()
    assert any(say("documents_reason.not_called", "zh") in text for text in shown(page.warning))


def test_what_a_document_says_is_shown_as_it_stands_there():
    assert page_documents.plain("<b>*x*</b> $1") == "\\<b\\>\\*x\\*\\</b\\> \\$1"


@pytest.mark.parametrize("name", SAMPLES)
def test_every_sample_can_be_drawn_or_says_why_not(name):
    try:
        picture = draw_sample(name)
    except UserError as error:
        assert name == "invoice_zh" and "font" in str(error)
        return
    assert min(picture.size) > 500 and np.ptp(np.asarray(picture)) > 200
