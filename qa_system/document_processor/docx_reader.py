"""DOCX as lines: paragraphs, lists, tables, text boxes, content controls, insertions; footnotes last.

What a reader of the accepted document sees: deleted text is left out. python-docx opens the package and knows the
styles; the text is taken from the elements themselves, since its own paragraphs leave out much of the above. The
archive is looked at before it is opened: a small file can claim to hold a thousand times its size.
"""

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from qa_system.document_processor.errors import Unreadable
from qa_system.document_processor.page_lines import Line

MOST_UNPACKED_MB = 500
MOST_PACKED_TIMES = 200  # times smaller than its content a part over 1 MB may be
MOST_PARTS = 10_000
WORD = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"  # the same again, for old programs
PARAGRAPH, TABLE, ROW, CELL = WORD + "p", WORD + "tbl", WORD + "tr", WORD + "tc"
SKIPPED = {WORD + "del", WORD + "moveFrom", WORD + "instrText", WORD + "delText", FALLBACK}
BREAKS = {WORD + "br": " ", WORD + "cr": " ", WORD + "tab": "\t", WORD + "noBreakHyphen": "-"}


def docx_lines(path: Path) -> list[Line]:
    """The lines of a Word document. Raises Unreadable where it is damaged or a bomb."""
    import docx
    from docx.opc.exceptions import PackageNotFoundError
    from lxml.etree import LxmlError

    try:
        _refuse_bomb(path)
        document = docx.Document(str(path))
        levels = _heading_levels(document)
        lines = list(_lines(document.element.body, levels))
        for note in _notes(document):
            lines += list(_lines(note, levels))
    except (PackageNotFoundError, LxmlError, KeyError, ValueError, AttributeError, zipfile.BadZipFile) as error:
        raise Unreadable("malformed", f"its structure is damaged ({type(error).__name__}): save it again") from error
    return lines


def _refuse_bomb(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        parts = archive.infolist()
    # What is claimed binds: zipfile reads no more of a part than it claims.
    unpacked = sum(part.file_size for part in parts)
    packed = [part for part in parts if part.file_size > MOST_PACKED_TIMES * max(part.compress_size, 1)]
    if len(parts) > MOST_PARTS or unpacked > MOST_UNPACKED_MB * 1e6 or any(part.file_size > 1e6 for part in packed):
        raise Unreadable(
            "unsafe", f"its {len(parts)} parts would unpack to {unpacked / 1e6:.0f} MB: it looks like a bomb"
        )


def _heading_levels(document: Any) -> dict[str, int]:
    """The level of each style that is a heading's, by the style's id; styles inherit it."""
    levels: dict[str, int] = {}
    for style in document.styles:
        level, each, depth = 0, style, 0
        while each is not None and not level and depth < 20:
            name = (each.name or "").lower()
            outline = each.element.find(f"{WORD}pPr/{WORD}outlineLvl")
            if name == "title":
                level = 1
            elif name.startswith("heading ") and name[8:].isdigit():
                level = int(name[8:])
            elif outline is not None and outline.get(WORD + "val", "9").isdigit():
                level = int(outline.get(WORD + "val", "9")) + 1
            each, depth = getattr(each, "base_style", None), depth + 1
        if 1 <= level <= 9:
            levels[style.style_id] = level
    return levels


def _lines(body: Any, levels: dict[str, int]) -> Iterator[Line]:
    """Paragraphs and rows in order. Goes through the elements with a stack: a document may nest as deep as it likes."""
    stack = [iter(body)]
    while stack:
        element = next(stack[-1], None)
        if element is None:
            stack.pop()
        elif element.tag == PARAGRAPH:
            text, boxes = _text(element)
            if text:
                level = _level(element, levels)
                is_item = element.find(f"{WORD}pPr/{WORD}numPr") is not None and not level
                yield Line(text, "row" if is_item else "paragraph", heading=level)
            stack.append(iter(boxes))
        elif element.tag == ROW:
            cells = [_cell_text(cell) for cell in element.iter(CELL) if _row_of(cell) is element]
            if any(cells):
                is_first = not any(True for _ in element.itersiblings(ROW, preceding=True))
                yield Line("\t".join(cells), "paragraph" if is_first else "row")
        elif element.tag not in SKIPPED and isinstance(element.tag, str):
            stack.append(iter(element))


def _text(paragraph: Any) -> tuple[str, list[Any]]:
    """A paragraph's own text, and the contents of text boxes that hang on it."""
    words: list[str] = []
    boxes: list[Any] = []
    stack = [iter(paragraph)]
    while stack:
        element = next(stack[-1], None)
        if element is None:
            stack.pop()
        elif element.tag == WORD + "t":
            words.append(element.text or "")
        elif element.tag in BREAKS:
            words.append(BREAKS[element.tag])
        elif element.tag == WORD + "txbxContent":
            boxes.append(element)
        elif element.tag not in SKIPPED and isinstance(element.tag, str) and element.tag != WORD + "pPr":
            stack.append(iter(element))
    return " ".join("".join(words).split(" ")).strip(), boxes


def _cell_text(cell: Any) -> str:
    shown = (paragraph for paragraph in cell.iter(PARAGRAPH) if next(paragraph.iterancestors(FALLBACK), None) is None)
    return " ".join(filter(None, (_text(paragraph)[0] for paragraph in shown))).replace("\t", " ")


def _row_of(cell: Any) -> Any:
    return next(cell.iterancestors(ROW), None)


def _level(paragraph: Any, levels: dict[str, int]) -> int:
    style = paragraph.find(f"{WORD}pPr/{WORD}pStyle")
    outline = paragraph.find(f"{WORD}pPr/{WORD}outlineLvl")
    if outline is not None and outline.get(WORD + "val", "").isdigit() and int(outline.get(WORD + "val")) < 9:
        return int(outline.get(WORD + "val")) + 1
    return levels.get(style.get(WORD + "val"), 0) if style is not None else 0


def _notes(document: Any) -> Iterator[Any]:
    """The bodies of footnotes and endnotes."""
    from docx.oxml.parser import parse_xml

    for relation in document.part.rels.values():
        if relation.reltype.endswith(("/footnotes", "/endnotes")) and not relation.is_external:
            yield from parse_xml(relation.target_part.blob)
