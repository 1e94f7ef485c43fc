"""The pictures, as Plotly figures drawn by the browser: for the report, the demo page and the README alike."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from shared.phrases import Language, phrase

VISIBLE = {" ": "␣", "\n": "⏎", "\t": "⇥", "\ufffd": "�"}


def training_curve(metrics: Sequence[dict[str, Any]], baselines: dict[str, float], language: Language) -> go.Figure:
    """Loss by step from a run's metrics, with a dashed line for each baseline (name -> nats a character)."""
    figure = go.Figure()
    for key, style in (("train_loss", {"width": 1}), ("val_loss", {"width": 3})):
        lines = [line for line in metrics if key in line]
        figure.add_scatter(
            x=[line["step"] for line in lines],
            y=[line[key] for line in lines],
            mode="lines+markers" if key == "val_loss" else "lines",
            line=style,
            name=phrase(f"transformer.{key}", language),
        )
    for name, loss in baselines.items():
        figure.add_hline(y=loss, line={"dash": "dot", "width": 1}, annotation_text=name, annotation_font_size=11)
    figure.update_layout(
        xaxis_title=phrase("transformer.step", language),
        yaxis_title=phrase("transformer.loss_axis", language),
        legend={"orientation": "h", "y": 1.1},
        height=420,
    )
    return figure


def attention_map(weights: np.ndarray, characters: str, language: Language) -> go.Figure:
    """One head's weights (T, T): each row is a character, and shows where it looked."""
    names = [f"{i} {show(character)}" for i, character in enumerate(characters)]  # unique, for axes go by name
    figure = go.Figure(
        go.Heatmap(
            z=np.round(weights, 4),
            x=names,
            y=names,
            colorscale="Blues",
            zmin=0,
            zmax=1,
            hovertemplate=phrase("transformer.looks_at", language) + "<extra></extra>",
        )
    )
    ticks = {"tickmode": "array", "tickvals": names, "ticktext": [show(c) for c in characters], "tickangle": 0}
    figure.update_layout(
        xaxis={**ticks, "side": "top", "title": phrase("transformer.looked_at", language)},
        yaxis={**ticks, "autorange": "reversed", "title": phrase("transformer.looking", language)},
        height=620,
    )
    return figure


def attention_heads(maps: np.ndarray, characters: str, language: Language) -> go.Figure:
    """All heads of all layers at a glance: maps (layers, heads, T, T)."""
    from plotly.subplots import make_subplots

    layers, heads = maps.shape[:2]
    titles = [
        phrase("transformer.layer_head", language, layer=layer + 1, head=head + 1)
        for layer in range(layers)
        for head in range(heads)
    ]
    figure = make_subplots(layers, heads, subplot_titles=titles, horizontal_spacing=0.02, vertical_spacing=0.05)
    for layer in range(layers):
        for head in range(heads):
            heat = go.Heatmap(z=np.round(maps[layer, head], 3), coloraxis="coloraxis", hoverinfo="z")
            figure.add_trace(heat, row=layer + 1, col=head + 1)
    figure.update_xaxes(showticklabels=False)
    figure.update_yaxes(showticklabels=False, autorange="reversed")
    figure.update_annotations(font_size=11)
    figure.update_layout(height=220 * layers, coloraxis={"colorscale": "Blues", "cmin": 0, "cmax": 1})
    return figure


def next_characters(probabilities: np.ndarray, alphabet: str, language: Language, most: int = 12) -> go.Figure:
    """The likeliest next characters, from probabilities (V,) and the character of each id."""
    likeliest = np.argsort(-probabilities)[:most][::-1]
    figure = go.Figure(go.Bar(x=probabilities[likeliest], y=[show(alphabet[i]) for i in likeliest], orientation="h"))
    figure.update_layout(
        xaxis={"title": phrase("transformer.probability", language), "range": [0, 1], "tickformat": ".0%"},
        yaxis={"type": "category"},
        height=60 + 26 * len(likeliest),
    )
    return figure


def positional_encoding(table: np.ndarray, language: Language) -> go.Figure:
    """The encoding (T, D) as a picture: one row a position."""
    figure = go.Figure(go.Heatmap(z=np.round(table, 3), colorscale="RdBu", zmid=0))
    figure.update_layout(
        xaxis_title=phrase("transformer.dimension", language),
        yaxis={"title": phrase("transformer.position", language), "autorange": "reversed"},
        height=420,
    )
    return figure


def show(character: str) -> str:
    """A visible sign for a character that has none."""
    return VISIBLE.get(character, character)
