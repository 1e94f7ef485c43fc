"""Documents measured: the text, fields and answers of receipts; the blocks of pages; the cells of tables."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared.benchmark import BenchmarkConfig, Outcome
from shared.errors import UserError
from shared.files import parse_json
from shared.logging import progress_bar
from shared.timing import Timer

if TYPE_CHECKING:
    from multimodal_llm.document_understanding.document import Page

NOISE = 0.05  # least confidence of blocks that count in the layout's average precision

# CDLA's classes as PubLayNet's: captions and references are text there; running heads are not labelled.
PUBLAYNET = {
    "text": "text", "title": "title", "figure": "figure", "table": "table", "figure_caption": "text",
    "table_caption": "text", "reference": "text", "equation": "text",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class DocumentsConfig(BenchmarkConfig):
    """How much of a receipt's text, fields and answers is right, and how long does a page take?"""

    data: str
    """Folder with annotations.json, qa.jsonl and images, see docs/data.md."""
    spaces: bool = True
    """Take a space where recognition has it as its second choice; false: only as its first, for comparison."""

    @property
    def variant(self) -> str:
        return "" if self.spaces else "_no_space_repair"


@dataclass(frozen=True, kw_only=True)
class LayoutConfig(BenchmarkConfig):
    """Are the blocks of a page where people see them? Average precision at an overlap of one half."""

    data: str
    """Folder with samples.json (COCO) and images."""


@dataclass(frozen=True, kw_only=True)
class TablesConfig(BenchmarkConfig):
    """Are a table's rows, columns and spans those that its author wrote? TEDS, with text and without."""

    data: str
    """Folder with examples.jsonl (PubTabNet) and images."""


def documents(config: DocumentsConfig) -> Outcome:
    from multimodal_llm.document_understanding.document import Page
    from multimodal_llm.document_understanding.layout_analysis import read_picture
    from multimodal_llm.document_understanding.text_metrics import character_error_rate, f1, plain_words, words
    from multimodal_llm.images import load_image
    from shared import ocr_recognition

    examples = _load(Path(config.data) / "annotations.json")
    threads = config.threads or 0
    if not config.spaces:
        ocr_recognition.SPACE = 0.5
    read_picture(load_image(Path(config.data) / examples[0]["image"]), threads=threads)  # loads the models
    pages: dict[str, Page] = {}
    seconds = []
    with progress_bar("receipts", len(examples)) as show:
        for number, example in enumerate(examples, 1):
            with Timer() as timer:
                picture = load_image(Path(config.data) / example["image"])
                pages[example["id"]] = read_picture(picture, threads=threads)
            seconds.append(timer.seconds)
            show(number)
    read = ["\n".join(line.text for line in pages[example["id"]].lines) for example in examples]
    right = ["\n".join(line["text"] for line in example["lines"]) for example in examples]
    result: dict[str, Any] = {
        "word_f1": f1((words(one), words(other)) for one, other in zip(read, right, strict=True)),
        "plain_word_f1": f1((plain_words(one), plain_words(other)) for one, other in zip(read, right, strict=True)),
        "cer": character_error_rate(zip(read, right, strict=True)),
        "seconds_per_page": sum(seconds) / len(seconds),
        "slowest_page_seconds": max(seconds),
        "n": len(examples),
    }
    result |= score_fields(pages, examples) | score_answers(pages, examples, Path(config.data) / "qa.jsonl")
    scalars = {key: value for key, value in result.items() if not isinstance(value, dict)}
    return Outcome(result, [{"receipts": "SROIE", **scalars, **result["fields"]}])


