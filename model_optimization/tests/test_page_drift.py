"""The drift monitor on the demo page, played without a browser on the readings that ship with the project."""

import shutil
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from model_optimization import page_drift, page_serve, page_ship, page_variants
from model_optimization.monitoring.make_shipped import SHIFTS
from model_optimization.monitoring.readings import TENSORS
from shared.files import write_json
from shared.phrases import LANGUAGES, phrase

PAGE = Path(page_drift.__file__).with_name("app.py")
SHARE, KIND, SIZE = "optimization_drift_share", "optimization_drift_kind-en", "optimization_drift_size"
CURVE = {"0.05": 0.1, "1": 1.0}
MEASURED = {"false_alarm_rate": 0.031, "n_windows": 2000, "window": 200, "power_by_share": dict.fromkeys(SHIFTS, CURVE)}


@pytest.fixture
def open_page(run_page, tmp_path, monkeypatch):
    """Opens the page with its other parts left out, and nothing measured yet."""
    for other in (page_ship, page_variants, page_serve):
        monkeypatch.setattr(other, "show", lambda *_: None)
    monkeypatch.setattr(page_drift, "RESULTS", tmp_path / "results/drift.json")
    page_drift.load_samples.clear()

    return partial(run_page, PAGE)


def say(key, language="en", **values):
    return phrase(f"optimization.page.drift.{key}", language, **values)


def table(page):
    assert not page.exception and not page.error
    return page.dataframe[0].value.to_dict("records")


@pytest.mark.parametrize("language", LANGUAGES)
def test_it_opens_in_both_languages(open_page, language):
    page = open_page(language)
    rows = table(page)
    assert [tab.label for tab in page.tabs][-1] == phrase("optimization.page.tab.drift", language)
    assert [row[say("column.test", language)] for row in rows] == [
        phrase(f"optimization.drift.test.{test}", language)
        for test in ("mmd", "classifier", "ks_score", "psi_score", "ks_length", "psi_length")
    ]
    assert len(page.get("plotly_chart")) == 3
    assert [metric.label for metric in page.metric] == [
        say(name, language) for name in ("estimated", "true", "on_reference")
    ]
    assert page.code[0].value == page_drift.WATCHING


@pytest.mark.parametrize("kind", SHIFTS)
def test_nothing_but_other_texts_is_drift_of_every_kind(open_page, kind):
    page = open_page()
    page.radio(key=KIND).set_value(kind)
    page.slider(key=SHARE).set_value(100).run()
    rows = table(page)
    assert page.warning and not page.success
    assert phrase("optimization.drift.test.mmd", "en") in page.warning[0].value
    assert [row["speaks"] for row in rows][:2] == [True, True]
    assert rows[0]["p-value"] == "0.002", "no split of 499 is like the true one"


def test_without_other_texts_hardly_any_draw_is_drift(open_page):
    page = open_page()
    page.slider(key=SHARE).set_value(0).run()
    quiet = bool(page.success)
    for _ in range(4):
        page.button(key="optimization_drift_again").click().run()
        quiet += bool(page.success)
    assert quiet >= 4 and not page.exception


def test_the_numbers_are_those_of_the_window_that_is_drawn(open_page):
    page = open_page()
    page.slider(key=SHARE).set_value(50)
    page.radio(key=SIZE).set_value(50).run()
    samples = page_drift.load_samples()
    window = page_drift.mix(samples["reviews"], samples["tweets"], 50, 0.5, 0)
    values = [metric.value for metric in page.metric]
    reference = samples["reference"].right.mean()
    assert values == [f"{value:.1%}" for value in (window.confidences.mean(), window.right.mean(), reference)]


def test_another_draw_has_other_texts_and_a_visitor_moves_only_his_own(open_page):
    page, other = open_page(), open_page()
    before = table(page)
    page.button(key="optimization_drift_again").click().run()
    assert table(page) != before and table(other.run()) == before


@pytest.mark.parametrize("size, share", [(50, 0.05), (200, 0.2), (200, 0.0), (100, 1.0)])
def test_a_window_has_its_share_of_other_texts_each_once_and_none_of_the_reference(size, share):
    samples = page_drift.load_samples()

    def ids(readings):
        return Counter(row.tobytes() for row in readings.vectors)

    for kind in SHIFTS:
        window = ids(page_drift.mix(samples["reviews"], samples[kind], size, share, 3))
        others, reviews = ids(samples[kind]), ids(samples["reviews"])
        assert (window & others).total() == round(share * size)
        assert (window & reviews).total() == size - round(share * size)
        assert not window & ids(samples["reference"])


def test_what_was_measured_is_shown_and_a_damaged_file_is_passed_over(open_page):
    write_json(page_drift.RESULTS, {"result": MEASURED})
    page = open_page()
    assert len(page.get("plotly_chart")) == 4
    assert say("power", window=200, rate="3.1%", n="2,000") in [caption.value for caption in page.caption]
    for spoilt in ({"result": {**MEASURED, "power_by_share": {}}}, {"result": [1]}, {}, []):
        write_json(page_drift.RESULTS, spoilt)
        assert len(page.run().get("plotly_chart")) == 3 and not page.exception
    page_drift.RESULTS.write_bytes(b"\xff{")
    assert len(page.run().get("plotly_chart")) == 3 and not page.exception


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_damaged_sample_is_one_line(open_page, tmp_path, monkeypatch, language):
    shutil.copytree(page_drift.SHIPPED, tmp_path / "shipped")
    (tmp_path / "shipped/nyt" / TENSORS).write_bytes(b"spoilt")
    monkeypatch.setattr(page_drift, "SHIPPED", tmp_path / "shipped")
    page = open_page(language)
    assert not page.exception
    assert len(page.error) == 1 and TENSORS in page.error[0].value and "\n" not in page.error[0].value
    page_drift.load_samples.clear()


def test_histograms_hold_every_text_also_the_longest():
    from model_optimization.monitoring.drift_figures import histograms

    lengths = np.array([10, 20, 30, 100_000])
    for figure in (
        histograms(lengths, lengths[:2], "length", "en"),
        histograms(lengths / 1e5, lengths[:2] / 1e5, "score", "zh"),
    ):
        assert [sum(bars.y) for bars in figure.data] == pytest.approx([1, 1])
