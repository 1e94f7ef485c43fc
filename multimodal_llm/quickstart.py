"""Three minutes with the project: teach a small BLIP to answer questions about pictures, and ask it what it never saw.

python -m multimodal_llm.quickstart --output outputs/demo/multimodal_llm
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from multimodal_llm.visual_question_answering.config import PROJECT, VqaTrainingConfig
from multimodal_llm.visual_question_answering.train import run_training
from shared.config import parse_config, to_dict
from shared.errors import run_program
from shared.logging import get_logger, print_result, setup_logging
from shared.report import Section, Text
from shared.runs import RunFolder

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from shared.phrases import Language

log = get_logger(__name__)

SECONDS = 170  # measured on 2 cores; the demo's estimate of the time left starts from it

SETTINGS: dict[str, Any] = {"epochs": 5, "max_pictures": 4000}
SMOKE: dict[str, Any] = {"epochs": 1, "max_pictures": 120, "validation_pictures": 60, "width": 32}

# What it is a trial of (`multimodal.kind.`), the picture, and the question.
TYPED = [
    ("own", "red circle", "what color is the shape?"),
    ("own", "teal triangle", "is there a teal shape?"),
    ("negation", "blue rectangle", "is there no rectangle?"),
    ("reworded", "yellow triangle", "what hue was the shape filled with?"),
    ("reworded", "green circle", "is there something round?"),
    ("reworded", "brown rectangle", "tell me which shape is brown"),
    ("nearly", "gray circle", "how big is the shape?"),
    ("outside", "black triangle", "what is the weather like?"),
]

READABLE = 800  # pixels of a picture's height in the report
ASKED_OF_RECEIPT = ("How much change was given?", "When is the payment due?")  # the second one it does not tell


@dataclass(frozen=True)
class QuickstartConfig:
    """Teach a small BLIP to answer questions about pictures; about three minutes."""

    output: str = f"outputs/demo/{PROJECT}"
    """Folder for the run and its section of the report."""
    smoke: bool = False
    """A few steps: seconds, to see that all works."""


def run(out_dir: str | Path, smoke: bool = False) -> dict[str, Any]:
    """Train into `out_dir` and write its section.json. Returns the training's summary."""
    config = VqaTrainingConfig(**(SMOKE if smoke else SETTINGS))
    folder = RunFolder.create(out_dir, PROJECT, to_dict(config))
    setup_logging(folder.path)
    summary = run_training(config, folder)
    _describe(folder, summary).save(folder.path)
    return {name: value for name, value in summary.items() if name != "worst"}


def _describe(folder: RunFolder, summary: dict[str, Any]) -> Section:
    from shared.phrases import both

    n = folder.config()["max_pictures"] - folder.config()["validation_pictures"]
    section = Section(both("multimodal.title"), both("multimodal.summary", n=f"{n:,}"))
    section.numbers(
        [
            (both("multimodal.number.accuracy"), _percent(summary["accuracy"])),
            (both("multimodal.number.prior"), _percent(summary["question_only_prior"])),
            (both("multimodal.number.reworded"), _percent(summary["paraphrase_accuracy"])),
            (both("multimodal.number.refused"), _percent(summary["question_refused"]["outside"])),
            (both("multimodal.number.seconds"), f"{summary['train_seconds']:.0f}"),
        ]
    )
    section.text(both("multimodal.explain.task"))
    section.figure(lambda language: learning_curve(folder.metrics(), language), both("multimodal.caption.curve"))
    section.table(by_type(summary), both("multimodal.caption.by_type"))
    section.text(both("multimodal.explain.doubts"))
    section.table(refused(summary), both("multimodal.caption.refused"))
    section.table(typed(folder), both("multimodal.caption.typed"))
    if described := captions():
        section.samples(described, both("multimodal.caption.captions"))
    rows, pictures = document()
    section.text(both("multimodal.explain.document"))
    section.table(rows, both("multimodal.caption.document"))
    for picture, asked in pictures:
        section.figure(lambda language, picture=picture: as_figure(picture), asked)  # type: ignore[misc]
    section.next(both("multimodal.explain.next", folder=folder.path))
    return section


def learning_curve(metrics: Sequence[dict[str, Any]], language: "Language") -> "go.Figure":
    """Share of right answers in training, step by step."""
    import plotly.graph_objects as go

    from shared.phrases import phrase

    steps, right = ([row[key] for row in metrics] for key in ("step", "accuracy"))
    figure = go.Figure(go.Scatter(x=steps, y=right, mode="lines"))
    figure.update_layout(
        xaxis_title=phrase("multimodal.axis.step", language),
        yaxis_title=phrase("multimodal.axis.right", language),
        yaxis_tickformat=".0%",
    )
    return figure


