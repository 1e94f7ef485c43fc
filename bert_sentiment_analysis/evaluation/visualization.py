"""The pictures of an evaluation as Plotly figures drawn by the browser, for the report and the demo page.

png_figures.py draws the same from the same numbers for the README. Colours are Okabe and Ito's, which colour-blind
readers tell apart, each with a dash of its own. Shades are opaque and light enough for dark ink, and nothing else has
a colour of its own, so that all is readable on a light page and on a dark one.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go

from bert_sentiment_analysis.evaluation.picture_data import (
    BLUE,
    COLOURS,
    INK,
    ORANGE,
    SHADES,
    cell_texts,
    class_name,
    coverage_bottom,
    domain_name,
    domain_range,
    domain_table,
    reliability_corner,
    row_shares,
    same_domain,
)
from shared.phrases import Language, phrase

if TYPE_CHECKING:  # a page that draws saved results need not load scikit-learn
    from bert_sentiment_analysis.evaluation.calibration import Calibration, RiskCoverage
    from bert_sentiment_analysis.evaluation.metrics import RocCurve

GREY = "rgba(128,128,128,0.9)"
DASHES = ["solid", "dash", "dot", "dashdot", "longdash", "longdashdot"]


def training_curve(
    metrics: Sequence[Mapping[str, float]], baselines: Mapping[str, float], language: Language
) -> go.Figure:
    """A training as `metrics.jsonl` has it: accuracy on validation texts above the losses, by step.

    A dotted line for the accuracy of each baseline on the same texts.
    """
    from plotly.subplots import make_subplots

    figure = make_subplots(2, 1, shared_xaxes=True, row_heights=[0.6, 0.4], vertical_spacing=0.06)
    lines = [
        ("val_accuracy", "sentiment.val_accuracy", 1, BLUE),
        ("val_loss", "sentiment.val_loss", 2, BLUE),
        ("train_loss", "sentiment.train_loss", 2, GREY),
    ]
    for measure, key, row, colour in lines:
        points = [line for line in metrics if measure in line]
        figure.add_scatter(
            x=[line["step"] for line in points],
            y=[round(line[measure], 4) for line in points],
            mode="lines" if measure == "train_loss" else "lines+markers",
            line={"color": colour, "width": 1.5 if measure == "train_loss" else 2.5},
            name=phrase(key, language),
            row=row,
            col=1,
        )
    for name, accuracy in baselines.items():
        line = {"color": GREY, "dash": "dot"}
        figure.add_hline(y=accuracy, line=line, annotation_text=name, annotation_position="bottom right", row=1)
    figure.update_xaxes(title=phrase("sentiment.step", language), row=2)
    figure.update_yaxes(tickformat=".0%", title=phrase("sentiment.accuracy", language), row=1)
    figure.update_yaxes(title=phrase("sentiment.loss", language), row=2)
    return figure.update_layout(height=480, legend={"orientation": "h", "y": 1.12}, hovermode="x")


def confusion_map(confusion: Sequence[Sequence[int]], class_names: Sequence[str], language: Language) -> go.Figure:
    """Confusion matrix (C, C): each row is a true class, shaded by the share that each answer got."""
    counts = np.asarray(confusion)
    names = [class_name(name, language) for name in class_names]
    figure = go.Figure(
        go.Heatmap(
            z=np.round(row_shares(counts), 4),
            x=names,
            y=names,
            customdata=counts,
            text=cell_texts(counts, "<br>"),
            texttemplate="%{text}",
            textfont={"size": 17, "color": INK},
            colorscale=SHADES,
            zmin=0,
            zmax=1,
            showscale=False,
            xgap=3,
            ygap=3,
            hovertemplate=phrase("sentiment.confusion_hover", language) + "<extra></extra>",
        )
    )
    return figure.update_layout(
        **heat_map_axes(phrase("sentiment.predicted_class", language), phrase("sentiment.true_class", language)),
        height=90 + 85 * len(names),
    )


def reliability_diagram(calibrations: Mapping[str, "Calibration"], language: Language) -> go.Figure:
    """Accuracy by confidence, above how many texts have that confidence; one curve for each name.

    On the dotted line confidence is what it says; below it the model promises too much. Whiskers show how far chance
    moves a bin with so few texts.
    """
    from plotly.subplots import make_subplots

    figure = make_subplots(2, 1, shared_xaxes=True, row_heights=[0.75, 0.25], vertical_spacing=0.06)
    ideal = {"x": [0, 1], "y": [0, 1], "mode": "lines", "line": {"color": GREY, "dash": "dot"}, "hoverinfo": "skip"}
    figure.add_scatter(**ideal, name=phrase("sentiment.calibrated", language), row=1, col=1)
    for i, (name, measured) in enumerate(calibrations.items()):
        bins = [bin_ for bin_ in measured.bins if bin_.count]
        x = [bin_.confidence for bin_ in bins]
        accuracy = np.array([bin_.accuracy for bin_ in bins])
        figure.add_scatter(
            x=x,
            y=accuracy,
            error_y={
                "array": np.array([bin_.accuracy_high for bin_ in bins]) - accuracy,
                "arrayminus": accuracy - [bin_.accuracy_low for bin_ in bins],
                "thickness": 1,
                "width": 3,
            },
            customdata=[bin_.count for bin_ in bins],
            mode="lines+markers",
            line=line_style(i),
            marker={"size": 8},
            name=f"{name} (ECE {measured.ece:.3f})",
            legendgroup=name,
            hovertemplate=phrase("sentiment.reliability_hover", language) + "<extra></extra>",
            row=1,
            col=1,
        )
        figure.add_bar(
            x=[(bin_.low + bin_.high) / 2 for bin_ in bins],
            y=[bin_.count / measured.n for bin_ in bins],
            marker_color=COLOURS[i % len(COLOURS)],
            legendgroup=name,
            showlegend=False,
            hovertemplate="%{y:.1%}<extra></extra>",
            row=2,
            col=1,
        )
    left, bottom = reliability_corner(calibrations)
    figure.update_xaxes(range=[left, 1.005], tickformat=".0%", dtick=0.1)
    figure.update_xaxes(title=phrase("sentiment.confidence", language), row=2)
    figure.update_yaxes(range=[bottom, 1.01], tickformat=".0%", title=phrase("sentiment.accuracy", language), row=1)
    figure.update_yaxes(tickformat=".0%", title=phrase("sentiment.share", language), nticks=4, row=2)
    return figure.update_layout(height=520, legend={"orientation": "h", "y": 1.1}, bargap=0.1)


def roc_curves(curves: Mapping[str, "RocCurve"], language: Language) -> go.Figure:
    """Hits against false alarms, one curve for each model (or class); the dotted line is guessing."""
    figure = go.Figure()
    guessing = {"x": [0, 1], "y": [0, 1], "mode": "lines", "line": {"color": GREY, "dash": "dot"}, "hoverinfo": "skip"}
    figure.add_scatter(**guessing, name=phrase("sentiment.guessing", language))
    for i, (name, curve) in enumerate(curves.items()):
        figure.add_scatter(
            x=np.round(curve.false_positive_rate, 4),
            y=np.round(curve.true_positive_rate, 4),
            mode="lines",
            line=line_style(i),
            name=f"{name} (AUC {curve.auc:.3f})",
            hovertemplate=phrase("sentiment.roc_hover", language) + "<extra></extra>",
        )
    return figure.update_layout(
        xaxis={"title": phrase("sentiment.false_positives", language), "range": [-0.01, 1], "tickformat": ".0%"},
        yaxis={"title": phrase("sentiment.true_positives", language), "range": [0, 1.01], "tickformat": ".0%"},
        legend={"x": 0.98, "y": 0.04, "xanchor": "right", "yanchor": "bottom", "bgcolor": "rgba(0,0,0,0)"},
        height=460,
    )


def risk_coverage_curves(
    curves: Mapping[str, "RiskCoverage"], language: Language, target: float | None = None
) -> go.Figure:
    """Accuracy of the answers given, by the share of texts answered; the dotted line is the wanted accuracy."""
    figure = go.Figure()
    for i, (name, curve) in enumerate(curves.items()):
        figure.add_scatter(
            x=np.round(curve.coverage, 4),
            y=np.round(curve.accuracy, 4),
            customdata=np.round(curve.threshold, 4),
            mode="lines" if len(curve.coverage) > 1 else "markers",
            line=line_style(i),
            name=name,
            hovertemplate=phrase("sentiment.coverage_hover", language) + "<extra></extra>",
        )
    if target is not None:
        text = phrase("sentiment.wanted_accuracy", language, target=f"{target:.0%}")
        line = {"color": GREY, "dash": "dot"}
        figure.add_hline(y=target, line=line, annotation_text=text, annotation_position="top right")
    bottom = coverage_bottom(curves, target)
    return figure.update_layout(
        xaxis={"title": phrase("sentiment.coverage", language), "range": [0, 1.01], "tickformat": ".0%"},
        yaxis={"title": phrase("sentiment.accuracy_answered", language), "range": [bottom, 1.005], "tickformat": ".0%"},
        legend={"orientation": "h", "y": 1.12},
        showlegend=True,
        height=420,
    )


def domain_map(scores: Mapping[str, Mapping[str, float | None]], language: Language) -> go.Figure:
    """Scores by domain trained on (rows) and tested on (columns); equal ones are framed, the unmeasured is empty."""
    rows, columns, z = domain_table(scores)
    trained, tested = ([domain_name(name, language) for name in names] for names in (rows, columns))
    low, high = domain_range(z)
    figure = go.Figure(
        go.Heatmap(
            z=z,
            x=tested,
            y=trained,
            text=[["" if np.isnan(value) else f"{value:.3f}" for value in row] for row in z],
            texttemplate="%{text}",
            textfont={"size": 16, "color": INK},
            colorscale=SHADES,
            zmin=low,
            zmax=high,
            showscale=False,
            hoverongaps=False,
            xgap=3,
            ygap=3,
            hovertemplate=phrase("sentiment.domain_hover", language) + "<extra></extra>",
        )
    )
    for i, j in same_domain(rows, columns):
        frame = {"color": ORANGE, "width": 3}
        figure.add_shape(type="rect", x0=j - 0.48, x1=j + 0.48, y0=i - 0.47, y1=i + 0.47, line=frame)
    return figure.update_layout(
        **heat_map_axes(phrase("sentiment.tested_on", language), phrase("sentiment.trained_on", language)),
        height=90 + 58 * len(rows),
    )


def heat_map_axes(columns: str, rows: str) -> dict[str, object]:
    """Layout with the columns' title above, the first row on top, and no title across the names."""
    common = {"showgrid": False, "zeroline": False, "automargin": True}
    return {
        "xaxis": {**common, "title": {"text": columns, "standoff": 12}, "side": "top"},
        "yaxis": {**common, "title": {"text": rows, "standoff": 12}, "autorange": "reversed"},
        "margin": {"t": 70, "b": 15, "l": 60, "r": 20},
    }


def line_style(i: int) -> dict[str, object]:
    return {"color": COLOURS[i % len(COLOURS)], "dash": DASHES[i % len(DASHES)], "width": 2.5}
