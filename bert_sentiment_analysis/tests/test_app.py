"""The demo page, played without a browser, on tiny models of random weights."""

import csv
import io
import json
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from bert_sentiment_analysis import page_models, page_quality, page_text, page_texts
from bert_sentiment_analysis.inference.attributions import Explanation, Span
from bert_sentiment_analysis.inference.predictor import Prediction
from bert_sentiment_analysis.models.bert_classifier import TextClassifier
from bert_sentiment_analysis.tests.test_counted_words import small_set
from shared.errors import UserError
from shared.files import write_json
from shared.phrases import LANGUAGES, phrase, table

PAGE = Path(page_models.__file__).with_name("app.py")
CSV = b"id,sentence,label\n1,a good film,1\n2,,0\n3,an awful plot,0\n4,great,1\n"


@pytest.fixture(scope="module")
def weights(tiny_encoder, tmp_path_factory):
    """A folder of two shipped models: one of classes with its held-out answers, and one that rates."""
    import torch

    folder = tmp_path_factory.mktemp("weights")
    for name, head in (("english-sentiment", "classification"), ("english-ratings", "rating")):
        torch.manual_seed(0)
        classifier = TextClassifier.from_pretrained(str(tiny_encoder("bert")), head=head, max_length=24, overlap=8)
        torch.nn.init.normal_(classifier.output.weight)
        classifier.save(folder / name)
    rng = np.random.default_rng(0)
    shares = rng.random(40).round(4)
    held_out = {"labels": (rng.random(40) < shares).astype(int).tolist(), "probabilities": [[1 - p, p] for p in shares]}
    write_json(folder / "english-sentiment" / page_quality.HELD_OUT, held_out)
    (folder / "english-sentiment" / "README.md").write_text("# The card\n", encoding="utf-8")
    return folder


@pytest.fixture
def open_page(run_page, weights, tmp_path, monkeypatch):
    """Opens the page where the two models ship, nothing was trained, and no result file is there."""
    monkeypatch.setattr(page_models, "SHIPPED", weights)
    monkeypatch.setattr(page_quality, "RESULTS", tmp_path / "results")
    monkeypatch.chdir(tmp_path)

    return partial(run_page, PAGE)


def say(key, language="en", **values):
    return phrase(f"sentiment.page.{key}", language, **values)


def upload(page, content, name="reviews.csv"):
    page.file_uploader(key="file").set_value((name, content, "text/plain")).run()
    assert not page.exception
    return page


def shown(page):
    return "".join(element.proto.body for element in page.get("html"))


@pytest.mark.parametrize("language", LANGUAGES)
def test_it_opens_in_both_languages_with_every_section(open_page, language):
    page = open_page(language)
    assert not page.exception and not page.error and not page.warning
    assert [tab.label for tab in page.tabs] == [say(f"tab.{name}", language) for name in ("one", "many", "quality")]
    titles = ["answer", "words", "side_by_side", "held_out", "domains", "table.ladder", "table.fine_tune"]
    assert [header.value for header in page.subheader] == [say(name, language) for name in titles]
    assert len(page.get("plotly_chart")) == 4
    assert [note.value for note in page.info].count(say("no_results", language)) == 3


@pytest.fixture
def without_weights(tmp_path, monkeypatch):
    """Where no model ships and none was trained; the packaged set is a handful of sentences."""
    monkeypatch.setattr(page_models, "SHIPPED", tmp_path / "none")
    monkeypatch.setattr(page_models, "load_packaged", lambda name: small_set())
    monkeypatch.chdir(tmp_path)
    page_models._count_words.clear()
    yield
    page_models._count_words.clear()


@pytest.mark.parametrize("language", LANGUAGES)
def test_without_weights_a_banner_is_shown_and_counted_words_answer(run_page, without_weights, language):
    page = run_page(PAGE, language)
    assert not page.exception and not page.error
    assert [warning.value for warning in page.warning] == [say("no_models", language, accuracy="100.0%", n="30")]
    assert page.code[0].value == page_models.TRAINING
    for text, label in (("an awful plot", "negative"), ("a wonderful plot", "positive")):
        page.text_area(key="text").set_value(text).run()
        assert phrase(f"sentiment.class.{label}", language) in shown(page).partition('<div style="display: grid')[0]
        assert f"{text.split()[1]}</span>" in shown(page)
    formula = phrase("sentiment.page.counted_words_sum", language, unit=say("log_odds", language), start="", answer="")
    assert any(formula[-20:] in text.value for text in page.markdown)  # not integrated gradients
    assert sum(element.key.startswith("held-out") for element in page.get("plotly_chart")) == 4  # measured on the spot
    page = upload(page, CSV)
    page.button(key="answer_all").click().run()
    assert not page.exception and not page.error
    assert page.dataframe[0].value[say("row", language)].tolist() == [1, 3, 4]


