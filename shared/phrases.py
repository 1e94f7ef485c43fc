"""The words of pages and reports in English and Chinese, from one table: phrases.yaml.

Keys are dotted: `report.` and `app.` for the frame, `column.` for table headings, and a project's own name for its
own words. `{placeholders}` are filled in by `phrase`.
"""

from functools import cache
from pathlib import Path
from typing import Any, Literal

from shared.files import read_yaml

Language = Literal["en", "zh"]
LANGUAGES: tuple[Language, ...] = ("en", "zh")

TABLE = Path(__file__).with_name("phrases.yaml")


def phrase(key: str, language: Language, **values: Any) -> str:
    """The words for `key`. Raises KeyError for a key or placeholder that the table does not have."""
    return table()[key][language].format(**values)


def both(key: str, **values: Any) -> dict[str, str]:
    """The words in every language, for a page that switches without asking again: {"en": ..., "zh": ...}."""
    return {language: phrase(key, language, **values) for language in LANGUAGES}


def has_phrase(key: str) -> bool:
    return key in table()


@cache
def table() -> dict[str, dict[str, str]]:
    """The whole table, key -> language -> words."""
    return read_yaml(TABLE)
