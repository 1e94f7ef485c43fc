"""Parsers of texts, tables, settings and runs, and of the models of projects 1, 2, 3 and 5."""

import json
from pathlib import Path
from typing import Any

from tools.borrowed import of_tests
from tools.fuzz_case import Parser, text_file
from tools.projects import CHECKOUT

# shared


def _settings(file: Path) -> None:
    from shared.config import parse_config
    from transformer_from_scratch.config import ARCHITECTURES, PRESETS, TrainingConfig

    parse_config(TrainingConfig, ["--config", str(file)], presets={"preset": PRESETS, "architecture": ARCHITECTURES})


def _examples(file: Path) -> None:
    from shared.datasets import load_examples

    load_examples(str(file))


def _build_run(folder: Path) -> None:
    from shared.runs import RunFolder

    run = RunFolder.create(folder / "run", "toy", {"width": 3})
    run.log_metrics({"step": 1, "val_loss": 1.5})
    run.log_metrics({"step": 2, "val_loss": 1.4})
    run.write_summary({"val_loss": 1.4})


def _read_run(folder: Path) -> None:
    from shared.runs import RunFolder

    run = RunFolder.open(folder / "run")
    run.config(), run.summary(), run.metrics()


# transformer_from_scratch


def _build_language_model(folder: Path) -> None:
    from shared.config import to_dict
    from shared.runs import RunFolder
    from transformer_from_scratch import checkpoint, training
    from transformer_from_scratch.config import PRESETS, TrainingConfig

    (folder / "text.txt").write_text("a small text of some words, " * 40)
    config = TrainingConfig(**{**PRESETS["tiny"], "data": str(folder / "text.txt")})
    run = RunFolder.create(folder / "run", "toy", to_dict(config))
    text = training.prepare_text(config)
    model, optimizers = training.make_model(config, len(text.tokenizer))
    text.tokenizer.save(run.path)
    checkpoint.save_model(run.path, model)
    checkpoint.save_checkpoint(run.path, model, optimizers, 1, 1.0)


def _read_language_model(folder: Path) -> None:
    from transformer_from_scratch import checkpoint, training

    model, tokenizer = checkpoint.load_model(folder / "run")
    config: Any = model.config
    fresh, optimizers = training.make_model(config, len(tokenizer))
    checkpoint.load_checkpoint(folder / "run", fresh, optimizers)


# bert_sentiment_analysis


def _build_classifier(folder: Path) -> None:
    from bert_sentiment_analysis.models.bert_classifier import TextClassifier

    encoder = of_tests("bert_sentiment_analysis", "conftest").build_encoder("bert", folder / "base")
    TextClassifier.from_pretrained(str(encoder), ("no", "yes"), head="classification", max_length=16).save(
        folder / "run"
    )


def _read_classifier(folder: Path) -> None:
    from bert_sentiment_analysis.models.bert_classifier import TextClassifier

    TextClassifier.load(folder / "run")


def _rows(file: Path) -> None:
    from bert_sentiment_analysis.data.rows import read_rows

    read_rows(file)


# gpt_text_generation


def _build_votes(folder: Path) -> None:
    from gpt_text_generation.evaluation.samples import Sample
    from gpt_text_generation.evaluation.vote_store import VoteStore

    store = VoteStore(folder / "votes.sqlite", seed=0)
    store.add([Sample(f"{who} {n}", f"prompt {n}", who) for n in range(3) for who in ("one", "other")])
    shown = store.next_pair("anna")
    assert shown is not None  # of three
    store.vote("anna", shown.pair, "first")
    store._held_open.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    store._held_open.close()


def _read_votes(folder: Path) -> None:
    from gpt_text_generation.evaluation.human_evaluation import open_store

    store = open_store(folder / "votes.sqlite")
    store.votes(), store.next_pair("bo"), store.progress("anna")


def _story(file: Path) -> None:
    from gpt_text_generation.story import read_story

    story = read_story(file)
    story.markdown(), story.so_far()


def _templates(file: Path) -> None:
    from gpt_text_generation.prompt_engineering import read_templates

    read_templates(file)


