"""The pictures: what they show is what they were given, in both languages and as PNG."""

import json

import numpy as np
import pytest

from bert_sentiment_analysis.evaluation import png_figures, visualization
from bert_sentiment_analysis.evaluation.calibration import RiskCoverage, calibration, risk_coverage
from bert_sentiment_analysis.evaluation.metrics import RocCurve, classification_metrics
from bert_sentiment_analysis.evaluation.picture_data import ModelScore, reach
from shared.phrases import LANGUAGES

CONFUSION = [[8, 2], [3, 87]]
CLASSES = ["negative", "positive"]
DOMAINS = {"all": {"tweets": 0.92}, "tweets": {"tweets": 0.9, "nyt": 0.55}, "nyt": {"tweets": None, "nyt": 0.7}}
METRICS = [
    {"step": 10, "train_loss": 0.7, "grad_norm": 1.0},
    {"step": 12, "val_loss": 0.6, "val_accuracy": 0.7},
    {"step": 20, "train_loss": 0.5, "grad_norm": 1.0},
    {"step": 24, "val_loss": 0.4, "val_accuracy": 0.8},
]
SCORES = [
    ModelScore("majority", 0.5),
    ModelScore("ours", 0.86, 0.84, 0.87),
    ModelScore("theirs", 0.88, published=True),
]


@pytest.fixture(scope="module")
def texts():
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, 300)
    positive = 1 / (1 + np.exp(-3 * random.normal(size=300) - 3 * (2 * labels - 1)))
    return labels, np.column_stack([1 - positive, positive])


@pytest.fixture(scope="module")
def roc(texts):
    return classification_metrics(*texts).roc[0]


def numbers(values):
    return np.array(values, dtype=float)


def every_figure(texts, roc, language):
    return [
        visualization.training_curve(METRICS, {"counting": 0.75}, language),
        visualization.confusion_map(CONFUSION, CLASSES, language),
        visualization.reliability_diagram({"a": calibration(*texts), "b": calibration(*texts)}, language),
        visualization.roc_curves({"a": roc, "b": roc}, language),
        visualization.risk_coverage_curves({"a": risk_coverage(*texts)}, language, target=0.95),
        visualization.domain_map(DOMAINS, language),
    ]


def every_png(texts, roc, folder):
    files = [folder / f"{name}.png" for name in ("confusion", "reliability", "roc", "coverage", "domains", "models")]
    png_figures.draw_confusion_map(CONFUSION, CLASSES, files[0])
    png_figures.draw_reliability_diagram({"a": calibration(*texts), "b": calibration(*texts)}, files[1])
    png_figures.draw_roc_curves({"a": roc, "b": roc}, files[2])
    png_figures.draw_risk_coverage_curves({"a": risk_coverage(*texts)}, files[3], target=0.95)
    png_figures.draw_domain_map(DOMAINS, files[4], "Pearson r")
    png_figures.draw_model_comparison(SCORES, "accuracy", files[5])
    return files


def test_every_figure_is_drawn_in_the_words_of_its_language(texts, roc):
    for english, chinese in zip(*(every_figure(texts, roc, language) for language in LANGUAGES), strict=True):
        # Class names, axis titles and hover texts; our own names are the same in both.
        assert not any("\u4e00" <= c <= "\u9fff" for c in english.to_json().encode().decode("unicode_escape"))
        assert any(
            "\u4e00" <= c <= "\u9fff" for c in json.dumps(chinese.to_plotly_json(), default=str, ensure_ascii=False)
        )
        assert english.layout.height == chinese.layout.height


def test_the_training_curve_has_each_measure_at_its_steps_and_the_baselines_accuracy():
    figure = visualization.training_curve(METRICS, {"counting": 0.75}, "en")
    curves = {curve.name: (list(curve.x), list(curve.y)) for curve in figure.data}
    assert curves["validation accuracy"] == ([12, 24], [0.7, 0.8])
    assert curves["validation loss"] == ([12, 24], [0.6, 0.4])
    assert curves["training loss"] == ([10, 20], [0.7, 0.5])
    (baseline,) = figure.layout.shapes
    assert baseline.y0 == baseline.y1 == 0.75 and figure.layout.annotations[0].text == "counting"


