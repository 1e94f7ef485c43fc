"""The amount to pay of a receipt or an invoice: what its words call a total, and what its arithmetic says.

Receipts name many amounts: lines, subtotal, tax, rounding, total, what was handed over, change. Each row's label tells
its role; then the amounts give evidence for each other, since cash less change, or subtotal plus tax plus rounding,
is the total again. That evidence holds in any language and survives a label that is misread.
"""

import itertools
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from multimodal_llm.document_understanding.rows import Piece, Row, compact, overlap, part
from multimodal_llm.document_understanding.written_values import Amount, find_amounts

# Roles in the order in which they are tried on a row's words, which come without white and punctuation (`compact`):
# a "total discount" is a discount, a "total after rounding" a total. English, Malay, Chinese.
ROLES: list[tuple[str, str]] = [
    ("count", r"t[o0]tal(no|of)?(qty|quantity|item|pcs|pieces|point|saving|weight)|saving|points|数量|件数|积分"),
    ("tax", r"(gst|vat|sst|tax|t[o0]tal|cukai)\w{0,4}includ(es?|ed)\w{0,3}(\d+|gst|vat|in)|includes\d*(gst|vat|tax)"),
    ("before_tax", r"exc(l|luding|lusive)?\w{0,3}(gst|vat|sst|tax|of)|before(gst|vat|tax|round)|beforetax|不含税"),
    ("discount", r"discount|^disc|voucher|rebate|diskaun|折扣|优惠|减免"),
    ("change", r"(?<!ex)change(?!s|able)|^baki$|找零|找赎|找回"),
    ("total", r"after(round|adj)|t[o0]tal\w{0,5}round(ed|ing)$|round(ed|ing)t[o0]tal"),
    ("rounding", r"(?<!g)round(ing|ed|adj|$)|pembundaran|舍入|四舍五入|抹零"),
    (
        "final",
        r"grandt[o0]tal|finalt[o0]tal|nett?t[o0]tal|nett?amount|(amount|amt|t[o0]tal|balance)(due|payable|topay)",
    ),
    (
        "final",
        r"^payable|pleasepay|jumlah(besar|keseluruhan|perlu)|价税合计|应付|应收|实付|付款金额|支付金额|总计|总额|总金额",
    ),
    ("subtotal", r"sub\w?t[o0i]|subjumlah|小计"),
    (
        "paid",
        r"cash(?!ier|bill|sale|inv|memo)|tender|(?<!un)paid|received|visa|master|debit|credit|card|tunai|e?wallet",
    ),
    ("paid", r"现金|实收|收款|微信|支付宝|银行卡|已付"),
    (
        "total",
        r"t[o0]tal\w{0,8}inc|inclusive|t[o0]tal(amount|amt|price|rm|usd|eur)|(amount|amt)\w{0,3}t[o0]tal|合计|共计",
    ),
    ("tax", r"(gst|vat|sst|tax|mwst|tva|iva|cukai)(?!inv|rec)|servicecharge|srvchg|servchg|税额|税金|税率|服务费"),
    ("total", r"t[o0]tal|jumlah|summe|gesamt|montant|importe|^总$"),
    ("amount", r"^amount|^amt|金额"),
]
_ROLES = [(role, re.compile(pattern)) for role, pattern in ROLES]
SUMMARY = re.compile(r"(gst|tax|vat|sst)(summary|analysis|code|detail|breakdown)|summaryof(gst|tax)|税率")

WEIGHTS = {"final": 3.0, "total": 2.0, "amount": 0.8, "subtotal": 0.6, "before_tax": 0.4, "rounding": 0.3, "paid": 0.2}
"""What a label alone is worth. An amount whose only label is "cash" is a total where nothing better is said."""
CASH_LESS_CHANGE = 2.5
SUM_OF_PARTS = 1.5
REPEATED = 0.4  # for each further label of the same amount, up to three
LARGEST = 0.4
IN_TAX_SUMMARY = -2.5
TABLE_ROW = -1.0  # several amounts in a row: the sums below a table's columns
MOST_ROUNDING = Decimal("1.00")
COIN = Decimal("0.05")


@dataclass(frozen=True, slots=True)
class Labelled:
    """An amount with what stands before it."""

    role: str
    label: str
    amount: Amount
    where: Piece
    """The amount itself, cut out of what stands around it."""
    row: int
    in_summary: bool
    alone: bool
    """Whether it is the only amount of its row."""

    @property
    def value(self) -> Decimal:
        return self.amount.value


@dataclass(frozen=True, slots=True)
class Total:
    """The amount taken for the total, in points of evidence, those of the next best, and the reason in words."""

    best: Labelled
    evidence: float
    runner_up: float
    why: str


def find_total(rows: Sequence[Row]) -> Total | None:
    """The amount with the most evidence, or None where no row's words say that it holds one."""
    amounts = labelled_amounts(rows)
    by_value: dict[Decimal, list[Labelled]] = defaultdict(list)
    for amount in amounts:
        if amount.role in WEIGHTS and amount.value > 0:
            by_value[amount.value].append(amount)
    if not by_value:
        return None
    weighed = {value: _evidence(value, found, amounts) for value, found in by_value.items()}
    totals = [value for value, found in by_value.items() if any(each.role in ("final", "total") for each in found)]
    if totals:
        weighed[max(totals)][0].append((LARGEST, "the largest of them"))
    points = {value: sum(worth for worth, _ in reasons) for value, (reasons, _) in weighed.items()}
    value = max(points, key=lambda each: (points[each], each))
    reasons, best = weighed[value]
    others = [point for other, point in points.items() if other != value]
    return Total(best, points[value], max(others, default=0.0), "; ".join(why for _, why in reasons if why))


