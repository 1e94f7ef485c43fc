"""The demo page's third part: how good the model is on texts it never saw, and how far it carries to other domains."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st

from bert_sentiment_analysis.config import PROJECT
from bert_sentiment_analysis.evaluation.calibration import abstains, calibration, risk_coverage
from bert_sentiment_analysis.evaluation.metrics import classification_metrics
from bert_sentiment_analysis.evaluation.picture_data import class_name, domain_name
from bert_sentiment_analysis.evaluation.visualization import (
    confusion_map,
    domain_map,
    reliability_diagram,
    risk_coverage_curves,
    roc_curves,
)
from bert_sentiment_analysis.page_models import Model, Page, model_name
from bert_sentiment_analysis.published import PUBLISHED_R
from shared.page import chart
from shared.phrases import has_phrase, phrase
from shared.splits import RATED

RESULTS = Path(__file__).with_name("results")
HELD_OUT = "held_out.json"
EXPLAINED = {"ECE": "ece_help", "AUC": "auc_help"}
LEFT_OUT = {"spread", "gap", "p_holm", "n_test", "seeds", "train_seconds", "examples_per_s", "detail", "link"}
"""Columns of results that the page has no room for; the README has them."""
HEIGHT, MARGIN = 400, {"t": 70, "b": 10, "l": 60, "r": 10}


def show(page: Page) -> None:
    say = page.say
    st.subheader(say("held_out"))
    found = held_out(page.model)
    if page.model.rates:
        st.info(say("rates_only"))
    elif found is None:
        st.info(say("no_held_out", file=HELD_OUT))
    else:
        n = f"{len(found[0]):,}"
        if page.model.folder is None:
            st.markdown(say("held_out_counted", n=n))
        else:
            st.markdown(say("held_out_lead", name=model_name(page.model.folder, say), n=n))
        measured(page, *found, "held-out")
    _domains(page)
    for name in ("ladder", "fine_tune"):
        _results_table(page, name)


def measured(page: Page, labels: np.ndarray, probabilities: np.ndarray, key: str) -> None:
    """Pictures and numbers of labels (N,) against probabilities (N, C). `key` tells the charts of two places apart."""
    say, language = page.say, page.language
    metrics = classification_metrics(labels, probabilities, page.model.classes)
    certainty = calibration(labels, probabilities)
    answered = ~abstains(probabilities, page.model.predictor.abstain_below)
    right = probabilities.argmax(1) == labels
    numbers = {
        say("accuracy"): f"{metrics.accuracy:.1%}",
        say("answered"): f"{answered.mean():.1%}",
        say("accuracy_answered"): f"{right[answered].mean():.1%}" if answered.any() else "–",
        "ECE": f"{certainty.ece:.3f}",
        "AUC": "–" if metrics.auc is None else f"{metrics.auc:.3f}",
    }
    with st.container(horizontal=True, gap="large"):
        for name, value in numbers.items():
            st.metric(name, value, width="content", help=say(EXPLAINED[name]) if name in EXPLAINED else None)
    this = say("this_model")
    certain = reliability_diagram({this: certainty}, language)
    silent = risk_coverage_curves({this: risk_coverage(labels, probabilities)}, language)
    mistakes = confusion_map(metrics.confusion, page.model.classes, language)
    ranks = roc_curves({class_name(curve.name, language): curve for curve in metrics.roc}, language)
    for pair in ({"reliability": certain, "risk_coverage": silent}, {"confusion": mistakes, "roc": ranks}):
        for place, (name, figure) in zip(st.columns(2, gap="large"), pair.items(), strict=True):
            with place:
                st.markdown(say(name))
                chart(figure.update_layout(height=HEIGHT, margin=MARGIN), f"{key}-{name}")


def _domains(page: Page) -> None:
    """Trained on one domain, tested on another; beside it what others published for the same texts."""
    say, language = page.say, page.language
    st.subheader(say("domains"))
    st.markdown(say("domains_lead"))
    st.markdown(say("domains_measured"))
    rows = read_rows_of(RESULTS / "domain_matrix.json")
    if rows is None:
        _no_file("domain_matrix", page)
    else:
        ours = (row for row in rows if row["source"] == "here")
        scores = {row["trained_on"]: {domain: row[domain] for domain in RATED} for row in ours}
        chart(domain_map(scores, language), "domains")
    st.markdown(say("domains_published"))
    table = [
        {phrase("sentiment.tested_on", language): domain_name(domain, language)}
        | {say("one_human") if who == "one human" else who: f"{r[domain]:.3f}" for who, r in PUBLISHED_R.items()}
        for domain in RATED
    ]
    st.table(table)
    st.caption(say("published_source"))


def _results_table(page: Page, name: str) -> None:
    say = page.say
    st.subheader(say(f"table.{name}"))
    rows = read_rows_of(RESULTS / f"{name}.json")
    if rows is None:
        _no_file(name, page)
        return
    rows = [row for row in rows if row.get("source") != "not measured"]
    columns = [column for column in dict.fromkeys(column for row in rows for column in row) if column not in LEFT_OUT]
    st.dataframe(
        [{_heading(column, page): _cell(row.get(column), page) for column in columns} for row in rows],
        hide_index=True,
        height="content",
        key=f"table-{name}",
    )


def _no_file(name: str, page: Page) -> None:
    st.info(page.say("no_results"))
    st.code(f"python -m {PROJECT}.benchmark {name} --save", language="bash", wrap_lines=True)


def _heading(column: str, page: Page) -> str:
    return phrase(f"column.{column}", page.language) if has_phrase(f"column.{column}") else column


def _cell(value: Any, page: Page) -> str:
    if isinstance(value, float):
        return f"{value:,.1f}" if abs(value) >= 10 else f"{value:.3f}"
    if isinstance(value, dict):
        return ", ".join(f"{domain_name(key, page.language)} {_cell(each, page)}" for key, each in value.items())
    if has_phrase(f"sentiment.page.row.{value}"):
        return page.say(f"row.{value}")
    return "–" if value is None else domain_name(str(value), page.language)


def held_out(model: Model) -> tuple[np.ndarray, np.ndarray] | None:
    """Labels (N,) and the model's probabilities (N, C) of texts that it never saw; None where none are kept."""
    if model.counted:
        return model.counted.held_out
    return None if model.folder is None else read_held_out(model.folder / HELD_OUT, len(model.classes))


def read_held_out(file: Path, n_classes: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Labels (N,) and probabilities (N, C), made to sum to 1 again after rounding; None without a whole file."""
    found = _read_json(file)
    try:
        labels = np.array(found["labels"], dtype=int)
        probabilities = np.array(found["probabilities"], dtype=float)
    except (TypeError, KeyError, ValueError):
        return None
    if not len(labels) or probabilities.shape != (len(labels), n_classes):
        return None
    return labels, probabilities / probabilities.sum(axis=1, keepdims=True)


def read_rows_of(file: Path) -> list[dict[str, Any]] | None:
    """The rows of a benchmark's result; None without a whole file."""
    found = _read_json(file)
    rows = found.get("rows") if isinstance(found, dict) else None
    return rows if isinstance(rows, list) and rows and all(isinstance(row, dict) for row in rows) else None


def _read_json(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