def score_fields(pages: "dict[str, Page]", examples: list[dict[str, Any]]) -> dict[str, Any]:
    """How many fields are exactly right but for case and the amount of white.

    Beside it: without a look at white; and from the annotators' lines in place of ours, as if reading were perfect.
    """
    from multimodal_llm.document_understanding.answer_scores import exact
    from multimodal_llm.document_understanding.document import Block, Page
    from multimodal_llm.document_understanding.fields import FIELDS, find_fields

    variants = ("fields", "fields_no_white", "fields_perfect_text")
    right: dict[str, dict[str, list[bool]]] = {key: {name: [] for name in FIELDS} for key in variants}
    for example in examples:
        blocks = tuple(Block("text", line.box, 0.0, (line,)) for line in annotated_lines(example))
        width, height = example["size"]
        perfect = find_fields([Page(1, width, height, "ocr", blocks=blocks)])
        found = find_fields([pages[example["id"]]])
        for name, wanted in example["entities"].items():
            value, best = (fields[name].value if name in fields else "" for fields in (found, perfect))
            right["fields"][name].append(exact(value, wanted))
            right["fields_no_white"][name].append(exact("".join(value.split()), "".join(wanted.split())))
            right["fields_perfect_text"][name].append(exact(best, wanted))
    return {key: {name: sum(each) / len(each) for name, each in by.items() if each} for key, by in right.items()}


