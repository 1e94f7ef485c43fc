"""Documents to try that this program draws itself: a receipt, a Chinese invoice, a page of a paper in two columns.

Receipts and invoices are written as they look, with letters: what stands where in the string stands there on the page.
Pieces are parted by at least three spaces, a Chinese character takes two places, a row that begins with "#" is large.
"""

import re
import textwrap
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from shared.errors import UserError

PLACE, ROW, MARGIN = 14, 38, 50  # pixels: a letter's width, a row's height, the white around
PAPER, INK = (252, 252, 248), (25, 25, 35)
# By the names under which Pillow finds them in the folders of the system.
CHINESE_FONTS = (
    "NotoSansCJK-Regular.ttc", "NotoSansCJKsc-Regular.otf", "NotoSansSC-Regular.otf", "wqy-microhei.ttc",
    "wqy-zenhei.ttc", "PingFang.ttc", "Hiragino Sans GB.ttc", "STHeiti Light.ttc", "msyh.ttc", "simhei.ttf",
)  # fmt: skip

RECEIPT = """
#          MAPLE & RYE BAKERY LTD
              21 Orchard Road
           Guelph, ON N1H 2T4
            Tel: 519-555-0188

Receipt no: 40713              Cashier: Ines
Date: 17/04/2024               Time: 08:46

2   Rye loaf           6.50            13.00
3   Almond croissant   4.25            12.75
1   Filter coffee      3.10             3.10

Subtotal                               28.85
Tax 5%                                  1.44
Total                                  30.29
Cash                                   40.00
Change                                  9.71

           Thank you for your visit
"""

INVOICE_ZH = """
#                  电子发票（普通发票）

发票号码：24412000000087654321           开票日期：2024年05月20日

购买方名称：杭州晴川设计有限公司
购买方纳税人识别号：91330100MA2ABC12X3
销售方名称：洛阳牡丹纸业有限公司
销售方纳税人识别号：91410300MA4DEF34Y6

项目名称                数量        单价         金额        税额
*纸制品*宣纸              10       85.00       850.00       25.50
*纸制品*信封             200        0.75       150.00        4.50

合计                                         ¥1000.00       ¥30.00
价税合计（大写）壹仟零叁拾元整             （小写）¥1030.00

开户银行：洛阳银行西工支行                开票人：周明
"""

TITLE = "Reading Tide Tables with Small Models"
AUTHORS = "A. Marlow and T. Okafor"
ABSTRACT = (
    "We study how a small model reads tables of tides that were printed before 1900. A detector finds the columns, and "
    "a recogniser with two million weights reads the numbers. On 312 pages from nine harbours it reads 97 of 100 "
    "numbers without a fault. Most faults are sevens with a bar. "
)
BODY = (
    "The pages were photographed in the harbour archive of Bristol during two summers. Each page holds a month, with "
    "high and low water for every day. We cut the page at its white gutters and keep the order of the columns. ",
    "The recogniser was trained for six hours on a laptop without a graphics card. It never saw a page of the test "
    "harbours. We compare it with a program for modern print, which reads one number in four wrongly. ",
    "The tides themselves help to find what was misread. Two high waters lie twelve hours and twenty-five minutes "
    "apart, so a time that breaks this rule is read again. This mends half of the faults that are left. ",
)
RESULTS = (
    ("Harbour", "Pages", "Correct"),
    ("Bristol", "96", "0.974"),
    ("Hull", "120", "0.969"),
    ("Leith", "96", "0.981"),
)

SAMPLES = ("receipt", "invoice_zh", "paper")


@dataclass(frozen=True, slots=True)
class Drawn:
    """A piece of a drawing: its text, its row, the places where it begins and ends, whether it is large."""

    text: str
    row: int
    start: int
    end: int
    large: bool


def pieces_of(drawing: str) -> Iterator[Drawn]:
    """What stands in a drawing, row by row."""
    for row, text in enumerate(drawing.strip("\n").split("\n")):
        large = text.startswith("#")
        text = text.replace("#", " ", 1) if large else text
        for found in re.finditer(r"\S+(?:\s{1,2}\S+)*", text):
            yield Drawn(found[0], row, places(text[: found.start()]), places(text[: found.end()]), large)


