"""The student: its shape and its start, and that what ships is small, described, and scored on what it never read."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import load_file

from model_optimization import shipped_student, texts
from model_optimization.config import STUDENT, SUBJECT
from model_optimization.shipped_student import SUMMARY, half_of_the_layers, make_student, publish
from model_optimization.subject import load_subject
from model_optimization.texts import Texts
from shared.datasets import Example
from shared.leaks import load_ids, text_id


@pytest.fixture
def toy(make_reviews, monkeypatch) -> Texts:
    reviews = make_reviews(40)
    found = Texts("toy", reviews[:30], reviews[30:], reviews[30:])
    monkeypatch.setattr(texts, "load_texts", lambda *_, trained_on=frozenset(), **__: found)
    monkeypatch.setattr(texts, "film_sentences", lambda n, seed: [Example("a dull plot of love")] * 10)
    monkeypatch.setattr(texts, "film_texts", lambda: ["a good film ."] * 25 + ["the bad plot"] * 9)
    monkeypatch.setattr(shipped_student, "WORD_WIDTH", 4)
    return found


@pytest.mark.parametrize("n, kept", [(6, [0, 2, 5]), (12, [0, 2, 4, 6, 8, 11]), (4, [0, 3]), (2, [0])])
def test_the_layers_are_spread_evenly(n, kept, make_subject):
    assert half_of_the_layers(make_subject(heads=(2,) * n, neurons=(8,) * n)) == kept


def test_each_step_trims_further_and_what_is_finished_is_kept(make_subject, toy, tmp_path, monkeypatch):
    teacher = make_subject(heads=(2,) * 4, neurons=(8,) * 4)
    student = make_student(teacher, toy, tmp_path)
    first = load_subject(tmp_path / "step_1")
    kept = [set(subject.tokenizer.get_vocab()) for subject in (teacher, first, student)]
    assert "plot" in kept[1] and "plot" not in kept[2] and kept[2] < kept[1] < kept[0]
    shape = student.model.shape
    assert (shape.n_layers, shape.word_width, first.model.shape.word_width) == (2, 4, None)
    monkeypatch.setattr("model_optimization.distillation.teacher_student.distil", lambda *_: pytest.fail("again"))
    again = make_student(teacher, toy, tmp_path)
    assert all((a == b).all() for a, b in zip(student.model.parameters(), again.model.parameters(), strict=True))


def test_what_is_published_is_in_half_precision_and_says_how_good_it_is(make_subject, toy, tmp_path):
    teacher = make_subject()
    student = replace(teacher, trained_on=frozenset([text_id("a film")]))
    summary = publish(student, teacher, tmp_path / "student")
    assert {weight.dtype.itemsize for weight in load_file(tmp_path / "student/model.safetensors").values()} == {2}
    assert summary == json.loads((tmp_path / "student" / SUMMARY).read_text(), object_hook=_tuples)
    assert summary["n_test"] == 10 and summary["params"] == summary["teacher_params"]
    assert f"accuracy\n{summary['accuracy']:.3f}" in (tmp_path / "student/README.md").read_text()
    assert load_ids(tmp_path / "student") == {text_id("a film")}


def _tuples(values: dict) -> dict:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}


@pytest.mark.network
@pytest.mark.skipif(not Path(STUDENT).is_dir(), reason="the weights are not in this checkout")
def test_the_student_that_ships_is_small_and_answers_like_its_teacher():
    folder = Path(STUDENT)
    assert (folder / "model.safetensors").stat().st_size <= 15_000_000
    summary, student = json.loads((folder / SUMMARY).read_text()), load_subject(folder)
    assert summary["n_excluded"] == 0 and load_subject(SUBJECT).trained_on < student.trained_on
    from model_optimization.fidelity import answers

    asked = ["A warm and funny film.", "Dull, long and badly acted.", "not bad at all", "I want those two hours back."]
    assert answers(student, [Example(text) for text in asked]).tolist() == [1, 0, 1, 0]
