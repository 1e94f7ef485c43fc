"""Names that strangers give their files, made into names that are safe to show and to compare."""

import re
import unicodedata

MOST_BYTES = 200  # in UTF-8
SUFFIXES = frozenset(".pdf .docx .md .markdown .mdown .html .htm .xhtml .txt .text".split())
_SUFFIX = re.compile(r"\.[A-Za-z0-9]{1,10}$")


def safe_name(name: str) -> str:
    """The last part of a path, without what could mislead a reader; "" where nothing is left.

    No separators, control characters, marks that turn the direction of writing or lone surrogates; no dots or spaces
    at either end; at most 200 bytes, of which the suffix stays. A safe name stays as it is. It never becomes a path:
    what is uploaded lies under names of our own.

    >>> safe_name("../../etc/passwd"), safe_name("C:\\\\docs\\\\report.pdf"), safe_name("..")
    ('passwd', 'report.pdf', '')
    """
    name = unicodedata.normalize("NFC", name)
    name = re.split(r"[/\\]", name.rstrip("/\\ "))[-1]
    # Cc control, Cf format (zero width, direction), Cs surrogates, Co private, Cn unassigned, Zl and Zp line breaks.
    kept = "".join(c for c in name if unicodedata.category(c) not in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
    kept = unicodedata.normalize("NFC", " ".join(kept.split())).strip(". ")
    if len(kept.encode()) <= MOST_BYTES:
        return kept
    suffix = found[0] if (found := _SUFFIX.search(kept)) else ""
    stem = kept.removesuffix(suffix).encode()[: MOST_BYTES - len(suffix)].decode(errors="ignore")
    return unicodedata.normalize("NFC", stem.strip(". ") + suffix)


def suffix_of(name: str) -> str:
    """The suffix by which a reader tells kinds of plain text apart; "" for any other."""
    found = _SUFFIX.search(name)
    suffix = found[0].lower() if found else ""
    return suffix if suffix in SUFFIXES else ""
