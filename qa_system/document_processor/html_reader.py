"""HTML as lines: what a reader would see, without scripts, styles and menus; headings with their level."""

import re
from typing import Any, NamedTuple

from qa_system.document_processor.page_lines import Joint, Line

UNSEEN = {"script", "style", "noscript", "template", "head", "svg", "iframe", "object", "nav", "select", "textarea"}
BLOCKS = set(
    "address article aside blockquote body caption center dd details div dl dt fieldset figcaption figure footer form"
    " h1 h2 h3 h4 h5 h6 header hr li main ol p pre section summary table tbody tfoot thead tr ul".split()
)
ROWS = {"li", "tr", "dd", "dt"}
CELLS = {"td", "th"}
CHARSET = re.compile(rb"""<meta[^>]{0,200}charset\s*=\s*["']?\s*([\w-]{1,40})""", re.IGNORECASE)


class _Place(NamedTuple):
    """Where an element stands: the block and table cell that hold it, how it begins a line, whether it is seen."""

    block: int
    cell: int
    joint: Joint
    heading: int
    seen: bool
    exact: bool


def declared_encoding(data: bytes) -> str | None:
    """The encoding that the page's own `<meta charset>` names."""
    found = CHARSET.search(data[:4096])
    return found[1].decode("ascii") if found else None


def html_lines(html: str) -> list[Line]:
    """The lines of a page, in the order of its source."""
    from selectolax.lexbor import LexborHTMLParser

    tree = LexborHTMLParser(html)
    lines: list[Line] = []
    title = tree.css_first("title")
    if title is not None and title.text(strip=True) and tree.css_first("h1") is None:
        lines.append(Line(" ".join(title.text().split()), "paragraph", heading=1))
    if tree.body is None:
        return lines
    gathered = _Gathered(lines)
    root = _Place(0, 0, "paragraph", 0, True, False)
    places = {tree.body.mem_id: root}
    for node in tree.body.traverse(include_text=True):
        above = root if node.parent is None else places.get(node.parent.mem_id, root)
        if node.tag == "-text":
            if above.seen:
                gathered.add(node.text_content or "", above)
        elif above.cell and (node.tag == "br" or node.tag in BLOCKS) and node.tag != "tr":
            gathered.text += " "  # paragraphs in a cell of a table are parts of its row
            places[node.mem_id] = above
        elif node.tag == "br":
            gathered.end_line()
        else:
            places[node.mem_id] = _place(node, above)
    gathered.end_line()
    return lines


def _place(node: Any, above: _Place) -> _Place:
    tag, number = node.tag, node.mem_id
    if tag in UNSEEN or "hidden" in node.attributes:
        return above._replace(seen=False)
    if tag in CELLS:
        return above._replace(cell=number)
    if tag not in BLOCKS:
        return above
    heading = int(tag[1]) if re.fullmatch("h[1-6]", tag) else above.heading
    joint: Joint = "row" if tag in ROWS else "paragraph"
    return _Place(number, 0, joint, heading, above.seen, above.exact or tag == "pre")


class _Gathered:
    """The line that is being put together."""

    def __init__(self, lines: list[Line]) -> None:
        self.lines = lines
        self.text = ""
        self.place: _Place | None = None
        self.last_block: int | None = None

    def add(self, text: str, place: _Place) -> None:
        if self.place is not None and place.block != self.place.block:
            self.end_line()
        elif self.place is not None and place.cell != self.place.cell:
            self.text = self.text.rstrip() + "\t"
        self.place = place
        if place.exact:
            *whole, text = text.split("\n")
            for line in whole:
                self.text += line
                self.end_line()
                self.place = place
            self.text += text
        else:
            self.text += re.sub(r"\s+", " ", text)

    def end_line(self) -> None:
        place, text = self.place, self.text
        self.text, self.place = "", None
        if place is None or not text.strip():  # without a place it is white space alone
            return
        text = text.rstrip() if place.exact else re.sub(r" +", " ", text).strip()
        joint = place.joint if place.block != self.last_block else "row"
        self.last_block = place.block
        self.lines.append(Line(text, joint, heading=place.heading))
