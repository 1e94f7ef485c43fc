"""The numpy twin computes what the torch model computes, for every kind of model."""

import numpy as np
import pytest
import torch

from transformer_from_scratch.config import ARCHITECTURES, ModelConfig
from transformer_from_scratch.numpy_model import NumpyModel
from transformer_from_scratch.sampling import CachedReader
from transformer_from_scratch.transformer_block import LanguageModel

FIELDS = ModelConfig.__dataclass_fields__
VARIANTS = {
    "classic": {},
    "modern": {key: value for key, value in ARCHITECTURES["modern"].items() if key in FIELDS},
    "post-norm": {"norm_position": "post", "positions": "learned", "activation": "gelu_tanh"},
    "grouped": {"n_kv_heads": 2, "positions": "rotary", "activation": "relu", "bias": False},
    "bare": {"positions": "none", "norm": "none", "residuals": False, "scale_scores": False},
}


@pytest.fixture(params=VARIANTS.values(), ids=VARIANTS.keys())
def model(request):
    torch.manual_seed(0)
    model = LanguageModel(ModelConfig(context=12, n_layers=2, n_heads=4, width=16, **request.param), 30).eval()
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.2)
    return model


@torch.no_grad()
def test_it_scores_as_torch_does_and_starts_afresh(model):
    tokens = torch.randint(0, 30, (1, 12))
    expected = model(tokens)[0][0].numpy()
    twin = NumpyModel(model)
    for _ in range(2):
        found = np.stack([twin.logits(int(token)) for token in tokens[0]])
        np.testing.assert_allclose(found, expected, atol=1e-5)
        twin.start()


@torch.no_grad()
def test_both_readers_agree_piece_by_piece(model):
    readers = NumpyModel(model), CachedReader(model, torch.device("cpu"))
    for piece in ([1, 2, 3], [4], [5, 6]):
        ours, theirs = (reader.read(piece) for reader in readers)
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
    assert readers[0].length == readers[1].length == 6


def test_it_holds_a_copy_so_that_training_on_does_not_change_it(model):
    twin = NumpyModel(model)
    before = twin.logits(3).copy()
    with torch.no_grad():
        for weight in model.parameters():
            weight.zero_()
    twin.start()
    np.testing.assert_array_equal(twin.logits(3), before)
