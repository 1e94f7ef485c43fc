"""The pictures: what they show is what they were given, in both languages and as PNG, and names stay readable."""

import json
import random
from itertools import combinations

import numpy as np
import pytest

from model_optimization.figures import LETTER, pareto, sensitivity
from model_optimization.monitoring.load_figures import PICTURES, by_server, curves, timeline
from model_optimization.picture_data import AXES, frontier, name_places, ranges, ticks
from model_optimization.png_figures import draw_estimates, draw_load, draw_pareto, draw_power
from shared.phrases import LANGUAGES, phrase

CROWD = (
    "fp32_torch bf16_torch int8_torch_legacy fp32_onnx int8_dynamic int8_static int8_aware magnitude structured "
    "structured_int8 trimmed trimmed_int8 factorised student student_alone student_int8"
).split()


def row(method, accuracy, p50_ms, batch=1, ships=True):
    return {
        "method": method,
        "batch": batch,
        "accuracy": accuracy,
        "accuracy_ci": [accuracy - 0.02, accuracy + 0.01],
        "loss": 0.85 - accuracy,
        "loss_bound": 0.855 - accuracy,
        "ships": ships,
        "size_mb": 1234.5,
        "p50_ms": p50_ms,
        "p95_ms": 7.25,
        "texts_per_s": 1000 * batch / p50_ms,
        "speed_up": 3.5,
        "peak_mb": 10 + p50_ms,
    }


ROWS = [
    row("fp32_torch", 0.85, 20.0),
    row("int8_dynamic", 0.84, 5.0),
    row("student", 0.80, 2.0, ships=False),
    row("structured", 0.79, 10.0, ships=False),
    row("fp32_torch", 0.85, 99.0, batch=16),
]
LAYERS = [
    {"layer": layer, "sparsity": sparsity, "accuracy": 0.9 - sparsity / 2, "dense_mb": 9.0, "sparse_mb": 5.0}
    for layer in range(12)
    for sparsity in (0.3, 0.7)
]


def has_chinese(figure):
    words = json.dumps(figure.to_plotly_json(), default=str, ensure_ascii=False)
    return any("\u4e00" <= character <= "\u9fff" for character in words)


@pytest.mark.parametrize("axis, methods", [
    ("p50_ms", "student int8_dynamic fp32_torch"),
    ("texts_per_s", "student int8_dynamic fp32_torch"),
    ("size_mb", "fp32_torch"),
])  # fmt: skip
def test_on_the_frontier_is_what_no_other_beats_on_both_sides(axis, methods):
    assert [row["method"] for row in frontier(ROWS[:4], axis)] == methods.split()


def test_each_method_of_the_batch_is_a_point_by_its_kind_with_its_interval():
    line, baseline, passing, failing = pareto(ROWS, "p50_ms", 1, "en").data
    assert (list(line.x), list(line.y), line.line.shape) == ([2, 5, 20], [0.80, 0.84, 0.85], "hv")
    assert [list(kind.customdata) for kind in (baseline, passing, failing)] == [
        ["fp32_torch"],
        ["int8_dynamic"],
        ["student", "structured"],
    ]
    assert (list(failing.x), list(failing.y)) == ([2, 10], [0.80, 0.79])
    np.testing.assert_allclose(failing.error_y.array, 0.01)
    np.testing.assert_allclose(failing.error_y.arrayminus, 0.02)
    assert failing.marker.symbol.endswith("-open") and not passing.marker.symbol.endswith("-open")
    assert "gate" in passing.name and "fp32_torch" in baseline.name
    assert list(pareto(ROWS, "p50_ms", 16, "en").data[1].x) == [99]


def test_every_method_has_its_name_and_its_hover_every_number():
    figure = pareto(ROWS, "size_mb", 1, "en")
    assert [name.text for name in figure.layout.annotations] == [row["method"] for row in ROWS[:4]]
    hover = figure.data[2].hovertext[0]
    for shown in ("int8_dynamic", "84.0%", "82.0–85.0%", "1.00", "1.50", "yes", "1,234.5", "5.00", "7.25", "200.0",
                  "3.50", "15.0"):  # fmt: skip
        assert f"<b>{shown}</b>" in hover


@pytest.mark.parametrize("axis", AXES)
def test_the_figures_speak_the_language_that_was_asked_for(axis):
    for language in LANGUAGES:
        for figure in (pareto(ROWS, axis, 1, language), sensitivity(LAYERS, language)):
            assert has_chinese(figure) == (language == "zh")


@pytest.mark.parametrize("seed", range(3))
def test_names_of_a_crowd_cover_neither_each_other_nor_a_point(seed):
    draw = random.Random(seed)
    rows = [row(method, draw.gauss(0.84, 0.01), draw.choice([3, 5, 10]) * draw.uniform(1, 1.2)) for method in CROWD]
    size = np.array([720.0, 450.0])
    (left, right), (low, high) = ranges(rows, "p50_ms")
    points = [
        ((np.log10(row["p50_ms"]) - left) / (right - left), (row["accuracy"] - low) / (high - low)) for row in rows
    ] * size
    middles = points + np.array(name_places(rows, "p50_ms", size, LETTER))
    halves = [np.array([len(method) * LETTER[0], LETTER[1]]) / 2 for method in CROWD]
    for i, j in combinations(range(len(rows)), 2):
        assert (np.abs(middles[i] - middles[j]) >= halves[i] + halves[j]).any(), (CROWD[i], CROWD[j])
    for middle, half in zip(middles, halves, strict=True):
        assert (np.abs(middle - points) >= half + 3).any(axis=1).all()
        assert (middle >= half).all() and (middle + half <= size).all()


