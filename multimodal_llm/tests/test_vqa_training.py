"""Training lowers the loss, draws what it should, leaves a folder that answers, and refuses sets it cannot use."""

import json
from collections import Counter

import pytest

from multimodal_llm.tests.vqa_fixtures import FakeReader, write_easy_vqa
from multimodal_llm.visual_question_answering import training
from multimodal_llm.visual_question_answering.config import VqaTrainingConfig
from shared.errors import UserError
from shared.runs import RunFolder


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "outside_texts", lambda random: ["where is the cat?", "who is she?"])
    return write_easy_vqa(tmp_path / "set")


def config(folder, **changes):
    settings = {"data": str(folder), "epochs": 1, "batch_pictures": 4, "width": 32, "validation_pictures": 20}
    return VqaTrainingConfig(**{**settings, "questions_each": 4, **changes})


def test_training_lowers_the_loss_and_logs_it(folder, tmp_path):
    trainer = training.Trainer(config(folder, epochs=12), FakeReader())
    before = sum(trainer.losses(trainer.training)[0].item() for _ in range(3)) / 3
    run = RunFolder.create(tmp_path / "run", "multimodal_llm", {})
    trainer.train(run)
    after = sum(trainer.losses(trainer.training)[0].item() for _ in range(3)) / 3
    assert after < 0.8 * before
    assert run.metrics()[-1]["step"] == 60


def test_pictures_kept_out_are_in_no_step(folder):
    trainer = training.Trainer(config(folder), FakeReader())
    assert set(trainer.training) & set(trainer.validation) == set()
    assert len(trainer.training) + len(trainer.validation) == 40


def test_the_rarer_answer_to_a_question_is_drawn_as_often_as_the_other(folder):
    rows = [["is there a red shape?", "yes" if i == 0 else "no", i] for i in range(40)]
    (folder / "train" / "questions.json").write_text(json.dumps(rows))
    trainer = training.Trainer(config(folder, reworded=0), FakeReader())
    assert trainer.rarity == {("is there a red shape?", "yes"): 40, ("is there a red shape?", "no"): 40 / 39}


def test_rewordings_take_their_share_and_none_without_them(folder):
    trainer = training.Trainer(config(folder, questions_each=4, reworded=0.5), FakeReader())
    own = set(trainer.known)
    with_facts = next(i for i in trainer.training if trainer.facts[i])
    drawn = Counter(asked.text in own for _ in range(20) for asked in trainer.questions_about(with_facts))
    assert drawn[True] == drawn[False] == 40
    plain = training.Trainer(config(folder, reworded=0), FakeReader())
    assert {asked.text in own for _ in range(20) for asked in plain.questions_about(with_facts)} == {True}


def test_the_ids_of_training_name_its_pictures_and_sentences(folder):
    trainer = training.Trainer(config(folder), FakeReader())
    ids = trainer.train_ids()
    assert f"train/{trainer.split.pictures[trainer.training[0]].name}" in " ".join(ids)
    assert "what color is it?" in ids and len(ids) == 20 + len(trainer.known) + len(trainer.reworded)


def test_a_set_with_other_answers_is_refused(folder):
    rows = json.loads((folder / "train" / "questions.json").read_text())
    (folder / "train" / "questions.json").write_text(json.dumps([*rows, ["what is it?", "dog", 0]]))
    with pytest.raises(UserError, match=r"other answers .*dog"):
        training.Trainer(config(folder), FakeReader())


def test_too_few_pictures_are_refused(folder):
    with pytest.raises(UserError, match="too few"):
        training.Trainer(config(folder, validation_pictures=50), FakeReader())


@pytest.mark.parametrize("change", [{"epochs": 0}, {"reworded": 1.0}, {"learning_rate": 0}, {"max_pictures": 10}])
def test_a_setting_that_cannot_be_is_refused(change):
    with pytest.raises(ValueError, match=next(iter(change))):
        VqaTrainingConfig(**change)
