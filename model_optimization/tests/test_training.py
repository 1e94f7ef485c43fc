"""The loop: it learns, shows every text once a pass, and loses nothing by being stopped anywhere."""

import copy
import os
import signal

import pytest
import torch
import torch.nn.functional as functional
from safetensors.torch import save_file

from model_optimization import training
from model_optimization.fidelity import answers, validation_accuracy
from model_optimization.training import Batch, Recipe, first_windows, fit, pad
from shared.config import build
from shared.datasets import Example
from shared.errors import UserError

WINDOWS = [[2, *range(5, 5 + i % 9), 3] for i in range(50)]


class Trainer:
    """A copy of the model with a loss on labels, which notes each batch, and may fail at one of them."""

    def __init__(self, model, labels, fail_at: int | None = None, fail=None) -> None:
        self.model, self.labels = copy.deepcopy(model), torch.tensor(labels)
        self.fail_at, self.fail = fail_at, fail
        self.batches: list[Batch] = []
        self.losses: list[float] = []

    def __call__(self, batch: Batch) -> torch.Tensor:
        if len(self.batches) == self.fail_at:
            self.fail()
        self.batches.append(batch)
        loss = functional.cross_entropy(self.model(batch.input_ids, batch.attention_mask), self.labels[batch.places])
        self.losses.append(loss.item())
        return loss

    def weights(self) -> dict[str, torch.Tensor]:
        return self.model.state_dict()


@pytest.fixture
def make_trainer(subject, make_reviews):
    """Trainers on 60 reviews, all from the same weights. `trainer.fit(recipe, checkpoint)` trains one."""
    reviews = make_reviews(60)
    windows = first_windows(subject, reviews)

    def make(model=None, n: int = 60, **options) -> Trainer:
        trainer = Trainer(model or subject.model, [example.label for example in reviews], **options)
        trainer.fit = lambda recipe, checkpoint=None: fit(trainer.model, windows[:n], trainer, recipe, checkpoint)
        return trainer

    return make


def assert_same(one: Trainer, other: Trainer) -> None:
    assert one.weights().keys() == other.weights().keys()
    for name, weight in one.weights().items():
        assert torch.equal(weight, other.weights()[name]), name


def give_up() -> None:
    raise KeyboardInterrupt


def press_ctrl_c() -> None:
    os.kill(os.getpid(), signal.SIGINT)


RECIPE = Recipe(epochs=3, batch_size=8, learning_rate=3e-3)  # 8 steps a pass


def test_a_toy_problem_is_learned(make_trainer, subject, make_reviews):
    trainer = make_trainer()
    trained = trainer.fit(Recipe(epochs=12, batch_size=8, learning_rate=1e-2))
    assert trained is trainer.model and not trained.training
    assert sum(trainer.losses[-8:]) < 0.2 * sum(trainer.losses[:8])
    unseen = make_reviews(90)[60:]
    learned = subject.with_model(trained)
    assert validation_accuracy(learned, unseen) > 0.9 > validation_accuracy(subject, unseen)


@pytest.mark.parametrize("n, batch_size", [(50, 8), (50, 1), (7, 16)])
def test_every_text_comes_once_a_pass_with_texts_of_its_length(n, batch_size, subject, monkeypatch):
    monkeypatch.setattr(training, "GROUP", 3)
    trainer = Trainer(subject.model, [0] * n)
    fit(trainer.model, WINDOWS[:n], trainer, Recipe(epochs=2, batch_size=batch_size))
    places = [place for batch in trainer.batches for place in batch.places.tolist()]
    assert sorted(places[:n]) == sorted(places[n:]) == list(range(n))
    assert n <= batch_size or places[:n] != places[n:], "each pass has an order of its own"
    for batch in trainer.batches:
        assert len(batch.places) <= batch_size
        for ids, mask, place in zip(batch.input_ids, batch.attention_mask, batch.places, strict=True):
            assert ids[mask.bool()].tolist() == WINDOWS[place] and not ids[~mask.bool()].any()


def test_batches_of_similar_length_need_little_padding(subject):
    trainer = Trainer(subject.model, [0] * 50)
    fit(trainer.model, WINDOWS, trainer, Recipe(epochs=1, batch_size=5))
    assert sum(int((batch.attention_mask == 0).sum()) for batch in trainer.batches) < 0.1 * sum(map(len, WINDOWS))


def test_the_order_follows_from_the_seed(make_trainer):
    def order(seed: int) -> list[list[int]]:
        trainer = make_trainer()
        trainer.fit(Recipe(epochs=1, batch_size=8, seed=seed))
        return [batch.places.tolist() for batch in trainer.batches]

    assert order(3) == order(3) and order(3) != order(4)


