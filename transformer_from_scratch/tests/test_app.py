"""The demo page, played without a browser."""

import base64
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from shared.files import write_json
from shared.phrases import LANGUAGES, phrase, table
from transformer_from_scratch import page_models, page_writing, train_simple_lm

PAGE = Path(page_models.__file__).with_name("app.py")
RUN = "runs/transformer_from_scratch/a"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a model trained for a moment below it, where a training would have put it."""
    folder = tmp_path_factory.mktemp("page")
    (folder / "text.txt").write_text("to be or not to be, that is the question of the film\n" * 100)
    arguments = ["--data", str(folder / "text.txt"), "--preset", "tiny", "--output", str(folder / RUN)]
    train_simple_lm.main([*arguments, "--architecture", "modern", "--max_steps", "20"])
    return folder


@pytest.fixture
def nothing_shipped(tmp_path, monkeypatch):
    monkeypatch.setattr(page_models, "SHIPPED", tmp_path / "no weights")


@pytest.fixture
def page(trained, nothing_shipped, monkeypatch):
    monkeypatch.chdir(trained)
    return AppTest.from_file(str(PAGE), default_timeout=120).run()


@pytest.fixture
def damaged(trained, nothing_shipped, tmp_path, monkeypatch):
    """Opens the page on a copy of the trained run, in which one file is spoilt."""

    def open_with(file: str) -> AppTest:
        shutil.copytree(trained / RUN, tmp_path / RUN)
        (tmp_path / RUN / file).write_bytes(b"{spoilt\n")
        monkeypatch.chdir(tmp_path)
        return AppTest.from_file(str(PAGE), default_timeout=120).run()

    return open_with


def charts(page):
    """The figures on the page, as JSON, in order."""
    return [json.loads(chart.proto.spec) for chart in page.get("plotly_chart")]


def drawn_from(page):
    """Heights of the bars that the next character is drawn from."""
    values = charts(page)[0]["data"][1]["y"]
    return np.frombuffer(base64.b64decode(values["bdata"]), values["dtype"])


@pytest.mark.parametrize("language", LANGUAGES)
def test_it_opens_in_both_languages_with_every_section(trained, nothing_shipped, monkeypatch, language):
    monkeypatch.chdir(trained)
    page = AppTest.from_file(str(PAGE), default_timeout=120)
    page.query_params["lang"] = language
    page.run()
    assert not page.exception and not page.error and not page.warning
    titles = ["looks", "why", "flows", "write", "learned"]
    assert [header.value for header in page.header] == [
        phrase(f"transformer.page.{name}_title", language) for name in titles
    ]
    assert len(charts(page)) == 9


def test_without_a_trained_model_it_says_so_and_works(tmp_path, nothing_shipped, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = AppTest.from_file(str(PAGE), default_timeout=120).run()
    assert not page.exception
    assert [warning.value for warning in page.warning] == [phrase("transformer.page.untrained", "en")]
    assert len(charts(page)) == 8, "all but the training's curve"


def test_shipped_weights_come_first_those_of_the_pages_language_by_default(trained, tmp_path, monkeypatch):
    for name in ("en", "zh"):
        shutil.copytree(trained / RUN, tmp_path / "weights" / name)
    monkeypatch.setattr(page_models, "SHIPPED", tmp_path / "weights")
    monkeypatch.chdir(trained)
    for language, order in (("en", ["en", "zh", "a"]), ("zh", ["zh", "en", "a"])):
        assert [folder.name for folder in page_models.find_models(language)] == order


def test_the_temperature_changes_the_probabilities_at_once(page):
    page.slider(key="temperature").set_value(2.0).run()
    warm = drawn_from(page)
    page.slider(key="temperature").set_value(0.2).run()
    cold = drawn_from(page)
    assert cold.max() > warm.max()
    page.slider(key="temperature").set_value(0.0).run()
    np.testing.assert_allclose(drawn_from(page)[:2], [1, 0])


def test_the_two_temperatures_are_one(page):
    page.slider(key="temperature-writing").set_value(1.5).run()
    assert page.slider(key="temperature").value == 1.5
    page.slider(key="temperature").set_value(0.3).run()
    assert page.slider(key="temperature-writing").value == 0.3


def test_write_one_character_appends_the_likeliest_at_temperature_0(page):
    page.slider(key="temperature").set_value(0.0).run()
    before = page.text_input[0].value
    likeliest = charts(page)[0]["data"][1]["x"][0].replace("␣", " ").replace("⏎", "\n")
    button(page, "write_one").click().run()
    assert page.text_input[0].value == before + likeliest


def test_it_writes_on_and_stays(page):
    page.slider(key="length").set_value(50).run()
    button(page, "write").click().run()
    assert not page.exception
    assert sum(len(piece) for _, piece in page.session_state["pieces"]) == 50
    assert not page.session_state["writing"]
    page.slider(key="temperature").set_value(1.1).run()
    assert sum(len(piece) for _, piece in page.session_state["pieces"]) == 50


def test_the_chosen_position_layer_and_head_are_what_is_shown(page):
    page.text_input[0].set_value("to be or not").run()
    page.session_state["position"] = 4
    page.segmented_control[0].set_value(1).run()
    page.segmented_control[1].set_value(2).run()
    assert not page.exception
    query = phrase("transformer.page.chain.query", "en", character="e")
    titles = [note["text"] for chart in charts(page) for note in chart["layout"].get("annotations", [])]
    assert query in titles
    assert any("layer 1, head 2" in text.value for text in page.markdown)


def test_an_unknown_character_is_explained(page):
    page.text_input[0].set_value("be 影").run()
    assert not page.exception
    assert [note.value for note in page.info] == [phrase("transformer.page.unknown", "en", characters="影")]


@pytest.mark.parametrize("text", ["", "t", "to be " * 50])
def test_no_text_one_character_and_a_long_one_are_fine(page, text):
    page.text_input[0].set_value(text).run()
    assert not page.exception and not page.error
    assert [note.value for note in page.info] == ([] if text else [phrase("transformer.page.empty", "en")])


def test_the_slider_over_the_training_shows_what_it_wrote_then(page):
    first, last = (page.select_slider[0].options[i] for i in (0, -1))
    after = page.code[0].value
    page.select_slider[0].set_value(int(first)).run()
    assert (first, last) == ("0", "20")
    assert page.code[0].value != after


@pytest.mark.parametrize("file", ["config.json", "model.safetensors", "tokenizer.json", "metrics.jsonl"])
def test_a_damaged_run_is_one_line_and_no_traceback(damaged, file):
    page = damaged(file)
    assert not page.exception
    assert len(page.error) == 1 and file in page.error[0].value
    assert "\n" not in page.error[0].value


def test_a_run_that_does_not_fit_its_settings_is_one_line(damaged, tmp_path):
    page = damaged("summary.json")
    assert not page.exception and not page.error, "the page needs the summary's existence only"
    write_json(tmp_path / RUN / "tokenizer.json", {"characters": "ab"})
    (tmp_path / RUN / "summary.json").write_text("{}")
    page.run()
    assert not page.exception and len(page.error) == 1


def test_written_text_is_shown_as_it_is_and_not_as_html():
    shown = page_writing.written("<b>", [[0.8, "&<i>"]])
    assert "&lt;b&gt;" in shown and "&amp;&lt;i&gt;" in shown


def test_every_phrase_of_the_page_is_used():
    code = "".join(file.read_text(encoding="utf-8") for file in PAGE.parent.glob("*.py"))
    keys = [key.removeprefix("transformer.page.") for key in table() if key.startswith("transformer.page.")]
    assert [key for key in keys if key not in code and not key.startswith("positions.")] == []


def button(page, key):
    label = phrase(f"transformer.page.{key}", "en")
    return next(button for button in page.button if button.label == label)
