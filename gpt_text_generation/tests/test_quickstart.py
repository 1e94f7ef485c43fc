"""The quickstart on a tiny model: it leaves the texts, and a whole section in both languages."""

import json
import re

import pytest

from gpt_text_generation import quickstart
from gpt_text_generation.evaluation.samples import by_source, read_samples
from shared.language_model import load_language_model
from shared.phrases import LANGUAGES
from shared.report import read_section, write_report

HAN = re.compile(r"[\u4e00-\u9fff]")
FACTS = {"date": "today", "commit": "abc", "hardware": "a processor", "seconds": 1, "command": "python demo.py"}


@pytest.fixture(scope="module")
def finished(tiny_language_model, tmp_path_factory):
    """A whole run, but with fewer tokens: its folder and what it returned."""
    folder = tmp_path_factory.mktemp("quickstart") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quickstart, "NEW_TOKENS", 24)
        return folder, quickstart.run(folder, str(tiny_language_model("llama", 256)))


def test_every_strategy_continues_every_opening(finished):
    folder, summary = finished
    groups = by_source(read_samples(folder / quickstart.TEXTS))
    assert list(groups) == list(quickstart.generation_configs)
    for samples in groups.values():
        assert tuple(sample.prompt for sample in samples) == quickstart.OPENINGS
    assert summary["texts"] == len(groups) * len(quickstart.OPENINGS)


def test_a_batch_of_strategies_writes_what_each_writes_alone(tiny_language_model):
    model = load_language_model(str(tiny_language_model("llama", 256)), "transformers")
    names = ["greedy", "nucleus", "dry", "mirostat", "beam_search"]
    together = quickstart.write_by_each(model, names, quickstart.OPENINGS, 12)
    for name in names:
        assert quickstart.write_by_each(model, [name], quickstart.OPENINGS, 12)[name] == together[name]


def test_the_perplexity_is_that_of_the_models_own_probabilities(tiny_language_model):
    import numpy as np

    model = load_language_model(str(tiny_language_model("llama", 256)), "transformers")
    before, after = model.encode("the cat"), model.encode(" on the mat")
    expected = np.exp(-model.log_probabilities(before, after).mean())
    assert quickstart.perplexity(model, ("the cat",), [" on the mat"]) == pytest.approx(expected, rel=1e-5)
    assert quickstart.perplexity(model, ("the cat",), [""]) is None


def test_the_section_is_whole_in_both_languages(finished, tmp_path):
    folder, summary = finished
    section = read_section(folder)
    kinds = [block["kind"] for block in section["blocks"]]
    assert kinds == ["numbers", "text", "table", "figure", "samples", "next"]
    for language in LANGUAGES:
        words = [section["title"][language], section["summary"][language]]
        for block in section["blocks"]:
            words += [block[part][language] for part in ("text", "caption") if part in block]
            words += [number["label"][language] for number in block.get("numbers", [])]
        assert all(bool(HAN.search(text)) == (language == "zh") for text in words)
        assert not any("{" in text for text in words)
        figure = next(block["figure"][language] for block in section["blocks"] if block["kind"] == "figure")
        assert bool(HAN.search(json.dumps(figure, ensure_ascii=False))) == (language == "zh")
    write_report(tmp_path / "report.html", [{**section, "command": "c", "seconds": 1.0}], [], FACTS)
    assert summary["model"] in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_a_smoke_run_is_short(tiny_language_model, tmp_path):
    summary = quickstart.run(tmp_path / "out", str(tiny_language_model("llama", 256)), smoke=True)
    assert summary["texts"] == 8 and (tmp_path / "out" / "section.json").is_file()
