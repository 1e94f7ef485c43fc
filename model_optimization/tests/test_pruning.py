"""What is removed leaves the answers of the masked model, the least important goes first, and zeros save nothing."""

import copy
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as functional
from torch import nn

from model_optimization.classifier import n_parameters
from model_optimization.pruning import magnitude_pruning
from model_optimization.pruning.magnitude_pruning import parse_shares, sensitivity, storage_mb
from model_optimization.pruning.structured_pruning import (
    Parts,
    StructuredConfig,
    choose,
    everything,
    importance,
    masked,
    prune,
    remove,
)
from model_optimization.subject import MODEL, load_subject, save_subject
from model_optimization.texts import Texts
from model_optimization.training import first_windows, pad
from shared.config import build
from shared.errors import UserError


@pytest.fixture
def batch(subject, make_reviews):
    return pad(first_windows(subject, make_reviews(20)), range(20))


def logits(model: nn.Module, batch) -> torch.Tensor:
    with torch.inference_mode():
        return model(batch.input_ids, batch.attention_mask)


def random_masks(model, seed: int, share: float) -> Parts:
    draw = torch.Generator().manual_seed(seed)
    masks = Parts(
        *([(torch.rand(len(mask), generator=draw) > share).float() for mask in part] for part in everything(model))
    )
    for mask in [*masks.heads, *masks.neurons]:
        mask[torch.randint(len(mask), (1,), generator=draw)] = 1
    return masks


@pytest.mark.parametrize(
    "changes", [{}, {"heads": (5, 2, 3), "neurons": (9, 32, 4), "pooling": "first", "inner": "tanh"}]
)
@pytest.mark.parametrize("share", [0.2, 0.5, 1.0])
def test_a_smaller_model_answers_as_the_masked_one(changes, share, make_subject, batch):
    model = make_subject(**changes).model
    whole = logits(model, batch)
    for seed in range(5):
        masks = random_masks(model, seed, share)
        smaller = remove(model, masks)
        with masked(model, masks):
            expected = logits(model, batch)
        torch.testing.assert_close(logits(smaller, batch), expected, atol=1e-5, rtol=0)
        assert (expected - whole).abs().max() > 1e-3
        assert smaller.shape.heads == tuple(int(mask.sum()) for mask in masks.heads)
        assert smaller.shape.neurons == tuple(int(mask.sum()) for mask in masks.neurons)
        removed = sum((mask == 0).sum() * 4 * 4 * 16 + (mask == 0).sum() * 3 * 4 for mask in masks.heads)
        removed += sum((mask == 0).sum() * (16 + 1 + 16) for mask in masks.neurons)
        assert n_parameters(smaller) == n_parameters(model) - removed
        assert not smaller.training
    assert torch.equal(logits(model, batch), whole), "the model itself is whole again"


def test_keeping_everything_changes_nothing_and_a_failure_unmasks(subject, batch):
    model = subject.model
    assert torch.equal(logits(remove(model, everything(model)), batch), logits(model, batch))
    whole = logits(model, batch)
    with pytest.raises(KeyboardInterrupt), masked(model, random_masks(model, 0, 0.9)):
        raise KeyboardInterrupt
    assert torch.equal(logits(model, batch), whole)


def test_importance_is_the_slope_of_the_loss(subject, batch):
    model, labels = subject.model.double(), torch.arange(20) % 2
    found = importance(model, [batch], labels)
    step = 1e-4

    def loss(masks: Parts) -> float:
        with masked(model, masks):
            return functional.cross_entropy(logits(model, batch), labels, reduction="sum").item()

    for kind, layer in (("heads", 0), ("heads", 1), ("neurons", 1)):
        slopes = []
        for place in range(len(getattr(found, kind)[layer])):
            ends = []
            for sign in (1, -1):
                masks = Parts(*([mask.double() for mask in part] for part in everything(model)))
                getattr(masks, kind)[layer][place] += sign * step
                ends.append(loss(masks))
            slopes.append(abs(ends[0] - ends[1]) / (2 * step))
        by_hand = torch.tensor(slopes)
        torch.testing.assert_close(getattr(found, kind)[layer], by_hand / by_hand.norm(), atol=1e-3, rtol=0)


def test_importance_sums_over_batches_and_scales_each_layer(subject, make_reviews):
    windows, labels = first_windows(subject, make_reviews(40)), torch.arange(40) % 2
    one, other = (importance(subject.model, [pad(windows, places)], labels) for places in (range(20), range(20, 40)))
    both = importance(subject.model, (pad(windows, places) for places in (range(20), range(20, 40))), labels)
    for part, first, second in zip(*([*parts.heads, *parts.neurons] for parts in (both, one, other)), strict=True):
        assert part.norm() == pytest.approx(1.0, abs=1e-5)
        between = functional.cosine_similarity(first, second, 0)
        assert min(functional.cosine_similarity(part, end, 0) for end in (first, second)) > between