def labelled_amounts(rows: Sequence[Row]) -> list[Labelled]:
    """Every amount that stands in a row with words, or below a word that names an amount."""
    found: list[Labelled] = []
    summary_page = None
    for number, row in enumerate(rows):
        text = " ".join(piece.text for piece in row)
        amounts = [(piece, amount) for piece in row for amount in find_amounts(piece.text)]
        if SUMMARY.search(compact(text)) and not amounts:
            summary_page = row[0].page
        label = compact(_without_amounts(text))
        if not amounts:
            found += _below(rows, number)
            continue
        role = role_of(label)
        if not role:
            continue
        in_summary = summary_page == row[0].page and role != "final"
        for piece, amount in amounts:
            where = part(piece, amount.start, amount.end)
            found.append(Labelled(role, label, amount, where, number, in_summary, len(amounts) == 1))
    return found


def role_of(label: str) -> str:
    """What a row's compact words make of its amount; empty where they say nothing."""
    return next((role for role, pattern in _ROLES if pattern.search(label)), "")


def _below(rows: Sequence[Row], number: int) -> list[Labelled]:
    """Amounts right below the words that name them, as on invoices with a box for each sum."""
    found = []
    for label in rows[number]:
        role = role_of(compact(label.text))
        if role not in ("final", "total", "subtotal") or SUMMARY.search(compact(label.text)):
            continue
        for row in rows[number + 1 : number + 3]:
            under = [p for p in row if p.page == label.page and overlap(p.box, label.box) > 0.3]
            near = [p for p in under if p.box[1] - label.box[3] < 2.5 * label.height]
            # A row that names its amounts itself is labelled already.
            words = compact(_without_amounts(" ".join(p.text for p in row)))
            hits = [(p, amount) for p in near for amount in find_amounts(p.text)]
            if hits and not role_of(words) and len(compact(_without_amounts(hits[-1][0].text))) < 4:
                piece, amount = hits[-1]
                where = part(piece, amount.start, amount.end)
                found.append(Labelled(role, compact(label.text), amount, where, number + 1, False, len(hits) == 1))
                break
    return found


def _evidence(
    value: Decimal, labelled: Sequence[Labelled], amounts: Sequence[Labelled]
) -> tuple[list[tuple[float, str]], Labelled]:
    """What speaks for an amount, with its worth, and the place where it is named best."""

    def worth(each: Labelled) -> float:
        own = WEIGHTS[each.role] + (IN_TAX_SUMMARY if each.in_summary else 0) + (0 if each.alone else TABLE_ROW)
        return own + 0.01 * min(each.row, 20)  # of two that are named alike, the later one

    best = max(labelled, key=worth)
    reasons = [(worth(best), f"labelled {best.label}")]
    named = [each for each in labelled if each.role in ("final", "total", "subtotal", "amount") and not each.in_summary]
    if len(named) > 1:
        reasons.append((REPEATED * min(len(named) - 1, 3), f"named {len(named)} times"))
    body = [each for each in amounts if not each.in_summary]
    paid, change, before, added, rounding = (
        {each.value for each in body if each.role in roles}
        for roles in (("paid",), ("change",), ("subtotal", "before_tax", "total"), ("tax",), ("rounding",))
    )
    if any(handed - back == value for handed in paid for back in change if back < handed):
        reasons.append((CASH_LESS_CHANGE, "cash less change"))
    elif value in paid and any(each.role != "paid" for each in labelled):
        reasons.append((CASH_LESS_CHANGE / 2, "the same was paid"))
    if _is_sum(value, before, added, {r for r in rounding if abs(r) < MOST_ROUNDING}):
        reasons.append((SUM_OF_PARTS, "the sum of what stands before it"))
    return reasons, best


def _is_sum(value: Decimal, before: set[Decimal], added: set[Decimal], rounding: set[Decimal]) -> bool:
    """Whether a smaller or larger sum becomes this one by taxes, by rounding, or by both."""
    taxes = [tax for tax in added if 0 < tax < value][:4]
    steps = {sum(some, Decimal()) for n in range(len(taxes) + 1) for some in itertools.combinations(taxes, n)}
    corrections = {Decimal()} | rounding | {-each for each in rounding}
    for start, step, correction in itertools.product(before, steps, corrections):
        if (step or correction) and start + step + correction == value:
            return True
    # Where the smallest coin is worth 5 of 100 parts, the correction is often left unsaid.
    return value % COIN == 0 and any(
        0 < abs(start + step - value) < COIN for start, step in itertools.product(before, steps)
    )


def _without_amounts(text: str) -> str:
    for amount in reversed(list(find_amounts(text))):
        text = text[: amount.start] + " " + text[amount.end :]
    return re.sub(r"\b(RM|MYR|USD|CNY|EUR)\b", " ", text)