def places(text: str) -> int:
    """How many places a text takes."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def draw_sample(name: str) -> Image.Image:
    """One of `SAMPLES` as a picture. Raises UserError for the Chinese one where no font has its letters."""
    if name == "paper":
        return draw_paper()
    return draw_page({"receipt": RECEIPT, "invoice_zh": INVOICE_ZH}[name])


def draw_page(drawing: str) -> Image.Image:
    """A drawing as a picture: white paper, dark letters; numbers end where their places end, words begin so."""
    pieces = list(pieces_of(drawing))
    fonts = {large: font(30 if large else 22, any(not p.text.isascii() for p in pieces)) for large in (False, True)}
    size = (2 * MARGIN + PLACE * max(p.end for p in pieces), 2 * MARGIN + ROW * (1 + max(p.row for p in pieces)))
    picture = Image.new("RGB", size, PAPER)
    pen = ImageDraw.Draw(picture)
    for piece in pieces:
        width = pen.textlength(piece.text, font=fonts[piece.large])
        ends = re.fullmatch(r"[¥$]?[\d.,]+", piece.text) and piece.start > 0
        left = MARGIN + PLACE * piece.end - width if ends else MARGIN + PLACE * piece.start
        if piece.large:
            left = (size[0] - width) / 2
        elif len([p for p in pieces if p.row == piece.row]) == 1 and piece.start > 8:
            left = (size[0] - width) / 2  # a row of one piece that does not begin at the edge is centred
        pen.text((left, MARGIN + ROW * piece.row), piece.text, fill=INK, font=fonts[piece.large])
    return picture


def draw_paper() -> Image.Image:
    """A page in two columns, with a title above both, headings, a table with its caption, and a figure."""
    width, column, gap = 1240, 530, 60
    picture = Image.new("RGB", (width, 980), PAPER)
    pen = ImageDraw.Draw(picture)
    left, right = MARGIN + 10, MARGIN + 10 + column + gap
    _centred(pen, TITLE, width, 70, font(40))
    _centred(pen, AUTHORS, width, 132, font(24))
    y = _heading(pen, "Abstract", left, 200)
    y = _paragraph(pen, ABSTRACT, left, y, column)
    y = _heading(pen, "1  Pages", left, y + 24)
    y = _paragraph(pen, BODY[0], left, y, column)
    y = _heading(pen, "2  Recogniser", left, y + 24)
    _paragraph(pen, BODY[1], left, y, column)
    y = _table(pen, right, 210, column)
    y = _heading(pen, "3  Mending", right, y + 40)
    y = _paragraph(pen, BODY[2], right, y, column)
    _figure(pen, right, y + 30, column)
    return picture


def font(size: int, chinese: bool = False) -> ImageFont.FreeTypeFont:
    """Pillow's own font, which has Latin letters only, or one of the system's for Chinese. Raises UserError without."""
    if not chinese:
        return ImageFont.load_default(size)
    for name in CHINESE_FONTS:
        try:
            return ImageFont.truetype(name, size)
        except OSError:
            continue
    raise UserError("no font with Chinese letters was found: install one, such as fonts-noto-cjk")


def _centred(pen: ImageDraw.ImageDraw, text: str, width: int, y: int, face: ImageFont.FreeTypeFont) -> None:
    pen.text(((width - pen.textlength(text, font=face)) / 2, y), text, fill=INK, font=face)


def _heading(pen: ImageDraw.ImageDraw, text: str, x: int, y: int) -> int:
    pen.text((x, y), text, fill=INK, font=font(28), stroke_width=1, stroke_fill=INK)
    return y + 48


def _paragraph(pen: ImageDraw.ImageDraw, text: str, x: int, y: int, width: int) -> int:
    face = font(21)
    letters = int(width / (pen.textlength(text, font=face) / len(text)))
    for line in textwrap.wrap(text, letters):
        pen.text((x, y), line, fill=INK, font=face)
        y += 30
    return y


def _table(pen: ImageDraw.ImageDraw, x: int, y: int, width: int) -> int:
    face = font(21)
    pen.text((x, y), "Table 1: Numbers read without a fault", fill=INK, font=face)
    y += 44
    for number, row in enumerate(RESULTS):
        if number in (0, 1):
            pen.line((x, y - 6, x + width, y - 6), fill=INK, width=2)
        for place, cell in enumerate(row):
            pen.text((x + 10 + place * width // 3, y), cell, fill=INK, font=face)
        y += 36
    pen.line((x, y - 2, x + width, y - 2), fill=INK, width=2)
    return y


def _figure(pen: ImageDraw.ImageDraw, x: int, y: int, width: int) -> None:
    """Two days of tide as a curve, with its caption."""
    height = 240
    pen.rectangle((x, y, x + width, y + height), outline=INK, width=2)
    hours = np.linspace(0, 48, width - 20)
    tide = y + height / 2 - 90 * np.cos(2 * np.pi * hours / 12.42) * (1 + 0.2 * np.cos(2 * np.pi * hours / 24))
    pen.line([(x + 10 + n, level) for n, level in enumerate(tide)], fill=(40, 90, 170), width=4)
    pen.text((x, y + height + 14), "Figure 1: Two days of tide in Bristol", fill=INK, font=font(21))
