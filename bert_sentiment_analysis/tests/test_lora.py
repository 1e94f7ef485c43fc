"""The adapter: it starts as nothing, leaves the weights alone, and merges into them."""

import copy

import torch
from torch import nn

from bert_sentiment_analysis.models.lora import ALPHA, LoraEmbedding, LoraLinear, add_lora, merge_lora


def layer(rank: int = 3, bias: bool = True) -> LoraLinear:
    torch.manual_seed(0)
    return LoraLinear(nn.Linear(6, 4, bias=bias), rank)


class Encoder(nn.Sequential):
    """What the adapter asks of an encoder: linear layers, and word vectors by the name that transformers gives them."""

    def __init__(self) -> None:
        super().__init__(nn.Embedding(9, 6, padding_idx=0), nn.ReLU(), nn.Linear(6, 6), nn.Sequential(nn.Linear(6, 2)))

    def get_input_embeddings(self) -> nn.Module:
        return self[0]

    def set_input_embeddings(self, embeddings: nn.Module) -> None:
        self[0] = embeddings


def filled(module: nn.Module) -> nn.Module:
    for part in module.modules():
        if isinstance(part, LoraLinear):
            nn.init.normal_(part.b)
        elif isinstance(part, LoraEmbedding):
            nn.init.normal_(part.a)
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


def test_word_vectors_are_adapted_and_merged_alike():
    torch.manual_seed(0)
    base, ids = nn.Embedding(9, 6, padding_idx=0), torch.tensor([[1, 8, 0]])
    adapted = LoraEmbedding(base, 3)
    assert torch.equal(adapted(ids), base(ids)), "untrained it changes nothing"
    filled(adapted)
    expected = (base.weight + ALPHA / 3 * adapted.a @ adapted.b)[ids]
    assert torch.allclose(adapted(ids), expected, atol=1e-6)
    merged = adapted.merge()
    assert type(merged) is nn.Embedding and merged.padding_idx == 0
    assert torch.allclose(merged(ids), expected, atol=1e-6)


def test_only_the_adapter_learns_and_the_base_weights_stay_as_they_were():
    model = Encoder()
    before = copy.deepcopy(model.state_dict())
    add_lora(model, 2)
    learning = [name for name, weight in model.named_parameters() if weight.requires_grad]
    assert learning == ["0.a", "0.b", "2.a", "2.b", "3.0.a", "3.0.b"]
    optimizer = torch.optim.SGD((weight for weight in model.parameters() if weight.requires_grad), lr=0.001)
    for _ in range(3):
        model(torch.randint(1, 9, (8, 5))).square().sum().backward()
        optimizer.step()
    assert torch.equal(model[0].base.weight, before["0.weight"])
    assert torch.equal(model[2].base.weight, before["2.weight"])
    assert torch.equal(model[3][0].base.weight, before["3.0.weight"])
    assert model[0].a.abs().sum() > 0 and model[2].b.abs().sum() > 0


def test_a_merged_model_is_an_ordinary_one_again():
    model = Encoder()
    names = list(model.state_dict())
    add_lora(model, 2)
    ids = torch.randint(0, 9, (5, 4))
    expected = filled(model)(ids)
    merge_lora(model)
    assert list(model.state_dict()) == names
    assert all(weight.requires_grad for weight in model.parameters())
    assert torch.allclose(model(ids), expected, rtol=1e-4, atol=1e-4)
