"""The table of phrases is complete: both languages, the same placeholders, no key twice."""

import re
from string import Formatter

import pytest
import yaml

from shared.phrases import LANGUAGES, TABLE, both, has_phrase, phrase, table

HAN = re.compile(r"[\u4e00-\u9fff]")
# Names of measures and settings, and sample texts, that stand in Latin letters in Chinese too.
SAME_IN_CHINESE = {"transformer.page.top_k", "transformer.page.top_p"}
MEASURES = re.compile(r"column\.(\w+_)?(f1|map|mrr|ndcg|bleu4?|rouge_l|cider|anls|top1|top5|distinct_[12])(_\w+)?")


def placeholders(text):
    return sorted(name for _, name, _, _ in Formatter().parse(text) if name is not None)


@pytest.mark.parametrize("key", table())
def test_a_phrase_is_complete(key):
    words = table()[key]
    assert set(words) == set(LANGUAGES)
    assert all(isinstance(text, str) and text.strip() for text in words.values())
    assert placeholders(words["en"]) == placeholders(words["zh"])
    assert not HAN.search(words["en"])
    only_signs = not re.search(r"\w", words["zh"])  # such as the semicolon between two reasons
    assert HAN.search(words["zh"]) or only_signs or key in SAME_IN_CHINESE or MEASURES.fullmatch(key), "no Chinese"


def test_no_key_stands_twice():
    keys = [key.value for key, _ in yaml.compose(TABLE.read_text(encoding="utf-8")).value]
    assert sorted(keys) == sorted(table())


def test_every_key_used_in_the_code_is_in_the_table():
    root = TABLE.parents[1]
    packages = [path.parent for path in root.glob("*/__init__.py")]
    files = [*root.glob("*.py"), *(file for package in packages for file in package.rglob("*.py"))]
    used = set()
    for file in (file for file in files if "tests" not in file.parts):
        calls = re.findall(r'\b(?:phrase|both)\(\s*"([\w.]+)"', file.read_text(encoding="utf-8"))
        used |= {key for key in calls if file != TABLE.with_name("phrases.py")}
    assert {"app.title", "transformer.title", "sentiment.coverage"} <= used  # of a program, a project, a folder in one
    assert {key for key in used if not has_phrase(key)} == set()


def test_placeholders_are_filled_in_both_languages():
    assert phrase("report.seconds", "en", seconds=3) == "3 s"
    assert both("report.seconds", seconds=3) == {"en": "3 s", "zh": "3 秒"}


def test_an_unknown_key_or_a_missing_value_is_a_fault_of_the_program():
    assert not has_phrase("report.nonsense")
    with pytest.raises(KeyError):
        phrase("report.nonsense", "en")
    with pytest.raises(KeyError):
        phrase("report.seconds", "en")
