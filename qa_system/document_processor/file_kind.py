"""What kind of document a file is, told from its bytes; its name decides only between kinds of plain text."""

import mmap
import zipfile
from pathlib import Path

from qa_system.document_processor.errors import Unreadable

MARKDOWN = {".md", ".markdown", ".mdown"}
HTML = {".html", ".htm", ".xhtml"}
KINDS = "give PDF, DOCX, HTML, Markdown or plain text"
# Beginnings of files that are often taken for documents, with what to say.
OTHERS = {
    b"\xd0\xcf\x11\xe0": f"it is an old Office file or an encrypted one: save it as .docx without a password; {KINDS}",
    b"{\\rtf": f"it is an RTF file: save it as .docx; {KINDS}",
    b"\x89PNG": f"it is a picture: {KINDS}",
    b"\xff\xd8\xff": f"it is a picture: {KINDS}",
    b"GIF8": f"it is a picture: {KINDS}",
    b"\x1f\x8b": f"it is an archive: {KINDS}",
    b"7z\xbc\xaf": f"it is an archive: {KINDS}",
    b"Rar!": f"it is an archive: {KINDS}",
    b"\x7fELF": f"it is a program: {KINDS}",
    b"MZ": f"it is a program: {KINDS}",
}


def kind_of(path: Path) -> str:
    """pdf, docx, html, markdown or text. Raises Unreadable for anything else."""
    with path.open("rb") as file:
        start = file.read(8192)
    suffix = path.suffix.lower()
    if _is_pdf(start, suffix):
        return "pdf"
    if suffix == ".pdf":
        raise Unreadable("malformed", "it does not begin as a PDF does: check that the file is whole")
    if start.startswith(b"PK\x03\x04"):
        return _kind_of_archive(path)
    for beginning, line in OTHERS.items():
        if start.startswith(beginning) and not (beginning == b"MZ" and b"\0" not in start):
            raise Unreadable("unknown kind", line)
    if suffix == ".docx":
        raise Unreadable("malformed", "it is no DOCX file inside: check that the file is whole")
    if suffix in MARKDOWN:
        return "markdown"
    begins = start.lstrip(b"\xef\xbb\xbf \t\r\n")[:64].lower()
    if suffix in HTML or begins.startswith((b"<!doctype html", b"<html")):
        return "html"
    return "text"


def _is_pdf(start: bytes, suffix: str) -> bool:
    """A PDF's head may stand behind up to 1 KB of anything, as for Acrobat; but a text may speak of that head too."""
    before, head, _ = start[: 1024 + len(b"%PDF-")].partition(b"%PDF-")
    begins = not before.strip(b"\xef\xbb\xbf \t\r\n\0")
    return bool(head) and (begins or suffix == ".pdf" or b"\0" in start)  # no text that holds these letters has a 0


def _kind_of_archive(path: Path) -> str:
    """Told without its list of parts, which may fill a gigabyte: worker.py reads that, where memory is limited."""
    if not zipfile.is_zipfile(path):
        raise Unreadable("malformed", "it begins as a DOCX file does but is damaged: save it again")
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        if content.find(b"word/document.xml") >= 0:  # parts are packed, their names are not
            return "docx"
    raise Unreadable("unknown kind", f"it is an archive without a Word document: {KINDS}")
