"""The fields of receipts and invoices: who issued it, when, where, and how much is to be paid.

Rules with their reasons, nothing learned: each field's candidates are given points for what a person would look at
(words beside them, place, print, arithmetic), and the best one is told with its place, a confidence and the reasons.
Dates are below; amounts are in totals.py, names and addresses in parties.py.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal, get_args

from multimodal_llm.document_understanding.document import Page
from multimodal_llm.document_understanding.parties import Party, find_address, find_company
from multimodal_llm.document_understanding.rows import Piece, Row, compact, page_rows, part
from multimodal_llm.document_understanding.totals import find_total
from multimodal_llm.document_understanding.written_values import find_dates
from shared.reading_order import Rectangle

Field = Literal["company", "date", "address", "total"]
FIELDS: tuple[Field, ...] = get_args(Field)

LEAST_CONFIDENCE = 0.3  # with less, a field is rather left out

ISSUED = re.compile(r"date|tarikh|datum|fecha|日期|时间|日$")
OF_ISSUE = re.compile(
    r"(invoice|bill|biz|receipt|issue|order|sales?|transaction|txn)\w{0,2}date|开票日期|消费|交易|结账"
)
OF_SOMETHING_ELSE = re.compile(
    r"due|exp(ir|dat)|valid|deliver|ship|birth|dob|print|until|before|到期|有效|截止|出生|打印|送货"
)
SAID_AGAIN = 0.3
TIME = re.compile(r"\d{1,2}[:：]\d{2}")


@dataclass(frozen=True, slots=True)
class Found:
    """A value with its place, how sure we are (0 to 1, by the evidence; not a calibrated probability), and why."""

    value: str
    page: int
    box: Rectangle
    confidence: float
    why: str


def find_fields(pages: Sequence[Page]) -> dict[Field, Found]:
    """The fields that are there; what is not found has no entry. Boxes are in pixels of the page, as everywhere."""
    rows = [row for page in pages for row in page_rows(page) if row]
    found: dict[Field, Found] = {}
    if not rows:
        return found
    company = find_company(rows)
    address = find_address(rows, company)
    total = find_total(rows)
    if company is not None:
        found["company"] = _of_party(company)
    if address is not None:
        found["address"] = _of_party(address)
    if company is not None and not (company.named or address or total):
        del found["company"]  # a heading in large print, such as a paper's
    if dated := find_date(rows):
        found["date"] = dated
    if total is not None:
        where = total.best.where
        sure = where.score * certainty(total.evidence, total.runner_up)
        found["total"] = Found(where.text, where.page, where.box, sure, total.why)
    return {name: found[name] for name in FIELDS if name in found and found[name].confidence >= LEAST_CONFIDENCE}


def find_date(rows: Sequence[Row]) -> Found | None:
    """The date of issue: labelled as one, beside a time, said more than once, or the first."""
    places: dict[date, list[tuple[float, Piece, str]]] = {}  # of each day: points, place, why
    for number, row in enumerate(rows):
        for index, piece in enumerate(row):
            for dated in find_dates(piece.text):
                before = compact(piece.text[: dated.start]) or (compact(row[index - 1].text) if index else "")
                points, reasons = 1.0 - 0.01 * min(number, 50), []
                if OF_SOMETHING_ELSE.search(before):
                    points -= 1.5
                elif OF_ISSUE.search(before):
                    points += 2.0
                    reasons.append(f"labelled {before}")
                elif ISSUED.search(before) or _labelled_above(rows, number, piece):
                    points += 1.5
                    reasons.append("labelled as a date")
                if TIME.search(" ".join(each.text for each in row)):
                    points += 0.5
                    reasons.append("beside a time")
                where = part(piece, dated.start, dated.start + len(dated.text))
                places.setdefault(dated.value, []).append((points, where, "; ".join(reasons)))
    if not places:
        return None
    best = {day: max(found, key=lambda each: each[0]) for day, found in places.items()}
    weighed = {day: best[day][0] + SAID_AGAIN * (len(found) - 1) for day, found in places.items()}
    day = max(weighed, key=lambda each: weighed[each])
    _, where, why = best[day]
    others = [points for other, points in weighed.items() if other != day]
    sure = where.score * certainty(weighed[day], max(others, default=0.0))
    return Found(where.text, where.page, where.box, sure, why or "the page's first date")


def certainty(evidence: float, runner_up: float = 0.0) -> float:
    """Points as a number between 0 and 1: much evidence, and little for anything else."""
    return 1.0 / (1.0 + math.exp(-(evidence - 0.5) - 0.5 * (evidence - max(runner_up, 0.0))))


def _of_party(party: Party) -> Found:
    sure = party.where.score * certainty(party.evidence)
    return Found(party.text, party.where.page, party.where.box, sure, party.why)


def _labelled_above(rows: Sequence[Row], number: int, piece: Piece) -> bool:
    above = rows[number - 1] if number else ()
    words = [each for each in above if each.page == piece.page and abs(each.box[0] - piece.box[0]) < 2 * piece.height]
    return any(ISSUED.search(compact(each.text)) and next(find_dates(each.text), None) is None for each in words)