def test_the_confusion_map_has_true_classes_in_rows_from_the_top_and_shares_of_each_row():
    figure = visualization.confusion_map(CONFUSION, CLASSES, "en")
    heat = figure.data[0]
    np.testing.assert_allclose(numbers(heat.z), [[0.8, 0.2], [3 / 90, 87 / 90]], atol=1e-4)
    assert (heat.text[1][0], heat.text[0][1]) == ("3<br>3%", "2<br>20%")
    assert (list(heat.y), list(heat.x)) == (CLASSES, CLASSES)
    assert figure.layout.yaxis.autorange == "reversed"
    assert figure.layout.yaxis.title.text == "True class"
    assert figure.layout.xaxis.title.text == "Predicted class"


def test_a_true_class_without_texts_is_shown_as_zero():
    heat = visualization.confusion_map([[0, 0], [1, 3]], ["odd", "even"], "zh").data[0]
    assert numbers(heat.z).tolist() == [[0, 0], [0.25, 0.75]]
    assert list(heat.x) == ["odd", "even"], "a class that the table of phrases does not know keeps its name"


def test_the_reliability_diagram_plots_accuracy_over_confidence_and_the_share_below(texts):
    measured = calibration(*texts)
    figure = visualization.reliability_diagram({"ours": measured}, "en")
    ideal, curve, shares = figure.data
    filled = [bin_ for bin_ in measured.bins if bin_.count]
    np.testing.assert_allclose(numbers(curve.x), [bin_.confidence for bin_ in filled])
    np.testing.assert_allclose(numbers(curve.y), [bin_.accuracy for bin_ in filled])
    upper = numbers(curve.y) + numbers(curve.error_y.array)
    np.testing.assert_allclose(upper, [bin_.accuracy_high for bin_ in filled])
    assert numbers(shares.y).sum() == pytest.approx(1)
    assert curve.name == f"ours (ECE {measured.ece:.3f})"
    assert list(ideal.x) == list(ideal.y)
    assert figure.layout.xaxis.range[0] == pytest.approx(7 / 15), "two classes leave the left half empty"


def test_roc_curves_have_hits_upwards_and_name_their_area():
    curve = RocCurve("positive", [0.0, 0.1, 1.0], [0.0, 0.8, 1.0], 0.85)
    _, drawn = visualization.roc_curves({"ours": curve}, "en").data
    assert (numbers(drawn.x).tolist(), numbers(drawn.y).tolist()) == ([0, 0.1, 1], [0, 0.8, 1])
    assert drawn.name == "ours (AUC 0.850)"


def test_risk_coverage_shows_the_wanted_accuracy_within_its_range():
    curve = RiskCoverage([0.9, 0.6], [0.5, 1.0], [0.9, 0.8])
    figure = visualization.risk_coverage_curves({"ours": curve}, "en", target=0.7)
    assert (numbers(figure.data[0].x).tolist(), numbers(figure.data[0].y).tolist()) == ([0.5, 1], [0.9, 0.8])
    assert figure.layout.shapes[0].y0 == 0.7
    assert figure.layout.yaxis.range[0] < 0.7
    assert "70%" in figure.layout.annotations[0].text
    assert not visualization.risk_coverage_curves({"ours": curve}, "en").layout.shapes


def test_an_unlucky_first_text_does_not_squeeze_the_coverage_curve():
    curve = RiskCoverage([0.99, 0.9, 0.6], [0.001, 0.5, 1.0], [0.0, 0.95, 0.9])
    assert visualization.risk_coverage_curves({"ours": curve}, "en").layout.yaxis.range[0] > 0.8


def test_the_domain_map_has_what_was_trained_on_in_rows_and_frames_the_same_domain():
    figure = visualization.domain_map(DOMAINS, "en")
    heat = figure.data[0]
    assert (list(heat.y), list(heat.x)) == (["all of them", "tweets", "editorials"], ["tweets", "editorials"])
    np.testing.assert_allclose(numbers(heat.z), [[0.92, np.nan], [0.9, 0.55], [np.nan, 0.7]])
    assert [list(row) for row in heat.text] == [["0.920", ""], ["0.900", "0.550"], ["", "0.700"]]
    centres = [((shape.x0 + shape.x1) / 2, (shape.y0 + shape.y1) / 2) for shape in figure.layout.shapes]
    np.testing.assert_allclose(centres, [(0, 1), (1, 2)], atol=1e-9)
    assert (heat.zmin, heat.zmax) == (0.5, 1)


