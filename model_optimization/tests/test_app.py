"""The demo page, played without a browser, on hand-made rows and tiny variants of random weights."""

import json
import os
import shutil
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from model_optimization import page_drift, page_serve, page_ship, page_variants, workshop
from model_optimization.runtime import ONNX, TOKENIZER, VARIANT, Variant, VariantSettings, write_settings
from model_optimization.subject import MODEL, save_subject
from model_optimization.workshop import METHODS
from shared.files import write_json
from shared.phrases import LANGUAGES, has_phrase, phrase, table

PAGE = Path(page_ship.__file__).with_name("app.py")


def row(method, batch, accuracy=0.84, p50_ms=5.0, loss=0.01, ships=True):
    numbers = {"size_mb": 2 * p50_ms, "p95_ms": 9.0, "texts_per_s": 1000 / p50_ms, "speed_up": 2.5, "peak_mb": 64.0}
    quality = {"accuracy": accuracy, "accuracy_ci": [accuracy - 0.02, accuracy + 0.02], "loss": loss}
    return {
        "method": method,
        "batch": batch,
        **quality,
        "loss_bound": 0.015,
        "ships": ships,
        "p50_ms": p50_ms,
    } | numbers


ROWS = [
    each
    for batch in (1, 16)
    for each in (
        row("fp32_torch", batch, 0.85, 12.5, 0.0),
        row("int8_dynamic", batch),
        row("int8_aware", batch, 0.852, 6.0, -0.002),
        row("student", batch, 0.75, 2.0, 0.1, ships=False),
    )
]


@pytest.fixture
def make_variants(subject, onnx_variant, tmp_path):
    """`make_variants("mine")`: a torch and then an ONNX variant below that run, as if made a moment ago."""

    def make(run: str, when: int = 1000) -> Path:
        folder = tmp_path / "runs/model_optimization" / run / "variants"
        save_subject(subject, folder / "fp32_torch")
        settings = VariantSettings("torch", subject.label_names, subject.max_length)
        write_settings(folder / "fp32_torch", settings, subject.tokenizer)
        shutil.copytree(onnx_variant.folder, folder / "fp32_onnx")
        for later, name in enumerate(("fp32_torch", "fp32_onnx")):
            os.utime(folder / name / VARIANT, (when + later, when + later))
        return folder

    return make


@pytest.fixture
def open_page(run_page, tmp_path, monkeypatch):
    """Opens the page's first two parts, where nothing is measured or made, and no classifier ships."""
    for other in (page_serve, page_drift):
        monkeypatch.setattr(other, "show", lambda *_: None)
    monkeypatch.setattr(page_ship, "RESULTS", tmp_path / "results/compress.json")
    monkeypatch.setattr(page_variants, "SUBJECT", str(tmp_path / "weights/english-sentiment"))
    monkeypatch.chdir(tmp_path)

    return partial(run_page, PAGE)


def say(key, language="en", **values):
    return phrase(f"optimization.page.{key}", language, **values)


def marked(page):
    """All that is drawn from Markdown or HTML."""
    assert not page.exception
    return "\n".join(each.value for each in page.markdown) + "".join(each.proto.body for each in page.get("html"))


@pytest.mark.parametrize("language", LANGUAGES)
def test_it_opens_in_both_languages_with_all_parts(open_page, make_variants, tmp_path, language):
    write_json(tmp_path / "results/compress.json", {"rows": ROWS})
    make_variants("mine")
    page = open_page(language)
    assert not page.exception and not page.error and not page.warning and not page.info
    assert page.title[0].value == phrase("app.page.model_optimization", language)
    parts = ("ship", "text", "serve", "drift")
    assert [tab.label for tab in page.tabs] == [say(f"tab.{part}", language) for part in parts]
    assert len(page.get("plotly_chart")) == 1 and len(page.dataframe) == 2
    assert phrase("optimization.method.int8_dynamic", language) in marked(page)
    assert len(page.dataframe[0].value) == len(ROWS) / 2  # those of one batch size


@pytest.mark.parametrize("language", LANGUAGES)
def test_without_anything_it_names_the_commands(open_page, language):
    page = open_page(language)
    assert not page.exception and not page.button
    assert [note.value for note in page.info] == [say("no_rows", language)]
    (warning,) = page.warning
    assert warning.value.endswith(say("no_subject", language, folder="FOLDER").rpartition("FOLDER")[2])
    assert "weights/english-sentiment" in warning.value and "/tmp" not in warning.value
    assert [code.value for code in page.code] == [page_ship.MEASURING, page_variants.COMPRESSING]


