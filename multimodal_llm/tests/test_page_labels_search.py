"""The page's labels and its photo search, played without a browser, on stand-ins for the models."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from multimodal_llm import page_caption, page_labels, page_search
from multimodal_llm.clip_applications.spaces import NamedSpace
from multimodal_llm.clip_applications.zero_shot_classification import Classification, Score
from multimodal_llm.image_captioning.captioner import Caption
from shared.phrases import LANGUAGES, phrase

PAGE = Path(page_caption.__file__).with_name("app.py")


class FakeClassifier:
    fits = True

    def classify(self, images, labels, top=5):
        share = 1 / len(labels)
        scores = tuple(Score(label, 0.5, share, (("palace", 0.3),)) for label in labels)
        return [Classification(scores[:top], self.fits)] * len(images)


class FakeCaptioner:
    def caption(self, images, prefix=""):
        return [Caption("a dog", 0.8) for _ in images]


class Colours:
    width = 3

    def encode_texts(self, texts):
        known = {"red": (1, 0, 0), "blue": (0, 0, 1)}
        return np.array([known.get(text, (0, 1, 0)) for text in texts], dtype=np.float32)

    def encode_images(self, images):
        mean = [np.asarray(image, dtype=np.float32).mean((0, 1)) + 1 for image in images]
        return np.stack([one / np.linalg.norm(one) for one in mean])


@pytest.fixture
def open_page(run_page, tmp_path, monkeypatch):
    monkeypatch.setattr(page_caption, "captioner", FakeCaptioner)
    monkeypatch.setattr(page_caption, "left_out", lambda: None)
    monkeypatch.setattr(page_labels, "classifier", lambda name: FakeClassifier())
    monkeypatch.setattr(page_search, "space", lambda name: NamedSpace(name, Colours(), "v1"))
    monkeypatch.setattr(page_search, "FOLDER", str(tmp_path / "index"))
    page_labels.classify.clear()
    return partial(run_page, PAGE)


def say(key, language="en", **values):
    return phrase(f"multimodal.page.{key}", language, **values)


def shown(elements):
    return [element.value for element in elements]


@pytest.mark.parametrize("language", LANGUAGES)
def test_both_parts_open_in_both_languages(open_page, language):
    page = open_page(language=language)
    assert not page.exception
    assert say("labels_lead", language) in shown(page.markdown)
    assert say("search_empty", language) in shown(page.info)


def test_each_label_is_told_with_the_classes_behind_it(open_page):
    page = open_page()
    page.text_area(key="labels").set_value("temple，flower, ").run()
    assert not page.exception
    assert say("because", reasons="palace (+0.30)") in shown(page.caption)


def test_labels_that_do_not_fit_and_none_at_all_are_said(open_page, monkeypatch):
    monkeypatch.setattr(FakeClassifier, "fits", False)
    page = open_page()
    page.button(key="labels_try").click().run()  # the example's labels
    assert say("labels_none") in shown(page.warning)
    monkeypatch.setattr(FakeClassifier, "fits", None)
    page.text_area(key="labels").set_value("a, b, c").run()
    assert say("labels_unknown") in shown(page.caption) and say("labels_none") not in shown(page.warning)
    page.text_area(key="labels").set_value(" , ").run()
    assert any("no labels" in error for error in shown(page.error))


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for colour in ("red", "blue"):
        Image.new("RGB", (30, 20), colour).save(folder / f"{colour}.png")
    (folder / "bad.jpg").write_bytes(b"bad")
    (folder / "telephone.heic").write_bytes(b"not read")
    return folder


def indexed(open_page, photos):
    page = open_page()
    page.text_input(key="search_folder").set_value(str(photos)).run()
    page.button(key="search_update").click().run()
    assert not page.exception
    return page


def test_a_folder_is_indexed_and_searched(open_page, photos):
    page = indexed(open_page, photos)
    assert say("updated", added=2, changed=0, removed=0) in shown(page.success)
    assert say("broken", n=1) in shown(page.warning)
    assert say("passed_over", kinds="1 .heic") in shown(page.warning)
    page.run()
    page.text_input(key="search_text").set_value("red").run()
    assert any("red.png" in caption for caption in shown(page.caption))
    page.text_input(key="search_minus").set_value("blue").run()
    assert say("search_subtracted", words="blue") in shown(page.caption)


def test_a_chinese_query_uses_the_space_that_reads_it_or_says_what_to_do(open_page, photos):
    """It was searched for in the English space, which gave nonsense."""
    page = indexed(open_page, photos)
    page.run()
    page.text_input(key="search_text").set_value("海滩").run()
    assert say("search_no_chinese") in shown(page.info)
    page.toggle(key="search_chinese").set_value(True).run()
    page.button(key="search_update").click().run()
    page.run()
    assert not page.exception and say("search_no_chinese") not in shown(page.info)
    assert any("red.png" in caption for caption in shown(page.caption))


def test_a_query_without_anything_wanted_and_a_missing_folder_are_said(open_page, photos):
    page = indexed(open_page, photos)
    page.run()
    page.text_input(key="search_text").set_value("no people").run()
    assert any("nothing to search for" in error for error in shown(page.error))
    page = open_page()
    page.text_input(key="search_folder").set_value(str(photos / "nowhere")).run()
    page.button(key="search_update").click().run()
    assert any("no such folder" in error for error in shown(page.error))
