"""The network is EfficientNet-Lite2: its shapes, its folding of batch normalisation, and its packaged weights."""

import pytest
import torch
from PIL import Image, ImageDraw
from torch import nn
from torch.nn import functional as F

from multimodal_llm.image_encoder import (
    BATCH_NORM_EPSILON,
    EfficientNetLite2,
    ImageEncoder,
    class_names,
    load_network,
    to_pixels,
)
from shared.errors import UserError


def published_form(network: EfficientNetLite2) -> dict[str, torch.Tensor]:
    """Random weights in the names and shapes of the published file."""
    random = torch.Generator().manual_seed(0)
    weights = {"_fc.weight": torch.randn(1000, 1280, generator=random), "_fc.bias": torch.zeros(1000)}

    def add(convolution: str, norm: str, like: nn.Conv2d) -> None:
        n = like.out_channels
        weights[f"{convolution}.weight"] = torch.randn(like.weight.shape, generator=random) * 0.1
        weights[f"{norm}.weight"] = torch.rand(n, generator=random) + 0.5
        weights[f"{norm}.bias"] = torch.randn(n, generator=random)
        weights[f"{norm}.running_mean"] = torch.randn(n, generator=random)
        weights[f"{norm}.running_var"] = torch.rand(n, generator=random) + 0.5

    add("_conv_stem", "_bn0", network.stem)
    add("_conv_head", "_bn1", network.head)
    for number, block in enumerate(network.blocks):
        name = f"_blocks.{number}."
        if block.expand is not None:
            add(f"{name}_expand_conv", f"{name}_bn0", block.expand)
        add(f"{name}_depthwise_conv", f"{name}_bn1", block.depthwise)
        add(f"{name}_project_conv", f"{name}_bn2", block.project)
    return weights


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    return published_form(EfficientNetLite2())


def test_folding_keeps_what_convolution_and_normalisation_compute(weights):
    network = load_network(weights).eval()
    x = torch.randn(2, 3, 32, 32)
    plain = F.conv2d(x, weights["_conv_stem.weight"], stride=2, padding=1)
    normed = F.batch_norm(
        plain,
        weights["_bn0.running_mean"],
        weights["_bn0.running_var"],
        weights["_bn0.weight"],
        weights["_bn0.bias"],
        eps=BATCH_NORM_EPSILON,
    )
    assert torch.allclose(network.stem(x), normed, atol=1e-5)


def test_the_network_has_as_many_parameters_as_published():
    folded_away = sum(conv.out_channels for conv in EfficientNetLite2().modules() if isinstance(conv, nn.Conv2d))
    parameters = sum(weight.numel() for weight in EfficientNetLite2().parameters())
    assert round((parameters + folded_away) / 1e6, 1) == 6.1  # a normalisation has two numbers where a bias has one


@pytest.mark.parametrize(("side", "cells"), [(224, 7), (260, 9)])
def test_the_grid_has_one_cell_for_each_32_pixels(weights, side, cells):
    features = ImageEncoder(load_network(weights)).encode([Image.new("RGB", (50, 30))], side)
    assert features.grid.shape == (1, cells, cells, 1280)
    assert torch.allclose(features.pooled, features.grid.mean((1, 2)))
    assert features.probabilities.sum().item() == pytest.approx(1, abs=1e-4)


def test_a_photo_alone_has_the_features_that_it_has_in_a_batch(weights):
    encoder = ImageEncoder(load_network(weights))
    photos = [Image.new("RGB", (32, 32), colour) for colour in ("red", "green", "blue")]
    together = encoder.encode(photos, 64, batch=2).grid
    assert all(torch.allclose(together[i], encoder.encode([photos[i]], 64).grid[0], atol=1e-3) for i in range(3))


def test_pixels_lie_between_minus_one_and_one():
    pixels = to_pixels([Image.new("RGB", (9, 9), colour) for colour in ("black", "white")], 32)
    assert pixels.shape == (2, 3, 32, 32)
    assert pixels[0].unique().tolist() == [-1] and pixels[1].unique().tolist() == [1]


def test_other_weights_are_refused(weights):
    with pytest.raises(UserError, match="another network"):
        load_network({name: weight for name, weight in weights.items() if "_blocks.3." not in name})


def test_no_picture_is_refused(weights):
    with pytest.raises(UserError, match="at least one"):
        ImageEncoder(load_network(weights)).encode([])


@pytest.mark.network
def test_the_packaged_weights_know_a_plain_object():
    """The real network on a drawing: enough to notice a wrong padding, scale or order of channels."""
    names = class_names()
    assert len(names) == 1000 and names[0] == "tench"
    ball = Image.new("RGB", (260, 260), "white")
    ImageDraw.Draw(ball).ellipse((40, 40, 220, 220), fill=(235, 120, 20))
    found = ImageEncoder.load("cpu").encode([ball], 260).probabilities[0].topk(10).indices.tolist()
    assert {"orange", "ping-pong ball", "balloon"} & {names[index] for index in found}