def test_without_weights_and_without_texts_to_learn_from_it_says_why(run_page, without_weights, monkeypatch):
    def missing(name):
        raise UserError("rotten_tomatoes: cannot be downloaded: connect once")

    monkeypatch.setattr(page_models, "load_packaged", missing)
    page = run_page(PAGE)
    assert not page.exception
    assert [error.value for error in page.error] == ["rotten_tomatoes: cannot be downloaded: connect once"]


def test_the_default_comes_first_and_own_runs_last(open_page, weights, tmp_path):
    shutil.copytree(weights / "english-ratings", tmp_path / "runs/bert_sentiment_analysis/mine")
    assert [folder.name for folder in page_models.find_models()] == ["english-sentiment", "english-ratings", "mine"]


def test_every_example_and_an_own_text_get_an_answer(open_page):
    page = open_page()
    for name, text in page_text.EXAMPLES.items():
        page.button(key=f"example-{name}").click().run()
        assert not page.exception
        assert page.text_area(key="text").value == text
    page.text_area(key="text").set_value("awful").run()
    assert not page.exception and "awful" in shown(page)


@pytest.mark.parametrize("text", ["", " \n ", "\0"])
def test_no_text_is_said_and_not_answered(open_page, text):
    page = open_page()
    page.text_area(key="text").set_value(text).run()
    assert not page.exception
    assert say("empty") in [note.value for note in page.info]


@pytest.mark.parametrize("text", ["😀😀", "good " * 400, "很好看"])
def test_odd_texts_are_fine(open_page, text):
    page = open_page()
    page.text_area(key="text").set_value(text).run()
    assert not page.exception and not page.error
    cut = [note.value for note in page.info if "coloured" in note.value]
    assert bool(cut) == (len(text) > 1000)


def test_a_text_is_shown_as_it_is_and_never_as_html(open_page):
    page = open_page()
    page.text_area(key="text").set_value('<script>alert(1)</script> "good" <img src=x onerror=alert(1)>').run()
    assert not page.exception
    assert "<script" not in shown(page) and "<img" not in shown(page)
    assert "&lt;" in shown(page)
    found = Explanation("<b>&x", [Span(0, 3, 1.0), Span(3, 5, -1.0)], 0.0, 0.0, "positive", 5)
    assert "&lt;b&gt;" in page_text.coloured(found) and "&amp;x" in page_text.coloured(found)


def test_a_model_that_rates_shows_its_rating(open_page, weights):
    page = open_page()
    page.selectbox(key="model-en").set_value(weights / "english-ratings").run()
    assert not page.exception and not page.error
    assert say("rating_means") in [caption.value for caption in page.caption]
    assert say("rates_only") in [note.value for note in page.info]


def test_an_unsure_answer_says_so_with_its_band(open_page, weights, tmp_path, monkeypatch):
    shutil.copytree(weights / "english-sentiment", tmp_path / "weights/unsure")
    settings = json.loads((tmp_path / "weights/unsure/classifier.json").read_text())
    write_json(tmp_path / "weights/unsure/classifier.json", {**settings, "abstain_below": 1.0})
    monkeypatch.setattr(page_models, "SHIPPED", tmp_path / "weights")
    page = AppTest.from_file(str(PAGE), default_timeout=120).run()
    assert not page.exception
    assert say("unsure") in shown(page)
    assert any("100.0%" in caption.value for caption in page.caption)


def test_a_damaged_model_is_one_line(open_page, weights, tmp_path, monkeypatch):
    shutil.copytree(weights / "english-sentiment", tmp_path / "weights/a")
    (tmp_path / "weights/a/model.safetensors").write_bytes(b"spoilt")
    monkeypatch.setattr(page_models, "SHIPPED", tmp_path / "weights")
    page = AppTest.from_file(str(PAGE), default_timeout=120).run()
    assert not page.exception
    assert len(page.error) == 1 and "model.safetensors" in page.error[0].value


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_labelled_file_is_answered_scored_and_its_skipped_rows_are_named(open_page, language):
    page = upload(open_page(language), CSV)
    assert page.selectbox(key="column-reviews.csv").value == "sentence"
    page.button(key="answer_all").click().run()
    assert not page.exception and not page.error
    results = page.dataframe[0].value
    assert results[say("row", language)].tolist() == [1, 3, 4]
    assert say("scores", language) in [header.value for header in page.subheader]
    assert any(say("reason.blank", language) in table_.value.to_string() for table_ in page.table)
    assert len(page.get("plotly_chart")) == 4 + 1 + 4


def test_a_model_that_rates_scores_the_sign(open_page, weights):
    page = open_page()
    page.selectbox(key="model-en").set_value(weights / "english-ratings").run()
    upload(page, CSV).button(key="answer_all").click().run()
    assert not page.exception
    assert say("sign_accuracy", n="3") in [metric.label for metric in page.metric]


