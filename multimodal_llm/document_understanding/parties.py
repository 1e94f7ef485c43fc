"""Who issued a receipt or an invoice, and where: the head of the page, read by its lines' places and words.

A company's line stands high, is printed large, and often ends in a legal form; its address follows below it in the same
column, until telephone, tax number or the document's title. Whom the document is for ("Bill to") is left out.
"""

import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from multimodal_llm.document_understanding.rows import (
    Piece,
    Row,
    compact,
    is_chinese,
    join,
    overlap,
    part,
    together,
    united,
)
from multimodal_llm.document_understanding.written_values import find_amounts, find_dates
from shared.reading_order import around

HEAD_LINES = 16
"""Rows from the top among which the issuer is looked for."""

# Words as they stand, since a legal form is one only at a word's edges.
LEGAL_FORM = re.compile(
    r"\b(sdn\.?\s?bhd|s/b|bhd|berhad|pte\.?\s?ltd|pty|ltd|limited|inc|incorporated|llc|llp|plc|corp|corporation|gmbh|ag|"
    r"kg|ug|s\.?a\.?r\.?l|s\.?a|s\.?p\.?a|s\.?r\.?l|b\.?v|n\.?v|oy|ab|a/s|company|& co|co\.)(?![a-z])|"
    r"(公司|集团|商行|事务所|合作社|个体工商户|厂)(?=\W|$)",
    re.IGNORECASE,
)
TRADE = re.compile(
    r"(enterprise|trading|restaurant|restoran|cafe|bakery|kedai|syarikat|perniagaan|supplies|supply|store|stores|shop|"
    r"mart|market|supermarket|pharmacy|farmasi|hardware|stationery|services|service|hotel|clinic|book|grill|bar|kitchen|"
    r"foods?|motors?|garage|salon|studio|group|bros|brothers|& sons?|partners)\b|"
    r"(店|超市|商场|酒店|饭店|餐厅|餐馆|药房|医院|银行|大学|中心|便利|服务部|经营部|工作室)",
    re.IGNORECASE,
)
TITLE = re.compile(
    r"invoice|receipt|cashbill|cashsales?$|bill$|statement|quotation|deliveryorder|creditnote|guestcheck|originalcopy|"
    r"^copy|scopy$|duplicate|reprint|posted|^original|^paid$|发票|收据|小票|结账单|账单|收银|购物单|签购单|联$|application|^form$|form$|certificate|"
    r"report$|登记表|申请|表$|证明|报告|welcome|欢迎|thankyou|谢谢",
)
HEADING = re.compile(r"^(cash|item|items|qty|quantity|description|table|date|time|price|amount|total|no|rm)+$")
PHONE = re.compile(r"(tel|phone|fax|hotline|mobile|whatsapp|电话|传真|手机|热线|hp|h/p)\W|\+?\d[\d\s()-]{7,}\d$", re.I)
NUMBER = re.compile(
    r"(gst|vat|tax|sst|reg|company|co|roc|brn|uen|abn|ein|ust)\W{0,3}(id|reg|no|nr|number|registration)|taxpayer|"
    r"税号|纳税人|统一社会信用代码|识别号|注册号|营业执照",
    re.IGNORECASE,
)
WEB = re.compile(r"@|www\.|https?:|\.com\b|\.cn\b|e-?mail|邮箱|网址", re.IGNORECASE)
BUYER = re.compile(
    r"^to$|^(bill(ed)?to|ship(ped)?to|soldto|deliverto|customer|client|attn|attention|buyer|购买方|购方|买方|客户|收货)"
)
ISSUER = re.compile(
    r"^(company|companyname|seller|vendor|supplier|merchant|merchantname|from|issuedby|商户|商户名称|销售方|销售方名称|卖方|"
    r"销方|公司|公司名称|单位名称|收款单位|开票单位|店名|门店|门店名称|商家)$"
)
OTHER_NAME = re.compile(
    r"formerly|known as|own(ed|er) by|operated by|licen[cs]ee|managed by|a member of|subsidiary", re.I
)
ADDRESS_LABEL = re.compile(r"^(address|addr|alamat|add|地址|店址|公司地址|商户地址|地址电话)$")
POSTCODE = re.compile(
    r"(?<![\d-])\d{5,6}(?![\d-])|\b[A-Z]{1,2}\d[A-Z\d]? ?\d[A-Z]{2}\b|\b[A-Z]{2,3} \d{4,5}\b|"
    r"\b[A-Z]\d[A-Z] ?\d[A-Z]\d\b|^\d{4} (?:[A-Z]{2}\b )?[A-Z][a-zà-ÿ]{2}"
)
STREET = re.compile(
    r"\b(jalan|jln|lorong|persiaran|lebuh|taman|tmn|kampung|kg|bandar|seksyen|seksyen|kawasan|bangunan|tingkat|lot|no|unit|"
    r"level|floor|flr|block|blk|plaza|mall|street|st|road|rd|avenue|ave|lane|drive|dr|boulevard|blvd|way|square|suite|ste|"
    r"building|tower|highway|p\.?o\.? box|strasse|str|platz|rue|via|calle)\b\.?|stra(ß|ss)e\b|"
    r"[省市区县镇乡村路街巷道号楼室栋层弄]",
    re.IGNORECASE,
)
CHINESE_ADDRESS = re.compile(r"[省市区县镇].*[路街巷道号楼村]|[路街巷道]\S{0,6}\d+\s*号")