def _problems(file: Path) -> None:
    from gpt_text_generation.code_problems import read_problems

    read_problems(file)


def _samples(file: Path) -> None:
    from gpt_text_generation.evaluation.samples import read_samples

    read_samples(file)


# model_optimization


def _build_subject(folder: Path) -> None:
    from model_optimization.subject import save_subject

    save_subject(of_tests("model_optimization", "conftest").build_subject(), folder / "run")


def _read_subject(folder: Path) -> None:
    from model_optimization.subject import load_subject

    load_subject(folder / "run")


def _build_readings(folder: Path) -> None:
    from model_optimization.monitoring.readings import read, save

    subject = of_tests("model_optimization", "conftest").build_subject()
    save(folder / "reference", read(subject, ["a good film", "a dull plot"], [1, 0]), {"classifier": "x"})


def _read_readings(folder: Path) -> None:
    from model_optimization.monitoring.readings import TENSORS, load, load_tensors

    load_tensors(folder / "reference" / TENSORS)
    load(folder / "reference")


def _windows(file: Path) -> None:
    from model_optimization.monitoring.stream import read_lines

    read_lines(file)


STORY = '<!-- story: {"topic": "t", "genre": "g", "style": "s", "words": 15, "sections": 2, "outline": ["A", "B"], '
STORY += '"revised": 1} -->\n# t\n\n## A\n\nSome words.\n\n## B\n\nMore of them.\n'
CSV = 'text,label\n"a good film, and long",1\nbad,0\n'
JSONL = '{"text": "a good film", "label": 1}\n{"text": "bad", "label": 0}\n'
SAMPLES = '{"text": "one", "prompt": "p", "source": "a"}\n{"text": "other", "prompt": "p", "source": "b"}\n'
PROBLEM = {
    "task_id": "1",
    "prompt": "def f():\n",
    "entry_point": "f",
    "test": "assert f() == 1",
    "canonical_solution": "    return 1\n",
}
TRAINED = "model.safetensors"

PARSERS = [
    text_file("config", "config.yaml", "preset: tiny\nwidth: 32\ndropout: 0.1\nresume: null\n", _settings),
    text_file("csv", "a.csv", CSV, _examples),
    text_file("tsv", "a.tsv", CSV.replace(",", "\t"), _examples),
    text_file("jsonl", "a.jsonl", JSONL, _examples),
    text_file("json", "a.json", f"[{JSONL.strip().replace(chr(10), ',')}]", _examples),
    text_file("rows_csv", "a.csv", CSV, _rows),
    text_file("rows_json", "a.json", '[{"text": "a", "label": "positive"}, {"text": "b", "label": 0}]', _rows),
    Parser("run", ("run/config.json", "run/metrics.jsonl", "run/summary.json"), _build_run, _read_run),
    Parser(
        "language_model",
        ("run/config.json", "run/tokenizer.json", f"run/{TRAINED}", "run/checkpoint.safetensors"),
        _build_language_model,
        _read_language_model,
    ),
    Parser(
        "classifier",
        ("run/classifier.json", f"run/{TRAINED}", "run/encoder/config.json", "run/encoder/tokenizer.json"),
        _build_classifier,
        _read_classifier,
    ),
    text_file("story", "story.md", STORY, _story),
    text_file(
        "templates", "a.yaml", (CHECKOUT / "gpt_text_generation" / "prompt_templates.yaml").read_text(), _templates
    ),
    text_file("problems", "a.jsonl", json.dumps(PROBLEM) + "\n", _problems),
    text_file("samples", "a.jsonl", SAMPLES, _samples),
    Parser("votes", ("votes.sqlite",), _build_votes, _read_votes),
    Parser("subject", ("run/shape.json", f"run/{TRAINED}", "run/tokenizer.json"), _build_subject, _read_subject),
    Parser("readings", ("reference/readings.json", "reference/readings.safetensors"), _build_readings, _read_readings),
    text_file("windows", "windows.jsonl", '{"window": 1, "alarm": false}\n{"window": 2, "alarm": true}\n', _windows),
]
