"""Filters against transformers' own or against numbers by hand; what is drawn follows its probabilities."""

import math

import numpy as np
import pytest

from gpt_text_generation import decoding
from gpt_text_generation.decoding import (
    ALLOWED,
    Mirostat,
    chooser,
    draw,
    dry_breakers,
    filtered,
    generation_configs,
    keep_min_p,
    keep_top_k,
    keep_top_p,
    keep_typical,
    penalise,
    penalise_dry,
    penalise_repetition,
    settings_for,
    softmax,
)

DRAWS = np.random.default_rng(0)
# Flat, ordinary and steep distributions, one with ties.
LOGITS = [DRAWS.normal(0, scale, size=200) for scale in (0.1, 2, 10)] + [np.repeat([1.0, 2.0, 3.0, -1.0], 50)]


def log(*probabilities):
    return np.log(np.array(probabilities))


def kept(logits):
    return np.flatnonzero(np.isfinite(logits)).tolist()


@pytest.mark.parametrize("logits", LOGITS)
@pytest.mark.parametrize(
    "ours, theirs, value",
    [(keep_top_k, "TopK", k) for k in (1, 7, 199, 500)]
    + [(keep_top_p, "TopP", p) for p in (0.05, 0.5, 0.9, 0.999)]
    + [(keep_min_p, "MinP", p) for p in (0.01, 0.1, 0.7)]
    + [(keep_typical, "Typical", mass) for mass in (0.1, 0.5, 0.95)],
)
def test_a_filter_removes_what_transformers_removes(logits, ours, theirs, value):
    import torch
    from transformers.generation import logits_process

    warper = getattr(logits_process, f"{theirs}LogitsWarper")(value)
    expected = warper(torch.tensor([[1]]), torch.tensor(logits)[None])[0].numpy()
    if theirs == "TopP" and len(set(logits)) < 5:  # among equal tokens the order, and so which one goes, is free
        assert len(kept(ours(logits, value))) == len(kept(expected))
    else:
        np.testing.assert_array_equal(ours(logits, value), expected)


def test_the_repetition_penalty_is_that_of_transformers():
    import torch
    from transformers.generation.logits_process import RepetitionPenaltyLogitsProcessor

    ids = [3, 150, 3, 7, 0]
    for logits in LOGITS:
        for penalty in (0.5, 1.0, 1.3):
            theirs = RepetitionPenaltyLogitsProcessor(penalty)(torch.tensor([ids]), torch.tensor(logits)[None])[0]
            np.testing.assert_allclose(penalise_repetition(logits, ids, penalty), theirs.numpy(), rtol=1e-12)


@pytest.mark.filterwarnings("ignore:Passing .repetition_penalty")
@pytest.mark.parametrize("strategy", ["sampling", "nucleus", "min_p", "typical"])
def test_filters_follow_each_other_as_in_transformers(strategy):
    """The whole list that `generate` would build for our settings, with everything switched on at once."""
    import torch
    from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

    settings = settings_for(strategy, temperature=0.8, top_k=60, repetition_penalty=1.2)
    how = {name: getattr(settings, name) for name in ("temperature", "top_k", "top_p", "repetition_penalty")}
    how |= {"min_p": settings.min_p or None, "typical_p": settings.typical_p}
    tiny = LlamaForCausalLM(LlamaConfig(vocab_size=200, hidden_size=8, num_hidden_layers=1, num_attention_heads=1))
    theirs = tiny._get_logits_processor(GenerationConfig(do_sample=True, **how), device="cpu")
    ids = [3, 150, 3, 7, 0]
    for logits in LOGITS[:3]:
        expected = theirs(torch.tensor([ids]), torch.tensor(logits)[None])[0].numpy()
        ours = filtered(penalise(logits, ids, settings), settings)
        np.testing.assert_allclose(ours, expected, rtol=1e-12)


