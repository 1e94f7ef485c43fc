"""Every reason that the documents' code can give is told in both languages of the page.

The code is read for them: what is appended to a chain of reasons, what a field's or an answer's last argument says.
"""

import ast
import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multimodal_llm.document_understanding import document_qa, fields, parties, totals
from multimodal_llm.document_understanding.reasons import AGAINST, FOR, in_words
from shared.phrases import phrase, table

FOLDER = Path(document_qa.__file__).parent
SOURCES = (document_qa, fields, parties, totals)  # layout_models and document_llm do not answer on the page
GIVES = {"Party", "Found", "Answer", "abstain"}  # calls whose last argument is a reason
HOLDS = {"reasons", "source"}  # variables with reasons, or links of them

EXAMPLES = {
    "before": ["invoicedate", "开票日期"],
    "best.label": ["totalrm", "价税合计"],
    "name": list(fields.FIELDS),
    "found.why": ["labelled as a date; beside a time"],
    "found.source": ["beside 'Amount due'"],
    "pair.key": ["Total", 'it\'s a "key"; or', "单价"],
    "word.lower()": ["email", "web", "time", "phone"],
    "len(named)": ["3"],
    "cosines[best]": ["0.61"],
    "nearest": ["", "; the nearest is 'Total'"],
}
"""What may stand in a reason's places. One that is not here is new, and wants an example."""


def texts(node: ast.AST) -> Iterator[str]:
    """The texts that an expression can be, without those that are reasons of other places."""
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.JoinedStr(values=parts):
            yield from map("".join, itertools.product(*(list(texts(part)) for part in parts)))
        case ast.FormattedValue(value=value, conversion=conversion):
            for example in EXAMPLES[ast.unparse(value)]:
                yield repr(example) if conversion == ord("r") else example
        case ast.BinOp(left=left, right=right):
            yield from map("".join, itertools.product(list(texts(left)), list(texts(right))))
        case ast.BoolOp(values=values) | ast.Tuple(elts=values) | ast.List(elts=values):
            yield from itertools.chain.from_iterable(map(texts, values))
        case ast.Call(func=ast.Attribute(attr="get", value=ast.Dict(values=values)), args=[_, default]):
            yield from itertools.chain.from_iterable(map(texts, [*values, default]))


def reasons_in(code: str) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(code)):
        match node:
            case ast.Call(func=ast.Attribute(attr="append"), args=[reason]):
                found |= set(texts(reason))
            case ast.Call(func=ast.Name(id="Party"), args=[_, _, _, reason, _]):
                found |= set(texts(reason))
            case ast.Call(func=ast.Name(id=name), args=[*_, reason]) if name in GIVES:
                found |= set(texts(reason))
            case ast.Assign(targets=[ast.Name(id=name)], value=reason) if name in HOLDS:
                found |= set(texts(reason))
    return found - {""}


def told(reason: str, language: str) -> str:
    return in_words(reason, lambda key, **values: phrase(f"multimodal.page.{key}", language, **values))


REASONS = sorted(set().union(*(reasons_in(Path(module.__file__).read_text(encoding="utf-8")) for module in SOURCES)))
FOUND = [reason for reason in REASONS if not any(part in reason for part in AGAINST)]


@pytest.mark.parametrize("reason", REASONS)
def test_every_reason_of_the_code_has_words_in_chinese(reason):
    words = told(reason, "zh")
    kept = re.sub(r"“.*?”|'.*?'", "", words)  # what the document says stays as it is
    assert re.search(r"[\u4e00-\u9fff]", kept) and not re.search(r"[A-Za-z]", kept), words


@pytest.mark.parametrize("reason", FOUND)
def test_in_english_what_speaks_for_an_answer_stays_as_the_code_has_it(reason):
    assert told(reason, "en") == reason


def test_the_code_is_read_whole():
    """All links are found in it, and a new one would be."""
    assert {key for link, key in FOR.items() if any(re.search(link, reason) for reason in REASONS)} == set(FOR.values())
    assert reasons_in("def f(reasons):\n    reasons.append((2.0, 'a new one'))") == {"a new one"}
    assert told("a new one", "zh") == "a new one"  # so that the first test fails


@given(st.lists(st.sampled_from([each for each in FOUND if ":" not in each]), min_size=1, max_size=5))
def test_a_chain_is_told_link_by_link(links):
    assert told("; ".join(links), "en") == "; ".join(links)
    assert told("; ".join(links), "zh") == "；".join(told(each, "zh") for each in links)
    assert told(f"the document's total: {links[0]}", "zh") == f"这是文档的总额，{told(links[0], 'zh')}"


@given(st.text(min_size=1))
def test_a_key_is_told_as_it_is_printed(key):
    assert told(f"beside {key!r}", "zh") == f"在“{key}”旁边"
    assert told(f"below {key!r}; by meaning, 0.60", "zh") == f"在“{key}”下方；按含义匹配，相似度 0.60"


@pytest.mark.parametrize("part, key", AGAINST.items())
def test_what_speaks_against_an_answer_or_a_file_is_known_by_a_part_of_it(part, key):
    assert any(part in file.read_text(encoding="utf-8") for file in FOLDER.glob("*.py") if file.stem != "reasons")
    expected = phrase(f"multimodal.page.documents_reason.{key}", "zh")
    nearest = phrase("multimodal.page.documents_nearest", "zh", name="'Total'")
    assert told(f"the file: {part}; the nearest is 'Total'", "zh") == expected + nearest


def test_no_words_are_left_over():
    prefix = "multimodal.page.documents_reason."
    assert {key.removeprefix(prefix) for key in table() if key.startswith(prefix)} == {
        *FOR.values(), *AGAINST.values(), "and"
    }  # fmt: skip


def test_a_reason_without_words_of_its_own_is_told_as_it_came():
    assert told("the page is damaged (x)", "zh") == "the page is damaged (x)"
