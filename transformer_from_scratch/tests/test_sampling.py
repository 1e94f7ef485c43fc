"""Drawing the next token: the filters on numbers one can check, and generation with a model one can foresee."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from transformer_from_scratch.config import ModelConfig, Sampling
from transformer_from_scratch.sampling import draw, generate_tokens, next_token_probabilities
from transformer_from_scratch.transformer_block import LanguageModel

LOGITS = np.log(np.array([0.1, 0.2, 0.3, 0.4], np.float32))


def probabilities(**settings):
    return next_token_probabilities(LOGITS, Sampling(**settings))


def expect(found, values):
    np.testing.assert_allclose(found, values, atol=1e-6)


def test_temperature_one_keeps_the_models_probabilities():
    expect(probabilities(temperature=1.0), [0.1, 0.2, 0.3, 0.4])


def test_temperature_sharpens_and_zero_takes_the_likeliest():
    expect(probabilities(temperature=0.5), [1 / 30, 4 / 30, 9 / 30, 16 / 30])  # squares, normalised
    expect(probabilities(temperature=0.0), [0.0, 0.0, 0.0, 1.0])


def test_top_k_keeps_the_k_likeliest():
    expect(probabilities(temperature=1.0, top_k=2), [0.0, 0.0, 3 / 7, 4 / 7])
    expect(probabilities(temperature=1.0, top_k=9), [0.1, 0.2, 0.3, 0.4])


def test_top_p_keeps_the_smallest_set_that_holds_p():
    expect(probabilities(temperature=1.0, top_p=0.6), [0.0, 0.0, 3 / 7, 4 / 7])
    expect(probabilities(temperature=1.0, top_p=0.39), [0.0, 0.0, 0.0, 1.0])
    expect(probabilities(temperature=1.0, top_p=1e-9), [0.0, 0.0, 0.0, 1.0])


def test_filters_work_on_a_batch():
    batch = next_token_probabilities(np.stack([LOGITS, LOGITS[::-1]]), Sampling(1.0, top_k=2, top_p=0.9))
    expect(batch, [[0.0, 0.0, 3 / 7, 4 / 7], [4 / 7, 3 / 7, 0.0, 0.0]])


@pytest.mark.parametrize("settings", [{"temperature": -1}, {"temperature": math.inf}, {"top_k": -1}, {"top_p": 0}])
def test_values_out_of_range_name_the_field(settings):
    with pytest.raises(ValueError, match=f"--{next(iter(settings))}"):
        Sampling(**settings)


def test_tokens_are_drawn_as_often_as_their_probability_says():
    random = np.random.default_rng(0)
    drawn = np.bincount([draw(np.array([0.0, 0.2, 0.5, 0.3, 0.0]), random) for _ in range(5000)], minlength=5) / 5000
    np.testing.assert_allclose(drawn, [0.0, 0.2, 0.5, 0.3, 0.0], atol=0.03)
    assert drawn[0] == drawn[4] == 0


class Counter:
    """A fake model that always scores token n + 1 after n highest, and remembers how much it was asked to read."""

    config = SimpleNamespace(context=8)

    def __init__(self) -> None:
        self.read = []

    def new_caches(self):
        return []

    def __call__(self, tokens, caches=None):
        self.read.append(tokens.size(1))
        return torch.nn.functional.one_hot((tokens + 1) % 50, 50).float() * 100, []


def test_with_the_cache_each_character_is_read_once_until_the_context_is_full():
    model = Counter()
    written = list(generate_tokens(model, torch.tensor([1, 2, 3]), 12, Sampling()))
    assert written == list(range(4, 16))
    # 3 of the prompt, one at a time up to the context of 8, then the later half of it, and on
    assert model.read == [3, 1, 1, 1, 1, 1, 4, 1, 1, 1, 1, 4]


def test_a_prompt_longer_than_the_context_is_read_from_its_end():
    for use_cache in (True, False):
        model = Counter()
        assert list(generate_tokens(model, torch.arange(1, 21), 2, Sampling(), use_cache=use_cache)) == [21, 22]
        assert model.read[0] == 8


def test_the_unknown_character_is_never_written():
    class PrefersUnknown(Counter):
        def __call__(self, tokens, caches=None):
            return torch.tensor([[[9.0, 1.0, 2.0]]]), []

    assert 0 not in list(generate_tokens(PrefersUnknown(), torch.tensor([1]), 50, Sampling(1.0), use_cache=False))


@pytest.mark.parametrize("positions", ["sinusoidal", "rotary", "learned"])
def test_cache_and_no_cache_write_the_same_text(positions):
    torch.manual_seed(0)
    model = LanguageModel(ModelConfig(context=24, n_layers=2, n_heads=2, width=16, positions=positions), 30).eval()
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    prompt = torch.tensor([1, 2, 3])
    texts = [list(generate_tokens(model, prompt, 20, Sampling(1.0), seed=3, use_cache=use)) for use in (True, False)]
    assert texts[0] == texts[1]
    assert len(set(texts[0])) > 3, "a text of one letter would prove nothing"


def test_the_same_seed_writes_the_same_text_and_another_seed_another():
    model = LanguageModel(ModelConfig(context=8, n_layers=1, n_heads=2, width=8), 30).eval()
    first, again, other = (
        list(generate_tokens(model, torch.tensor([1]), 30, Sampling(1.0), seed=seed)) for seed in (1, 1, 2)
    )
    assert first == again != other
