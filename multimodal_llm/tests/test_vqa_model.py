"""A question is answered by its own picture and words alone, whatever it is asked together with."""

import numpy as np
import pytest
import torch

from multimodal_llm.tests.vqa_fixtures import FakeReader, tiny_model
from multimodal_llm.visual_question_answering.calibration import (
    PictureGate,
    expected_calibration_error,
    fit_temperature,
)
from multimodal_llm.visual_question_answering.drawings import PICTURE_KINDS, RGB, draw, draw_shape
from multimodal_llm.visual_question_answering.vqa_model import Attention, VqaModelConfig, Words, from_pixels, to_pixels

READER = FakeReader()


def pictures(n, size=64):
    random = np.random.default_rng(1)
    return from_pixels(np.stack([to_pixels(draw("usual", random), size) for _ in range(n)]))


def in_float(read):
    return Words(read.vectors.float(), read.mask)


def test_questions_asked_together_are_answered_as_if_asked_alone():
    model, pixels = tiny_model(), pictures(2)
    texts = ["is it red?", "what shape?", "is there a circle?", "what color?"]  # two for each picture
    together = model(pixels, in_float(READER.read(texts)))
    alone = [model(pixels[[i // 2]], in_float(READER.read([text]))) for i, text in enumerate(texts)]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-5, rtol=1e-4)


def test_padding_changes_neither_the_answer_nor_the_gate():
    model, pixels = tiny_model(), pictures(1)
    short = in_float(READER.read(["is it red?"]))
    padded = in_float(READER.read(["is it red?", "a much longer question about the same thing"]))
    padded = Words(padded.vectors[:1], padded.mask[:1])
    torch.testing.assert_close(model(pixels, short), model(pixels, padded), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(model.gate(short), model.gate(padded), atol=1e-5, rtol=1e-4)


def test_both_the_picture_and_the_words_reach_the_answer():
    model, pixels = tiny_model(), pictures(2)
    one, other = (in_float(READER.read([text])) for text in ("is it red?", "is it blue?"))
    assert not torch.allclose(model(pixels[:1], one), model(pixels[1:], one))
    assert not torch.allclose(model(pixels[:1], one), model(pixels[:1], other))


def test_rows_gives_these_questions_without_needless_padding():
    read = READER.read(["one two three four", "one", "two"])
    rows = read.rows(torch.tensor([2, 1]))
    assert rows.vectors.shape[:2] == (2, 2) and rows.vectors.dtype == torch.float32
    torch.testing.assert_close(rows.vectors[0], read.vectors[2, :2].float())


@pytest.mark.parametrize("change", [{"width": 30, "heads": 4}, {"image_size": 60}, {"word_dropout": 1.0}])
def test_a_shape_that_cannot_be_is_refused(change):
    with pytest.raises(ValueError, match=next(iter(change))):
        VqaModelConfig(answers=("yes", "no"), **change)


def test_the_picture_gate_passes_what_is_like_training_and_refuses_what_is_not():
    random = torch.Generator().manual_seed(0)
    mix = torch.randn(6, 6, generator=random)
    training = torch.randn(500, 6, generator=random) @ mix + 3
    kept_out = torch.randn(400, 6, generator=random) @ mix + 3
    gate = PictureGate.fit(training, kept_out)
    assert (gate.distance(kept_out) > gate.threshold).float().mean() <= 0.005
    assert (gate.distance(training + 40) > gate.threshold).all()
    assert gate.distance(training).pow(2).mean() == pytest.approx(1, abs=0.25)


def test_the_temperature_tells_over_confident_logits_from_modest_ones():
    random = torch.Generator().manual_seed(0)
    logits = torch.randn(2000, 3, generator=random)
    target = torch.multinomial(torch.softmax(logits, -1), 1, generator=random)[:, 0]
    assert fit_temperature(logits, target) == pytest.approx(1, rel=0.1)
    assert fit_temperature(logits * 4, target) == pytest.approx(4, rel=0.1)


def test_the_calibration_error_is_the_gap_between_what_is_said_and_what_is_right():
    confidence, right = np.array([0.9] * 10 + [0.6] * 10), np.array([True] * 9 + [False] + [True] * 2 + [False] * 8)
    assert expected_calibration_error(confidence, right) == pytest.approx(0.5 * 0.4)
    assert expected_calibration_error(np.ones(3), np.ones(3, dtype=bool)) == 0


def test_a_drawn_shape_has_its_colour_on_a_pale_ground():
    for color, rgb in RGB.items():
        pixels = np.asarray(draw_shape("rectangle", color, np.random.default_rng(3)), dtype=int).reshape(-1, 3)
        near = np.abs(pixels - rgb).max(1) <= 2
        assert 0.01 < near.mean() < 0.3
        assert pixels.min(1)[~near].mean() > 180


@pytest.mark.parametrize("kind", PICTURE_KINDS)
def test_every_kind_of_picture_is_drawn_in_the_size_asked_and_the_same_for_a_seed(kind):
    first, second = (draw(kind, np.random.default_rng(5), size=48) for _ in range(2))
    assert first.size == (48, 48) and first.mode == "RGB"
    assert np.array_equal(np.asarray(first), np.asarray(second))


def test_an_unknown_kind_or_shape_says_what_there_is():
    random = np.random.default_rng(0)
    with pytest.raises(ValueError, match="two_shapes"):
        draw("cats", random)
    with pytest.raises(ValueError, match="triangle"):
        draw_shape("star", "red", random)


def test_attention_is_a_weighted_mean_of_the_values():
    torch.manual_seed(0)
    attention = Attention(8, 2)
    queries, keys = torch.randn(1, 3, 8), torch.randn(1, 5, 8)
    mask = torch.tensor([[True, True, False, True, False]])
    q = attention.query(queries)[0].reshape(3, 2, 4)
    k, v = (part[0].reshape(5, 2, 4)[mask[0]] for part in attention.key_value(keys).chunk(2, dim=-1))
    weights = torch.softmax(torch.einsum("thd,shd->hts", q, k) / 2, dim=-1)  # 2 is the root of a head's width
    expected = attention.out(torch.einsum("hts,shd->thd", weights, v).reshape(3, 8))
    torch.testing.assert_close(attention(queries, keys, mask)[0], expected)
