"""Amounts of money and dates as people write them: found in a text, with their value.

Amounts need two decimals or a currency beside them, else every number would be one. Dates are checked against the
calendar; where day and month could each be either, the day is taken first, as most of the world writes it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

CURRENCY = r"(?:RM|MYR|US\$|USD|S\$|SGD|HK\$|HKD|NT\$|TWD|A\$|C\$|EUR|GBP|CNY|RMB|JPY|INR|Rs\.?|[$€£¥￥₹])"
GROUPED = r"\d{1,3}(?:[,.'\u2019\u00a0 ]\d{3}){1,5}(?:[.,]\d{2})?"
PLAIN = r"\d{1,15}[.,]\d{2}|[.,]\d{2}"  # more digits are no amount, and more than arithmetic with money takes
AMOUNT = re.compile(
    rf"(?P<currency>{CURRENCY})?\s*(?P<minus>[-\u2212(])?\s*(?P<again>{CURRENCY})?\s*"
    rf"(?<![\d/:.,])(?P<number>{GROUPED}|{PLAIN}|\d{{1,15}})(?![\d%/:]|\s*%|[.,]\d)"
    rf"(?P<behind>\s*(?:元|圆|{CURRENCY}(?![A-Za-z])))?",
    re.IGNORECASE,
)

MONTHS = (
    "jan(?:uary|uari)?|feb(?:ruary|ruari)?|mar(?:ch)?|mac|apr(?:il)?|may|mei|june?|jun|july?|julai|aug(?:ust)?|ogos|"
    "sept?(?:ember)?|oct(?:ober)?|okt(?:ober)?|nov(?:ember)?|dec(?:ember)?|dis(?:ember)?"
)
_MONTH_OF = {name: n for n, names in enumerate(
    ("jan", "feb", "mar mac", "apr", "may mei", "jun", "jul", "aug ogo", "sep", "oct okt", "nov", "dec dis"), 1
) for name in names.split()}  # fmt: skip
_YEAR = r"(?P<year>(?:19|20)\d{2}|\d{2}(?!\d))"
_MARK = r"\s?[-/.]\s?"
_DATES = [
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"(?P<year>(?:19|20)\d{2})\s*年\s*(?P<month>\d{1,2})\s*月\s*(?P<day>\d{1,2})\s*[日号]?",
        rf"(?<![\d/.-])(?P<year>(?:19|20)\d{{2}}){_MARK}(?P<month>\d{{1,2}}){_MARK}(?P<day>\d{{1,2}})(?!\d(?!\d:))",
        rf"(?<![\d/.-])(?P<day>\d{{1,2}}){_MARK}(?P<month>\d{{1,2}}){_MARK}{_YEAR}(?![-/]\d)",
        rf"(?<!\d)(?P<day>\d{{1,2}})(?:st|nd|rd|th)?[\s\-/.,']*(?P<month>{MONTHS})[\s\-/.,']*{_YEAR}(?!:)",
        rf"(?<![a-z])(?P<month>{MONTHS})[\s.\-]*(?P<day>\d{{1,2}})(?:st|nd|rd|th)?[\s,]+(?P<year>(?:19|20)\d{{2}})",
    )
]


@dataclass(frozen=True, slots=True)
class Amount:
    """Money in a text, and the characters from `start` to `end` that say so."""

    value: Decimal
    text: str
    """The number as it is written, without its currency."""
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class WrittenDate:
    """A date in a text, and the characters from `start` to `end` that say so."""

    value: date
    text: str
    start: int
    end: int


def find_amounts(text: str) -> Iterator[Amount]:
    """The amounts of money in a text from left to right."""
    for match in AMOUNT.finditer(text):
        number = match["number"]
        has_currency = match["currency"] or match["again"] or match["behind"]
        if not has_currency and not re.search(r"[.,]\d{2}$", number):
            continue
        value = number_value(number)
        # A bracket that does not close is one of the text's own.
        if match["minus"] and (match["minus"] != "(" or text[match.end("number") :].lstrip().startswith(")")):
            value = -value
        yield Amount(value, number, match.start("number"), match.end("number"))


def number_value(number: str) -> Decimal:
    """What a number says, whichever of comma and point it has for decimals: the last one with two digits behind it."""
    whole, decimals = (number[:-3], number[-2:]) if re.search(r"[.,]\d{2}$", number) else (number, "00")
    return Decimal(f"{re.sub(r'[^0-9]', '', whole) or '0'}.{decimals}")


def find_dates(text: str) -> Iterator[WrittenDate]:
    """The dates in a text, by their kinds and then from left to right; none overlaps another."""
    taken: list[tuple[int, int]] = []
    for pattern in _DATES:
        for match in pattern.finditer(text):
            if any(match.start() < end and start < match.end() for start, end in taken):
                continue
            if value := _date_of(match["year"], match["month"], match["day"]):
                taken.append(match.span())
                yield WrittenDate(value, match[0].strip(), *match.span())


def _date_of(year: str, month: str, day: str) -> date | None:
    full = int(year) + (2000 if len(year) == 2 else 0)
    number = int(month) if month.isdigit() else _MONTH_OF[month[:3].lower()]
    for m, d in ((number, int(day)), (int(day), number)):
        try:
            return date(full, m, d)
        except ValueError:
            continue
    return None