def test_the_newest_whole_table_is_shown(open_page, tmp_path):
    runs = tmp_path / "runs/model_optimization"
    tables = {
        tmp_path / "results/compress.json": {"rows": ROWS},
        runs / "mine/table.json": {"rows": ROWS[:2] + ROWS[4:6]},
        runs / "cut/table.json": {"rows": [{"method": "fp32_torch"}]},
        runs / "other/table.json": [1],
        runs / "empty/table.json": {"rows": []},
    }
    for when, (file, content) in enumerate(tables.items()):
        write_json(file, content)
        os.utime(file, (1000 + when, 1000 + when))
    (runs / "spoilt").mkdir()
    (runs / "spoilt/table.json").write_bytes(b"\xff{")
    page = open_page()
    assert len(page.dataframe[0].value) == 2  # those of one batch size
    assert any("mine/table.json" in caption.value for caption in page.caption)
    os.utime(tmp_path / "results/compress.json", (2000, 2000))
    assert len(page.run().dataframe[0].value) == len(ROWS) / 2
    assert any("results/compress.json" in caption.value for caption in page.caption)


def test_the_table_holds_percents_and_points_as_numbers(open_page, tmp_path):
    write_json(tmp_path / "results/compress.json", {"rows": ROWS})
    lines = open_page().dataframe[0].value.to_dict("records")
    assert lines[3]["Method"] == "student" and lines[3]["Passes the gate"] is False
    assert lines[3]["Accuracy"] == pytest.approx(75) and lines[3]["95 % interval"] == "73.0–77.0%"
    assert lines[3]["Lost (points)"] == pytest.approx(10) and lines[3]["Size (MB)"] == 4


def test_it_recommends_by_purpose_among_what_passes(open_page, tmp_path):
    write_json(tmp_path / "results/compress.json", {"rows": ROWS})
    found = [(metric.label, metric.value, metric.delta) for metric in open_page().metric]
    assert found == [
        (say("one_text"), "int8_dynamic", "5.00 ms a text"),
        (say("many_texts"), "int8_dynamic", "200.0 texts a second"),
        (say("smallest"), "int8_dynamic", "10.0 MB of weights"),
    ]


def test_where_nothing_passes_it_recommends_nothing(open_page, tmp_path):
    write_json(tmp_path / "results/compress.json", {"rows": [{**row, "ships": False} for row in ROWS]})
    page = open_page()
    assert say("none_ships") in [note.value for note in page.warning] and not page.metric
    assert "`fp32_torch`" in marked(page)


def test_a_click_is_the_method_of_its_point_and_one_beside_all_points_keeps_the_choice(monkeypatch):
    session = {page_ship.CHART: {"selection": {"points": [{"x": 2.0, "y": 0.75, "customdata": "student"}]}}}
    monkeypatch.setattr(page_ship, "st", SimpleNamespace(session_state=session))
    page_ship.remember_click()
    assert session[page_ship.CHOSEN] == "student"
    session[page_ship.CHART] = {"selection": {"points": []}}
    page_ship.remember_click()
    assert session[page_ship.CHOSEN] == "student"


def test_the_chosen_method_is_told_for_the_batch_size_and_only_to_its_visitor(open_page, tmp_path):
    slow = [{**row, "p50_ms": 77.0} if row["batch"] == 16 else row for row in ROWS]
    write_json(tmp_path / "results/compress.json", {"rows": slow})
    page, other = open_page(), open_page()
    page.session_state[page_ship.CHOSEN] = "student"
    page.run()
    assert phrase("optimization.method.student", "en") in marked(page) and "2.00 ms" in marked(page)
    page.radio(key="optimization_batch").set_value(16).run()
    page.radio(key="optimization_axis-en").set_value("size_mb").run()
    assert phrase("optimization.method.student", "en") in marked(page) and "77.0 ms" in marked(page)
    other.run()
    assert phrase("optimization.method.student", "en") not in marked(other)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_row_in_words_has_all_its_numbers(language):
    def words(key, **values):
        return say(key, language, **values)

    told = "".join(page_ship.in_words(ROWS[3], language, words))
    for number in ("75.0%", "73.0%", "77.0%", "10.00", "1.50", "4.00", "2.00", "9.00", "500.0", "2.50", "64.0"):
        assert number in told
    assert words("words.fails") in told
    gained = "".join(page_ship.in_words(ROWS[2], language, words))
    assert words("words.gained", baseline="fp32_torch", points="0.20", bound="1.50") in gained
    baseline = "".join(page_ship.in_words(ROWS[0], language, words))
    assert "2.50" not in baseline, "it is not compared with itself"


def test_every_method_is_told_in_a_sentence():
    assert [name for name in METHODS if not has_phrase(f"optimization.method.{name}")] == []


def test_one_text_is_answered_by_the_newest_finished_variants_in_the_order_of_their_making(open_page, make_variants):
    make_variants("old", when=500)
    folder = make_variants("new")
    shutil.copytree(folder / "fp32_onnx", folder / "unfinished")
    (folder / "unfinished" / VARIANT).unlink()
    page = open_page()
    page.text_area(key="optimization_text").set_value("the film was great").run()
    assert not page.exception and not page.error
    found = page.dataframe[0].value
    assert found["Method"].tolist() == ["fp32_torch", "fp32_onnx"]
    logits = Variant(folder / "fp32_onnx").logits(["the film was great"])[0]
    shares = np.exp(logits) / np.exp(logits).sum()
    assert found[say("label")].tolist() == [["negative", "positive"][shares.argmax()]] * 2
    np.testing.assert_allclose(found[say("probability")], shares.max(), atol=1e-4)
    assert (found[say("milliseconds")] > 0).all()


