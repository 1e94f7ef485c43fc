"""The demo page's pictures of what goes on inside a model that reads one text, drawn from an `Inspection`.

Shades are transparent at zero, so that they look right on a light page and on a dark one.
"""

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from shared.phrases import Language, phrase
from transformer_from_scratch.figures import attention_map, show
from transformer_from_scratch.inspection import Inspection

SHADES = [[0, "rgba(31,119,180,0)"], [1, "rgba(31,119,180,1)"]]
SIGNED = [[0, "rgba(31,119,180,1)"], [0.5, "rgba(128,128,128,0.06)"], [1, "rgba(214,39,40,1)"]]
BLUE, ORANGE, RED = "rgb(31,119,180)", "rgb(255,127,14)", "rgb(214,39,40)"


def next_bars(
    plain: np.ndarray, drawn_from: np.ndarray, alphabet: str, language: Language, most: int = 12
) -> go.Figure:
    """The likeliest next characters: the model's own (dashes), and after temperature and filters (bars); (V,) each."""
    likeliest = np.argsort(-plain, kind="stable")[:most]
    names = [show(alphabet[i]) for i in likeliest]
    figure = go.Figure()
    # A dash for each, which bars of any height leave in sight.
    figure.add_scatter(
        x=names,
        y=plain[likeliest],
        name=phrase("transformer.page.plain", language),
        mode="markers",
        marker={"symbol": "line-ew", "size": 18, "line": {"width": 3, "color": ORANGE}},
        hovertemplate="%{x}  %{y:.1%}<extra></extra>",
    )
    figure.add_bar(
        x=names,
        y=drawn_from[likeliest],
        name=phrase("transformer.page.drawn_from", language),
        marker_color=BLUE,
        hovertemplate="%{x}  %{y:.1%}<extra></extra>",
    )
    for name, index in zip(names, likeliest, strict=True):
        top = max(plain[index], drawn_from[index])
        figure.add_annotation(x=name, y=top, text=f"{drawn_from[index]:.0%}", showarrow=False, yshift=11, font_size=11)
    return figure.update_layout(
        xaxis={"type": "category", "tickfont": {"size": 18}, "range": [-0.6, len(names) - 0.4]},
        yaxis={"range": [0, 1.08], "tickformat": ".0%", "tickvals": [0, 0.5, 1]},
        legend={"orientation": "h", "y": 1.15},
        height=270,
        margin={"t": 30, "b": 10, "l": 10, "r": 10},
    )


def gaze_map(weights: np.ndarray, characters: str, position: int, language: Language) -> go.Figure:
    """One head's weights (T, T) in the space of half a page, the row of `position` framed."""
    figure = attention_map(weights, characters, language)
    figure.update_traces(colorscale=SHADES, showscale=False)
    _frame(figure, -0.5, len(characters) - 0.5, position - 0.5, position + 0.5)
    figure.update_xaxes(showgrid=False)
    figure.update_yaxes(showgrid=False)
    return figure.update_layout(height=520, margin={"t": 60, "b": 10, "l": 10, "r": 10})


def lens(inside: Inspection, characters: str, alphabet: str, position: int, ink: str, language: Language) -> go.Figure:
    """The best guess of what follows each character, stage by stage; the last row is the model's answer.

    `ink` is the colour of the characters: black on a light page, white on a dark one.
    """
    best = inside.probabilities.argmax(-1)  # (L + 1, T)
    share = inside.probabilities.max(-1)
    guesses = [[show(alphabet[i]) for i in row] for row in best]
    stages = stage_names(len(best) - 1, language)
    names = axis_names(characters)
    figure = go.Figure(
        go.Heatmap(
            z=np.round(share, 3),
            x=names,
            y=stages,
            text=guesses,
            texttemplate="%{text}",
            textfont={"size": 15, "color": ink},
            colorscale=SHADES,
            zmin=0,
            zmax=1.5,  # never so blue that the character on it cannot be read
            showscale=False,
            xgap=1,
            ygap=1,
            hovertemplate=phrase("transformer.page.lens_hover", language) + "<extra></extra>",
        )
    )
    _frame(figure, position - 0.5, position + 0.5, -0.5, len(stages) - 0.5)
    return figure.update_layout(
        xaxis={**_ticks(characters), "side": "top"},
        yaxis={"autorange": "reversed", "showgrid": False},
        height=70 + 34 * len(stages),
        margin={"t": 40, "b": 10, "l": 10, "r": 10},
    )