def score_answers(pages: "dict[str, Page]", examples: list[dict[str, Any]], file: Path) -> dict[str, Any]:
    """ANLS and the answers' places; and how often it is said that a receipt does not tell what it does not tell.

    The place counts where the annotation's lines hold the answer, at any of the places where it stands. Raises
    UserError where the file of questions cannot be read.
    """
    from multimodal_llm.document_understanding.answer_scores import (
        SAME_PLACE,
        anls,
        intersection_over_union,
        places_of,
    )  # fmt: skip
    from multimodal_llm.document_understanding.document_qa import answer, text_encoder
    from multimodal_llm.document_understanding.off_document import OFF_DOCUMENT

    try:
        questions = [parse_json(line) for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        raise UserError(f"{file}: cannot be read ({error}): see docs/data.md") from error
    lines = {example["id"]: annotated_lines(example) for example in examples}
    encode = text_encoder()
    scores, overlaps = [], []
    for each in questions:
        reply = answer(each["question"], [pages[each["id"]]], encode)
        scores.append(anls(reply.text, each["answers"]))
        places = [place for text in each["answers"] for place in places_of(text, lines[each["id"]])]
        if places:
            box = reply.box
            overlaps.append(max(intersection_over_union(box, place) for place in places) if box else 0.0)
    silent = [not answer(question, [page], encode).found for page in pages.values() for question in OFF_DOCUMENT]
    return {
        "anls": sum(scores) / len(scores),
        "box_agreement": sum(overlap >= SAME_PLACE for overlap in overlaps) / len(overlaps),
        "box_overlap": sum(overlaps) / len(overlaps),
        "abstained_off_document": sum(silent) / len(silent),
        "questions": len(questions),
        "off_document_questions": len(silent),
    }


def annotated_lines(example: dict[str, Any]) -> list[Any]:
    """The lines as people wrote them down, with the boxes around their four corners."""
    from multimodal_llm.document_understanding.document import Line

    return [
        Line(line["text"], (min(xs), min(ys), max(xs), max(ys)), 1.0, ())
        for line in example["lines"]
        if line["text"].strip()
        for xs, ys in [(line["quad"][::2], line["quad"][1::2])]
    ]


def layout(config: LayoutConfig) -> Outcome:
    import numpy as np

    from multimodal_llm.document_understanding.average_precision import Picture, average_precision
    from multimodal_llm.document_understanding.block_detector import find_blocks
    from multimodal_llm.images import load_image

    samples = _load(Path(config.data) / "samples.json")
    names = {category["id"]: category["name"] for category in samples["categories"]}
    by_class: dict[str, list[Picture]] = {name: [] for name in ("text", "title", "table", "figure")}
    seconds = []
    with progress_bar("pages", len(samples["images"])) as show:
        for number, image in enumerate(samples["images"], 1):
            picture = np.asarray(load_image(Path(config.data) / "images" / image["file_name"]))
            with Timer() as timer:
                found = find_blocks(picture, NOISE, config.threads or 0)
            seconds.append(timer.seconds)
            labelled = [each for each in samples["annotations"] if each["image_id"] == image["id"]]
            boxes = {name: _boxes(each["bbox"] for each in labelled if names[each["category_id"]] == name)
                     for name in (*by_class, "list")}  # fmt: skip
            for name, pictures in by_class.items():
                mine = [block for block in found if PUBLAYNET.get(block.kind) == name]
                # CDLA has no lists: their items are text there. What is found on one is neither right nor wrong.
                pictures.append(Picture(
                    np.array([block.box for block in mine]).reshape(-1, 4),
                    np.array([block.score for block in mine]), boxes[name], boxes["list"],
                ))  # fmt: skip
            show(number)
    scores = {name: average_precision(pictures) for name, pictures in by_class.items()}
    known = [score for score in scores.values() if score is not None]
    result = {
        "map50": sum(known) / len(known),
        **{f"ap50_{name}": score for name, score in scores.items()},
        "seconds_per_page": sum(seconds) / len(seconds),
        "n": len(samples["images"]),
    }
    rows = [
        {"class": name, "ap50": scores[name], "boxes": sum(len(picture.right) for picture in pictures)}
        for name, pictures in by_class.items()
    ]
    return Outcome(result, [*rows, {"class": "mean", "ap50": result["map50"], "boxes": None}])


def _boxes(found: Iterator[list[float]]) -> Any:
    """COCO's left, top, width, height as (n, 4) of left, top, right, bottom."""
    import numpy as np

    return np.array([[x, y, x + width, y + height] for x, y, width, height in found]).reshape(-1, 4)


def tables(config: TablesConfig) -> Outcome:
    from multimodal_llm.document_understanding.table_metrics import teds, tree_of_html
    from multimodal_llm.document_understanding.tables import read_table, to_html

    file = Path(config.data) / "examples.jsonl"
    try:
        examples = [parse_json(line) for line in file.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError) as error:
        raise UserError(f"{file}: cannot be read ({error}): see docs/data.md") from error
    scores: dict[str, list[float]] = {key: [] for key in ("structure", "teds", "rows_structure", "rows_teds")}
    with progress_bar("tables", len(examples)) as show:
        for number, example in enumerate(examples, 1):
            picture, lines = _read_lines(Path(config.data) / "images" / example["filename"], config.threads or 0)
            right = tree_of_html(_reference(example["html"]))
            box = (0, 0, picture.shape[1], picture.shape[0])
            table = read_table(lines, picture, box)
            for name, text in (("", to_html(table) if table else "<table></table>"), ("rows_", _rows_only(lines))):
                tree = tree_of_html(text)
                scores[f"{name}structure"].append(teds(tree, right, structure_only=True))
                scores[f"{name}teds"].append(teds(tree, right))
            show(number)
    result = {key: sum(values) / len(values) for key, values in scores.items()} | {"n": len(examples)}
    rows = [
        {"tables": "columns found by geometry", "structure": result["structure"], "teds": result["teds"]},
        {"tables": "rows only", "structure": result["rows_structure"], "teds": result["rows_teds"]},
    ]
    return Outcome(result, rows)


def _read_lines(file: Path, threads: int) -> tuple[Any, list[Any]]:
    import numpy as np

    from multimodal_llm.document_understanding.layout_analysis import to_line
    from multimodal_llm.images import load_image
    from shared.ocr import read_picture

    picture = np.asarray(load_image(file))
    return picture, [to_line(line) for line in read_picture(picture, threads).lines]


def _rows_only(lines: list[Any]) -> str:
    """The floor: a row of a table is a row of lines, each a cell, the first row the head."""
    import html

    from shared.reading_order import rows_of

    rows = [
        "<tr>" + "".join(f"<td>{html.escape(lines[number].text)}</td>" for number in row) + "</tr>"
        for row in rows_of([line.box for line in lines])
    ]
    return f"<table><thead>{''.join(rows[:1])}</thead><tbody>{''.join(rows[1:])}</tbody></table>"


def _reference(table: dict[str, Any]) -> str:
    """PubTabNet's tokens as HTML; a cell's text is not among those of the structure."""
    cells = iter(table["cells"])
    parts = ["<table>"]
    for token in table["structure"]["tokens"]:
        parts.append(token)
        if token in ("<td>", ">"):
            parts += next(cells)["tokens"]
    return "".join([*parts, "</table>"])


def _load(file: Path) -> Any:
    try:
        return parse_json(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{file}: cannot be read ({error}): see docs/data.md") from error