def test_what_does_nothing_is_unimportant_and_goes_first(subject, batch):
    model = subject.model
    with torch.no_grad():
        model.layers[1].attended.weight[:, 4:8] = 0  # the second head
        model.layers[0].down.weight[:, 7] = 0
    scores = importance(model, [batch], torch.arange(20) % 2)
    masks = choose(scores, 1 / 8, 1 / 64)
    assert [mask.tolist() for mask in masks.heads] == [[1, 1, 1, 1], [1, 0, 1, 1]]
    assert [mask.sum() for mask in masks.neurons] == [31, 32] and masks.neurons[0][7] == 0
    torch.testing.assert_close(logits(remove(model, masks), batch), logits(model, batch), atol=1e-5, rtol=0)


@pytest.mark.parametrize("heads, neurons", [(0.0, 0.0), (0.25, 0.5), (0.5, 0.75), (0.6, 0.1)])
def test_shares_are_met_over_all_layers_and_the_least_go(heads, neurons):
    draw = torch.Generator().manual_seed(3)
    scores = Parts(*([torch.rand(n, generator=draw) for n in sizes] for sizes in ((4, 4, 2), (32, 16, 16))))
    masks = choose(scores, heads, neurons)
    for kind, share in (("heads", heads), ("neurons", neurons)):
        kept, values = torch.cat(getattr(masks, kind)), torch.cat(getattr(scores, kind))
        assert (kept == 0).sum() == round(share * len(kept))
        if 0 < share and all(mask.sum() > 1 for mask in getattr(masks, kind)):
            assert values[kept == 0].max() < values[kept == 1].min()


@pytest.mark.parametrize("share", [0.75, 0.99])
def test_of_each_layer_the_most_important_one_stays(share):
    scores = Parts([torch.tensor([0.1, 0.3, 0.2]), torch.tensor([0.9, 0.8])], [torch.tensor([0.5])] * 2)
    masks = choose(scores, share, share)
    assert [mask.tolist() for mask in masks.heads] == [[0, 1, 0], [1, 0]]
    assert [mask.tolist() for mask in masks.neurons] == [[1], [1]]


@pytest.mark.parametrize("values", [{"heads": 1.0}, {"neurons": 1.0}, {"heads": -0.1}, {"rounds": 0}, {"epochs": 0}])
def test_a_share_of_all_and_other_nonsense_is_refused(values):
    with pytest.raises(UserError, match=f"--{next(iter(values))} "):
        build(StructuredConfig, values)


@pytest.mark.parametrize(
    "heads, neurons, rounds, left", [(0.5, 0.5, 3, (4, 32)), (0.25, 0.9, 1, (6, 6)), (0.0, 0.3, 2, (8, 45))]
)
def test_rounds_end_at_the_sizes_that_were_asked_for(heads, neurons, rounds, left, subject, make_reviews, tmp_path):
    reviews = make_reviews(24)
    config = StructuredConfig(heads=heads, neurons=neurons, rounds=rounds, learning_rate=1e-3)
    before = copy.deepcopy(subject.model.state_dict())
    smaller = prune(subject, Texts("toy", reviews, reviews, reviews), config, tmp_path)
    assert (sum(smaller.model.shape.heads), sum(smaller.model.shape.neurons)) == left
    assert min(*smaller.model.shape.heads, *smaller.model.shape.neurons) >= 1
    same = replace(smaller, model=subject.model, trained_on=subject.trained_on)
    assert same == subject and smaller.trained_on > subject.trained_on and not smaller.model.training
    assert all(torch.equal(before[name], weight) for name, weight in subject.model.state_dict().items())
    assert {path.name for path in tmp_path.iterdir()} == {f"round-{turn}" for turn in range(1, rounds + 1)}
    assert not list(tmp_path.rglob("checkpoint*"))


def test_each_round_removes_its_part_and_learns_from_the_whole_model(subject, make_reviews, tmp_path, monkeypatch):
    from model_optimization.distillation import teacher_student

    seen = []

    def note(teacher, student, examples, recipe, checkpoint):
        seen.append((sum(student.model.shape.heads), sum(student.model.shape.neurons), checkpoint.parent.name))
        assert teacher is subject and recipe.epochs == 2 and len(examples) == 24
        return student

    monkeypatch.setattr(teacher_student, "learn_from", note)
    reviews = make_reviews(24)
    config = StructuredConfig(heads=0.5, neurons=0.75, rounds=3, epochs=2)
    prune(subject, Texts("toy", reviews, reviews, reviews), config, tmp_path)
    sizes, names = [entry[:2] for entry in seen], {entry[2] for entry in seen}
    assert sizes == [(7, 48), (5, 32), (4, 16)] and len(names) == 3
    prune(subject, Texts("toy", reviews, reviews, reviews), config, tmp_path)
    assert len(seen) == 3, "finished rounds are not repeated"