def lens_course(inside: Inspection, alphabet: str, position: int, language: Language, most: int = 5) -> go.Figure:
    """How the finally likeliest characters gain and lose from stage to stage, at one position."""
    course = inside.probabilities[:, position]  # (L + 1, V)
    figure = go.Figure()
    for index in np.argsort(-course[-1], kind="stable")[:most]:
        figure.add_scatter(
            x=stage_names(len(course) - 1, language),
            y=course[:, index],
            name=show(alphabet[index]),
            mode="lines+markers",
            hovertemplate="%{y:.1%}",
        )
    return figure.update_layout(
        yaxis={"tickformat": ".0%", "rangemode": "tozero"},
        legend={"font": {"size": 16}},
        height=260,
        hovermode="x unified",
        margin={"t": 20, "b": 10, "l": 10, "r": 10},
    )


def head_arithmetic(
    inside: Inspection, characters: str, layer: int, head: int, position: int, language: Language
) -> go.Figure:
    """One head at one position, number by number: query, keys, scores, weights, weighted values, output."""
    seen = characters[: position + 1]
    query, output = inside.queries[layer, head, position], inside.outputs[layer, head, position]  # (Dh,)
    keys, values = inside.keys[layer, head, : position + 1], inside.values[layer, head, : position + 1]  # (S, Dh)
    weights = inside.weights[layer, head, position, : position + 1]  # (S,)
    scores = inside.scores[layer, head, position, : position + 1]
    names = axis_names(seen)

    rows = len(seen)
    figure = make_subplots(
        3,
        4,
        shared_yaxes="rows",
        row_heights=[1.6 / (rows + 3.2), rows / (rows + 3.2), 1.6 / (rows + 3.2)],
        column_widths=[0.36, 0.14, 0.14, 0.36],
        horizontal_spacing=0.025,
        vertical_spacing=min(0.12, 1.8 / (rows + 6)),
        specs=[[{}, None, None, None], [{}, {}, {}, {}], [None, None, None, {}]],
        subplot_titles=[
            phrase("transformer.page.chain.query", language, character=show(characters[position])),
            phrase("transformer.page.chain.keys", language),
            phrase("transformer.page.chain.scores", language),
            phrase("transformer.page.chain.weights", language),
            phrase("transformer.page.chain.values", language),
            phrase("transformer.page.chain.output", language),
        ],
    )
    far = float(max(np.abs(query).max(), np.abs(keys).max())) or 1.0
    figure.add_trace(_vectors(query[None], [""], far, "q%{x} = %{z:.2f}"), 1, 1)
    hover = "%{y}: k%{x} = %{z:.2f}<br>q%{x} · k%{x} = %{customdata:.2f}"
    figure.add_trace(_vectors(keys, names, far, hover, keys * query), 2, 1)
    bars = {"y": names, "orientation": "h", "textposition": "outside", "textangle": 0, "cliponaxis": False}
    colours = [RED if score > 0 else BLUE for score in scores]
    figure.add_trace(go.Bar(x=scores, text=[f"{s:.1f}" for s in scores], marker_color=colours, **bars), 2, 2)
    shares = [f"{weight:.0%}" if weight >= 0.005 else "" for weight in weights]
    figure.add_trace(go.Bar(x=weights, text=shares, marker_color=ORANGE, **bars), 2, 3)
    taken = weights[:, None] * values
    far = float(max(np.abs(taken).max(), np.abs(output).max())) or 1.0
    figure.add_trace(_vectors(taken, names, far, "%{y}: %{z:.3f}<br>v%{x} = %{customdata:.2f}", values), 2, 4)
    figure.add_trace(_vectors(output[None], [""], far, "%{z:.3f}"), 3, 4)

    figure.update_xaxes(showticklabels=False, ticks="", showgrid=False, zeroline=False)
    figure.update_yaxes(ticks="", showgrid=False, zeroline=False)
    figure.update_yaxes(**_ticks(seen), autorange="reversed", row=2)
    # Room for the numbers beside the bars.
    low, high = min(float(scores.min()), 0.0), max(float(scores.max()), 0.0)
    room = 0.35 * (high - low or 1.0)
    figure.update_xaxes(range=[low - room, high + room], row=2, col=2)
    figure.update_xaxes(range=[0, 1.35 * float(weights.max())], row=2, col=3)
    figure.update_annotations(font_size=13)
    return figure.update_layout(
        height=170 + 22 * (rows + 2), showlegend=False, bargap=0.15, margin={"t": 30, "b": 10, "l": 10, "r": 10}
    )


