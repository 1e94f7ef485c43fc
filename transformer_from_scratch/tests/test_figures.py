"""The pictures: what they show is what they were given, in either language."""

import numpy as np
import pytest

from shared.phrases import LANGUAGES
from transformer_from_scratch import figures


@pytest.mark.parametrize("language", LANGUAGES)
def test_attention_map_keeps_equal_characters_apart_and_shows_invisible_ones(language):
    weights = np.tril(np.ones((3, 3))) / np.arange(1, 4)[:, None]
    heat = figures.attention_map(weights, "a a", language)
    assert len(set(heat.data[0].x)) == 3
    assert list(heat.layout.xaxis.ticktext) == ["a", "␣", "a"]
    np.testing.assert_allclose(np.array(heat.data[0].z, dtype=float), weights, atol=1e-3)


def test_next_characters_show_the_likeliest_on_top():
    bars = figures.next_characters(np.array([0.0, 0.2, 0.7, 0.1]), "\ufffdab\n", "en", most=3)
    assert list(bars.data[0].y) == ["⏎", "a", "b"], "Plotly draws the last on top"


def test_training_curve_separates_training_from_unseen_text():
    metrics = [{"step": 0, "val_loss": 4.0}, {"step": 10, "train_loss": 3.0}, {"step": 20, "val_loss": 2.5}]
    train, validation = figures.training_curve(metrics, {"baseline": 2.0}, "en").data
    assert (list(train.x), list(validation.y)) == ([10], [4.0, 2.5])
