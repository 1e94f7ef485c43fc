"""The losses by hand, a student that starts from its teacher's layers, and that it learns to agree."""

import copy
from dataclasses import replace
from math import log

import pytest
import torch
import torch.nn.functional as functional

from model_optimization.classifier import Inside
from model_optimization.distillation import teacher_student
from model_optimization.distillation.teacher_student import (
    DistilConfig,
    Weights,
    attention_loss,
    distil,
    hidden_loss,
    learn_alone,
    learn_from,
    parse_layers,
    soft_target_loss,
    take_layers,
)
from model_optimization.fidelity import answers, validation_accuracy
from model_optimization.pruning.vocabulary import trim
from model_optimization.texts import Texts
from model_optimization.training import Recipe, first_windows, pad
from shared.config import build
from shared.datasets import Example
from shared.errors import UserError

RECIPE = Recipe(epochs=1, batch_size=8, learning_rate=1e-3)


@pytest.fixture
def teacher(make_subject):
    return make_subject(heads=(4, 2, 3), neurons=(32, 16, 8))


@pytest.fixture
def equal_teacher(make_subject):
    return make_subject(heads=(2, 2, 2), neurons=(32, 16, 8))


@pytest.fixture
def padded(subject, make_reviews):
    batch = pad(first_windows(subject, make_reviews(12)), range(12))
    assert not batch.attention_mask.all()
    return batch


def inside(model, batch) -> Inside:
    with torch.inference_mode():
        return model.look_inside(batch.input_ids, batch.attention_mask)


@pytest.mark.parametrize("temperature", [1.0, 2.0, 5.0])
def test_soft_targets_are_the_divergence_and_the_teachers_entropy(temperature):
    torch.manual_seed(0)
    student, teacher = torch.randn(6, 3), 3 * torch.randn(6, 3)
    softened = (teacher / temperature).softmax(-1)
    entropy = -(softened * softened.log()).sum(-1).mean()
    divergence = functional.kl_div((student / temperature).log_softmax(-1), softened, reduction="batchmean")
    found = soft_target_loss(student, teacher, temperature)
    torch.testing.assert_close(found, temperature**2 * (divergence + entropy))
    torch.testing.assert_close(soft_target_loss(teacher, teacher, temperature), temperature**2 * entropy)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_the_gradient_of_soft_targets_is_the_difference_of_probabilities_times_the_temperature(temperature):
    torch.manual_seed(1)
    student, teacher = torch.randn(5, 3, requires_grad=True), torch.randn(5, 3)
    (gradient,) = torch.autograd.grad(soft_target_loss(student, teacher, temperature), student)
    difference = (student / temperature).softmax(-1) - (teacher / temperature).softmax(-1)
    torch.testing.assert_close(gradient, temperature * difference / 5)


def test_soft_targets_by_hand():
    # Probabilities (3/4, 1/4) against (1/2, 1/2): a cross-entropy of log 2, whatever the teacher says.
    student, teacher = torch.zeros(1, 2), torch.tensor([[2 * log(3.0), 0.0]])
    assert soft_target_loss(student, teacher, 2.0).item() == pytest.approx(4 * log(2))
    assert soft_target_loss(teacher, student, 2.0).item() == pytest.approx(4 * -(log(0.75) + log(0.25)) / 2)


def test_equal_models_have_no_loss_inside(equal_teacher, padded):
    found = inside(equal_teacher.model, padded)
    assert hidden_loss(found, found, (0, 1, 2), padded.attention_mask) == 0
    assert attention_loss(found, found, (0, 1, 2), padded.attention_mask) == 0


def test_a_student_is_compared_with_the_layers_that_it_stands_for(equal_teacher, padded):
    theirs = inside(equal_teacher.model, padded)
    ours = inside(take_layers(equal_teacher.model, [0, 1]), padded)
    mask, real = padded.attention_mask, padded.attention_mask.bool()
    assert hidden_loss(ours, theirs, (0, 1), mask) == attention_loss(ours, theirs, (0, 1), mask) == 0
    both = real[:, None, :, None] & real[:, None, None, :]
    squares = [(ours.hidden[i] - theirs.hidden[j])[real].square().mean() for i, j in ((0, 0), (1, 1), (2, 3))]
    assert squares[0] == squares[1] == 0 < squares[2]
    torch.testing.assert_close(hidden_loss(ours, theirs, (0, 2), mask), squares[2] / 3)
    square = (ours.scores[1] - theirs.scores[2])[both.expand(-1, 2, -1, -1)].square().mean()
    torch.testing.assert_close(attention_loss(ours, theirs, (0, 2), mask), square / 2)


