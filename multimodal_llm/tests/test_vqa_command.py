"""The command says what it needs in one line, and prints an answer a question."""

import json

import numpy as np
import pytest
import torch

from multimodal_llm import vqa, vqa_benchmark
from multimodal_llm.tests.vqa_fixtures import FakeReader, tiny_model
from multimodal_llm.visual_question_answering import vqa_model
from multimodal_llm.visual_question_answering.calibration import PictureGate
from multimodal_llm.visual_question_answering.drawings import draw_shape
from multimodal_llm.visual_question_answering.shipped_weights import publish
from multimodal_llm.visual_question_answering.vqa_system import ShapesVqa
from shared.errors import UserError
from shared.runs import RunFolder


@pytest.fixture
def run(tmp_path, monkeypatch):
    """The folder of a finished training, of random weights."""
    monkeypatch.setattr(vqa_model, "QuestionReader", FakeReader)
    run = RunFolder.create(tmp_path / "run", "multimodal_llm", {"epochs": 1, "validation_pictures": 20})
    gate = PictureGate(torch.zeros(48), torch.eye(48), 1.0)
    ShapesVqa(tiny_model(), FakeReader(), 1.0, 0.0, gate).save(run.path, ["train/1.png", "is it red?"])
    run.log_metrics({"step": 1})
    refused = {"outside": 0.9, "nearly_outside": 0.8, "easy_vqa": 0.0}
    scores = {"accuracy": 0.9, "question_only_prior": 0.67, "paraphrase_accuracy": 0.8, "n_paraphrases": 93}
    run.write_summary(
        {**scores, "train_seconds": 9.0, "question_refused": refused, "n_outside_questions": {"nearly_outside": 24}}
    )
    return run


@pytest.fixture
def picture(tmp_path):
    draw_shape("circle", "red", np.random.default_rng(0)).save(tmp_path / "picture.png")
    return str(tmp_path / "picture.png")


def test_each_question_gets_its_answer_and_the_last_line_is_json(run, picture, capsys):
    vqa.main(["--model", str(run.path), picture, "is it red?", "what shape is it?"])
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [answer["question"] for answer in result["answers"]] == ["is it red?", "what shape is it?"]
    assert all(0 < answer["confidence"] <= 1 for answer in result["answers"])


@pytest.mark.parametrize("arguments", [[], ["picture.png"]])
def test_without_a_picture_and_a_question_it_says_how_to_ask(arguments):
    with pytest.raises(UserError, match="IMAGE QUESTION"):
        vqa.main(arguments)


def test_a_missing_picture_is_named(run):
    with pytest.raises(UserError, match=r"nowhere\.png"):
        vqa.main(["--model", str(run.path), "nowhere.png", "is it red?"])


def test_published_weights_are_whole_and_their_card_names_data_and_scores(run, tmp_path):
    publish(run, tmp_path / "shipped")
    card = (tmp_path / "shipped" / "README.md").read_text()
    assert "easy-VQA (MIT)" in card and "0.9000" in card and "0.6700" in card
    assert len((tmp_path / "shipped" / "train_ids.sha256").read_text().split()) == 2
    assert ShapesVqa.load(tmp_path / "shipped").answer(draw_shape("circle", "red", np.random.default_rng(0)), ["red?"])


def test_the_benchmark_without_weights_names_the_flag_that_trains_them(tmp_path, monkeypatch):
    monkeypatch.setattr(vqa_benchmark, "SHIPPED", tmp_path)
    with pytest.raises(UserError, match="--train true"):
        vqa_benchmark.vqa(vqa_benchmark.VqaBenchmarkConfig())


def test_a_training_on_easy_vqas_own_questions_is_kept_beside_the_usual_result():
    config = vqa_benchmark.VqaBenchmarkConfig
    assert config().variant == config(train=True).variant == ""
    assert config(train=True, reworded=0.0).variant == "_own_questions"
