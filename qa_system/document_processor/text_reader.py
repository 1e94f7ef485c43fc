"""Plain text and Markdown as lines, and the decoding of bytes that all kinds of text need.

UTF-8, UTF-16 and UTF-32 are known by their marks, UTF-8 also without; other encodings (GB 18030, Big5, Shift JIS,
Windows-1252, ...) are told by what the text then looks like, and refused where nothing fits.
"""

import codecs
import re
from pathlib import Path

from qa_system.document_processor.errors import Unreadable
from qa_system.document_processor.page_lines import Line

MARKS = (  # UTF-32's first, since it begins like UTF-16's
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
SAMPLE = 1 << 16  # bytes that an unknown encoding is told from
SAVE_AS_UTF8 = "save it as UTF-8"
COMMON_LEADS = frozenset([*range(0xA1, 0xA4), *range(0xB0, 0xD8)])  # marks, and the 3,755 most common characters
LIKE_WINDOWS_1252 = {"cp1250", "cp1254", "cp1257", "cp1258", "iso8859_10", "iso8859_13", "iso8859_14", "latin_1"}
MEANT = {
    "iso8859_1": "cp1252",
    "ascii": "cp1252",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
}
"""What browsers read under such a name (WHATWG's Encoding Standard, section 4.2): the larger set of signs."""
FRONT_MATTER = re.compile(r"\A---\n(.*?)\n---\n", re.DOTALL)
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufeff]")


def read_lines(path: Path, kind: str) -> list[Line]:
    """The lines of a text, markdown, html or docx file. Raises Unreadable."""
    if kind == "docx":
        from qa_system.document_processor.docx_reader import docx_lines

        return docx_lines(path)
    data = path.read_bytes()
    if kind == "html":
        from qa_system.document_processor.html_reader import declared_encoding, html_lines

        return html_lines(decode(data, declared_encoding(data)))
    text = decode(data)
    return markdown_lines(text) if kind == "markdown" else text_lines(text)


def decode(data: bytes, declared: str | None = None) -> str:
    """The text in these bytes. Raises Unreadable where no encoding fits or the bytes are no text."""
    for mark, encoding in MARKS:
        if data.startswith(mark):
            return _decode(data, encoding)
    if b"\0" in data:
        return _decode(data, _utf16_without_mark(data))
    for encoding in filter(None, ("utf-8", declared)):
        try:
            return data.decode(MEANT.get(codecs.lookup(encoding).name.replace("-", "_"), encoding))
        except (UnicodeDecodeError, LookupError):
            continue
    return _decode(data, _guess(data))


def _decode(data: bytes, encoding: str) -> str:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise Unreadable("encoding", f"it is not whole {encoding} text: {SAVE_AS_UTF8}") from error


def _utf16_without_mark(data: bytes) -> str:
    """Text in Latin letters as UTF-16 has a zero in every other byte; anything else with zeros is no text."""
    sample = data[:SAMPLE]
    half = len(sample) // 2
    zeros = [sample[start::2].count(0) for start in (0, 1)]
    for zero, other, encoding in ((1, 0, "utf-16-le"), (0, 1, "utf-16-be")):
        if zeros[zero] > 0.6 * half and zeros[other] < 0.02 * half:
            return encoding
    raise Unreadable("encoding", f"it holds zero bytes, so it is no text: give a document, or {SAVE_AS_UTF8}")


def _guess(data: bytes) -> str:
    sample = data[:SAMPLE]
    if len(data) > SAMPLE:
        sample = sample[: sample.rfind(b"\n") + 1] or sample  # half a character at the end fits no encoding
    if _is_gb2312(sample):
        return "gb18030"
    from charset_normalizer import from_bytes

    matches = from_bytes(sample)
    best = matches.best()
    if best is None:
        raise Unreadable("encoding", f"its encoding is unknown: {SAVE_AS_UTF8}")
    possible = {name for match in matches for name in (match.encoding, *match.could_be_from_charset)}
    if best.encoding in LIKE_WINDOWS_1252 and "cp1252" in possible:
        return "cp1252"  # by far the most common of those that look alike
    return "gb18030" if best.encoding in ("gb2312", "gbk") else best.encoding


def _is_gb2312(sample: bytes) -> bool:
    """Whether these are common Chinese characters of GB 2312, without spaces as Korean has; a few suffice."""
    pairs = re.findall(rb"[\x81-\xfe][\x40-\xfe]", sample)
    common = sum(pair[0] in COMMON_LEADS and pair[1] >= 0xA1 for pair in pairs)
    return common > 0.9 * len(pairs) > 0 and sample.count(b" ") < 0.1 * len(pairs)


def text_lines(text: str) -> list[Line]:
    """Plain text: an empty line parts paragraphs, and every line stays one."""
    lines = []
    new = True
    for line in CONTROL.sub("", text.replace("\f", "\n\n")).splitlines():
        if not line.strip():
            new = True
            continue
        lines.append(Line(line.rstrip(), "paragraph" if new else "row"))
        new = False
    return lines


def markdown_lines(text: str) -> list[Line]:
    """Markdown without its marks; headings keep their level."""
    from markdown_it import MarkdownIt

    from qa_system.document_processor.html_reader import html_lines

    text = text.replace("\r\n", "\n")
    front = FRONT_MATTER.match(text)  # YAML, which Markdown would take for a heading
    body = text[front.end() :] if front else text
    lines = html_lines(MarkdownIt("commonmark", {"html": True}).enable("table").render(CONTROL.sub("", body)))
    return (text_lines(front[1]) if front else []) + lines