@dataclass(frozen=True, slots=True)
class Party:
    """What was found: its lines' text and place, how much speaks for it, and what."""

    text: str
    where: Piece
    evidence: float
    why: str
    named: bool = True
    """Whether its words tell what it is, and not print and place alone."""


def find_company(rows: Sequence[Row]) -> Party | None:
    """The issuer's name, without its registration number."""
    if labelled := _labelled(rows, ISSUER) or _chinese_seller(rows):
        name = strip_registration(labelled.text)
        if len(compact(name)) > 1:
            return Party(name, labelled, 4.0, "stands at a label of the issuer's name")
    head = head_lines(rows)
    if not head:
        return None
    usual = statistics.median(line.height for row in rows for line in row)
    buyers = _buyer_lines(head)
    best: tuple[float, int, Piece, list[str]] | None = None
    closed = False  # whether the issuer's telephone or tax number stands above: whoever is named now is another
    for number, row in enumerate(head):
        for line in row:
            if line in buyers:
                continue
            points, reasons = _name_points(line, usual)
            points -= 0.25 * number + (2.0 if closed else 0.0)
            if number + 1 < len(head) and any(_follows_name(below) for below in head[number + 1]):
                points += 1.0
                reasons.append("number or address right below")
            if number and OTHER_NAME.search(" ".join(piece.text for piece in head[number - 1])):
                points -= 2.5
            if best is None or points > best[0]:
                best = points, number, line, reasons
        closed = closed or any(PHONE.search(line.text) or NUMBER.search(line.text) for line in row)
    if best is None or best[0] < 0:
        return None
    points, number, line, reasons = best
    whole = _with_lines_above(head, number, line)
    name = strip_registration(whole.text)
    if whole is line and name in line.text:
        whole = part(line, line.text.index(name), line.text.index(name) + len(name))
    named = bool(LEGAL_FORM.search(name) or TRADE.search(name))
    return Party(name, whole, points + 1.5, "; ".join(reasons) or "the page's first line", named)


def find_address(rows: Sequence[Row], company: Party | None) -> Party | None:
    """The issuer's address: what a label says it is, else the lines below the company's that look like one."""
    if labelled := _labelled(rows, ADDRESS_LABEL):
        return Party(labelled.text, labelled, 4.0, "stands at a label of the address")
    head = head_lines(rows)
    buyers = _buyer_lines(head)
    above = company.where if company else None
    lines: list[Piece] = []
    for row in head:
        free = [line for line in row if line not in buyers]
        if above is not None:
            # The issuer's column, from the issuer's line on.
            free = [n for n in free if n.box[1] > above.box[1] + above.height / 2 and overlap(n.box, above.box) > 0.2]
        if not free:
            continue
        line = united(free)
        last = lines[-1] if lines else None
        far = last is not None and line.box[1] - last.box[3] > 2.5 * last.height
        if far or _ends_address(line):
            if address := _address_among(lines):
                return address
            lines = []
        elif lines or address_points(line) >= 1:
            lines.append(line)
    return _address_among(lines)