def test_an_interval_that_ends_at_zero_is_kept():
    assert reach(ModelScore("a", -0.1, -0.2, 0.0)) == pytest.approx((0.1, 0.1))


def test_models_are_told_apart_by_dash_as_well_as_by_colour(roc):
    drawn = visualization.roc_curves({f"model {i}": roc for i in range(6)}, "en").data[1:]
    assert len({line.line.dash for line in drawn}) == len({line.line.color for line in drawn}) == 6


@pytest.mark.parametrize("language", LANGUAGES)
def test_nothing_to_draw_is_an_empty_picture(language):
    assert visualization.reliability_diagram({}, language).data
    assert visualization.roc_curves({}, language).data
    assert not visualization.risk_coverage_curves({}, language).data


def test_every_picture_is_written_as_png_and_repeats_byte_for_byte(texts, roc, tmp_path):
    first = every_png(texts, roc, tmp_path / "once")
    again = every_png(texts, roc, tmp_path / "again")
    for file, twin in zip(first, again, strict=True):
        assert file.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
        assert file.read_bytes() == twin.read_bytes()
    assert len(list((tmp_path / "once").iterdir())) == len(first), "a draft was left behind"


def test_a_picture_that_fails_leaves_the_one_before(tmp_path):
    file = tmp_path / "roc.png"
    file.write_bytes(b"before")
    with pytest.raises(ValueError):
        png_figures.draw_roc_curves({"a": RocCurve("positive", [0.0, 1.0], [0.0], 0.5)}, file)
    assert file.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [file]


def test_png_pictures_show_the_numbers_they_were_given(texts, roc, tmp_path, monkeypatch):
    drawn = []
    from matplotlib.figure import Figure

    monkeypatch.setattr(Figure, "savefig", lambda self, draft, **_: (drawn.append(self), draft.write_bytes(b"")))
    every_png(texts, roc, tmp_path)
    confusion, reliability, curves, coverage, domains, models = (figure.axes for figure in drawn)
    np.testing.assert_allclose(confusion[0].images[0].get_array(), [[0.8, 0.2], [3 / 90, 87 / 90]])
    assert {text.get_text(): text.get_position() for text in confusion[0].texts}["2\n20%"] == (1, 0)
    assert confusion[0].get_ylabel() == "True class"
    measured = calibration(*texts)
    filled = [bin_ for bin_ in measured.bins if bin_.count]
    line = reliability[0].containers[0].lines[0]
    np.testing.assert_allclose(numbers(line.get_xdata()), [bin_.confidence for bin_ in filled])
    np.testing.assert_allclose(numbers(line.get_ydata()), [bin_.accuracy for bin_ in filled])
    assert sum(bar.get_height() for bar in reliability[1].patches) == pytest.approx(2)
    np.testing.assert_allclose(curves[0].lines[1].get_ydata(), roc.true_positive_rate)
    np.testing.assert_allclose(coverage[0].lines[0].get_ydata(), risk_coverage(*texts).accuracy)
    assert coverage[0].lines[1].get_ydata()[0] == 0.95
    assert {text.get_text(): text.get_position() for text in domains[0].texts}["0.550"] == (1, 1)
    assert [label.get_text() for label in domains[0].get_yticklabels()] == ["all of them", "tweets", "editorials"]
    frames = [
        (patch.get_x() + patch.get_width() / 2, patch.get_y() + patch.get_height() / 2) for patch in domains[0].patches
    ]
    np.testing.assert_allclose(frames, [(0, 1), (1, 2)], atol=1e-9)
    assert [text.get_text() for text in models[0].texts] == ["0.500", "0.860", "0.880"]
    (interval,) = models[0].containers[0].lines[2]
    np.testing.assert_allclose(interval.get_segments()[1], [(0.84, 1), (0.87, 1)])
    assert models[0].get_ylim()[0] > models[0].get_ylim()[1], "the first on top"
