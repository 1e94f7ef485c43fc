"""The server panel on the demo page, played without a browser: mostly with a child that tells rows made up for it."""

import json
import os
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from model_optimization import page_drift, page_serve, page_ship, page_variants
from model_optimization.deployment.server_metrics import STAGES
from model_optimization.page_serve import follow
from shared.files import write_json
from shared.phrases import LANGUAGES, phrase

PAGE = Path(page_serve.__file__).with_name("app.py")
START, STOP, RATE, WAY, URL = (f"optimization_serve_{name}" for name in ("start", "stop", "rate", "way", "url"))
# Tells a row for each rate that it is sent, and ends with its input as the real one does.
TELLER = """
import json, sys
row = json.loads(sys.argv.pop(1))
for second, rate in enumerate(sys.stdin, 1):
    print(json.dumps({**row, "second": second, "rate": float(rate)}), flush=True)
"""
ROW = {"answered_rps": 48.2, "errors_rps": 0.6, "p50_ms": 4.25, "p99_ms": 1234.5, "errors": 3, "late_p99_ms": 1.0}
ROW |= {"by_status": {"200": 241, "429": 3}, "windows_a_batch": 1.5, "waiting_tokens": 25, "memory_mb": 250.0}
ROW |= {f"{stage}_ms": 1.0 for stage in STAGES}


@pytest.fixture
def open_page(run_page, tmp_path, monkeypatch):
    """Opens the page with its other parts left out, nothing measured yet and the teller in place of a server."""
    for other in (page_ship, page_variants, page_drift):
        monkeypatch.setattr(other, "show", lambda *_: None)
    monkeypatch.setattr(page_serve, "RESULTS", tmp_path / "results/serve.json")
    monkeypatch.setattr(page_serve, "PROGRAM", [sys.executable, "-c", TELLER, json.dumps(ROW)])
    yield partial(run_page, PAGE)
    for live in page_serve._newest:
        live.process.kill()
        live.process.wait()
    page_serve._newest.clear()


def say(key, language="en", **values):
    return phrase(f"optimization.page.serve.{key}", language, **values)


def started(page):
    page.button(key=START).click().run()
    return until(page, lambda: page.metric)


def until(page, condition):
    give_up = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < give_up and not page.exception
        time.sleep(0.05)
        page.run()
    return page


def ends(process, within=10):
    process.wait(within)
    return True


@pytest.mark.parametrize("language", LANGUAGES)
def test_it_opens_in_both_languages_and_starts_nothing(open_page, language):
    page = open_page(language)
    assert not page.exception and not page.error and not page.metric
    assert phrase("optimization.page.tab.serve", language) in [tab.label for tab in page.tabs]
    assert page.button(key=START).label == say("start", language)
    assert page.code[0].value == f"{page_serve.SERVING}\n{page_serve.LOADING}"
    assert not page_serve._newest


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_run_shows_its_numbers_and_four_pictures(open_page, language):
    page = started(open_page(language))
    assert not page.exception and not page.error
    shown = {metric.label: metric.value for metric in page.metric}
    assert shown[say("p99_ms", language)] == "1,234" and shown[say("errors", language)] == "3"
    assert len(page.get("plotly_chart")) == 4
    assert say("faults", language, faults="429 × 3") in [caption.value for caption in page.caption]


def test_the_slider_sets_the_rate_of_what_runs(open_page):
    page = started(open_page())
    page.select_slider(key=RATE).set_value(200).run()
    until(page, lambda: page.session_state[page_serve.ROWS][-1]["rate"] == 200)
    assert page.session_state[page_serve.ROWS][0]["rate"] == 50


def test_stopping_ends_the_process_keeps_the_pictures_and_another_can_begin(open_page):
    page = started(open_page())
    (first,) = page_serve._newest
    page.button(key=STOP).click().run()
    assert ends(first.process) and not page.exception and not page.error
    assert len(page.get("plotly_chart")) == 4
    started(page)
    assert page_serve._newest[0] is not first and page_serve._newest[0].alive()


def test_both_ways_stand_beside_each_other_at_the_rates_that_were_held(open_page):
    page = started(open_page())
    until(page, lambda: page.dataframe)
    page.button(key=STOP).click().run()
    page.radio(key=f"{WAY}-en").set_value("alone").run()
    started(page)
    until(page, lambda: len(page.dataframe[0].value) == 2)
    table = page.dataframe[0].value.to_dict("records")
    assert [row[say("way")] for row in table] == [say("way.alone"), say("way.batched")]
    assert {row[say("rate")] for row in table} == {50} and {row[say("errors")] for row in table} == {3}


