"""A document's files on disk: written page by page, whole or not at all, and known again by the source's content."""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from multimodal_llm.document_understanding.document import Page
from multimodal_llm.document_understanding.export import draw_overlay, page_to_markdown, write_json_pages
from multimodal_llm.document_understanding.layout_analysis import read_sheets
from multimodal_llm.document_understanding.running_lines import mark_running
from multimodal_llm.document_understanding.sheets import count_sheets, open_sheets
from shared.files import atomic_path

PAGE_PICTURE = re.compile(r"-\d{3,}\.png$")  # of a document of several pages


def is_written(source: Path, target: Path, form: int, overlays: bool = False) -> bool:
    """Whether TARGET.json tells of this very content, in this form, with overlays if they are wanted."""
    about = _about(target)
    drawn = about.get("overlays") or not overlays
    return bool(about.get("format") == form and drawn and about.get("sha256") == _hash(source))


def is_page_picture(file: Path) -> bool:
    """Whether `write_document` drew this file, a page of another one: the JSON beside it tells."""
    if file.suffix != ".png":
        return False
    told = [_about(target) for target in targets_of(file)]
    return any(about.get("overlays") and about.get("source") != file.name for about in told)


def targets_of(picture: Path) -> set[Path]:
    """The targets of which this would be a page's picture."""
    return {picture.with_suffix(""), Path(PAGE_PICTURE.sub("", str(picture)))}


def write_document(
    source: Path,
    target: Path,
    form: int,
    password: str | None = None,
    overlays: bool = True,
    threads: int = 0,
    progress: Callable[[str], None] = lambda note: None,
) -> dict[str, int]:
    """Read `source` and write TARGET.md, TARGET.json and overlays; gives the pages by status.

    The JSON comes last: where it is, all is. Raises UserError as `open_sheets` does, before anything is written.
    """
    sheets = open_sheets(source, password)
    count = count_sheets(source, password)
    about = {"source": source.name, "sha256": _hash(source), "format": form, "overlays": overlays}
    statuses: Counter[str] = Counter()
    pictures: dict[int, Any] = {}

    def pages() -> Iterator[Page]:
        for page, picture in read_sheets(sheets, threads):
            if overlays and picture is not None:
                pictures[page.number] = picture
            progress(f"page {page.number} of {count}")
            yield page

    def finished(markdown: Any) -> Iterator[Page]:
        for page in mark_running(pages()):
            statuses[page.status] += 1
            if text := page_to_markdown(page):
                markdown.write(text + "\n\n")
            if (picture := pictures.pop(page.number, None)) is not None:
                suffix = ".png" if count == 1 else f"-{page.number:03}.png"
                with atomic_path(_beside(target, suffix)) as draft:
                    draw_overlay(picture, page).save(draft, format="PNG")
            yield page

    target.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        # The last entered is finished first: so the JSON is entered first.
        draft = stack.enter_context(atomic_path(_beside(target, ".json")))
        text_draft = stack.enter_context(atomic_path(_beside(target, ".md")))
        with draft.open("w", encoding="utf-8") as file, text_draft.open("w", encoding="utf-8") as markdown:
            write_json_pages(file, about, finished(markdown))
    return dict(statuses)


def _about(target: Path) -> dict[str, Any]:
    """What TARGET.json says of itself; nothing where it is none of ours."""
    try:
        with _beside(target, ".json").open(encoding="utf-8") as file:
            return json.loads(file.readline().rpartition(', "pages"')[0] + "}")
    except (OSError, ValueError):
        return {}


def _beside(target: Path, ending: str) -> Path:
    return target.with_name(target.name + ending)


def _hash(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
