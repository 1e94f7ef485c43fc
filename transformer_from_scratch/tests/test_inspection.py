"""What the page shows is what the model computed, for every kind of model that a configuration can describe."""

import numpy as np
import pytest
import torch

from transformer_from_scratch.config import ModelConfig
from transformer_from_scratch.inspection import look_inside, scores_by_distance
from transformer_from_scratch.transformer_block import LanguageModel

LENGTH, VOCABULARY = 9, 13
SMALL = {"context": 12, "n_layers": 3, "n_heads": 4, "width": 32}
VARIANTS = {
    "sinusoidal": {},
    "learned": {"positions": "learned", "tie_embeddings": False},
    "rotary": {"positions": "rotary"},
    "no positions": {"positions": "none"},
    "post-norm": {"norm_position": "post"},
    "modern": {"positions": "rotary", "norm": "rms", "activation": "relu_squared", "normalise_qk": True, "bias": False},
    "canon layers": {"positions": "rotary", "canon_reach": 3, "zero_init": True, "tie_embeddings": False},
    "grouped heads": {"positions": "rotary", "n_kv_heads": 2},
    "no norm": {"norm": "none"},
    "no residuals": {"residuals": False},
    "no scale": {"scale_scores": False},
    "one head": {"n_heads": 1, "dropout": 0.3},
}


def model_of(settings):
    torch.manual_seed(0)
    model = LanguageModel(ModelConfig(**{**SMALL, **settings}), VOCABULARY)
    for weight in model.parameters():  # as if trained: at the start all heads look everywhere alike
        weight.data += 0.2 * torch.randn_like(weight)
    return model.eval()


@pytest.fixture(params=VARIANTS.values(), ids=VARIANTS.keys())
def model(request):
    return model_of(request.param)


@pytest.fixture
def tokens():
    return torch.randint(0, VOCABULARY, (LENGTH,), generator=torch.Generator().manual_seed(1))


def test_the_numbers_shown_lead_to_the_models_own_weights_and_outputs(model, tokens):
    inside = look_inside(model, tokens)
    with torch.inference_mode():
        _, maps = model(tokens[None], need_weights=True)
    scores = inside.queries @ inside.keys.swapaxes(-2, -1) * inside.scale  # (L, H, T, S)
    scores[..., ~np.tril(np.ones((LENGTH, LENGTH), bool))] = -np.inf
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    np.testing.assert_allclose(inside.scores, scores, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(inside.weights, torch.cat(maps).numpy(), atol=1e-6)
    np.testing.assert_allclose(weights, inside.weights, atol=1e-4)
    np.testing.assert_allclose(weights @ inside.values, inside.outputs, rtol=1e-4, atol=1e-3)

    # Each layer's heads, side by side and mixed by the output matrix, are what attention adds to the stream.
    for layer, block in enumerate(model.blocks):
        heads = torch.from_numpy(inside.outputs[layer]).transpose(0, 1).flatten(1)  # (T, D)
        mixed = block.attention.output(heads).detach().numpy()
        np.testing.assert_allclose(mixed, inside.added[layer, 0], atol=1e-4)


def test_the_last_stage_of_the_lens_is_the_models_own_prediction(model, tokens):
    inside = look_inside(model, tokens)
    with torch.inference_mode():
        logits, _ = model(tokens[None])
    np.testing.assert_allclose(inside.logits, logits[0].numpy(), atol=1e-4, rtol=1e-5)
    np.testing.assert_allclose(inside.probabilities[-1], logits[0].softmax(-1).numpy(), atol=1e-5)
    assert inside.probabilities.shape == (SMALL["n_layers"] + 1, LENGTH, VOCABULARY)


def test_the_stream_is_the_embeddings_plus_all_that_was_added():
    tokens = torch.arange(LENGTH)
    model = model_of({})
    inside = look_inside(model, tokens)
    with torch.inference_mode():
        embedded = model.embedding(tokens[None])[0].numpy()
    np.testing.assert_allclose(inside.stream[0], embedded, atol=1e-6)
    np.testing.assert_allclose(inside.stream[-1], embedded + inside.added.sum((0, 1)), atol=1e-4)
    assert inside.stream_norms.shape == (SMALL["n_layers"] + 1, LENGTH)
    assert inside.added_norms.shape == (SMALL["n_layers"], 2, LENGTH)


def test_looking_leaves_the_model_as_it_was(tokens):
    model = model_of({"dropout": 0.3}).train()
    look_inside(model, tokens)
    assert model.training and all(block.training for block in model.blocks)
    for module in model.modules():
        assert not module._forward_hooks and not module._forward_pre_hooks
        assert "_attend" not in vars(module)


def test_one_character_is_enough_and_looks_at_itself():
    inside = look_inside(model_of({}), torch.tensor([3]))
    np.testing.assert_allclose(inside.weights, 1.0)


def test_a_rotary_heads_score_depends_on_the_distance_alone():
    """One character over and over: content is the same everywhere, so distance alone tells the keys apart."""
    model = model_of({"positions": "rotary", "normalise_qk": True})
    inside = look_inside(model, torch.full((LENGTH,), 5))
    curve = scores_by_distance(model, inside, 0, 1)
    assert curve.shape == (SMALL["context"],)
    for position in range(LENGTH):
        np.testing.assert_allclose(
            inside.scores[0, 1, position, : position + 1], curve[: position + 1][::-1], atol=1e-4
        )


def test_only_rotary_positions_have_such_a_curve(tokens):
    model = model_of({})
    assert scores_by_distance(model, look_inside(model, tokens), 0, 0) is None