def test_a_row_that_still_holds_another_rate_is_not_kept(monkeypatch):
    state = {}
    monkeypatch.setattr(page_serve.st, "session_state", state)
    rates = [50] * 4 + [100] * 7 + [50] * 5

    class Told:
        way = "alone"

        def rows(self):
            return [{"second": second, "rate": rate} for second, rate in enumerate(rates, 1)]

    follow(Told())
    assert state[page_serve.KEPT] == {("alone", 100): {"second": 11, "rate": 100}}
    assert len(state[page_serve.ROWS]) == 16


def test_another_visitor_has_to_wait(open_page):
    mine, other = started(open_page()), open_page()
    other.button(key=START).click().run()
    assert [each.value for each in other.warning] == [say("busy")] and not other.metric
    mine.button(key=STOP).click().run()
    assert started(other).metric


def test_a_process_that_fails_is_one_line_and_the_page_can_begin_again(open_page, monkeypatch):
    page = open_page()
    fails = "import sys; print('error: no room left: make room', file=sys.stderr); sys.exit(2)"
    with monkeypatch.context() as broken:
        broken.setattr(page_serve, "PROGRAM", [sys.executable, "-c", fails])
        page.button(key=START).click().run()
        until(page, lambda: page.error)
    assert [each.value for each in page.error] == ["no room left: make room"]
    assert not started(page).error


def test_a_process_that_is_killed_is_told(open_page):
    page = started(open_page())
    page_serve._newest[0].process.kill()
    until(page, lambda: page.error)
    assert "-9" in page.error[0].value and page.button(key=START)


@pytest.mark.parametrize("url", ["http://example.org", "127.0.0.1:8000", "http://127.0.0.1:8000/v1/classify"])
def test_an_address_that_may_not_be_loaded_is_one_line_and_starts_nothing(open_page, url):
    page = open_page()
    page.text_input(key=URL).set_value(url)
    page.button(key=START).click().run()
    assert len(page.error) == 1 and "--url" in page.error[0].value and "\n" not in page.error[0].value
    assert not page_serve._newest


def test_what_was_measured_is_shown_and_a_damaged_file_is_passed_over(open_page):
    rows = [
        {"server": server, "rate": rate, "p99_ms": p99}
        for server, p99 in (("naive", 50.0), ("batched", 5.0))
        for rate in (32, 64)
    ]
    write_json(page_serve.RESULTS, {"rows": [*rows, {"server": "naive", "rate": 128, "p99_ms": None}]})
    page = open_page()
    assert len(page.get("plotly_chart")) == 1 and not page.exception
    for spoilt in ({"rows": [{"server": "naive"}]}, {"rows": 7}, {"rows": []}, {}, []):
        write_json(page_serve.RESULTS, spoilt)
        assert not page.run().get("plotly_chart") and not page.exception
    page_serve.RESULTS.write_bytes(b"\xff{")
    assert not page.run().get("plotly_chart") and not page.exception


def children(pid):
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.fixture
def real(open_page, two_models, make_reviews, tmp_path, monkeypatch):
    """The page with the real program, a server of tiny models, and reviews of two words."""
    import csv

    with open(tmp_path / "reviews.csv", "w", newline="") as target:
        writer = csv.writer(target)
        writer.writerow(["text", "label"])
        writer.writerows([example.text, example.label] for example in make_reviews(120))
    program = [sys.executable, "-m", "model_optimization.monitoring.live_load", f"--models={two_models}"]
    monkeypatch.setattr(page_serve, "PROGRAM", [*program, f"--dataset={tmp_path / 'reviews.csv'}", "--alone_s=2"])
    return open_page


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="the test looks for processes in /proc")
def test_a_real_server_is_loaded_and_ends_when_nobody_looks_any_more(real):
    page = real()
    page.select_slider(key=RATE).set_value(20)
    page = started(page)
    (live,) = page_serve._newest
    (server,) = children(live.process.pid)
    until(page, lambda: page.session_state[page_serve.ROWS][-1]["second"] > 2)
    row = page.session_state[page_serve.ROWS][-1]
    assert row["by_status"].keys() == {"200"} and row["errors"] == 0 and row["computed_ms"] > 0
    assert not page.exception and not page.error
    assert ends(live.process, 30) and live.process.returncode == 0, "no word for two seconds: the page was closed"
    with pytest.raises(ProcessLookupError):
        os.kill(server, 0)
