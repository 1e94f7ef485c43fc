"""Fill the generated parts of every README from `results/*.json` and the tree; `--check` says what is out of date.

Markers in a README; NAME is a file results/NAME.json of its folder, in the root's README it is PROJECT/NAME:

    <!-- results NAME columns=a,b -->  a table of the file's rows, and how they were measured  <!-- /results -->
    <!-- number NAME.key -->           one value of the file's result                          <!-- /number -->
    <!-- tree -->                      the folder's files with their first lines               <!-- /tree -->
"""

import argparse
import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from shared.errors import UserError, run_program
from shared.files import write_text
from shared.logging import format_cell
from shared.phrases import has_phrase, phrase
from shared.runs import read_json
from tools.projects import CHECKOUT, our_files

_BLOCK = re.compile(r"(<!-- (results|number|tree)\b ?(.*?) ?-->)(.*?)(<!-- /\2 -->)", re.DOTALL)
_MARKER = re.compile(r"<!-- /?(?:results|number|tree)\b")
_CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)
_LINK = re.compile(r"""\]\(\s*<?([^)\s>]+)>?(?:\s+"[^"]*")?\s*\)|(?:src|href)="([^"]+)\"""")
_ONE_LINE_FOLDERS = {"tests": "the tests", "exercises": "functions to fill in: `make exercise`"}


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.readme_tables", description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="change nothing; fail on a stale part or a dead link")
    arguments = parser.parse_args(argv)
    faults = []
    for readme in our_files(CHECKOUT, "README*.md"):
        before = readme.read_text(encoding="utf-8")
        after = fill(before, readme, CHECKOUT)
        if before != after and arguments.check:
            faults.append(f"{readme.relative_to(CHECKOUT)}: differs from results/*.json or the tree: run `make readme`")
        elif before != after:
            write_text(readme, after)
            print(f"{readme.relative_to(CHECKOUT)}: filled")
    faults += dead_links(CHECKOUT)
    for fault in faults:
        print(f"error: {fault}", file=sys.stderr)
    if faults:
        sys.exit(1)


def fill(text: str, readme: Path, checkout: Path) -> str:
    """The README's text with every generated part made anew. Raises UserError where a file or key is missing."""
    language = "zh" if readme.name.endswith(".zh-CN.md") else "en"
    where = readme.relative_to(checkout)

    def replaced(found: re.Match[str]) -> str:
        opening, kind, words, _, closing = found.groups()
        if kind == "number":
            return opening + number(words, readme.parent, checkout, where) + closing
        if kind == "results":
            return f"{opening}\n{results_table(words, readme.parent, checkout, language, where)}\n{closing}"
        return f"{opening}\n{tree(readme.parent, language)}\n{closing}"

    if len(_MARKER.findall(text)) != 2 * len(_BLOCK.findall(text)):
        raise UserError(f"{where}: a <!-- results|number|tree --> marker has no partner: close it with <!-- /... -->")
    return _BLOCK.sub(replaced, text)


def results_table(words: str, folder: Path, checkout: Path, language: str, where: Path) -> str:
    """A Markdown table of a results file's rows, and a line that says how they were measured."""
    name, *options = words.split()
    content = read_results(name, folder, checkout, where)
    rows = content.get("rows") or [content.get("result", {})]
    columns = list(dict.fromkeys(key for row in rows for key in row))
    for option in options:
        key, _, value = option.partition("=")
        if key != "columns":
            raise UserError(f"{where}: results {name}: unknown option {option!r}: only columns=a,b,c is known")
        asked = value.split(",")
        if missing := [column for column in asked if column not in columns]:
            raise UserError(f"{where}: results {name}: no column {', '.join(missing)}: there are {', '.join(columns)}")
        columns = asked
    lines = [[heading(column, language) for column in columns], ["---"] * len(columns)]
    lines += [[cell(row.get(column)) for column in columns] for row in rows]
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    try:
        source = f"`{content['command']}` · {content['date']} · `{content['commit']}` · {content['hardware']}"
    except KeyError as error:
        raise UserError(f"{where}: results {name}: its file lacks {error}: measure anew with `make bench`") from error
    return f"\n{table}\n\n<sub>{source}</sub>\n"