def test_filters_by_hand():
    logits = log(0.5, 0.3, 0.15, 0.05)
    assert kept(keep_top_k(logits, 2)) == [0, 1]
    assert kept(keep_top_p(logits, 0.7)) == [0, 1]  # .5 alone is too little
    assert kept(keep_top_p(logits, 0.01)) == [0]
    assert kept(keep_min_p(logits, 0.25)) == [0, 1, 2]  # at least .125
    # Expected surprise 1.142 nats; the surprises .693, 1.204, 1.897, 2.996 differ by .449, .062, .755, 1.853.
    assert kept(keep_typical(logits, 0.2)) == [1]
    assert kept(keep_typical(logits, 0.6)) == [0, 1]


def test_what_changes_nothing_changes_nothing():
    neutral = settings_for("sampling", temperature=1.0, top_k=0)
    for logits in LOGITS:
        np.testing.assert_array_equal(filtered(penalise(logits, [1, 1, 1], neutral), neutral), logits)


def test_tokens_are_drawn_as_often_as_they_are_likely():
    probabilities = np.array([0.5, 0.0, 0.3, 0.2, 0.0])
    with np.errstate(divide="ignore"):
        logits = np.log(probabilities)
    draws = np.random.default_rng(1)
    counts = np.bincount([draw(logits, draws) for _ in range(10_000)], minlength=5)
    assert counts[1] == counts[4] == 0
    # Each share within four standard deviations.
    assert np.all(np.abs(counts / 10_000 - probabilities) <= 4 * np.sqrt(probabilities * (1 - probabilities) / 10_000))


def test_dry_by_hand():
    """... 1 2 3 4 ... 1 2 3: a 4 would make a repetition of three four tokens long."""
    logits = np.zeros(10)
    ids = [1, 2, 3, 4, 9, 1, 2, 3]
    penalised = penalise_dry(logits, ids, 0.8, 1.75, 2)
    assert penalised[4] == pytest.approx(-0.8 * 1.75 ** (3 - 2))
    assert np.count_nonzero(penalised) == 1
    assert penalise_dry(logits, ids, 0.8, 1.75, 4)[4] == 0  # three are allowed
    assert penalise_dry(logits, [1, 2, 3, 4, 8, 3, 5, 2, 3], 1.0, 2.0, 1).tolist() == [0, 0, 0, 0, -2, -1, 0, 0, 0, 0]


def test_dry_counts_the_longest_of_several_repetitions():
    # A 5 followed both "3" and "2 3".
    penalised = penalise_dry(np.zeros(9), [2, 3, 5, 8, 3, 5, 7, 2, 3], 1.0, 2.0, 1)
    assert penalised[5] == -2


def test_dry_sees_no_repetition_across_a_breaker():
    ids = [1, 2, 3, 4, 9, 1, 2, 3]
    assert penalise_dry(np.zeros(10), ids, 1.0, 2.0, 1, frozenset({2}))[4] == -1  # only the 3 is repeated
    assert not penalise_dry(np.zeros(10), ids, 1.0, 2.0, 1, frozenset({3})).any()


def test_dry_stays_finite_in_an_endless_repetition():
    penalised = penalise_dry(np.zeros(3), [1] * 2000, 0.8, 1.75, 2)
    assert penalised[1] == pytest.approx(-0.8 * 1.75**48)


def test_breakers_are_the_tokens_of_their_marks():
    assert dry_breakers(lambda text: [ord(letter) for letter in text]) == {ord(mark) for mark in '\n:"*'}


@pytest.mark.parametrize("tau", [4.5, 6.0])
def test_mirostat_keeps_the_surprise_near_its_target(tau):
    """Of distributions of 7 bits entropy whose likeliest token has 3.5: without it the mean would be 7 bits."""
    draws = np.random.default_rng(3)
    mirostat = Mirostat(settings_for("mirostat", mirostat_tau=tau), seed=1)
    surprises = []
    for _ in range(3000):
        logits = draws.normal(0, 2, size=1000)
        surprises.append(-math.log2(softmax(logits)[mirostat(logits, [])]))
    assert np.mean(surprises[200:]) == pytest.approx(tau, abs=0.15)