@pytest.mark.parametrize("spoilt", [ONNX, TOKENIZER, VARIANT])
def test_a_broken_variant_is_one_line_and_the_others_answer(open_page, make_variants, spoilt):
    folder = make_variants("mine")
    (folder / "fp32_onnx" / spoilt).write_bytes(b"spoilt")
    page = open_page()
    assert not page.exception
    assert len(page.error) == 1 and spoilt in page.error[0].value and "\n" not in page.error[0].value
    assert page.dataframe[0].value["Method"].tolist() == ["fp32_torch"]


def test_the_probability_is_the_calibrated_one(open_page, make_variants):
    folder = make_variants("mine")
    for file in folder.glob(f"*/{VARIANT}"):
        file.write_text(json.dumps({**json.loads(file.read_text()), "temperature": 3.0}))
    page = open_page()
    logits = Variant(folder / "fp32_onnx").logits([page_variants.REVIEW])[0] / 3
    shares = np.exp(logits) / np.exp(logits).sum()
    np.testing.assert_allclose(page.dataframe[0].value[say("probability")], shares.max(), atol=1e-4)


def test_a_variant_made_anew_is_opened_anew(open_page, make_variants, make_subject):
    folder = make_variants("mine")
    page = open_page()
    before = page.dataframe[0].value[say("probability")][0]
    save_subject(make_subject(heads=(4,), neurons=(32,)), folder / "fp32_torch")
    assert page.run().dataframe[0].value[say("probability")][0] != before


@pytest.mark.parametrize("text", ["", " \n ", "\0"])
def test_no_text_is_said_and_not_answered(open_page, make_variants, text):
    make_variants("mine")
    page = open_page()
    page.text_area(key="optimization_text").set_value(text).run()
    assert not page.exception and not page.dataframe
    assert say("empty") in [note.value for note in page.info]


@pytest.mark.parametrize(
    "text", ["<script>alert(1)</script> **bad** <img src=x onerror=alert(1)>", "😀 很好看", "no " * 600]
)
def test_any_text_is_answered_and_none_of_it_becomes_markup(open_page, make_variants, text):
    make_variants("mine")
    page = open_page()
    page.text_area(key="optimization_text").set_value(text).run()
    assert not page.error and len(page.dataframe[0].value) == 2
    assert "<script" not in marked(page) and "<img" not in marked(page) and "**bad**" not in marked(page)


@pytest.mark.parametrize("made", [("fp32_torch",), pytest.param(page_variants.MADE, marks=pytest.mark.slow)])
def test_a_button_makes_variants_of_the_classifier_that_ships(open_page, subject, monkeypatch, made):
    monkeypatch.setattr(page_variants, "MADE", made)
    monkeypatch.setattr(workshop, "film_texts", lambda: ["a good film and a bad plot"] * 5)
    save_subject(subject, Path(page_variants.SUBJECT))
    page = open_page()
    assert not page.warning
    page.button(key="optimization_make").click().run()
    assert not page.exception and not page.error
    assert {*made} <= {*page.dataframe[0].value["Method"]}  # what one is made from stands there too
    assert page_variants.find_variants()[0].parent == page_variants.MADE_IN / "variants"


def test_a_damaged_classifier_is_one_line_and_the_next_visitor_does_not_wait(open_page, subject):
    save_subject(subject, Path(page_variants.SUBJECT))
    (Path(page_variants.SUBJECT) / MODEL).write_bytes(b"spoilt")
    page = open_page("zh")
    page.button(key="optimization_make").click().run()
    assert not page.exception
    assert len(page.error) == 1 and MODEL in page.error[0].value and page.error[0].value.startswith("出错了")
    assert not page_variants.ONE_AT_A_TIME.locked()


def test_every_phrase_is_used():
    folder = PAGE.parent
    code = "".join(file.read_text(encoding="utf-8") for file in folder.rglob("*.py") if "tests" not in file.parts)
    keys = [
        key.removeprefix("optimization.").removeprefix("page.") for key in table() if key.startswith("optimization.")
    ]
    made = ("method.", "measure.", "kind.", "by.", "words.lost", "words.gained", "yes", "no")
    made += ("drift.test.", "drift.axis.", "drift.kind.", "drift.estimated", "drift.true", "drift.on_reference")
    made += ("tab.", "load.measure.", "load.axis.", "load.server.", "serve.way.")
    parts = ("drift.column.", "drift.", "serve.", "")
    unused = [
        key
        for key in keys
        if not any(f'"{key.removeprefix(part)}"' in code for part in parts) and f"optimization.{key}" not in code
    ]
    assert [key for key in unused if not key.startswith(made)] == []
