"""The adapter: it starts as nothing, leaves the weights alone, and merges into them."""

import copy

import torch
from torch import nn

from bert_sentiment_analysis.models.lora import ALPHA, LoraLinear, add_lora, merge_lora


def layer(rank: int = 3, bias: bool = True) -> LoraLinear:
    torch.manual_seed(0)
    return LoraLinear(nn.Linear(6, 4, bias=bias), rank)


def filled(module: nn.Module) -> nn.Module:
    for part in module.modules():
        if isinstance(part, LoraLinear):
            nn.init.normal_(part.b)
    return module


def test_an_untrained_adapter_changes_nothing():
    adapted, inputs = layer(), torch.randn(5, 6)
    assert torch.equal(adapted(inputs), adapted.base(inputs))


def test_it_computes_w_plus_the_scaled_product_of_b_and_a():
    adapted, inputs = filled(layer(rank=2)), torch.randn(5, 6)
    whole = adapted.base.weight + ALPHA / 2 * adapted.b @ adapted.a
    assert torch.allclose(adapted(inputs), inputs @ whole.T + adapted.base.bias, atol=1e-5)


def test_merged_weights_equal_w_plus_ba_and_compute_the_same():
    for bias in (True, False):
        adapted, inputs = filled(layer(bias=bias)), torch.randn(5, 6)
        merged = adapted.merge()
        assert type(merged) is nn.Linear and (merged.bias is None) != bias
        assert torch.allclose(merged.weight, adapted.base.weight + adapted.scale * adapted.b @ adapted.a)
        assert torch.allclose(merged(inputs), adapted(inputs), atol=1e-5)


def test_only_the_adapter_learns_and_the_base_weights_stay_as_they_were():
    model = nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Sequential(nn.Linear(6, 2)))
    before = copy.deepcopy(model.state_dict())
    add_lora(model, 2)
    learning = [name for name, weight in model.named_parameters() if weight.requires_grad]
    assert learning == ["0.a", "0.b", "2.0.a", "2.0.b"]
    optimizer = torch.optim.SGD((weight for weight in model.parameters() if weight.requires_grad), lr=0.1)
    for _ in range(3):
        model(torch.randn(8, 6)).square().sum().backward()
        optimizer.step()
    assert torch.equal(model[0].base.weight, before["0.weight"])
    assert torch.equal(model[2][0].base.weight, before["2.0.weight"])
    assert model[0].b.abs().sum() > 0


def test_a_merged_model_is_an_ordinary_one_again():
    model = nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 2))
    names = list(model.state_dict())
    add_lora(model, 2)
    inputs = torch.randn(5, 6)
    expected = filled(model)(inputs)
    merge_lora(model)
    assert list(model.state_dict()) == names
    assert all(weight.requires_grad for weight in model.parameters())
    assert torch.allclose(model(inputs), expected, atol=1e-5)