def test_the_rate_rises_over_a_tenth_of_the_steps_and_falls_in_a_straight_line(make_trainer, monkeypatch):
    seen = []
    real = torch.optim.AdamW.step

    def note(self, *rest, **named):
        seen.append(
            [(group["lr"], group["weight_decay"], {w.ndim for w in group["params"]}) for group in self.param_groups]
        )
        return real(self, *rest, **named)

    monkeypatch.setattr(torch.optim.AdamW, "step", note)
    make_trainer().fit(Recipe(epochs=5, batch_size=15, learning_rate=0.5, weight_decay=0.3))  # 20 steps
    rates = [matrices[0] for matrices, _ in seen]
    assert rates[:3] == pytest.approx([0.25, 0.5, 0.5])
    assert rates[2:] == pytest.approx([0.5 * (20 - step) / 18 for step in range(2, 20)])
    assert all(matrices[1:] == (0.3, {2}) and rest == (matrices[0], 0.0, {1}) for matrices, rest in seen)


@pytest.mark.parametrize("steepness, longest", [(1e6, 1.0), (1e-3, 1e-2)])
def test_a_gradient_longer_than_1_is_cut_to_it_and_a_shorter_one_is_not(steepness, longest, subject, monkeypatch):
    lengths = []
    real = torch.optim.AdamW.step

    def note(self, *rest, **named):
        gradients = [weight.grad.flatten() for group in self.param_groups for weight in group["params"]]
        lengths.append(torch.cat(gradients).norm().item())
        return real(self, *rest, **named)

    monkeypatch.setattr(torch.optim.AdamW, "step", note)
    trainer = Trainer(subject.model, [0] * 50)
    fit(trainer.model, WINDOWS, lambda batch: steepness * trainer(batch), Recipe(epochs=1, batch_size=25))
    assert len(lengths) == 2 and 0 < min(lengths) and max(lengths) <= longest + 1e-4
    assert steepness < 1 or lengths == pytest.approx([1.0, 1.0], abs=1e-4)


def test_what_needs_no_gradient_stays(make_trainer, subject, tmp_path):
    subject.model.embedding.requires_grad_(False)
    trainer = make_trainer(fail_at=13, fail=press_ctrl_c)
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(RECIPE, tmp_path / "checkpoint")
    trainer.fail_at = None
    trainer.fit(RECIPE, tmp_path / "checkpoint")
    for name, weight in trainer.weights().items():
        assert torch.equal(weight, subject.model.state_dict()[name]) == name.startswith("embedding."), name


def test_a_weight_that_the_loss_does_not_use_is_kept_without_moments(make_trainer, tmp_path):
    """Regression: a student that guesses words has an output layer for classes, and no checkpoint could be written."""
    make = [make_trainer(), make_trainer(fail_at=13, fail=press_ctrl_c), make_trainer()]
    for trainer in make:
        trainer.model.unused = torch.nn.Linear(2, 2)
        torch.nn.init.ones_(trainer.model.unused.weight), torch.nn.init.ones_(trainer.model.unused.bias)
    whole, broken, resumed = make
    whole.fit(RECIPE)
    with pytest.raises(KeyboardInterrupt):
        broken.fit(RECIPE, tmp_path / "checkpoint")
    resumed.fit(RECIPE, tmp_path / "checkpoint")
    assert len(resumed.batches) == 24 - 14
    assert_same(resumed, whole)


@pytest.mark.parametrize("fail, fail_at, goes_on_from", [(give_up, 13, 10), (give_up, 20, 20), (press_ctrl_c, 13, 14)])
def test_a_training_goes_on_bit_for_bit_from_its_last_checkpoint(
    fail, fail_at, goes_on_from, make_trainer, tmp_path, monkeypatch
):
    """In the second pass of three: at once, as a kill would, or with Ctrl-C, upon which the step is ended and kept."""
    monkeypatch.setattr(training, "CHECKPOINT_EVERY", 5)
    whole, broken, resumed = make_trainer(), make_trainer(fail_at=fail_at, fail=fail), make_trainer()
    checkpoint = tmp_path / "folder" / "checkpoint"
    whole.fit(RECIPE)
    with pytest.raises(KeyboardInterrupt):
        broken.fit(RECIPE, checkpoint)
    assert checkpoint.is_file()
    resumed.fit(RECIPE, checkpoint)
    assert len(whole.batches) == 24 and len(resumed.batches) == 24 - goes_on_from
    assert resumed.losses == whole.losses[goes_on_from:]
    assert_same(resumed, whole)
    assert list(checkpoint.parent.iterdir()) == [], "a finished training leaves no checkpoint"


