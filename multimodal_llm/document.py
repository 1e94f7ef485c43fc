"""Read a document: its fields and text; or ask it a question, which is answered with the place of the answer.

python -m multimodal_llm.document receipt.jpg
python -m multimodal_llm.document invoice.pdf "What is the total amount?" --overlay answer.png
python -m multimodal_llm.document scan.png "开票日期是哪天？"
python -m multimodal_llm.document form.pdf "Who signed it?" --model impira/layoutlm-document-qa
python -m multimodal_llm.document form.pdf "Who signed it?" --endpoint http://localhost:8080/v1
"""

import re
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from shared.config import parse_config, split_texts
from shared.errors import UserError, run_program
from shared.logging import print_result, print_table, progress_bar, setup_logging
from shared.timing import Timer

if TYPE_CHECKING:
    from multimodal_llm.document_understanding.document import Page
    from multimodal_llm.document_understanding.document_qa import Answer

PROGRAM = "python -m multimodal_llm.document"
PREVIEW = 40  # lines of Markdown that are printed


@dataclass(frozen=True, kw_only=True)
class DocumentConfig:
    """Read a document, or ask it a question; the file and the question stand after the options."""

    pages: str = ""
    """Which pages, as in 2 or 1-3; all without it."""
    password: str | None = field(default=None, repr=False)
    """Of a PDF that wants one."""
    model: str = "rules"
    """rules (fields, keys, words and MiniLM; ships with the project), or a LayoutLM or LayoutLMv3 by folder or name."""
    endpoint: str | None = None
    """Address of a language model that is given the pages' text, as in http://localhost:8080/v1."""
    endpoint_model: str = "default"
    """That model's name there."""
    send_picture: bool = False
    """Give the endpoint the first page's picture instead of the text."""
    markdown: str | None = None
    """File to write the whole text to, as Markdown."""
    json: str | None = None
    """File to write all blocks, lines and words to, with their places."""
    overlay: str | None = None
    """Picture to write: the page with its blocks, or with the answer boxed."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where a LayoutLM computes."""
    threads: int | None = None
    """Processor threads; by default one a core."""


def read_and_answer(config: DocumentConfig, texts: Sequence[str]) -> dict[str, Any]:
    """Print the fields and the text, or the answer. Raises UserError for a file or a question that cannot be used."""
    from multimodal_llm.document_understanding.document_qa import check_question

    if not texts or len(texts) > 2:
        raise UserError(f"give a document and at most one question: {PROGRAM} FILE [QUESTION]")
    path, question = texts[0], texts[1] if len(texts) == 2 else None
    numbers = page_numbers(config.pages)
    if question is not None:
        check_question(question, ())
    with Timer() as timer:
        pages, pictures = read(path, config, numbers)
        if not any(page.lines for page in pages):
            raise UserError(f"{path}: {nothing_read(pages)}")
        result = fields_of(pages) if question is None else {"question": question}
        reply = None if question is None else ask(config, question, pages, pictures)
    if reply is None:
        preview(path, pages)
    else:
        tell(reply)
        result |= {"model": config.endpoint or config.model, **asdict(reply)}
    write(config, path, pages, pictures, reply)
    return {"document": path, "pages": len(pages), **result, "seconds": timer.seconds}


def page_numbers(asked: str) -> range | None:
    """The pages that "2" or "1-3" names. Raises UserError for anything else."""
    if not asked:
        return None
    match = re.fullmatch(r"\s*(\d+)(?:\s*-\s*(\d+))?\s*", asked)
    first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    if first < 1 or last < first:
        raise UserError(f"--pages {asked}: no pages: give one as in 2, or some as in 1-3")
    return range(first, last + 1)


def read(path: str, config: DocumentConfig, numbers: range | None) -> tuple[list["Page"], list[Any]]:
    """The pages and, where something is done with them, their pictures as PIL images.

    Raises UserError for a file that cannot be opened, and where it has none of the pages asked for.
    """
    from PIL import Image

    from multimodal_llm.document_understanding.layout_analysis import read_sheets
    from multimodal_llm.document_understanding.running_lines import mark_running
    from multimodal_llm.document_understanding.sheets import count_sheets, open_sheets

    kept = config.overlay or config.send_picture or config.model != "rules"
    sheets = open_sheets(path, config.password, numbers)
    count = count_sheets(path, config.password)
    if numbers is not None:
        if numbers.start > count:
            raise UserError(f"--pages {config.pages}: {path} has {count} {'page' if count == 1 else 'pages'}")
        count = len(range(numbers.start, min(numbers.stop, count + 1)))
    pages, pictures = [], []
    with progress_bar("pages", count) as show:
        for page, picture in read_sheets(sheets, config.threads or 0):
            pages.append(page)
            # Of many pages only the first pictures are kept: memory stays bounded, and one is drawn or sent.
            pictures.append(Image.fromarray(picture) if kept and picture is not None and len(pages) <= 16 else None)
            show(min(len(pages), count))
    return list(mark_running(iter(pages))), pictures


