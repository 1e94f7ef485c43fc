"""A quickstart's result as a small JSON file, and one HTML page made of such files.

A project fills a `Section` and saves it in its output folder; demo.py puts all sections into one page that needs no
network: plotly.js stands inside it. Every text is given in both languages, and the page switches between them.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unicodedata import category

from shared.files import write_json, write_text
from shared.logging import format_cell
from shared.phrases import LANGUAGES, Language, both, has_phrase, phrase
from shared.runs import read_json

if TYPE_CHECKING:
    import plotly.graph_objects as go

Text = Mapping[str, str] | str  # {"en": ..., "zh": ...}, or one text for both languages

SECTION = "section.json"
PAGE = Path(__file__).with_name("report_page.html")


class Section:
    """One project's part of the report: blocks in the order in which they are added."""

    def __init__(self, title: Text, summary: Text) -> None:
        self._content: dict[str, Any] = {"title": _pair(title), "summary": _pair(summary), "blocks": []}

    def text(self, text: Text) -> None:
        """Paragraphs, with a blank line between them; what stands in `backticks` is shown as code."""
        self._add("text", text=_pair(text))

    def next(self, text: Text) -> None:
        """What to do now: commands to go on with, each on a line of its own, in a box that the eye finds."""
        self._add("next", text=_pair(text))

    def numbers(self, numbers: Sequence[tuple[Text, Any]]) -> None:
        """A row of headline figures, each with what it is."""
        self._add("numbers", numbers=[{"label": _pair(label), "value": format_cell(value)} for label, value in numbers])

    def figure(self, draw: Callable[[Language], "go.Figure"], caption: Text) -> None:
        """A Plotly figure, drawn once in each language."""
        drawn = {language: json.loads(draw(language).to_json()) for language in LANGUAGES}
        for figure in drawn.values():
            figure["layout"].pop("template", None)  # the page has its own, for light and dark
        self._add("figure", figure=drawn, caption=_pair(caption))

    def table(self, rows: Sequence[Mapping[str, Any]], caption: Text) -> None:
        """One line a row. Headings are the phrases `column.KEY`; a cell may be a text in two languages."""
        keys = list(dict.fromkeys(key for row in rows for key in row))
        headings = [_pair(both(f"column.{key}") if has_phrase(f"column.{key}") else key) for key in keys]
        cells = [[_cell(row.get(key)) for key in keys] for row in rows]
        numeric = [all(isinstance(row.get(key), int | float | None) for row in rows) for key in keys]
        self._add("table", headings=headings, numeric=numeric, rows=cells, caption=_pair(caption))

    def samples(self, samples: Sequence[tuple[Text, str]], caption: Text) -> None:
        """Texts a model wrote, shown as they are, each under its label; control characters become dots."""
        labelled = [{"label": _pair(label), "text": _printable(text)} for label, text in samples]
        self._add("samples", samples=labelled, caption=_pair(caption))

    def save(self, folder: Path) -> None:
        """Write section.json."""
        write_json(folder / SECTION, self._content)

    def _add(self, kind: str, **content: Any) -> None:
        self._content["blocks"].append({"kind": kind, **content})


def read_section(folder: Path) -> dict[str, Any]:
    """The section a quickstart left in its folder. Raises UserError where it is missing or damaged."""
    return read_json(folder / SECTION)


def write_report(
    file: Path,
    sections: Sequence[Mapping[str, Any]],
    failures: Sequence[Mapping[str, Any]],
    facts: Mapping[str, Any],
    heading: str = "report.title",
    lead: str = "report.lead",
) -> None:
    """Write the page. `heading` and `lead` are keys of phrases.

    `sections` are those of `read_section`, each with `command` and `seconds` added. `failures` have `project`, `why`
    (one line) and `log` (a path, or nothing). `facts` fill the footer: date, commit, hardware, seconds and command.
    """
    from plotly.offline import get_plotlyjs

    figures: list[Any] = []
    parts = [_section(section, f"section-{number}", figures) for number, section in enumerate(sections, start=1)]
    body = "".join(parts) or f"<p>{_words(both('report.nothing'))}</p>"
    if len(sections) > 1:
        links = [
            f'<li><a href="#section-{number}">{_words(section["title"])}</a></li>'
            for number, section in enumerate(sections, start=1)
        ]
        body = f"<nav><h2>{_words(both('report.contents'))}</h2><ol>{''.join(links)}</ol></nav>" + body
    contents = {
        "TITLE": escape(phrase(heading, "en")),
        "HEADING": _words(both(heading)),
        "LEAD": _with_code(_words(both(lead))),
        "FAILURES": _failures(failures),
        "BODY": body,
        "FOOTER": _words(both("report.footer", **facts)),
        "PLOTLY": get_plotlyjs(),
        # "<" inside a text must not end the script that carries it.
        "FIGURES": json.dumps(figures, ensure_ascii=False).replace("<", "\\u003c"),
    }
    # All marks at once: a text that itself holds a mark must stay as it is.
    page = re.sub("@@([A-Z]+)@@", lambda mark: contents[mark[1]], PAGE.read_text(encoding="utf-8"))
    write_text(file, page)


