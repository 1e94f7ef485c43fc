"""Beam search is transformers' own; contrastive search is its equation, computed without any cache."""

from types import SimpleNamespace

import numpy as np
import pytest

from gpt_text_generation.decoding import settings_for
from gpt_text_generation.search import BeamSearch, ContrastiveSearch
from gpt_text_generation.text_generator import write
from shared.errors import UserError
from shared.language_model import load_language_model
from shared.streaming import Stream

PROMPTS = ["the cat", "a dog ran after", "on the mat the dog and"]


@pytest.fixture(scope="module", params=["llama", "gpt2"])
def model(request, tiny_language_model):
    return load_language_model(str(tiny_language_model(request.param)), "transformers")


def by_transformers(model, ids, ends, **how):
    import torch
    from transformers import GenerationConfig

    settings = GenerationConfig(do_sample=False, eos_token_id=sorted(ends), pad_token_id=0, **how)
    found = model.network.generate(torch.tensor([ids]), generation_config=settings)[0, len(ids) :].tolist()
    first = next((place for place, token in enumerate(found) if token in ends), len(found) - 1)
    return found[: first + 1]  # without the padding behind the end


@pytest.mark.parametrize("prompt", PROMPTS)
@pytest.mark.parametrize(
    "how",
    [
        {"num_beams": 5, "early_stopping": True},
        {"num_beams": 5, "early_stopping": False},
        {"num_beams": 3, "early_stopping": False, "length_penalty": 2.0},
        {"num_beams": 4, "early_stopping": True, "length_penalty": -1.0},
        {"num_beams": 5, "early_stopping": True, "repetition_penalty": 1.3},
        {"num_beams": 1, "early_stopping": False},
    ],
)
def test_beam_search_finds_what_transformers_finds(model, prompt, how, monkeypatch):
    """With one, and with many end tokens, so that beams finish early, late and never."""
    ids = model.encode(prompt)
    for n_ends in (1, 40):
        ends = {model.tokenizer.eos_token_id, *range(100, 100 + n_ends - 1)}
        monkeypatch.setattr(model, "stop_ids", frozenset(ends))
        search = BeamSearch(model, settings_for("beam_search", **how), max_new_tokens=20)
        assert search.search([ids])[0] == by_transformers(model, ids, ends, max_new_tokens=20, **how)


def test_a_stream_hands_out_what_the_search_found(model, monkeypatch):
    ids = model.encode("the cat")
    settings = settings_for("beam_search")
    found = BeamSearch(model, settings, max_new_tokens=12).search([ids])[0]
    stream = Stream(BeamSearch(model, settings, max_new_tokens=12), ids, max_new_tokens=12)
    assert "".join(stream) == stream.text and stream.ids == found


def test_a_cancelled_beam_search_ends_at_once_with_what_it_has(model):
    asked = iter([False, False, False, True])
    search = BeamSearch(model, settings_for("beam_search"), max_new_tokens=50, cancelled=lambda: next(asked))
    assert len(search.search([model.encode("the cat")])[0]) == 4


def test_a_cancelled_beam_search_hands_out_what_it_has(model):
    asked = 0

    def cancelled() -> bool:
        nonlocal asked
        asked += 1
        return asked > 4  # once by the stream, then after each step of the search

    settings = settings_for("beam_search")
    stream = write(model, model.encode("the cat"), settings, max_new_tokens=50, cancelled=cancelled)
    text = "".join(stream)
    assert len(stream.ids) == 4 and stream.reason == "cancelled" and text == stream.text


def test_beam_search_ends_with_the_window(tiny_language_model):
    model = load_language_model(str(tiny_language_model("llama", window=16)), "transformers")
    ids = model.encode("the cat")
    [found] = BeamSearch(model, settings_for("beam_search"), max_new_tokens=99).search([ids])
    assert len(found) <= 16 - len(ids)


def contrastive_by_hand(model, ids, k, alpha, new):
    """Every candidate read with the whole text before it, no cache."""
    import torch

    ids = list(ids)
    for _ in range(new):
        with torch.inference_mode():
            probabilities = model.network(torch.tensor([ids])).logits[0, -1].softmax(-1)
            scores = {}
            for token in probabilities.topk(k).indices.tolist():
                states = model.network(torch.tensor([[*ids, token]]), output_hidden_states=True).hidden_states[-1][0]
                likeness = torch.cosine_similarity(states[-1:], states[:-1]).max()
                scores[token] = (1 - alpha) * probabilities[token] - alpha * likeness
        ids.append(max(scores, key=scores.get))
    return ids[-new:]


@pytest.mark.parametrize("prompt", PROMPTS)
@pytest.mark.parametrize("k, alpha", [(4, 0.6), (6, 0.2), (3, 1.0)])
def test_contrastive_search_is_its_equation(model, prompt, k, alpha, monkeypatch):
    monkeypatch.setattr(model, "stop_ids", frozenset())
    ids = model.encode(prompt)
    search = ContrastiveSearch(model, settings_for("contrastive", top_k=k, penalty_alpha=alpha))
    stream = Stream(search, ids, max_new_tokens=12)
    list(stream)
    assert stream.ids == contrastive_by_hand(model, ids, k, alpha, 12)


@pytest.mark.parametrize("how", [{"penalty_alpha": 0.0}, {"top_k": 1}])
def test_contrastive_search_without_contrast_is_greedy(model, how):
    ids = model.encode("the cat")
    greedy = Stream(model.session(), ids, max_new_tokens=15)
    contrastive = Stream(ContrastiveSearch(model, settings_for("contrastive", **how)), ids, max_new_tokens=15)
    assert list(contrastive) == list(greedy)


def test_contrastive_search_may_be_asked_for_any_text_next(model):
    search = ContrastiveSearch(model, settings_for("contrastive"))
    ids = model.encode("the cat sat")
    first = search.next_logits(ids)
    search.next_logits([*ids, int(first.argmax())])
    search.next_logits([5, 6])
    np.testing.assert_allclose(search.next_logits(ids), first, atol=1e-5)


@pytest.mark.parametrize("search", [BeamSearch, ContrastiveSearch])
def test_another_engine_is_refused_with_the_remedy(search):
    other = SimpleNamespace(backend="onnx")
    more = {"max_new_tokens": 5} if search is BeamSearch else {}
    with pytest.raises(UserError, match="needs --backend transformers"):
        search(other, settings_for("greedy"), **more)
