"""The classifier computes what transformers' own models compute, at whole shapes and with layers of their own sizes."""

import pytest
import torch

from model_optimization.classifier import Classifier, Shape, n_parameters
from model_optimization.subject import Subject, load_subject
from shared.errors import UserError

TEXTS = ["a good film", "awful", "the plot is dull and it was bad, very bad and not good !", ""]
PADDED = torch.tensor([[2, 9, 8, 7, 3], [2, 6, 3, 0, 0], [2, 3, 0, 0, 0]])
MASK = (PADDED > 0).long()


def padded(subject: Subject, padding: int) -> tuple[torch.Tensor, torch.Tensor]:
    subject.tokenizer.enable_padding(pad_id=padding)
    found = subject.tokenizer.encode_batch(TEXTS)
    ids, mask = (torch.tensor([getattr(text, name) for text in found]) for name in ("ids", "attention_mask"))
    assert not mask.all() and mask.any(1).all(), "some are padded"
    return ids, mask


@pytest.mark.parametrize("kind", ["bert", "roberta", "distilbert"])
def test_it_answers_as_transformers_classifiers_do(kind, checkpoint):
    from transformers import AutoModelForSequenceClassification

    theirs = AutoModelForSequenceClassification.from_pretrained(checkpoint(kind)).eval()
    ours = load_subject(checkpoint(kind))
    ids, mask = padded(ours, theirs.config.pad_token_id)
    with torch.inference_mode():
        expected = theirs(input_ids=ids, attention_mask=mask).logits
        assert expected.std(0).min() > 0.01, "the texts differ"
        torch.testing.assert_close(ours.model(ids, mask), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", ["bert", "roberta", "distilbert"])
@pytest.mark.parametrize("pooling", ["mean", "first"])
def test_an_encoder_with_an_output_layer_answers_from_the_mean_or_from_the_first_token(
    kind, pooling, checkpoint, make_run
):
    from safetensors.torch import load_file
    from transformers import AutoModel

    run = make_run(kind, pooling=pooling)
    theirs = AutoModel.from_pretrained(checkpoint(kind, classifies=False)).eval()
    output = load_file(run / "model.safetensors")
    ours = load_subject(run)
    ids, mask = padded(ours, theirs.config.pad_token_id)
    with torch.inference_mode():
        states = theirs(input_ids=ids, attention_mask=mask).last_hidden_state
        pooled = states[:, 0]
        if pooling == "mean":
            pooled = torch.stack([row[real.bool()].mean(0) for row, real in zip(states, mask, strict=True)])
        expected = pooled @ output["output.weight"].T + output["output.bias"]
        torch.testing.assert_close(ours.model(ids, mask), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("activation", ["relu", "gelu_new"])
def test_an_encoder_with_another_activation_is_refused(activation, checkpoint):
    with pytest.raises(UserError, match="its activation is not gelu"):
        load_subject(checkpoint("bert", hidden_act=activation))


def test_inside_are_the_states_and_the_attention_that_transformers_shows(checkpoint):
    from transformers import AutoModelForSequenceClassification

    theirs = AutoModelForSequenceClassification.from_pretrained(checkpoint("bert"), attn_implementation="eager").eval()
    ours = load_subject(checkpoint("bert"))
    ids, mask = padded(ours, 0)
    with torch.inference_mode():
        expected = theirs(ids, mask, output_hidden_states=True, output_attentions=True)
        inside = ours.model.look_inside(ids, mask)
    assert len(inside.hidden) == 3 and len(inside.scores) == 2
    for found, state in zip(inside.hidden, expected.hidden_states, strict=True):
        torch.testing.assert_close(found, state, atol=1e-5, rtol=0)
    for scores, attention in zip(inside.scores, expected.attentions, strict=True):
        torch.testing.assert_close(scores.softmax(-1), attention, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"pooling": "first", "inner": "tanh"},
        {"heads": (4, 1), "neurons": (3, 20)},
        {"word_width": 5, "n_classes": 3},
    ],
)
def test_looking_inside_changes_no_answer_and_padding_none(changes, make_subject):
    model = make_subject(**changes).model
    with torch.inference_mode():
        logits = model(PADDED, MASK)
        assert torch.equal(model.look_inside(PADDED, MASK).logits, logits)
        other = torch.where(MASK.bool(), PADDED, 17)
        assert torch.equal(model(other, MASK), logits), "what stands behind the mask does not count"
        for row, length in enumerate(MASK.sum(1)):
            alone = model(PADDED[row : row + 1, :length], MASK[row : row + 1, :length])
            torch.testing.assert_close(alone[0], logits[row], atol=1e-5, rtol=0)


def test_each_layer_has_its_own_size():
    shape = Shape(9, 8, 6, 2, (3, 1), (5, 4), 2, word_width=4, inner="relu")
    model = Classifier(shape)
    assert [layer.query.out_features for layer in model.layers] == [6, 2]
    assert [layer.up.out_features for layer in model.layers] == [5, 4]
    embedding = 9 * 4 + 4 * 6 + 8 * 6 + 2 * 6
    layers = sum(3 * (6 * k + k) + (k * 6 + 6) + 12 + (6 * f + f) + (f * 6 + 6) + 12 for k, f in ((6, 5), (2, 4)))
    assert n_parameters(model) == embedding + layers + (6 * 6 + 6) + (6 * 2 + 2)
    with torch.inference_mode():
        inside = model.look_inside(torch.tensor([[1, 2, 3]]), torch.ones(1, 3, dtype=torch.long))
    assert [scores.shape[1] for scores in inside.scores] == [3, 1] and inside.logits.shape == (1, 2)


def test_a_shape_comes_back_from_json_as_it_was():
    shape = Shape(9, 8, 6, 2, [3, 1], [5, 4], 2)
    assert shape == Shape(9, 8, 6, 2, (3, 1), (5, 4), 2) and shape.n_layers == 2 and hash(shape)
    with pytest.raises(ValueError, match="2 layers by their heads, 1 by their neurons"):
        Shape(9, 8, 6, 2, (3, 1), (5,), 2)