def _address_among(lines: Sequence[Piece]) -> Party | None:
    """The address in lines of which the first looks like one: to the last that does, and a place's name below it."""
    marked = [number for number, line in enumerate(lines) if address_points(line) >= 1]
    points = sum(address_points(line) for line in lines)
    if not marked or points < 2:
        return None
    end = marked[-1] + 1
    while end < len(lines) and _is_tail(lines[end - 1], lines[end]):
        end += 1
    whole = united(lines[:end])
    return Party(_with_commas(whole.text), whole, points, "street and postcode at the head of the page")


def head_lines(rows: Sequence[Row]) -> list[list[Piece]]:
    """The first page's rows of phrases down to the first amount, at most `HEAD_LINES`; words' fragments left out."""
    head: list[list[Piece]] = []
    for row in rows[: HEAD_LINES + 4]:
        if row[0].page != rows[0][0].page:
            break
        text = " ".join(piece.text for piece in row)
        if len(head) >= HEAD_LINES or (head and len(head) > 3 and list(find_amounts(text))):  # type: ignore[arg-type]
            break
        if lines := [line for line in together(row) if len(compact(line.text)) > 1]:
            head.append(lines)
    return head


def strip_registration(name: str) -> str:
    """A company's line without the number in brackets, or after the name, under which it is registered."""
    name = re.sub(r"\s*[(（\[][^()（）]*\d{3}[^()（）]*[)）\]]?\s*\S{0,1}$", "", name)
    name = re.sub(r"\s+\d{5,}-?\s?[A-Z]?$", "", name)
    name = re.sub(r"\bS[I0O]N BHD\b", "SDN BHD", name)  # letters that look alike, in a form that is known
    name = re.sub(r"\b5/B$", "S/B", name)
    # The last point belongs to the name where that is an abbreviation.
    point = "." if re.search(r"(\b(Inc|Ltd|Co|Corp)|\b\w+\.\s?\w+)\.$", name, re.IGNORECASE) else ""
    return name.strip(" :：*-_.|·") + point


def address_points(line: Piece) -> float:
    """How much a line looks like part of an address; 1 is enough to be one."""
    text = line.text
    if re.fullmatch(r"\W*\(.*\)\W*", text):  # a branch's name or a number
        return 0.0
    if is_chinese(text):
        return 2.0 if CHINESE_ADDRESS.search(text) else 0.0
    points = 1.5 if POSTCODE.search(text) else 0.0
    points += 1.0 if STREET.search(text) or re.search(r"\b(jalan|jln|taman|lorong)", text, re.IGNORECASE) else 0.0
    points += 0.5 if re.match(r"\W{0,2}(no|lot|unit|blk)?\W{0,2}\d+[-/A-Z\d]*\W+\D", text, re.IGNORECASE) else 0.0
    return points + (0.5 if re.search(r",\s*\S|,$", text) else 0.0) + (0.25 if re.search(r"\d", text) else 0.0)


def _name_points(line: Piece, usual: float) -> tuple[float, list[str]]:
    text, reasons = line.text, []
    points = min(1.2, 1.5 * (line.height / usual - 1)) if usual else 0.0
    if points > 0.4:
        reasons.append("printed large")
    name = strip_registration(text)
    if LEGAL_FORM.search(name) or re.search(r"sdn\.?bhd|(co|pte)\.?,?\s?ltd", compact(name)):
        points += 3.0
        reasons.append("has a legal form")
    elif TRADE.search(name):
        points += 1.5
        reasons.append("names a trade")
    letters = len(re.findall(r"[^\W\d_]", name))
    if letters < (2 if is_chinese(name) else 3) or letters < 0.5 * len(compact(name)):
        points -= 3.0
    if HEADING.search(compact(name)):
        points -= 3.0
    if TITLE.search(compact(text)) or list(find_dates(text)):
        points -= 4.0
    if _ends_address(line) or re.search(r"\w\s?[:：]", text):
        points -= 3.0
    if OTHER_NAME.search(text):
        points -= 1.5
    if address_points(line) >= 1.5:
        points -= 2.0
    if re.match(r"\W*\(", text):
        points -= 1.5
    return points, reasons


def _follows_name(line: Piece) -> bool:
    """Whether a line is what stands below a name: a number in brackets, a tax number, an address."""
    return bool(
        re.match(r"\W*\(.*\d{4}", line.text) or re.fullmatch(r"\W*\d{5,}-?\s?\w?\W*", line.text)
    ) or address_points(line) >= 1.5  # fmt: skip