def _section(section: Mapping[str, Any], anchor: str, figures: list[Any]) -> str:
    blocks = "".join(_block(block, figures) for block in section["blocks"])
    seconds = both("report.seconds", seconds=f"{section['seconds']:.0f}")
    return (
        f'<section id="{anchor}"><h2>{_words(section["title"])}</h2>'
        f'<p class="summary">{_words(section["summary"])}</p>{blocks}'
        f'<p class="command">{_words(both("report.command"))}: <code>{escape(section["command"])}</code>'
        f" · {_words(seconds)}</p></section>"
    )


def _block(block: Mapping[str, Any], figures: list[Any]) -> str:
    match block["kind"]:
        case "text":
            return _paragraphs(block["text"])
        case "next":
            return f'<div class="next"><h3>{_words(both("report.next"))}</h3>{_paragraphs(block["text"])}</div>'
        case "numbers":
            tiles = "".join(f"<div><b>{escape(n['value'])}</b>{_words(n['label'])}</div>" for n in block["numbers"])
            return f'<div class="numbers">{tiles}</div>'
        case "figure":
            figures.append(block["figure"])
            plot = f'<div class="plot" data-figure="{len(figures) - 1}"></div>'
            return f"<figure>{plot}<figcaption>{_words(block['caption'])}</figcaption></figure>"
        case "table":
            kinds = [' class="number"' if numeric else "" for numeric in block["numeric"]]
            head = "".join(f"<th{kind}>{_words(h)}</th>" for kind, h in zip(kinds, block["headings"], strict=True))
            rows = (
                "".join(f"<td{kind}>{_words(cell)}</td>" for kind, cell in zip(kinds, row, strict=True))
                for row in block["rows"]
            )
            body = "".join(f"<tr>{row}</tr>" for row in rows)
            table = f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
            return f"<figure>{table}<figcaption>{_words(block['caption'])}</figcaption></figure>"
        case "samples":
            boxes = "".join(
                f'<div class="sample"><h4>{_words(s["label"])}</h4><pre>{escape(s["text"])}</pre></div>'
                for s in block["samples"]
            )
            caption = f"<figcaption>{_words(block['caption'])}</figcaption>"
            return f'<figure><div class="samples">{boxes}</div>{caption}</figure>'
        case kind:
            raise ValueError(f"a report has no block of the kind {kind!r}")


def _failures(failures: Sequence[Mapping[str, Any]]) -> str:
    if not failures:
        return ""
    items = ""
    for failure in failures:
        log = f"{_words(both('report.failure_log'))}: <code>{escape(failure['log'])}</code>"
        where = f"<br><small>{log}</small>" if failure["log"] else ""
        items += f"<li><b>{escape(failure['project'])}</b>: {_words(_pair(failure['why']))}{where}</li>"
    return f'<div class="failures"><h2>{_words(both("report.failures"))}</h2><ul>{items}</ul></div>'


def _paragraphs(text: Mapping[str, str]) -> str:
    """A text's paragraphs in each language; the page's style shows one language's."""
    return "".join(
        f'<div class="only-{language}" lang="{language}">'
        + "".join(f"<p>{_with_code(escape(paragraph))}</p>" for paragraph in text[language].split("\n\n"))
        + "</div>"
        for language in LANGUAGES
    )


def _printable(text: str) -> str:
    """The text, with a dot for each character that a browser would show as an empty box."""
    return "".join("·" if category(letter) == "Cc" and letter not in "\n\t" else letter for letter in text)


def _with_code(escaped: str) -> str:
    return re.sub("`([^`]+)`", r"<code>\1</code>", escaped)


def _words(text: Mapping[str, str]) -> str:
    if text["en"] == text["zh"]:
        return escape(text["en"])
    return "".join(f'<span class="only-{lang}" lang="{lang}">{escape(text[lang])}</span>' for lang in LANGUAGES)


def _cell(value: Any) -> dict[str, str]:
    return _pair(value if isinstance(value, Mapping) else format_cell(value))


def _pair(text: Text) -> dict[str, str]:
    return {"en": text, "zh": text} if isinstance(text, str) else dict(text)