@pytest.mark.parametrize("sparsity", [0.0, 0.3, 0.5, 0.9])
def test_zeros_are_the_smallest_of_all_layers_together(sparsity, subject):
    pruned = magnitude_pruning.prune(subject, sparsity)
    before, after = (
        torch.cat([w.flatten() for n, w in s.model.state_dict().items() if n.startswith("layers.") and w.ndim == 2])
        for s in (subject, pruned)
    )
    gone = after == 0
    assert gone.float().mean() == pytest.approx(sparsity, abs=1e-3)
    assert torch.equal(after[~gone], before[~gone])
    assert not gone.any() or before[gone].abs().max() <= before[~gone].abs().min()
    for name, weight in pruned.model.state_dict().items():
        if not name.startswith("layers.") or weight.ndim == 1:
            assert torch.equal(weight, subject.model.state_dict()[name]), name


def test_zeros_in_one_layer_leave_the_others(subject):
    pruned = magnitude_pruning.prune(subject, 0.5, layer=1)
    for name, weight in pruned.model.state_dict().items():
        changed = name.startswith("layers.1.") and weight.ndim == 2
        assert torch.equal(weight, subject.model.state_dict()[name]) != changed, name
    zeros = [int((part.weight == 0).sum()) for part in pruned.model.layers[1].modules() if isinstance(part, nn.Linear)]
    assert sum(zeros) == (4 * 16 * 16 + 2 * 16 * 32) / 2


def test_half_of_it_zero_is_stored_in_as_many_bytes(subject, tmp_path):
    pruned = magnitude_pruning.prune(subject, 0.5)
    assert pruned.model.state_dict().keys() == subject.model.state_dict().keys()
    save_subject(subject, tmp_path / "whole")
    save_subject(pruned, tmp_path / "zeros")
    assert (tmp_path / "whole" / MODEL).stat().st_size == (tmp_path / "zeros" / MODEL).stat().st_size
    loaded = load_subject(tmp_path / "zeros").model
    assert torch.equal(loaded.layers[0].up.weight, pruned.model.layers[0].up.weight)


def test_sparse_storage_is_a_bit_a_weight_and_what_is_left():
    model = nn.Linear(100, 10)
    nn.init.ones_(model.bias)
    with torch.no_grad():
        model.weight.copy_(torch.cat([torch.ones(5, 100), torch.zeros(5, 100)]))
    assert storage_mb(model) == {"dense_mb": 1010 * 4 / 1e6, "sparse_mb": pytest.approx((1010 / 8 + 510 * 4) / 1e6)}


@pytest.mark.parametrize(
    "sparsity, layer, named",
    [
        (1.0, None, "a sparsity of 1"),
        (-0.1, None, "a sparsity of -0.1"),
        (0.5, 2, "layers 0 to 1"),
        (0.5, -1, "layer -1"),
    ],
)
def test_a_sparsity_of_1_and_a_layer_that_is_not_there_are_one_clear_line(sparsity, layer, named, subject):
    with pytest.raises(UserError, match=named) as caught:
        magnitude_pruning.prune(subject, sparsity, layer)
    assert "\n" not in str(caught.value)


def test_shares_are_numbers_with_commas_between():
    assert parse_shares("0.3,0.5") == [0.3, 0.5]
    with pytest.raises(UserError, match="--sparsities 0.3;0.5: give numbers"):
        parse_shares("0.3;0.5")


@pytest.mark.parametrize("by_layer", [False, True])
def test_a_row_says_what_zeros_cost_and_save(by_layer, subject, make_reviews, monkeypatch):
    reviews = make_reviews(20)
    monkeypatch.setattr("model_optimization.texts.load_texts", lambda *_: Texts("toy", [], reviews, []))
    rows = sensitivity(subject, "toy", [0.0, 0.9], by_layer)
    places = [(layer, sparsity) for layer in ((0, 1) if by_layer else (None,)) for sparsity in (0.0, 0.9)]
    assert [(row.get("layer"), row["sparsity"]) for row in rows] == places
    assert len({row["dense_mb"] for row in rows}) == 1 and rows[1]["sparse_mb"] < rows[0]["sparse_mb"]
    assert all(0 <= row["accuracy"] <= 1 for row in rows)
