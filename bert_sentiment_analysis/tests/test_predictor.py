"""Predictions: in order, calibrated, unsure where asked to be, and one bad row loses no other."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from bert_sentiment_analysis import predict as predict_program
from bert_sentiment_analysis.evaluation.calibration import apply_temperature
from bert_sentiment_analysis.inference import predictor as predictor_module
from bert_sentiment_analysis.inference.predictor import Predictor
from bert_sentiment_analysis.models.batches import predict_logits
from bert_sentiment_analysis.models.bert_classifier import TextClassifier
from bert_sentiment_analysis.models.classifier_settings import ClassifierSettings
from shared.errors import UserError

TEXTS = ["a good film", "awful", "the plot is dull and it was bad " * 20, "great", "this actor was not very good !"]


def make_run(encoder: Path, folder: Path, **changes) -> Path:
    """A saved classifier with random weights, sharp enough that its answers differ."""
    torch.manual_seed(0)
    classifier = TextClassifier.from_pretrained(str(encoder), head=changes.pop("head", "classification"))
    torch.nn.init.normal_(classifier.output.weight)
    values = {"max_length": 24, "overlap": 8, "temperature": 2.0, "pooling": "mean", **changes}
    classifier.settings = ClassifierSettings(**{**classifier.settings.__dict__, **values})
    classifier.save(folder)
    return folder


@pytest.fixture
def run(tiny_encoder, tmp_path) -> Path:
    return make_run(tiny_encoder("bert"), tmp_path / "run")


def test_answers_come_in_order_with_calibrated_probabilities(run):
    predictor = Predictor.load(run)
    found = predictor.predict(TEXTS)
    assert [answer.row for answer in found] == [1, 2, 3, 4, 5]
    expected = apply_temperature(predict_logits(predictor.classifier, TEXTS), 2.0)
    np.testing.assert_allclose([list(answer.probabilities.values()) for answer in found], expected, atol=1e-5)
    for answer, row in zip(found, expected, strict=True):
        assert answer.label == ("negative", "positive")[row.argmax()] and answer.probability == pytest.approx(row.max())
    assert len({answer.label for answer in found}) == 2


def test_a_text_gets_the_same_answer_alone_and_in_any_company(run):
    predictor = Predictor.load(run, token_budget=64)
    together = predictor.predict(TEXTS * 3)
    for i, text in enumerate(TEXTS * 3):
        assert predictor.predict([text])[0].probability == pytest.approx(together[i].probability, abs=1e-5)


def test_one_bad_row_loses_no_other(run):
    rows = ["a good film", None, "   ", 7, "awful", "\x00", b"bytes", "great"]
    predictor = Predictor.load(run)
    found = predictor.predict(rows)
    assert [answer.row for answer in found] == list(range(1, 9))
    assert [answer.row for answer in found if answer.error] == [2, 3, 4, 6, 7]
    assert found[1].error == "no text" and found[3].error == "int, not text" and found[1].label is None
    alone = predictor.predict(["a good film", "awful", "great"])
    assert [found[i].probability for i in (0, 4, 7)] == pytest.approx([answer.probability for answer in alone])


@pytest.mark.parametrize(
    "text", ["👍👍", "\x00good\x00", "好看的电影", "x" * 100_000, "good " * 20_000, "\ud800 film", "<br />good&amp;bad"]
)
def test_odd_texts_have_a_defined_answer(text, run):
    answer = Predictor.load(run).predict([text])[0]
    assert answer.error is None and answer.label in ("negative", "positive") and 0.5 <= answer.probability <= 1


@pytest.mark.slow
def test_a_megabyte_is_read_whole(run):
    ending = Predictor.load(run).predict(["bad " * 250_000 + "great " * 20, "bad " * 250_000])
    assert ending[0].probability != ending[1].probability


def test_markup_does_not_change_an_answer(run):
    found = Predictor.load(run).predict(
        ["a good film. great", "a good film.<br /><br />great", "a&nbsp;good film. great"]
    )
    assert len({answer.probability for answer in found}) == 1


def test_no_answer_is_given_below_the_asked_confidence(tiny_encoder, tmp_path):
    run = make_run(tiny_encoder("bert"), tmp_path / "run", abstain_below=0.9)
    for predictor, threshold in (
        (Predictor.load(run), 0.9),
        (Predictor.load(run, abstain_below=0.7), 0.7),
        (Predictor.load(run, abstain_below=0), 0.0),
    ):
        found = predictor.predict(TEXTS)
        for answer in found:
            assert answer.abstained == (answer.probability < threshold) == (answer.label is None)
    assert any(answer.abstained for answer in Predictor.load(run).predict(TEXTS))


def test_ratings_are_numbers_and_their_sign_is_the_label(tiny_encoder, tmp_path):
    predictor = Predictor.load(make_run(tiny_encoder("bert"), tmp_path / "run", head="rating"))
    found = predictor.predict(TEXTS)
    expected = predict_logits(predictor.classifier, TEXTS)[:, 0]
    assert [answer.rating for answer in found] == pytest.approx(expected.tolist(), abs=1e-5)
    assert all(answer.label == ("positive" if answer.rating > 0 else "negative") for answer in found)
    assert all(answer.probability is None and answer.probabilities is None for answer in found)


def test_with_a_partner_the_weighted_mean_of_both_counts(tiny_encoder, tmp_path):
    alone = make_run(tiny_encoder("llama"), tmp_path / "alone", head="rating")
    partner = make_run(tiny_encoder("bert"), tmp_path / "partner", head="rating")
    both = make_run(tiny_encoder("llama"), tmp_path / "both", head="rating", partner="partner", partner_weight=0.25)
    ours, theirs, found = ([p.rating for p in Predictor.load(run).predict(TEXTS)] for run in (alone, partner, both))
    np.testing.assert_allclose(found, 0.75 * np.array(ours) + 0.25 * np.array(theirs), atol=1e-5)
    assert not np.allclose(found, ours, atol=0.01)


def test_a_partner_that_is_missing_or_answers_another_question_is_refused(tiny_encoder, tmp_path):
    run = make_run(tiny_encoder("bert"), tmp_path / "run", head="rating", partner="partner")
    with pytest.raises(UserError, match="partner: no trained classifier here"):
        Predictor.load(run)
    make_run(tiny_encoder("bert"), tmp_path / "partner")
    with pytest.raises(UserError, match="answers another question"):
        Predictor.load(run)
    make_run(tiny_encoder("bert"), tmp_path / "partner", head="rating", partner="run")
    with pytest.raises(UserError, match="or has a partner itself"):
        Predictor.load(run)


def test_a_stream_is_answered_while_it_is_read(run, monkeypatch):
    monkeypatch.setattr(predictor_module, "CHUNK_TEXTS", 4)
    read = 0

    def endless():
        nonlocal read
        for i in itertools.count():
            read += 1
            yield None if i == 5 else TEXTS[i % len(TEXTS)]

    stream = Predictor.load(run).stream(endless())
    found = [next(stream) for _ in range(10)]
    assert read == 12, "no more is read than is answered next"
    assert [answer.row for answer in found] == list(range(1, 11)) and found[5].error == "no text"


def test_long_texts_are_not_gathered_up(run, monkeypatch):
    monkeypatch.setattr(predictor_module, "CHUNK_CHARACTERS", 1000)
    read = 0

    def long_texts():
        nonlocal read
        for _ in range(50):
            read += 1
            yield "good " * 100

    next(Predictor.load(run).stream(long_texts()))
    assert read == 3


def test_nothing_gives_nothing(run):
    assert Predictor.load(run).predict([]) == []
    assert all(answer.error for answer in Predictor.load(run).predict([None, ""]))


def test_bad_arguments_are_one_clear_line(run, tmp_path):
    with pytest.raises(UserError, match="give a list of strings"):
        Predictor.load(run).predict("a good film")
    with pytest.raises(UserError, match="no trained classifier here"):
        Predictor.load(tmp_path)
    with pytest.raises(UserError, match="abstain_below 2"):
        Predictor.load(run, abstain_below=2)


def test_the_program_answers_texts_and_ends_with_one_json_line(run, capsys):
    predict_program.main(["--run", str(run), "a good film", "--abstain-below=0", "awful"])
    lines = [json.loads(line) for line in capsys.readouterr().out.strip().splitlines()]
    assert [line["text"] for line in lines[:2]] == ["a good film", "awful"] and lines[0]["label"]
    assert (lines[2]["n"], lines[2]["skipped"]) == (2, 0)


def test_the_program_answers_a_file_with_its_row_numbers(run, tmp_path, capsys):
    file = tmp_path / "reviews.csv"
    file.write_text('review,stars\n"good, great",5\n,1\nawful,1\n', encoding="utf-8")
    predict_program.main(["--run", str(run), "--file", str(file), "--output", str(tmp_path / "answers.jsonl")])
    result = json.loads(capsys.readouterr().out)
    assert (result["n"], result["skipped"]) == (3, 1)
    answers = [json.loads(line) for line in (tmp_path / "answers.jsonl").read_text().splitlines()]
    assert sorted((line["row"], line["text"]) for line in answers if line["text"]) == [(1, "good, great"), (3, "awful")]
    assert [line["row"] for line in answers if line["error"]] == [2]


def test_the_program_answers_texts_whose_labels_it_could_not_learn(run, tmp_path, capsys):
    """Regression: each row with a label such as "5 stars" was skipped. And half of an emoji ended the program."""
    file = tmp_path / "reviews.jsonl"
    file.write_text('{"text": "good", "label": "5 stars"}\n{"text": "bad \\ud83d", "label": -1}\n')
    predict_program.main(["--run", str(run), "--file", str(file), "--output", str(tmp_path / "answers.jsonl")])
    assert json.loads(capsys.readouterr().out)["skipped"] == 0
    answers = [json.loads(line) for line in (tmp_path / "answers.jsonl").read_text().splitlines()]
    assert [answer["text"] for answer in answers] == ["good", "bad \ud83d"]
    predict_program.main(["--run", str(run), "--file", str(file)])
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()[:2]] == answers


def test_the_program_wants_texts_or_a_file_with_the_column(run, tmp_path):
    with pytest.raises(UserError, match="no texts"):
        predict_program.main(["--run", str(run)])
    file = tmp_path / "reviews.csv"
    file.write_text("review\ngood\n")
    with pytest.raises(UserError, match="no 'body' among the columns review"):
        predict_program.main(["--run", str(run), "--file", str(file), "--text_column", "body"])
    with pytest.raises(UserError, match="not both"):
        predict_program.main(["--run", str(run), "--file", str(file), "good"])