def test_losses_inside_leave_padding_out(equal_teacher, padded):
    theirs, mask = inside(equal_teacher.model, padded), padded.attention_mask
    hidden = [state + 7 * (mask == 0)[..., None] for state in theirs.hidden]
    outside = (mask[:, None, :, None] * mask[:, None, None, :]) == 0
    scores = [score + 7 * outside for score in theirs.scores]
    other = Inside(theirs.logits, hidden, scores)
    assert hidden_loss(other, theirs, (0, 1, 2), mask) == attention_loss(other, theirs, (0, 1, 2), mask) == 0
    shifted = Inside(theirs.logits, [state + 2 for state in theirs.hidden], [score + 2 for score in theirs.scores])
    assert hidden_loss(shifted, theirs, (0, 1, 2), mask).item() == pytest.approx(4, rel=1e-4)
    assert attention_loss(shifted, theirs, (0, 1, 2), mask).item() == pytest.approx(4, rel=1e-4)


def test_attention_of_other_numbers_of_heads_is_one_clear_line(teacher, padded):
    found = inside(teacher.model, padded)
    with pytest.raises(UserError, match="layer 1 of the student has 2 heads, layer 2 of the teacher 3") as caught:
        attention_loss(found, found, (0, 2), padded.attention_mask)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("layers", [[0], [2], [0, 2], [1, 2]])
def test_a_student_has_copies_of_the_layers_and_of_all_that_is_no_layer(layers, teacher):
    student = take_layers(teacher.model, layers)
    theirs = copy.deepcopy(teacher.model.state_dict())
    assert student.shape.heads == tuple((4, 2, 3)[layer] for layer in layers)
    assert student.shape.neurons == tuple((32, 16, 8)[layer] for layer in layers)
    assert replace(student.shape, heads=(), neurons=()) == replace(teacher.model.shape, heads=(), neurons=())
    for name, weight in student.state_dict().items():
        if name.startswith("layers."):
            _, place, rest = name.split(".", 2)
            name = f"layers.{layers[int(place)]}.{rest}"
        assert torch.equal(weight, theirs[name]), name
    assert not student.training
    with torch.no_grad():
        for weight in student.parameters():
            weight.add_(1)
    assert all(torch.equal(weight, theirs[name]) for name, weight in teacher.model.state_dict().items())


@pytest.mark.parametrize("layers", [[], [0, 1, 2], [0, 1, 2, 3], [2, 0], [1, 1], [0, 3], [-1, 0]])
def test_a_student_as_deep_as_its_teacher_or_of_layers_out_of_order_is_one_clear_line(layers, teacher):
    with pytest.raises(
        UserError, match="give fewer than the teacher's 3 layers, each once and in order, from 0 to 2"
    ) as caught:
        take_layers(teacher.model, layers)
    assert "\n" not in str(caught.value)


def test_layers_are_numbers_with_commas_between():
    assert parse_layers("0,2,5") == [0, 2, 5]
    with pytest.raises(UserError, match="--layers 0-2: give whole numbers"):
        parse_layers("0-2")


@pytest.mark.parametrize("values", [{"temperature": 0.0}, {"sentences": -1}, {"hidden": -1.0}, {"attention": -0.1}])
def test_a_refused_setting_is_named(values):
    with pytest.raises(UserError, match=f"--{next(iter(values))}"):
        build(DistilConfig, values)


def gap(student, teacher, examples) -> float:
    batch = pad(first_windows(teacher, examples), range(len(examples)))
    ours, theirs = (inside(s.model, batch).logits.softmax(-1) for s in (student, teacher))
    return float((ours - theirs).abs().mean())


