"""ONNX Runtime gives what torch gives."""

import numpy as np
import pytest
import torch
from PIL import Image

from multimodal_llm.clip_applications.onnx_encoder import OnnxImageEncoder, load_fast_encoder
from multimodal_llm.image_encoder import EfficientNetLite2, ImageEncoder


@pytest.mark.parametrize(("side", "n"), [(64, 1), (96, 5)])
def test_any_number_and_size_of_pictures_give_torchs_features(side, n):
    torch.manual_seed(0)
    network = EfficientNetLite2()
    random = np.random.default_rng(0)
    pictures = [Image.fromarray(random.integers(0, 255, (50, 70, 3), dtype=np.uint8)) for _ in range(n)]
    expected = ImageEncoder(network).encode(pictures, side, batch=2)
    found = OnnxImageEncoder(network).encode(pictures, side, batch=2)
    for ours, theirs in zip(found, expected, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-4, rtol=1e-3)


def test_a_cpu_gets_onnx_runtime(random_encoder):
    assert load_fast_encoder("cpu").engine.startswith("ONNX Runtime")
