"""Cleaning that keeps the meaning of a text, and the key by which two texts count as the same.

A pretrained encoder was trained on ordinary writing: case, punctuation, emoji, negations and spelling all carry
sentiment and stay. What goes is what only the web page or the file added. Both functions take linear time on any input
and are idempotent: applying them twice changes nothing more.
"""

import html
import re
import unicodedata
from html.entities import html5

# Handles and links become what they are in TweetEval (arXiv 2010.12421), as encoders for tweets know them.
HANDLE, LINK = "@user", "http"
LONGEST_MARK_RUN = 30  # of Unicode's stream-safe text (UAX 15, section 13); real writing needs fewer than ten

_ODD = re.compile("[\x00-\x08\x0e-\x1b\x7f-\x9f\xad\u200b\u2060\ufeff]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_LONGEST_ENTITY = 34
_BREAK = re.compile(r"</?(?:br|hr|p|div|ul|ol|li|tr|td|blockquote|h[1-6])(?: [^<>\n]*)?/?>", re.IGNORECASE)
# A link ends before white space, quotes, angle brackets and anything but ASCII (Chinese follows without a space), and
# gives the punctuation after it back to the sentence.
_LINK = re.compile(
    r"(?:https?://|(?<![a-z0-9])www\.)[^\s<>\"\x7f-\U0010ffff]*[a-z0-9/_#=&%+~$@*-]", re.IGNORECASE | re.ASCII
)
# With a letter before the sign it is a mail address. The sign stands first, as `re` then skips to it.
_HANDLE = re.compile(r"@(?<![A-Za-z0-9_@]@)_*[A-Za-z0-9][A-Za-z0-9_]*")


def clean(text: str) -> str:
    """The text as its author meant it.

    - HTML entities are decoded (`&amp;amp;` too) and HTML breaks become a line break. Other tags stay: `<3`, `<sigh>`
      and `<spoiler>` say something.
    - User handles become `@user`, links `http`.
    - Control characters, NUL among them, and invisible ones (soft hyphen, zero-width space, byte order mark) go. Those
      that once were Windows-1252 punctuation, as `\\x96` in the film reviews, become it again.
    - Halves of surrogate pairs are joined, and a lone half becomes U+FFFD, as no UTF-8 file or tokenizer takes one.
    - White space is collapsed: to one line break where there was one, else to one space.

    Case, punctuation, emoji and all other characters stay as they are.
    """
    if _SURROGATE.search(text):
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    text = _decode_entities(_ODD.sub(_repair, text))
    text = _collapse(text)
    if "<" in text:  # asked first, as the pattern is slow to find nothing
        text = _collapse(_BREAK.sub("\n", text))
    if "://" in text or "www." in text.lower():
        text = _LINK.sub(LINK, text)
    return _HANDLE.sub(HANDLE, text)


def normalise(text: str) -> str:
    """The key of a text: two texts count as the same when their keys are equal.

    The key is the letters, digits and combining marks of the cleaned text, compatibility forms and case folded
    (NFKC, `str.casefold`). So copies that differ in case, spacing, punctuation, entities, HTML breaks, user handles or
    the encoding of accents are the same text: Rotten Tomatoes in lower case with spaced punctuation, and the same
    sentence as a person typed it. Combining marks count, since in Hindi or Thai they are the vowels.

    A text without letters and digits (`:)`, `!!!`, emoji) keeps its symbols as its key, so `:)` and `:(` differ. Only
    a text that shows nothing (blank, control characters) has the key `''`.

    Texts whose difference is punctuation alone (`great` and `great!`, or `7/10` and `71/0`) share a key. For a split
    that is the safe side to err on.
    """
    text = clean(text)
    return letters(text) or "".join(_fold(text).translate(_NO_SELECTORS).split())


def letters(text: str) -> str:
    """The letters, digits and combining marks of a text as it stands, folded as in `normalise`."""
    return unicodedata.normalize("NFKC", _fold(text).translate(_LETTERS))  # what stood apart may now compose


def _repair(match: re.Match[str]) -> str:
    """Windows-1252 punctuation that was read as a C1 control character; nothing for any other character."""
    if "\x80" <= match[0] <= "\x9f":
        return match[0].encode("latin-1").decode("cp1252", "ignore")
    return ""


def _decode_entities(text: str) -> str:
    """Decode entities until none is left, in one pass from right to left.

    What a decoded entity may complete, as in `&amp;lt;`, always starts left of it or at it, so it is seen then.
    A semicolon is asked for: `AT&T` and `?a=1&copy=2` are no entities.
    """
    if not _ENTITY.search(text):
        return text
    behind: list[str] = []  # the decoded characters right of the current place, the nearest last
    for character in reversed(text):
        behind.append(character)
        while behind and behind[-1] == "&":
            match = _ENTITY.match("".join(behind[: -_LONGEST_ENTITY - 1 : -1]))
            if match is None or (decoded := _decode(match[0])) is None:
                break
            del behind[-len(match[0]) :]
            behind.extend(reversed(decoded))
    return "".join(reversed(behind))


def _decode(entity: str) -> str | None:
    """What `&name;` or `&#number;` stands for, None for a name that HTML does not know."""
    decoded = html.unescape(entity) if entity[1] == "#" else html5.get(entity[1:])
    return decoded if decoded is None else _ODD.sub(_repair, decoded)


def _collapse(text: str) -> str:
    if "\n" not in text:
        return " ".join(text.split())
    lines = (" ".join(line.split()) for line in text.split("\n"))
    return "\n".join(line for line in lines if line)


def _fold(text: str) -> str:
    if text.isascii():
        return text.lower()
    text = unicodedata.normalize("NFKC", _shorten_mark_runs(text))
    return unicodedata.normalize("NFKC", text.casefold())


def _shorten_mark_runs(text: str) -> str:
    """Drop combining marks after the 30th in a row, which normalisation would take quadratic time to sort."""
    kept, run = [], 0
    for character in text:
        run = run + 1 if unicodedata.combining(character) else 0
        if run <= LONGEST_MARK_RUN:
            kept.append(character)
    return "".join(kept)


def _is_selector(code: int) -> bool:
    """Variation selectors say whether a sign is drawn as text or as emoji."""
    return 0xFE00 <= code <= 0xFE0F or 0xE0100 <= code <= 0xE01EF


class _Letters(dict):
    """A table for `str.translate`, filled as characters are met: letters, marks and numbers stay."""

    def __missing__(self, code: int) -> int | None:
        keep = unicodedata.category(chr(code))[0] in "LMN" and not _is_selector(code)
        self[code] = code if keep else None
        return self[code]


_LETTERS = _Letters()
_NO_SELECTORS = dict.fromkeys([*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)])