def test_pasted_lines_are_answered(open_page):
    page = open_page()
    page.text_area(key="pasted").set_value("good\n\nawful\n").run()
    page.button(key="answer_all").click().run()
    assert not page.exception
    assert page.dataframe[0].value[say("text_cell")].tolist() == ["good", "awful"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", b""),
        ("a.csv", b"text\n"),
        ("a.csv", b"text\n \n\xe2\x80\x8b\n"),
        ("a.csv", b"text\n\xff\xfe\x00"),
        ("a.json", b"{}"),
        ("a.json", b"[[[["),
        ("a.jsonl", b"{\n{"),
        ("a.txt", b"\n\n"),
    ],
)
def test_a_bad_file_is_one_line_that_names_it(open_page, name, content):
    page = upload(open_page(), content, name)
    assert len(page.error) == 1
    assert page.error[0].value.startswith(name) and "/tmp" not in page.error[0].value


def test_a_fault_is_introduced_in_the_language_of_the_page(open_page):
    page = upload(open_page("zh"), b"", "a.csv")
    assert page.error[0].value.startswith("无法读取") and "a.csv" in page.error[0].value


@pytest.mark.parametrize(
    ("name", "content", "n"),
    [
        ("a.csv", "text\n😀\n👍🏽\n".encode(), 2),
        ("a.txt", b"go\0od\n\0\nbad\n", 2),
        ("A.TSV", b"title\tbody\nx\ty\n", 1),
        ("a.csv", b"only\nsomething\n", 1),
        ("a.json", b'["good", null, {"text": "bad"}]', 2),
    ],
)
def test_odd_files_that_hold_texts_are_answered(open_page, name, content, n):
    page = upload(open_page(), content, name)
    page.button(key="answer_all").click().run()
    assert not page.exception and not page.error
    assert len(page.dataframe[0].value) == n


def test_labels_of_other_classes_are_not_scored(open_page):
    page = upload(open_page(), b"text,label\ngood,5\nbad,1\n")
    page.button(key="answer_all").click().run()
    assert not page.exception
    assert any("0 negative, 1 positive" in note.value for note in page.info)


def test_a_page_takes_so_many_rows_and_says_so(open_page, monkeypatch):
    monkeypatch.setattr(page_texts, "MOST_ROWS", 2)
    page = upload(open_page(), CSV)
    assert [warning.value for warning in page.warning] == [say("too_many", rows="3", most="2")]
    page.button(key="answer_all").click().run()
    assert len(page.dataframe[0].value) == 2


def test_the_download_is_whole_and_runs_no_formula():
    answers = [Prediction(1, "positive", 0.9, {}), Prediction(2, None, 0.5, {}, abstained=True)]
    text = page_texts.as_csv([1, 4], ['=1+1,"a"\n', "字\0\ud800"], answers).decode("utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert rows[0]["text"] == '\'=1+1,"a"\n' and rows[0]["label"] == "positive" and rows[0]["probability"] == "0.9"
    assert rows[1]["row"] == "4" and rows[1]["abstained"] == "True" and rows[1]["text"] == "字?"


def test_results_that_ship_are_shown(open_page, tmp_path):
    scores = {"tweets": 0.8, "movie_snippets": 0.4, "amazon": 0.5, "nyt": None}
    matrix = [
        {"trained_on": "tweets", **scores, "source": "here"},
        {"trained_on": "VADER", **scores, "source": "paper"},
    ]
    write_json(tmp_path / "results/domain_matrix.json", {"rows": matrix})
    write_json(tmp_path / "results/ladder.json", {"rows": [{"model": "minilm", "accuracy": 0.9, "by": {"nyt": 0.5}}]})
    write_json(tmp_path / "results/fine_tune.json", {"rows": "spoilt"})
    page = open_page()
    assert not page.exception
    assert [note.value for note in page.info].count(say("no_results")) == 1
    assert len(page.get("plotly_chart")) == 5
    assert page.dataframe[0].value.iloc[0].tolist() == [say("row.minilm"), "0.900", "editorials 0.500"]


@pytest.mark.parametrize("content", ["{", "[]", '{"labels": [], "probabilities": []}', '{"labels": [0]}'])
def test_damaged_held_out_answers_count_as_none(tmp_path, content):
    (tmp_path / "held_out.json").write_text(content)
    assert page_quality.read_held_out(tmp_path / "held_out.json", 2) is None


def test_every_phrase_of_the_page_is_used():
    code = "".join(file.read_text(encoding="utf-8") for file in PAGE.parent.glob("*.py"))
    keys = [key.removeprefix("sentiment.page.") for key in table() if key.startswith("sentiment.page.")]
    made = ("example_name.", "reason.", "row.", "table.")
    assert [key for key in keys if f'"{key}"' not in code and not key.startswith(made)] == []


def test_a_text_can_be_written_before_torch_and_scikit_learn_are_loaded():
    program = (
        "import sys, streamlit\n"
        "streamlit.text_area = lambda *_, **__: sys.exit(3 if {'torch', 'sklearn'} & set(sys.modules) else 0)\n"
        "import bert_sentiment_analysis.app\n"
        "sys.exit(4)"
    )
    assert subprocess.run([sys.executable, "-c", program], cwd=PAGE.parents[1], capture_output=True).returncode == 0