def number(words: str, folder: Path, checkout: Path, where: Path) -> str:
    """One value of a results file, as tables show it: `char_lm.val_loss`, `domains.pearson_r.tweets`."""
    head, slash, tail = words.rpartition("/")
    name, _, path = tail.partition(".")
    content = read_results(head + slash + name, folder, checkout, where)
    keys = path.split(".")
    value: Any = content["result"] if keys[0] in content.get("result", {}) else content
    for key in keys:
        if isinstance(value, list) and key.isdigit() and int(key) < len(value):
            value = value[int(key)]
        elif isinstance(value, dict) and key in value:
            value = value[key]
        else:
            raise UserError(f"{where}: number {words}: no {path} in the results file: mend the name or measure anew")
    return cell(value)


def read_results(name: str, folder: Path, checkout: Path, where: Path) -> dict[str, Any]:
    project, _, benchmark = name.rpartition("/")
    file = (checkout / project if project else folder) / "results" / f"{benchmark}.json"
    if not file.is_file():
        raise UserError(f"{where}: {name}: no {file.relative_to(checkout)}: mend the name or run `make bench`")
    return read_json(file)


def cell(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {cell(part)}" for key, part in value.items())
    if isinstance(value, list):
        return ", ".join(cell(part) for part in value)
    return format_cell(value).replace("|", "\\|").replace("\n", " ")


def heading(column: str, language: Any) -> str:
    """The column's name in the README's language, or the raw name where there is no phrase for it."""
    key = f"column.{column}"
    return (phrase(key, language) if has_phrase(key) else column).replace("|", "\\|")


def tree(folder: Path, language: Any) -> str:
    """The folder's Python files with the first lines of their docstrings; in the root, packages stay one line each."""
    lines = list(_tree_lines(folder, depth=0, deep=(folder / "__init__.py").exists(), language=language))
    width = max((len(name) for name, _ in lines), default=0)
    return "\n".join(["", "```text", *(f"{name:{width}}  {about}".rstrip() for name, about in lines), "```", ""])


def _tree_lines(folder: Path, depth: int, deep: bool, language: Any) -> Iterator[tuple[str, str]]:
    files = [file for file in our_files(folder, "*.py") if file.name != "__init__.py"]
    for file in files:
        if file.parent == folder:
            yield "  " * depth + file.name, docstring_line(file)
    for inner in sorted({folder / file.relative_to(folder).parts[0] for file in files if file.parent != folder}):
        name = "  " * depth + inner.name + "/"
        if inner.name in _ONE_LINE_FOLDERS:
            key = f"tree.{inner.name}"
            yield name, phrase(key, language) if has_phrase(key) else _ONE_LINE_FOLDERS[inner.name]
        else:
            yield name, docstring_line(inner / "__init__.py")
            if deep:
                yield from _tree_lines(inner, depth + 1, deep, language)


def docstring_line(file: Path) -> str:
    """The first line of a module's docstring; empty where there is none."""
    if not file.exists():
        return ""
    words = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    return words.strip().split("\n", 1)[0]


def dead_links(checkout: Path) -> list[str]:
    """A line for each relative link in a Markdown file that leads nowhere: to no file, or to no heading of it."""
    dead = []
    for file in our_files(checkout, "*.md"):
        text = _CODE.sub("", file.read_text(encoding="utf-8"))
        for target in (found[1] or found[2] for found in _LINK.finditer(text)):
            path, _, anchor = unquote(target).partition("#")
            if re.match(r"[a-z]+:", path):
                continue
            led_to = file.parent / path if path else file
            if not led_to.exists() or (anchor and led_to.suffix == ".md" and anchor not in _anchors(led_to)):
                dead.append(f"{file.relative_to(checkout)}: the link to {target} leads nowhere")
    return dead


def _anchors(markdown: Path) -> set[str]:
    """The names by which a page's headings are linked to, as GitHub makes them."""
    text = re.sub(r"^```.*?^```", "", markdown.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ +(.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


if __name__ == "__main__":
    run_program(main)