def by_type(summary: dict[str, Any]) -> list[dict[str, Any]]:
    """Accuracy by what is asked for, beside the guess of one who never looks."""
    from shared.phrases import both

    return [
        {
            "question": both(f"multimodal.type.{kind}"),
            "accuracy": _percent(score),
            "prior": _percent(summary["prior_by_type"][kind]),
        }
        for kind, score in summary["by_type"].items()
    ]


def refused(summary: dict[str, Any]) -> list[dict[str, Any]]:
    """What is said to be unlike training: few of the first two, most of the others."""
    from shared.phrases import both

    shares = {f"question.{kind}": share for kind, share in summary["question_refused"].items()}
    shares |= {f"picture.{kind}": share for kind, share in summary["picture_refused"].items()}
    return [{"kind": both(f"multimodal.refused.{kind}"), "refused": _percent(share)} for kind, share in shares.items()]


def typed(folder: RunFolder) -> list[dict[str, Any]]:
    """What it says to questions typed for this page."""
    import numpy as np

    from multimodal_llm.visual_question_answering.drawings import draw_shape
    from multimodal_llm.visual_question_answering.vqa_system import load_vqa_system
    from shared.phrases import both

    system, random, rows = load_vqa_system(folder.path), np.random.default_rng(0), []
    for kind, shown, question in TYPED:
        color, shape = shown.split()
        [found] = system.answer(draw_shape(shape, color, random), [question])
        answer: Any = found.text
        if found.doubts:
            answer = both("multimodal.guess", answer=found.text)
        rows.append(
            {
                "trial": both(f"multimodal.kind.{kind}"),
                "picture": shown,
                "question": question,
                "answer": answer,
                "probability": found.confidence,
            }
        )
    return rows


def captions() -> list[tuple[Any, str]]:
    """What the captioner says of our own drawings, which are nothing like the photos that it learned from."""
    import numpy as np

    from multimodal_llm.image_captioning.captioner import left_out, load_captioner
    from multimodal_llm.visual_question_answering.drawings import draw
    from shared.phrases import both

    if left_out():
        return []
    random = np.random.default_rng(0)
    kinds = ("usual", "three_shapes", "clouds")
    found = load_captioner("small").caption([draw(kind, random, size=224) for kind in kinds])
    return [
        (both(f"multimodal.refused.picture.{kind}"), f"{each.text}  ({each.confidence:.2f})")
        for kind, each in zip(kinds, found, strict=True)
    ]


def document() -> tuple[list[dict[str, Any]], list[tuple[Any, Text]]]:
    """A receipt that we draw: its fields and two answers, and the pictures with their places."""
    from multimodal_llm.document_understanding.document_qa import answer
    from multimodal_llm.document_understanding.document_samples import draw_sample
    from multimodal_llm.document_understanding.fields import find_fields
    from multimodal_llm.document_understanding.layout_analysis import read_picture
    from multimodal_llm.document_understanding.marks import drawn, fields_drawn
    from shared.phrases import both

    picture = draw_sample("receipt")
    page = read_picture(picture)
    fields = find_fields([page])
    names = {name: both(f"multimodal.page.documents_field.{name}") for name in fields}
    rows: list[dict[str, Any]] = [
        {"asked": names[name], "answer": found.value, "because": told(found.why)} for name, found in fields.items()
    ]
    replies = [answer(question, [page]) for question in ASKED_OF_RECEIPT]
    rows += [
        {"asked": question, "answer": reply.text or "–", "because": told(reply.reason)}
        for question, reply in zip(ASKED_OF_RECEIPT, replies, strict=True)
    ]
    return rows, [
        (fields_drawn(picture, page, fields), both("multimodal.caption.places")),
        (drawn(picture, page, replies[0]), both("multimodal.caption.answer_place", question=ASKED_OF_RECEIPT[0])),
    ]


def told(reason: str) -> dict[str, str]:
    """What speaks for an answer of a document, or against one, in both languages."""
    from multimodal_llm.document_understanding.reasons import in_words
    from shared.phrases import LANGUAGES, phrase

    def say(language: "Language", key: str, **values: object) -> str:
        return phrase(f"multimodal.page.{key}", language, **values)

    return {language: in_words(reason, partial(say, language)) for language in LANGUAGES}


def as_figure(picture: Any) -> "go.Figure":
    """A picture as a figure without axes, so high that a receipt can be read."""
    import numpy as np
    import plotly.express as px

    figure = px.imshow(np.asarray(picture.convert("RGB")), binary_string=True)
    figure.update_xaxes(visible=False).update_yaxes(visible=False)
    figure.update_layout(height=min(picture.height, READABLE), margin=dict.fromkeys("lrtb", 0))
    return figure


def _percent(share: float) -> str:
    return f"{share:.1%}"


def main() -> None:
    config = parse_config(QuickstartConfig, prog=f"python -m {PROJECT}.quickstart")
    print_result(run(config.output, config.smoke))


if __name__ == "__main__":
    run_program(main)