def _ends_address(line: Piece) -> bool:
    text = line.text
    label = compact(text)
    if PHONE.search(text) or WEB.search(text) or NUMBER.search(text) or TITLE.search(label) or list(find_dates(text)):
        return True
    if re.match(r"\W*[A-Za-z]\w{1,14}\s?:", text) and not ADDRESS_LABEL.search(compact(text.partition(":")[0])):
        return True  # some other label and its value
    return bool(BUYER.search(label) or re.match(r"(table|cashier|bill|order|server|counter|doc|单号|桌号|收银)", label))


def _is_tail(last: Piece, line: Piece) -> bool:
    """Whether a line without street or postcode ends the address above it: a city's or a state's name, right below."""
    near = line.box[1] - last.box[3] < 0.6 * last.height and 0.7 * last.height < line.height < 1.4 * last.height
    return near and bool(re.fullmatch(r"[^\d:()]{3,40}", line.text))


def _with_commas(address: str) -> str:
    """An address has commas where the recognition often sees a point: behind a number, behind a whole word."""
    return re.sub(r"(\d|[^\W\d_]{4})(?<!str)\.(?= \w)", r"\1,", address, flags=re.IGNORECASE)


def _with_lines_above(head: Sequence[Sequence[Piece]], number: int, line: Piece) -> Piece:
    """The name whole, where it is broken over lines: it does not begin with its legal form or within brackets."""
    parts = [line]
    while number > 0 and len(parts) < 4:
        text = join(part.text for part in parts)
        name = strip_registration(text)
        first = re.match(r"\W*(\w+)", name)
        broken = name.count(")") > name.count("(") or bool(
            first
            and (LEGAL_FORM.match(name) or re.fullmatch(r"enterprises?\w?|trading|holdings?", first[1], re.IGNORECASE))
        )
        above = [each for each in head[number - 1] if overlap(each.box, line.box) > 0.5]
        if not broken or len(above) != 1 or _ends_address(above[0]):
            break
        parts.insert(0, above[0])
        number -= 1
    return united(parts)


def _buyer_lines(head: Sequence[Sequence[Piece]]) -> set[Piece]:
    """Lines that name whom the document is for: a label such as "Bill to", and the lines below it in its column."""
    buyers: set[Piece] = set()
    for number, row in enumerate(head):
        for place, label in enumerate(row):
            if not BUYER.search(compact(label.text)):
                continue
            buyers.add(label)
            column = label.box
            if label.text.rstrip().endswith((":", "：")) and place + 1 < len(row):
                buyers.add(row[place + 1])
                column = around([column, row[place + 1].box])
            floor = label.box[3]
            for below in head[number + 1 : number + 8]:
                under = [line for line in below if overlap(line.box, column) > 0.3]
                if not under or under[0].box[1] - floor > 1.5 * label.height:
                    break
                buyers.update(under)
                floor = under[0].box[3]
    return buyers


def _labelled(rows: Sequence[Row], label: re.Pattern[str]) -> Piece | None:
    """What follows such a label: in its own line after a colon, or to its right."""
    for row in rows:
        for number, piece in enumerate(row):
            before, colon, after = piece.text.replace("：", ":").partition(":")
            if not label.search(compact(before)):
                continue
            if after.strip():
                return _ending(piece, after.strip())
            if number + 1 < len(row) and (colon or is_chinese(before)):
                value = row[number + 1]
                text = value.text.lstrip(" :：")
                return _ending(value, text) if text else None
    return None


def _chinese_seller(rows: Sequence[Row]) -> Piece | None:
    """The last "名称：" of an invoice (发票): the buyer's stands left of or above the seller's."""
    names = []
    for row in rows:
        for piece in row:
            if match := re.match(r"(?:.{0,4}称|.{0,3}名\s*称)\s*[:：]\s*(\S.+)", piece.text):
                names.append(_ending(piece, match[1].strip()))
    return names[-1] if names else None


def _ending(piece: Piece, text: str) -> Piece:
    """The end of a piece, from where this text begins."""
    start = max(piece.text.rfind(text), 0)
    return part(piece, start, start + len(text))
