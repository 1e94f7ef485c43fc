"""Two minutes with the project: the same story openings, continued by every strategy, and what can be counted of them.

python -m gpt_text_generation.quickstart --output outputs/demo/gpt_text_generation
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpt_text_generation.decoding import chooser, dry_breakers, generation_configs, settings_for
from gpt_text_generation.evaluation.diversity_metrics import compare, words
from gpt_text_generation.evaluation.samples import Sample
from gpt_text_generation.text_generator import SEARCHES, write_all
from shared.config import parse_config, to_dict
from shared.errors import run_program
from shared.files import write_text
from shared.logging import get_logger, print_result, progress_bar, setup_logging
from shared.phrases import Language, both, phrase
from shared.report import Section
from shared.runs import RunFolder
from shared.timing import Timer

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from shared.language_model import LanguageModel

log = get_logger(__name__)

PROJECT = "gpt_text_generation"
SECONDS = 75  # measured on 2 cores; the demo's estimate of the time left starts from it

# English in both languages of the report, as the model that ships reads no other.
OPENINGS = (
    "The lighthouse keeper had not spoken to anyone for a year when",
    "On the first day of school, the new robot teacher rolled into the classroom and",
    "The night train stopped between two stations. Nobody knew why, until",
    "Grandmother's recipe book had one page that nobody was allowed to read. Last summer,",
)
NEW_TOKENS = 80
LENGTH = 40  # words that are compared: of few texts one that ended early would else cut all to its own length
TEXTS = "texts.jsonl"
BLUE = "#2a78d6"


@dataclass(frozen=True)
class QuickstartConfig:
    """Continue story openings by every decoding strategy, and compare what comes out; about two minutes."""

    output: str = f"outputs/demo/{PROJECT}"
    """Folder for the texts and their section of the report."""
    model: str = "smollm2"
    """Language model: short name, hub name or path."""
    smoke: bool = False
    """A few words by four strategies: seconds, to see that all works."""


def run(out_dir: str | Path, model: str = "smollm2", smoke: bool = False) -> dict[str, Any]:
    """Write into `out_dir`: texts.jsonl and section.json. Returns the result line."""
    from shared.language_model import load_language_model

    folder = RunFolder.create(out_dir, PROJECT, to_dict(QuickstartConfig(str(out_dir), model, smoke)))
    setup_logging(folder.path)
    names = ["greedy", "beam_search", "nucleus", "dry"] if smoke else list(generation_configs)
    openings, new_tokens = (OPENINGS[:2], 16) if smoke else (OPENINGS, NEW_TOKENS)
    # All on one engine: the two searches run on no other.
    loaded = load_language_model(model, "transformers")
    with Timer() as timer:
        texts = write_by_each(loaded, names, openings, new_tokens)
    samples = [
        Sample(text, opening, name) for name in names for opening, text in zip(openings, texts[name], strict=True)
    ]
    lines = [json.dumps(sample._asdict(), ensure_ascii=False) for sample in samples]
    write_text(folder.path / TEXTS, "\n".join(lines) + "\n")
    rows, length = measured(loaded, openings, texts)
    summary = {
        "model": loaded.name,
        "strategies": len(names),
        "texts": len(samples),
        "length": length,
        "seconds": timer.seconds,
        "rows": rows,
    }
    folder.write_summary(summary)
    _describe(folder, summary, openings, texts).save(folder.path)
    return summary


def write_by_each(
    model: "LanguageModel", names: list[str], openings: tuple[str, ...], new_tokens: int
) -> dict[str, list[str]]:
    """The continuation of each opening by each strategy. Those that choose token by token are written in one batch."""
    texts: dict[str, list[str]] = {name: [] for name in names}
    batched = [(name, place) for name in names if name not in SEARCHES for place in range(len(openings))]
    breakers = dry_breakers(model.encode)
    choose = [chooser(settings_for(name), place, breakers) for name, place in batched]
    searches = [name for name in names if name in SEARCHES]
    log.info("%d texts of %d tokens in batches, then the searches", len(batched), new_tokens)
    with progress_bar("writing", 1 + len(searches)) as update:
        written = model.generate_batch([openings[place] for _, place in batched], choose, max_new_tokens=new_tokens)
        for (name, _), text in zip(batched, written, strict=True):
            texts[name].append(text)
        for done, name in enumerate(searches, start=1):
            update(done, note=name)
            seeds = range(len(openings))
            texts[name] = write_all(model, openings, settings_for(name), max_new_tokens=new_tokens, seeds=seeds)
        update(1 + len(searches))
    return texts


def measured(
    model: "LanguageModel", openings: tuple[str, ...], texts: Mapping[str, list[str]]
) -> tuple[list[dict[str, Any]], int | None]:
    """A row for each strategy: what can be counted, at one length, and the perplexity by the model itself.

    A strategy whose every text is too short to be compared has its perplexity only.
    """
    from shared.errors import UserError

    groups = {
        name: [Sample(text, opening, name) for opening, text in zip(openings, each, strict=True)]
        for name, each in texts.items()
    }
    found: dict[str, dict[str, Any]] = {}
    length = None
    try:
        long = all(any(len(words(text)) >= LENGTH for text in each) for each in texts.values())
        rows, controlled = compare(groups, LENGTH if long else None)
        found, length = {row["source"]: row for row in rows}, controlled.length
    except UserError as error:
        log.warning("not compared: %s", error)
    measures = ("distinct_1", "distinct_2", "self_bleu", "rep_4")
    return [
        {
            "strategy": name,
            **{key: found.get(name, {}).get(key) for key in measures},
            "perplexity": perplexity(model, openings, each),
        }
        for name, each in texts.items()
    ], length


def perplexity(model: "LanguageModel", openings: tuple[str, ...], texts: list[str]) -> float | None:
    """Of all the texts together, by the model that wrote them: low is what it takes to be likely. None without text."""
    losses: list[float] = []
    for opening, text in zip(openings, texts, strict=True):
        before, whole = model.encode(opening), model.encode(opening + text)
        if len(whole) > len(before):
            losses += (-model.log_probabilities(before, whole[len(before) :])).tolist()
    return math.exp(sum(losses) / len(losses)) if losses else None


def _describe(
    folder: RunFolder, summary: dict[str, Any], openings: tuple[str, ...], texts: Mapping[str, list[str]]
) -> Section:
    """What the strategies wrote, in numbers, a picture and the texts themselves."""
    title, lead = both("generation.title"), both("generation.summary", name=summary["model"])
    section = Section(title, lead)
    section.numbers(
        [
            (both("generation.number.strategies"), summary["strategies"]),
            (both("generation.number.texts"), summary["texts"]),
            (both("generation.number.seconds"), f"{summary['seconds']:.0f}"),
        ]
    )
    section.text(both("generation.explain.strategies"))
    rows = [{**row, "strategy": both(f"generation.page.strategy.{row['strategy']}")} for row in summary["rows"]]
    section.table(rows, both("generation.caption.table", length=summary["length"] or "–", n=len(openings)))
    drawn = [row for row in summary["rows"] if row["distinct_2"] is not None and row["perplexity"] is not None]
    if drawn:
        section.figure(lambda language: quality_and_diversity(drawn, language), both("generation.caption.figure"))
    samples = [(both(f"generation.page.strategy.{name}"), openings[0] + each[0]) for name, each in texts.items()]
    section.samples(samples, both("generation.caption.samples"))
    section.next(both("generation.explain.next", file=str(folder.path / TEXTS)))
    return section


def quality_and_diversity(rows: list[dict[str, Any]], language: Language) -> "go.Figure":
    """Each strategy a point: how varied its texts are, and how likely the model itself takes them to be."""
    import plotly.graph_objects as go

    names = [phrase(f"generation.page.strategy.{row['strategy']}", language) for row in rows]
    points = go.Scatter(
        x=[row["distinct_2"] for row in rows],
        y=[row["perplexity"] for row in rows],
        text=names,
        mode="markers+text",
        textposition="top center",
        cliponaxis=False,
        marker={"color": BLUE, "size": 10},
    )
    figure = go.Figure(points)
    figure.update_xaxes(title=phrase("generation.axis.distinct_2", language))
    figure.update_yaxes(title=phrase("generation.axis.perplexity", language), type="log")
    return figure.update_layout(height=460)


def main() -> None:
    config = parse_config(QuickstartConfig, prog=f"python -m {PROJECT}.quickstart")
    print_result(run(config.output, config.model, config.smoke))


if __name__ == "__main__":
    run_program(main)