def test_a_student_learns_to_agree_with_its_teacher(equal_teacher, make_reviews, tmp_path):
    reviews = [replace(review, label=None) for review in make_reviews(80)]
    taught = learn_alone(
        equal_teacher, make_reviews(80), Recipe(epochs=6, batch_size=8, learning_rate=1e-2), tmp_path / "x"
    )
    assert (
        validation_accuracy(taught, make_reviews(80)[60:]) > 0.9 > validation_accuracy(equal_teacher, make_reviews(80))
    )
    student = taught.with_model(take_layers(taught.model, [0, 2]))
    recipe = Recipe(epochs=8, batch_size=8, learning_rate=5e-3)
    before = copy.deepcopy((taught.model.state_dict(), student.model.state_dict()))
    learned = learn_from(taught, student, reviews[:60], recipe, tmp_path / "checkpoint", Weights(2.0, 1.0), (0, 2))
    assert gap(learned, taught, reviews[60:]) < 0.3 * gap(student, taught, reviews[60:])
    assert (answers(learned, reviews[60:]) == answers(taught, reviews[60:])).mean() > 0.9
    for subject, weights in zip((taught, student), before, strict=True):
        assert all(torch.equal(weights[name], weight) for name, weight in subject.model.state_dict().items())
    assert not learned.model.training and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "weights, used", [(Weights(), ()), (Weights(hidden=1.0), ("hidden",)), (Weights(attention=1.0), ("attention",))]
)
def test_only_losses_with_a_weight_are_asked(weights, used, equal_teacher, make_reviews, tmp_path, monkeypatch):
    asked = set()
    for name in ("hidden", "attention"):
        real = getattr(teacher_student, f"{name}_loss")
        monkeypatch.setattr(
            teacher_student, f"{name}_loss", lambda *args, real=real, name=name: (asked.add(name), real(*args))[1]
        )
    student = equal_teacher.with_model(take_layers(equal_teacher.model, [0, 2]))
    learn_from(equal_teacher, student, make_reviews(8), RECIPE, tmp_path / "checkpoint", weights, (0, 2))
    assert asked == {*used}


@pytest.mark.parametrize("weights", [Weights(), Weights(hidden=5.0), Weights(attention=5.0), Weights(temperature=1.0)])
def test_each_weight_changes_what_is_learned(weights, equal_teacher, make_reviews, tmp_path):
    def learn(weights: Weights):
        student = equal_teacher.with_model(take_layers(equal_teacher.model, [0, 2]))
        return learn_from(equal_teacher, student, make_reviews(16), RECIPE, tmp_path / "x", weights, (0, 2)).model

    same = torch.equal(learn(weights).layers[0].up.weight, learn(Weights()).layers[0].up.weight)
    assert same == (weights == Weights())


def test_teacher_and_student_may_have_tokenizers_of_their_own(subject, make_reviews, tmp_path):
    reviews = make_reviews(40)
    trimmed = trim(subject, [review.text for review in reviews], 9)
    texts = [Example(f"{review.text} dull love") for review in reviews]
    assert first_windows(trimmed, texts) != first_windows(subject, texts)
    learned = learn_from(subject, trimmed, texts, Recipe(epochs=10, batch_size=8, learning_rate=5e-3), tmp_path / "x")
    ours, theirs = (
        inside(s.model, pad(first_windows(s, texts), range(40))).logits.softmax(-1) for s in (learned, subject)
    )
    start = inside(trimmed.model, pad(first_windows(trimmed, texts), range(40))).logits.softmax(-1)
    assert (ours - theirs).abs().mean() < 0.5 * (start - theirs).abs().mean()
    assert learned.tokenizer.to_str() == trimmed.tokenizer.to_str()


@pytest.mark.parametrize("with_teacher", [True, False])
def test_a_configuration_chooses_texts_layers_and_who_teaches(
    with_teacher, teacher, make_reviews, tmp_path, monkeypatch
):
    reviews, sentences = make_reviews(12), [Example("a dull plot of love")] * 4
    monkeypatch.setattr("model_optimization.texts.load_texts", lambda name, *_: Texts(name, reviews, [], reviews))
    monkeypatch.setattr("model_optimization.texts.film_sentences", lambda n, seed: sentences[:n])
    seen = {}

    def from_teacher(teacher, student, examples, recipe, checkpoint, weights, layers):
        seen.update(who="teacher", examples=examples, recipe=recipe, weights=weights, layers=layers)
        return student

    def alone(student, examples, recipe, checkpoint):
        seen.update(who="labels", examples=examples, recipe=recipe)
        return student

    monkeypatch.setattr(teacher_student, "learn_from", from_teacher)
    monkeypatch.setattr(teacher_student, "learn_alone", alone)
    config = DistilConfig(
        layers="0,2", sentences=3, epochs=5, learning_rate=0.5, seed=7, teacher=with_teacher, hidden=0.5
    )
    student = distil(teacher, config, tmp_path)
    assert student.model.shape.heads == (4, 3) and student.tokenizer is teacher.tokenizer
    assert seen["recipe"] == Recipe(epochs=5, learning_rate=0.5, seed=7)
    if with_teacher:
        assert seen["who"] == "teacher" and seen["examples"] == [*reviews, *sentences[:3]]
        assert seen["weights"] == Weights(2.0, 0.5, 0.0) and list(seen["layers"]) == [0, 2]
    else:
        assert seen["who"] == "labels" and seen["examples"] == reviews