def nothing_read(pages: Sequence["Page"]) -> str:
    """Why there is no text, and what can be done."""
    from multimodal_llm.document_understanding.document_qa import no_text

    return f"{no_text(pages)}: give a sharper or larger picture of a written page"


def fields_of(pages: Sequence["Page"]) -> dict[str, Any]:
    from multimodal_llm.document_understanding.fields import find_fields

    fields = find_fields(pages)
    rows = [{"field": name, "value": f.value, "page": f.page, "confidence": f.confidence} for name, f in fields.items()]
    if rows:
        print_table("fields", rows)
    else:
        say("No fields of a receipt or an invoice were found.")
    return {"fields": {name: asdict(found) for name, found in fields.items()}}


def preview(path: str, pages: Sequence["Page"]) -> None:
    from multimodal_llm.document_understanding.export import to_markdown

    lines = to_markdown(pages).split("\n")
    say("\n".join(lines[:PREVIEW]))
    if len(lines) > PREVIEW:
        say(f"... {len(lines) - PREVIEW:,} more lines of {path}: --markdown FILE writes all")


def ask(config: DocumentConfig, question: str, pages: Sequence["Page"], pictures: Sequence[Any]) -> "Answer":
    """The answer of the rules, of a LayoutLM, or of an endpoint."""
    if config.endpoint:
        from multimodal_llm.document_understanding import document_llm
        from shared.endpoint import Endpoint

        picture = next((each for each in pictures if each is not None), None) if config.send_picture else None
        return document_llm.ask(question, pages, Endpoint(config.endpoint, config.endpoint_model), picture)
    if config.model != "rules":
        from multimodal_llm.document_understanding.layout_models import LayoutModel

        return LayoutModel.load(config.model, config.device).answer(question, pages, pictures)
    from multimodal_llm.document_understanding.document_qa import answer, text_encoder

    return answer(question, pages, text_encoder())


def tell(reply: "Answer") -> None:
    if not reply.found:
        say(f"No answer: {reply.reason}.")
        return
    place = f"page {reply.page}, at {[round(side) for side in reply.box]}" if reply.box else "no place"
    say(f"{reply.text}\n({place}; confidence {reply.confidence:.2f}; {reply.reason})")


def say(text: str) -> None:
    sys.stdout.write(text + "\n")


def write(
    config: DocumentConfig, path: str, pages: Sequence["Page"], pictures: Sequence[Any], reply: "Answer | None"
) -> None:
    """The files that were asked for, each whole or not at all. Raises UserError for an overlay without a picture."""
    import json

    from multimodal_llm.document_understanding.document import Document
    from multimodal_llm.document_understanding.export import to_markdown
    from multimodal_llm.document_understanding.marks import drawn
    from shared.files import atomic_path

    if config.markdown:
        with atomic_path(Path(config.markdown)) as file:
            file.write_text(to_markdown(pages), encoding="utf-8")
    if config.json:
        with atomic_path(Path(config.json)) as file:
            document = Document(path, tuple(pages)).to_dict()
            file.write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")
    if config.overlay:
        shown = next((n for n, page in enumerate(pages) if reply and page.number == reply.page), 0)
        if pictures[shown : shown + 1] in ([], [None]):
            raise UserError(f"--overlay: page {pages[shown].number} has no picture here: name it with --pages")
        image = drawn(pictures[shown], pages[shown], reply)
        with atomic_path(Path(config.overlay)) as file:
            image.save(file, format="PNG")


def main(argv: Sequence[str] | None = None) -> None:
    options, texts = split_texts(sys.argv[1:] if argv is None else argv)
    config = parse_config(DocumentConfig, options, prog=f"{PROGRAM} FILE [QUESTION]")
    setup_logging()
    print_result(read_and_answer(config, texts))


if __name__ == "__main__":
    run_program(main)