def test_mirostat_by_hand():
    """The bound begins at 2 tau = 4 bits, removes what is less likely than 1/16, and moves by eta of the error."""
    mirostat = Mirostat(settings_for("mirostat", mirostat_tau=2.0, mirostat_eta=0.5))
    logits = log(0.5, 0.45, 0.05)
    token = mirostat(logits, [])
    surprise = {0: 1.0, 1: -math.log2(0.45)}[token]
    assert mirostat.bound == pytest.approx(4 - 0.5 * (surprise - 2))
    mirostat.bound = 0.1  # nothing is so likely: the likeliest is kept
    assert mirostat(logits, []) == 0


@pytest.mark.parametrize(
    "strategy", [name for name in generation_configs if name not in ("beam_search", "contrastive")]
)
def test_a_seed_gives_the_same_tokens_again(strategy):
    def tokens(seed):
        choose = chooser(settings_for(strategy), seed)
        return [choose(logits, [1, 2, 3]) for logits in LOGITS * 10]

    assert tokens(1) == tokens(1)
    assert (tokens(1) == tokens(2)) == (strategy == "greedy")


def test_the_roadmaps_settings_are_these():
    assert list(generation_configs)[:4] == ["greedy", "beam_search", "sampling", "nucleus"]
    assert generation_configs["beam_search"] == {"num_beams": 5, "early_stopping": True}
    assert generation_configs["sampling"] == {"temperature": 0.7, "top_k": 50}
    assert generation_configs["nucleus"] == {"top_p": 0.9}
    assert list(generation_configs)[4:] == ["min_p", "typical", "contrastive", "dry", "mirostat"]
    for name, values in generation_configs.items():
        settings = settings_for(name)
        assert all(getattr(settings, field) == value for field, value in values.items())
        assert set(values) <= ALLOWED[name]


@pytest.mark.parametrize(
    "strategy, changes, complaint",
    [
        ("greedy", {"top_k": 50}, "--top_k 50: greedy has no use for it: .*choose one of sampling"),
        ("greedy", {"temperature": 0.7}, "--temperature 0.7: greedy has no use for it"),
        ("sampling", {"num_beams": 3}, "--num_beams 3: sampling has no use for it: .*beam_search"),
        ("contrastive", {"repetition_penalty": 1.2}, "contrastive has no use for it"),
        ("contrastive", {"top_k": 0}, "--top_k 0: contrastive search needs at least 1"),
        ("beem", {}, "--strategy beem: unknown, choose one of greedy, beam_search"),
        ("sampling", {"temperature": 0.0}, "--temperature 0.0: give a number above 0, or use --strategy greedy"),
        ("nucleus", {"top_p": 1.5}, "--top_p 1.5: give a number above 0 and at most 1"),
        ("min_p", {"min_p": -1.0}, "--min_p -1.0"),
        ("typical", {"typical_p": 0.0}, "--typical_p 0.0"),
        ("sampling", {"top_k": -1}, "--top_k -1"),
        ("beam_search", {"num_beams": 0}, "--num_beams 0"),
        ("contrastive", {"penalty_alpha": 2.0}, "--penalty_alpha 2.0"),
        ("dry", {"dry_base": 0.5}, "--dry_base 0.5"),
        ("mirostat", {"mirostat_tau": 0.0}, "--mirostat_tau 0.0"),
    ],
)
def test_settings_that_make_no_sense_are_refused_by_name(strategy, changes, complaint):
    with pytest.raises(ValueError, match=complaint):
        settings_for(strategy, **changes)


def test_a_search_has_no_chooser():
    with pytest.raises(ValueError, match="beam_search is a search"):
        chooser(settings_for("beam_search"))


def test_no_setting_is_left_that_no_strategy_uses():
    fields = set(decoding.Settings.__dataclass_fields__) - {"strategy"}
    assert fields == set().union(*ALLOWED.values())