def test_a_training_can_be_stopped_again_and_again(make_trainer, tmp_path):
    whole, last = make_trainer(), make_trainer()
    whole.fit(RECIPE)
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            make_trainer(fail_at=4, fail=press_ctrl_c).fit(RECIPE, tmp_path / "checkpoint")
    last.fit(RECIPE, tmp_path / "checkpoint")
    assert len(last.batches) == 24 - 3 * 5
    assert_same(last, whole)


def test_ctrl_c_without_a_checkpoint_file_stops_too(make_trainer):
    trainer = make_trainer(fail_at=2, fail=press_ctrl_c)
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(RECIPE)
    assert len(trainer.batches) == 3


def stopped(trainer: Trainer, recipe: Recipe, checkpoint) -> None:
    trainer.fail_at, trainer.fail = 13, press_ctrl_c
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(recipe, checkpoint)


@pytest.mark.parametrize("changes", [{"seed": 1}, {"epochs": 4}, {"learning_rate": 1e-3}, {"batch_size": 4}])
def test_the_checkpoint_of_another_recipe_is_passed_over(changes, make_trainer, tmp_path):
    stopped(make_trainer(), Recipe(**{**vars(RECIPE), **changes}), tmp_path / "checkpoint")
    whole, after = make_trainer(), make_trainer()
    whole.fit(RECIPE)
    after.fit(RECIPE, tmp_path / "checkpoint")
    assert len(after.batches) == 24
    assert_same(after, whole)
    assert not (tmp_path / "checkpoint").exists()


def test_the_checkpoint_of_other_texts_or_another_model_is_passed_over(make_trainer, make_subject, tmp_path):
    whole, after = make_trainer(), make_trainer()
    whole.fit(RECIPE)
    stopped(make_trainer(n=59), RECIPE, tmp_path / "checkpoint")
    after.fit(RECIPE, tmp_path / "checkpoint")
    assert_same(after, whole)
    for changes in ({"neurons": (32, 31)}, {"heads": (4,), "neurons": (32,)}):
        stopped(make_trainer(make_subject(**changes).model), RECIPE, tmp_path / "checkpoint")
        after = make_trainer()
        after.fit(RECIPE, tmp_path / "checkpoint")
        assert_same(after, whole)


@pytest.mark.parametrize(
    "damage",
    [
        lambda file: file.write_bytes(file.read_bytes()[:-100]),
        lambda file: file.write_bytes(b""),
        lambda file: save_file({"weight output.bias": torch.zeros(2)}, file),
    ],
    ids=["cut short", "empty", "another file"],
)
def test_a_damaged_checkpoint_is_passed_over(damage, make_trainer, tmp_path):
    stopped(make_trainer(), RECIPE, tmp_path / "checkpoint")
    damage(tmp_path / "checkpoint")
    whole, after = make_trainer(), make_trainer()
    whole.fit(RECIPE)
    after.fit(RECIPE, tmp_path / "checkpoint")
    assert len(after.batches) == 24
    assert_same(after, whole)


@pytest.mark.parametrize("values", [{"epochs": 0}, {"batch_size": 0}, {"learning_rate": 0.0}, {"weight_decay": -0.1}])
def test_a_refused_setting_is_named(values):
    with pytest.raises(UserError, match=f"--{next(iter(values))}"):
        build(Recipe, values)


def test_padding_stands_behind_the_texts():
    batch = pad([[2, 3], [2, 9, 8, 3], [2, 7, 3]], [2, 1])
    assert batch.input_ids.tolist() == [[2, 7, 3, 0], [2, 9, 8, 3]]
    assert batch.attention_mask.tolist() == [[1, 1, 1, 0], [1, 1, 1, 1]] and batch.places.tolist() == [2, 1]


def test_of_a_long_text_the_first_window_is_learned_from(subject, make_reviews):
    long = " ".join(example.text for example in make_reviews(20))
    whole = subject.tokenizer.encode(long).ids
    (window,) = first_windows(subject, [Example(long, label=1)])
    assert window == [*whole[:31], 3] and len(whole) > 60


def test_answers_come_in_the_order_of_the_texts(subject, make_reviews):
    reviews = make_reviews(40)
    found = answers(subject, reviews)
    alone = [answers(subject, [review])[0] for review in reviews]
    assert found.tolist() == alone and len(set(alone)) == 2
    right = sum(answer == review.label for answer, review in zip(alone, reviews, strict=True))
    assert validation_accuracy(subject, reviews) == right / 40