@pytest.mark.parametrize("low, high", [(0.3, 1.4), (1.0, 3.0), (2.2, 2.3), (-2, -1.5), (2.99, 3.01)])
def test_an_axis_has_at_least_four_round_numbers_within_it(low, high):
    found = ticks(low, high)
    assert 4 <= len(found) <= 30 and found == sorted(set(found))
    assert all(10**low <= number <= 10**high for number in found)


def test_one_method_alone_can_be_drawn(tmp_path):
    assert len(pareto(ROWS[:1], "p50_ms", 1, "en").layout.annotations) == 1
    draw_pareto(ROWS[:1], "p50_ms", 1, tmp_path / "one.png")


def test_sensitivity_has_a_line_a_layer_and_no_two_look_alike():
    lines = sensitivity(LAYERS, "en").data
    assert [line.name for line in lines] == [f"layer {layer}" for layer in range(12)]
    assert (list(lines[3].x), list(lines[3].y)) == ([0.3, 0.7], [0.75, 0.55])
    assert len({(line.line.color, line.line.dash) for line in lines}) == 12
    for shown in ("3", "70.0%", "55.0%", "9.00", "5.00"):
        assert f"<b>{shown}</b>" in lines[3].hovertext[1]


def test_sensitivity_of_all_layers_together_is_one_line():
    rows = [{key: value for key, value in row.items() if key != "layer"} for row in LAYERS[:2]]
    (line,) = sensitivity(rows, "en").data
    assert line.name == "all layers together" and list(line.x) == [0.3, 0.7]


@pytest.mark.parametrize("axis", AXES)
def test_the_png_is_white_and_opaque_and_the_same_each_time(axis, tmp_path):
    from matplotlib.image import imread

    for name in ("a", "b"):
        draw_pareto(ROWS, axis, 1, tmp_path / f"{name}.png")
    picture = imread(tmp_path / "a.png")
    assert picture[0, 0].tolist() == [1, 1, 1, 1] and (picture[..., 3] == 1).all() and picture.min() < 0.5
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_the_power_is_drawn_from_the_false_alarms_on(tmp_path, monkeypatch):
    from matplotlib.axes import Axes
    from matplotlib.image import imread

    drawn, real = [], Axes.plot

    def keep(self, x, y, *rest, **named):
        drawn.append((x, y))
        return real(self, x, y, *rest, **named)

    monkeypatch.setattr(Axes, "plot", keep)
    draw_power({"tweets": {"0.05": 0.1, "1": 1.0}, "nyt": {"0.05": 0.0, "1": 0.9}}, 0.03, tmp_path / "power.png")
    assert drawn == [([0.0, 0.05, 1.0], [0.03, 0.1, 1.0]), ([0.0, 0.05, 1.0], [0.03, 0.0, 0.9])]
    picture = imread(tmp_path / "power.png")
    assert picture[0, 0].tolist() == [1, 1, 1, 1] and picture.min() < 0.5


LOADS = [
    {"server": server, "rate": rate, "p99_ms": p99}
    for server, rate, p99 in (
        ("batched", 64, 8.0),
        ("batched", 32, 5.0),
        ("batched", 64, 120.0),
        ("naive", 32, 20.0),
        ("naive", 64, None),
    )
]


def test_a_curve_has_the_better_of_two_tries_by_rising_load():
    found = by_server(LOADS)
    assert list(found) == ["naive", "batched"]
    assert [(row["rate"], row["p99_ms"]) for row in found["batched"]] == [(32, 5.0), (64, 8.0)]
    assert [row["rate"] for row in found["naive"]] == [32], "nothing was answered at the other"


def test_curves_of_servers_are_drawn_for_page_and_readme(tmp_path):
    from matplotlib.image import imread

    lines = curves(LOADS, 100.0, "zh").data
    assert [line.name for line in lines] == [
        phrase(f"optimization.load.server.{s}", "zh") for s in ("naive", "batched")
    ]
    assert (list(lines[1].x), list(lines[1].y)) == ([32, 64], [5.0, 8.0])
    draw_load(LOADS, 100.0, tmp_path / "load.png")
    picture = imread(tmp_path / "load.png")
    assert picture[0, 0].tolist() == [1, 1, 1, 1] and picture.min() < 0.5


def test_the_timeline_leaves_out_what_a_server_does_not_tell():
    rows = [{"second": second, "rate": 5, "answered_rps": 5.0, "errors_rps": 0.0} for second in (1, 2)]
    for picture, measures in PICTURES.items():
        drawn = timeline(rows, picture, 100.0, "en").data
        assert len(drawn) == len(measures)
        assert all((None in line.y) == (picture != "throughput") for line in drawn)


def test_estimates_stand_beside_the_truth(tmp_path, monkeypatch):
    from matplotlib.axes import Axes
    from matplotlib.image import imread

    drawn, real = [], Axes.bar

    def keep(self, x, height, *rest, **named):
        drawn.append(list(height))
        return real(self, x, height, *rest, **named)

    monkeypatch.setattr(Axes, "bar", keep)
    estimates = {"average_confidence": {"tweets": 0.8, "nyt": 0.7}, "other": {"tweets": 0.9, "nyt": 0.6}}
    truth = {"tweets": 0.85, "nyt": 0.75}
    draw_estimates(truth, estimates, "average_confidence", 0.86, tmp_path / "estimates.png")
    assert drawn == [[0.85, 0.75], [0.8, 0.7]]
    assert imread(tmp_path / "estimates.png")[0, 0].tolist() == [1, 1, 1, 1]
