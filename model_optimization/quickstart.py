"""Three minutes with the project: one classifier compressed in the commonest ways, measured, and one told to ship.

python -m model_optimization.quickstart --output outputs/demo/model_optimization
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_optimization.config import PROJECT, SUBJECT
from model_optimization.optimize import OptimizeConfig, optimize
from shared.config import parse_config
from shared.errors import run_program
from shared.logging import print_result, setup_logging
from shared.report import Section, Text

SECONDS = 170  # measured on 2 cores; the demo's estimate of the time left starts from it

METHODS = "fp32_torch,fp32_onnx,int8_dynamic,magnitude,trimmed_int8,student_int8"
SMALLEST = "student_int8"
SETTINGS: dict[str, Any] = {"methods": METHODS, "turns": 3}
SMOKE = {"methods": f"int8_dynamic,{SMALLEST}", "dataset": "amazon", "turns": 1}  # the smallest set

SPARSITIES = (0.0, 0.3, 0.5, 0.7, 0.9)
SMOKE_SPARSITIES = (0.0, 0.9)
SHOWN = ("method", "accuracy", "loss", "loss_bound", "ships", "size_mb", "peak_mb", "p50_ms", "speed_up", "texts_per_s")
SHOWN_DISAGREEMENTS, ASKED_AT_ONCE = 8, 64


@dataclass(frozen=True)
class QuickstartConfig:
    """Compress the classifier that ships in five ways, measure them side by side; about three minutes."""

    output: str = f"outputs/demo/{PROJECT}"
    """Folder for the variants and the section of the report."""
    smoke: bool = False
    """Two variants and a smaller set: seconds, to see that all works."""


def run(out_dir: str | Path, smoke: bool = False) -> dict[str, Any]:
    """Compress and measure into `out_dir` and write its section.json. Returns what `optimize` found."""
    from model_optimization.pruning.magnitude_pruning import sensitivity
    from model_optimization.subject import load_subject

    folder = Path(out_dir)
    folder.mkdir(parents=True, exist_ok=True)
    setup_logging(folder)
    config = OptimizeConfig(output=str(folder), **(SETTINGS | SMOKE if smoke else SETTINGS))
    found = optimize(config)
    shares = SMOKE_SPARSITIES if smoke else SPARSITIES
    zeros = sensitivity(load_subject(SUBJECT), config.dataset, shares, by_layer=False)
    _describe(config, found, zeros).save(folder)
    return found


def _describe(config: OptimizeConfig, found: dict[str, Any], zeros: Sequence[dict[str, Any]]) -> Section:
    """What was gained, what it cost, and what to ship, in numbers, pictures and sentences."""
    from model_optimization.figures import pareto, sensitivity
    from shared.phrases import both

    rows = found["rows"]
    one, many = ({row["method"]: row for row in rows if row["batch"] == batch} for batch in (1, 16))
    baseline, smallest = one["fp32_torch"], one[SMALLEST]
    section = Section(both("optimization.title"), both("optimization.summary", n=len(one)))
    section.numbers(
        [
            (both("optimization.number.quicker"), f"{smallest['speed_up']:.1f} ×"),
            (both("optimization.number.smaller"), f"{baseline['size_mb'] / smallest['size_mb']:.1f} ×"),
            (both("optimization.number.lost"), f"{100 * smallest['loss']:.1f}"),
            (both("optimization.number.many"), f"{max(row['texts_per_s'] for row in many.values()):,.0f}"),
            (both("optimization.number.n_test"), found["n_test"]),
        ]
    )
    section.text(both("optimization.explain.task"))
    section.figure(lambda language: pareto(rows, "p50_ms", 1, language), both("optimization.caption.latency"))
    section.figure(lambda language: pareto(rows, "size_mb", 1, language), both("optimization.caption.size"))
    section.table([_cells(row, many[name]) for name, row in one.items()], both("optimization.caption.table"))
    section.text(_advice(found, one, many))
    section.text(both("optimization.explain.zeros"))
    section.figure(lambda language: sensitivity(zeros, language), both("optimization.caption.zeros"))
    section.table(disagreements(config), both("optimization.caption.disagreements"))
    section.next(both("optimization.explain.next"))
    return section


def _cells(one: dict[str, Any], many: dict[str, Any]) -> dict[str, Text]:
    """A row of the table, in both languages."""
    from model_optimization.figures import shown
    from shared.phrases import LANGUAGES

    row = {**one, "texts_per_s": many["texts_per_s"]}
    cells: dict[str, Any] = {
        name: {language: shown(name, row[name], language) for language in LANGUAGES} for name in SHOWN
    }
    lost = {name: f"{row[name]:.2%}" for name in ("loss", "loss_bound")}
    return {**cells, **{name: {language: share for language in LANGUAGES} for name, share in lost.items()}}


def _advice(found: dict[str, Any], one: dict[str, Any], many: dict[str, Any]) -> Text:
    """What to ship for which purpose, or that nothing passed."""
    from shared.phrases import both

    best = found["recommended"]
    if len(best) < 3:
        return both("optimization.explain.none_ships", limit=f"{100 * found['most_lost']:g}")
    return both(
        "optimization.explain.advice",
        one_text=best["one_text"],
        p50=f"{one[best['one_text']]['p50_ms']:.2f}",
        many_texts=best["many_texts"],
        texts_per_s=f"{many[best['many_texts']]['texts_per_s']:,.0f}",
        smallest=best["smallest"],
        size=f"{one[best['smallest']]['size_mb']:.1f}",
        limit=f"{100 * found['most_lost']:g}",
    )


def disagreements(config: OptimizeConfig) -> list[dict[str, Any]]:
    """Texts on which the smallest variant and the whole model part, the surest answers of the smallest first.

    The whole model is asked no further than until enough of them are found.
    """
    import numpy as np

    from model_optimization.runtime import Variant
    from model_optimization.subject import load_subject
    from model_optimization.texts import load_texts
    from shared.phrases import both

    test = load_texts(config.dataset, load_subject(SUBJECT).trained_on).test
    texts = [example.text for example in test]
    folder = Path(config.output) / "variants"
    smallest, whole = Variant(folder / SMALLEST), Variant(folder / "fp32_torch")
    names, ours = smallest.settings.label_names, smallest.logits(texts)  # (N, C)
    surest_first = (-np.abs(ours[:, 1] - ours[:, 0])).argsort(kind="stable")
    rows: list[dict[str, Any]] = []
    for start in range(0, len(texts), ASKED_AT_ONCE):
        places = surest_first[start : start + ASKED_AT_ONCE]
        for place, theirs in zip(places, whole.logits([texts[i] for i in places]).argmax(1), strict=True):
            if theirs != ours[place].argmax() and len(rows) < SHOWN_DISAGREEMENTS:
                rows.append(
                    {
                        "sentence": texts[place],
                        "true_label": both(f"sentiment.class.{names[test[place].label]}"),
                        "whole_model": both(f"sentiment.class.{names[theirs]}"),
                        "smallest": both(f"sentiment.class.{names[ours[place].argmax()]}"),
                    }
                )
        if len(rows) == SHOWN_DISAGREEMENTS:
            break
    return rows


def main() -> None:
    config = parse_config(QuickstartConfig, prog=f"python -m {PROJECT}.quickstart")
    found = run(config.output, config.smoke)
    print_result({"report": config.output, "recommended": found["recommended"], "failed": found["failed"]})


if __name__ == "__main__":
    run_program(main)