def stream_map(inside: Inspection, characters: str, position: int, language: Language) -> go.Figure:
    """The length of each position's vector at each stage of the residual stream."""
    norms = inside.stream_norms
    figure = go.Figure(
        go.Heatmap(
            z=np.round(norms, 2),
            x=axis_names(characters),
            y=stage_names(len(norms) - 1, language),
            colorscale=SHADES,
            zmin=0,
            zmax=float(norms.max()),
            xgap=1,
            ygap=1,
            colorbar={"thickness": 10},
            hovertemplate="%{x}<br>%{y}: %{z:.1f}<extra></extra>",
        )
    )
    _frame(figure, position - 0.5, position + 0.5, -0.5, len(norms) - 0.5)
    return figure.update_layout(
        xaxis={**_ticks(characters), "side": "top"},
        yaxis={"autorange": "reversed", "showgrid": False},
        height=90 + 32 * len(norms),
        margin={"t": 40, "b": 10, "l": 10, "r": 10},
    )


def stream_growth(inside: Inspection, position: int, language: Language) -> go.Figure:
    """At one position: how long the stream's vector is, and how long what each block's two halves add to it."""
    layers = len(inside.added)
    figure = go.Figure()
    stages = stage_names(layers, language)
    for half, (key, colour) in enumerate((("attention_adds", ORANGE), ("feed_forward_adds", "rgb(44,160,44)"))):
        figure.add_bar(
            x=stages[1:],
            y=inside.added_norms[:, half, position],
            name=phrase(f"transformer.page.{key}", language),
            marker_color=colour,
            hovertemplate="%{y:.1f}",
        )
    figure.add_scatter(
        x=stages,
        y=inside.stream_norms[:, position],
        name=phrase("transformer.page.stream", language),
        mode="lines+markers",
        line_color=BLUE,
        hovertemplate="%{y:.1f}",
    )
    return figure.update_layout(
        xaxis={"categoryorder": "array", "categoryarray": stages},
        yaxis={"rangemode": "tozero"},
        legend={"orientation": "h", "y": 1.15},
        height=280,
        hovermode="x unified",
        margin={"t": 20, "b": 10, "l": 10, "r": 10},
    )


def distance_curve(curve: np.ndarray, language: Language) -> go.Figure:
    """A rotary head's score by distance, from `scores_by_distance`, (distances,)."""
    figure = go.Figure(
        go.Scatter(y=curve, mode="lines", line_color=BLUE, hovertemplate="%{x}: %{y:.2f}<extra></extra>")
    )
    return figure.update_layout(
        xaxis={"title": phrase("transformer.page.distance", language), "autorange": "reversed"},
        yaxis_title=phrase("transformer.page.score", language),
        height=300,
        margin={"t": 20, "b": 10, "l": 10, "r": 10},
    )


def stage_names(layers: int, language: Language) -> list[str]:
    """The stages of the residual stream: the embeddings, then the end of each layer."""
    names = [phrase("transformer.page.after_layer", language, layer=layer + 1) for layer in range(layers)]
    return [phrase("transformer.page.embeddings", language), *names]


def axis_names(characters: str) -> list[str]:
    """A name for each position that no other has, for axes go by name."""
    return [f"{i} {show(character)}" for i, character in enumerate(characters)]


def _ticks(characters: str) -> dict[str, object]:
    signs = [show(character) for character in characters]
    return {
        "tickmode": "array",
        "tickvals": axis_names(characters),
        "ticktext": signs,
        "tickangle": 0,
        "showgrid": False,
    }


def _vectors(rows: np.ndarray, names: list[str], far: float, hover: str, more: np.ndarray | None = None) -> go.Heatmap:
    return go.Heatmap(
        z=np.round(rows, 4),
        y=names,
        customdata=more,
        colorscale=SIGNED,
        zmin=-far,
        zmax=far,
        showscale=False,
        ygap=1,
        hovertemplate=hover + "<extra></extra>",
    )


def _frame(figure: go.Figure, x0: float, x1: float, y0: float, y1: float) -> None:
    figure.add_shape(type="rect", x0=x0, x1=x1, y0=y0, y1=y1, line={"color": ORANGE, "width": 2})
