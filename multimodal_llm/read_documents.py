"""Read photos, scans and PDFs: Markdown, JSON, and pictures with the blocks drawn on them.

python -m multimodal_llm.read_documents scan.jpg report.pdf ~/Documents --output read
"""

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from multimodal_llm.picture_files import READ, is_read, told
from shared.config import check, first_line, parse_config, split_texts
from shared.errors import UserError, describe_os_error, run_program
from shared.logging import get_logger, print_result, print_table, progress_bar, setup_logging
from shared.timing import Timer

log = get_logger(__name__)

PROGRAM = "python -m multimodal_llm.read_documents"
ENDINGS = {".pdf", *READ}
FORMAT = 1  # of the files written; with another, documents are read anew


@dataclass(frozen=True, kw_only=True)
class ReadConfig:
    """Read the files, and all in the folders, that stand after the options; what was read before is left alone."""

    output: str = "read"
    """Folder for NAME.md, NAME.json and, a page, NAME.png or NAME-001.png."""
    password: str | None = field(default=None, repr=False)
    """Of PDFs that want one."""
    overlays: bool = True
    """Draw pages with their blocks."""
    threads: int | None = None
    """Processor threads; by default one a core."""

    def __post_init__(self) -> None:
        check(self.threads is None or self.threads >= 1, "threads", self.threads, "give at least 1")


def read_documents(config: ReadConfig, paths: Sequence[str]) -> dict[str, Any]:
    """Read them. Raises UserError where there is nothing to read, or all that there is is broken."""
    output = Path(config.output)
    files = list(named(find_files(paths, output), output))
    if config.overlays:
        refuse_to_write_over(files, output)
    counts = dict.fromkeys(("read", "skipped", "broken", "pages", "text", "ocr", "empty", "failed"), 0)
    rows: list[dict[str, Any]] = []
    reasons: list[str] = []
    with Timer() as timer, progress_bar("documents", len(files)) as show:
        for number, (file, target) in enumerate(files, 1):
            progress = partial(_show_page, show, number - 1, file.name)
            outcome, pages = _read_one(file, target, config, progress)
            short = outcome if outcome in ("read", "skipped") else "broken"
            rows.append({"file": file.name, "outcome": short, "pages": sum(pages.values()), "to": f"{target}.md"})
            reasons += [outcome] if short == "broken" else []
            counts[short] += 1
            counts["pages"] += sum(pages.values())
            for status, count in pages.items():
                counts[status] += count
            show(number)
    for reason in reasons:
        log.warning("%s", reason)
    if len(reasons) == len(files):
        raise UserError(f"none of the {len(files):,} files can be read: {reasons[0]}")
    print_table("documents", rows)
    return {"files": len(files), **counts, "output": config.output, "seconds": timer.seconds}


def _show_page(show: Any, done: int, name: str, note: str) -> None:
    show(done, f"{name}, {note}")


def find_files(paths: Sequence[str], output: Path) -> list[tuple[Path, Path]]:
    """Each file with its name in the output: the path below the folder it was found in; not what was written there.

    Pictures in the folders that cannot be read here are told of in one line. Raises UserError for no paths, missing
    ones, and folders without a document.
    """
    from multimodal_llm.document_understanding.written import is_page_picture

    if not paths:
        raise UserError(f"no documents: give files or folders, as in `{PROGRAM} scan.jpg --output read`")
    found: dict[Path, Path] = {}
    passed_over: Counter[str] = Counter()
    for path in map(Path, paths):
        path = path.expanduser()
        if path.is_dir():
            written = output.resolve() if path.resolve() in output.resolve().parents else None
            for file in sorted(path.rglob("*")):
                if written is not None and written in file.resolve().parents:
                    continue
                wanted = is_read(file, passed_over) or file.suffix.lower() in ENDINGS
                if wanted and file.is_file() and not is_page_picture(file):
                    found.setdefault(file, file.relative_to(path))
        elif path.exists():
            found.setdefault(path, Path(path.name))
        else:
            raise UserError(f"{path}: no such file or folder: check the path (nothing was read)")
    if passed_over:
        log.warning("%s", told(passed_over))
    if not found:
        raise UserError(f"{', '.join(paths)}: no documents in it: there must be {', '.join(sorted(ENDINGS))}")
    return list(found.items())


def refuse_to_write_over(files: Sequence[tuple[Path, Path]], output: Path) -> None:
    """Raise UserError where a page's picture would take the place of one of the documents."""
    from multimodal_llm.document_understanding.written import targets_of

    targets = {target.resolve() for _, target in files}
    for file, _ in files:
        place = file.resolve()
        if place.suffix == ".png" and targets_of(place) & targets:
            raise UserError(f"--output {output}: its pictures would be written over {file}: name another folder")


def named(files: Sequence[tuple[Path, Path]], output: Path) -> Iterator[tuple[Path, Path]]:
    """Each file with its target without an ending: "a.pdf" gives "a", but beside "a.png" it gives "a.pdf"."""
    stems = [name.with_suffix("") for _, name in files]
    taken: dict[Path, int] = {}
    for (file, name), stem in zip(files, stems, strict=True):
        target = stem if stems.count(stem) == 1 else name
        taken[target] = taken.get(target, 0) + 1
        if taken[target] > 1:  # the same name in two of the folders given
            target = target.with_name(f"{target.name} ({taken[target]})")
        yield file, output / target


def _read_one(file: Path, target: Path, config: ReadConfig, progress: Any) -> tuple[str, dict[str, int]]:
    """`read`, `skipped`, or what is wrong with the file; and its pages by status."""
    from multimodal_llm.document_understanding.written import is_written, write_document

    try:
        if is_written(file, target, FORMAT, config.overlays):
            return "skipped", {}
        return "read", write_document(
            file, target, FORMAT, config.password, config.overlays, config.threads or 0, progress
        )
    except UserError as error:
        return str(error), {}
    except OSError as error:
        return describe_os_error(error), {}
    except (ValueError, RuntimeError, MemoryError) as error:  # of a library, about what the file holds
        return f"{file}: cannot be read ({type(error).__name__}: {error})", {}


def main() -> None:
    options, paths = split_texts(sys.argv[1:])
    description = f"{first_line(ReadConfig)} Formats: {', '.join(sorted(ENDINGS))}."
    config = parse_config(ReadConfig, options, prog=f"{PROGRAM} FILE_OR_FOLDER...", description=description)
    setup_logging()
    print_result(read_documents(config, paths))


if __name__ == "__main__":
    run_program(main)
