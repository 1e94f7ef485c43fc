"""Amounts, dates, names and addresses, on made-up documents of many layouts."""

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multimodal_llm.document_understanding.document import Block, Page
from multimodal_llm.document_understanding.fields import find_fields
from multimodal_llm.document_understanding.key_values import find_pairs
from multimodal_llm.document_understanding.parties import strip_registration
from multimodal_llm.document_understanding.rows import page_rows
from multimodal_llm.document_understanding.totals import find_total, role_of
from multimodal_llm.document_understanding.written_values import find_amounts, find_dates
from multimodal_llm.tests.document_fixtures import EXPECTED, FAPIAO, FORM, FORM_ZH, INVOICE_UK, PROSE, page_of


@pytest.mark.parametrize("name", EXPECTED)
def test_the_fields_are_what_a_person_reads(name):
    drawing, expected = EXPECTED[name]
    found = find_fields([page_of(drawing)])
    assert {field: each.value for field, each in found.items()} == expected


@pytest.mark.parametrize("name", EXPECTED)
def test_every_field_has_its_place_and_its_reason(name):
    page = page_of(EXPECTED[name][0])
    for found in find_fields([page]).values():
        left, top, right, bottom = found.box
        assert 0 <= left < right <= page.width and 0 <= top < bottom <= page.height
        assert 0 < found.confidence <= 1 and found.why and found.page == 1


def test_nothing_is_found_on_an_empty_page_and_no_company_on_a_form():
    assert find_fields([Page(1, 100, 100, "empty")]) == {}
    assert find_fields([]) == {}
    assert find_fields([page_of(PROSE)]) == {}
    assert "total" not in find_fields([page_of(FORM)]) and "company" not in find_fields([page_of(FORM)])


def test_fields_of_several_pages_tell_theirs():
    first, last = page_of("#ACORN TOOLS LTD\n8 Forge Lane\nDate: 3 May 2021\n", 1), page_of("Grand total   99.50\n", 2)
    found = find_fields([first, last])
    assert (found["company"].page, found["date"].page, found["total"].page) == (1, 1, 2)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("RM 3.30", ["3.30"]),
        ("TOTAL 1,234.50 SR", ["1234.50"]),
        ("1.234,50 €", ["1234.50"]),
        ("¥1200", ["1200.00"]),
        ("58元", ["58.00"]),
        ("-3.80 and (3.80)", ["-3.80", "-3.80"]),
        ("3X8.00  24.00", ["8.00", "24.00"]),
        (".01", ["0.01"]),
        ("6% of 12", []),
        ("8.25%", []),
        ("12/03/2018 10:36", []),
        ("Tel 03-5542.3228", []),
    ],
)
def test_amounts_are_found_and_other_numbers_are_not(text, values):
    assert [str(amount.value.quantize(Decimal("0.01"))) for amount in find_amounts(text)] == values


@pytest.mark.parametrize(
    ("text", "value", "written"),
    [
        ("DATE: 28/03/2018 10:36:13", (2018, 3, 28), "28/03/2018"),
        ("28/03/201810:36:13", (2018, 3, 28), "28/03/2018"),
        ("17-04-16 14:02", (2016, 4, 17), "17-04-16"),
        ("2018-3-7", (2018, 3, 7), "2018-3-7"),
        ("30 DEC 17 18:40", (2017, 12, 30), "30 DEC 17"),
        ("12-Mar-2018", (2018, 3, 12), "12-Mar-2018"),
        ("March 12th, 2018", (2018, 3, 12), "March 12th, 2018"),
        ("开票日期：2018年3月12日", (2018, 3, 12), "2018年3月12日"),
        ("5 OGOS 2019", (2019, 8, 5), "5 OGOS 2019"),
        ("03/14/2024", (2024, 3, 14), "03/14/2024"),
    ],
)
def test_dates_are_found_in_many_forms(text, value, written):
    [found] = find_dates(text)
    assert (found.value, found.text) == (date(*value), written)


@given(st.dates(min_value=date(1990, 1, 1), max_value=date(2089, 12, 31)))
def test_every_day_is_found_as_it_was_written(day):
    for form in ("%d/%m/%Y", "%Y-%m-%d", "%d %b %Y", "%Y年%m月%d日"):
        written = day.strftime(form)
        [found] = find_dates(f"x {written} y")
        assert found.text == written
        assert found.value == day or form == "%d/%m/%Y"


@pytest.mark.parametrize("text", ["99/99/2018", "12/2018", "1234-5678", "10:36:13", "2018年13月40日", "03-1234 5678"])
def test_what_is_no_day_is_no_date(text):
    assert not list(find_dates(text))


@pytest.mark.parametrize(
    ("label", "role"),
    [
        ("totalinclusiveofgst", "total"), ("totalexcludinggst", "before_tax"), ("subtotalinclgst", "subtotal"),
        ("gst6includedintotal", "tax"), ("totalgst", "tax"), ("totalqty", "count"), ("cashchange", "change"),
        ("cashier", ""), ("exchangewithin7days", ""), ("groundfloor", ""), ("roundingadj", "rounding"),
        ("totalafterrounding", "total"), ("amountdue", "final"), ("价税合计大写", "final"), ("合计", "total"),
        ("找零", "change"), ("实收", "paid"), ("小计", "subtotal"), ("jumlahbesar", "final"),
    ],
)  # fmt: skip
def test_a_label_tells_its_amounts_role(label, role):
    assert role_of(label) == role


def test_arithmetic_finds_the_total_that_a_label_hides():
    """The label of the rounded sum is misread as "rounding"; what was handed over, less the change, is that sum."""
    rows = page_rows(page_of("TOTAL SALES   72.74\nROUNDING   72.75\nCASH   100.00\nCHANGE   27.25\n"))
    total = find_total(rows)
    assert total.best.where.text == "72.75" and "cash less change" in total.why


def test_a_row_of_digits_without_end_is_no_amount():
    assert not list(find_amounts(f"TOTAL RM {'1234567890' * 4}.00"))


def test_a_tax_summary_does_not_hold_the_total():
    rows = page_rows(page_of("TOTAL   68.90\nGST SUMMARY   AMOUNT   TAX\nTOTAL   65.00   3.90\n"))
    assert find_total(rows).best.where.text == "68.90"


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("AEON CO. (M) BHD (126926-H)", "AEON CO. (M) BHD"),
        ("GREEN LEAF PTE LTD", "GREEN LEAF PTE LTD"),
        ("Northwind Robotics, Inc.", "Northwind Robotics, Inc."),
        ("SYARIKAT DAMAI 00123456-K", "SYARIKAT DAMAI"),
        ("ALPHA 5/B", "ALPHA S/B"),
    ],
)
def test_a_name_is_given_without_its_registration(line, name):
    assert strip_registration(line) == name


def test_a_name_broken_over_lines_is_put_together():
    drawing = (
        "#OAK HILL HARDWARE\n#ENTERPRISE (NORTH\n#BAY) SDN BHD\n12 Dock Street, 41000 Port Town\nTEL: 03-1234567\n"
    )
    found = find_fields([page_of(drawing)])
    assert found["company"].value == "OAK HILL HARDWARE ENTERPRISE (NORTH BAY) SDN BHD"
    assert found["address"].value == "12 Dock Street, 41000 Port Town"


def test_dirt_above_letters_is_no_accent_but_a_language_keeps_its_own():
    filler = "a line of plain letters that goes on\n" * 10
    [found] = [each for each in page_rows(page_of(filler + "JALAN SRI JÁYA\n")) if "SRI" in each[0].text]
    assert found[0].text == "JALAN SRI JAYA"
    kept = page_rows(page_of("Café Zürich\n" + filler))
    assert kept[0][0].text == "Café Zürich"
    french = "à côté du théâtre, où l'été s'achève\n" * 3
    assert page_rows(page_of(french))[0][0].text.startswith("à côté")


def pairs_of(drawing):
    return {pair.key: pair.value for pair in find_pairs([page_of(drawing)])}


def test_a_form_is_read_with_colons_and_without():
    pairs = pairs_of(FORM)
    assert pairs["Full name"] == "Amelia Hart" and pairs["Phone"] == "01225 555 019"
    assert pairs["Occupation"] == "Bookbinder" and pairs["Preferred branch"] == "Walcot Street"


def test_a_chinese_form_is_read():
    pairs = pairs_of(FORM_ZH)
    assert pairs["姓名"] == "王小明" and pairs["会员编号"] == "A20931" and pairs["联系电话"] == "13800138000"


def test_a_table_is_read_by_row_and_column():
    pairs = pairs_of(INVOICE_UK)
    assert pairs["Travel Price"] == "142.50" and pairs["Consulting, January Qty"] == "12"


def test_keys_that_stand_twice_are_told_apart_by_their_headings():
    pairs = pairs_of(FAPIAO)
    assert pairs["购买方信息 名称"] == "上海云舟信息技术有限公司"
    assert pairs["销售方信息 名称"] == "苏州湖畔科技有限公司"


def test_a_clock_is_no_key_and_an_address_of_the_web_neither():
    assert pairs_of("open 10:30:15 daily\nsee https://example.org/a now\n") == {}


def test_several_keys_on_one_line_are_parted():
    assert pairs_of("RECEIPT #: CSP0397224 DATE: 13/07/2017\n") == {"RECEIPT #": "CSP0397224", "DATE": "13/07/2017"}


def test_a_table_in_one_column_does_not_mix_with_the_text_beside_it():
    page = page_of("a line of text that runs on   Harbour   Pages\nand its second line goes on   Hull   120\n")
    lines = page.lines
    prose, table = ([line for line in lines if (line.box[0] > 200) == right] for right in (False, True))
    box = (table[0].box[0], table[0].box[1], table[1].box[2], table[-1].box[3])
    blocks = (Block("text", prose[0].box, 0.9, tuple(prose)), Block("table", box, 0.9, tuple(table)))
    mixed = page_rows(page)
    apart = page_rows(Page(1, page.width, page.height, "ocr", blocks=blocks))
    assert [len(row) for row in mixed] == [3, 3] and sorted(len(row) for row in apart) == [1, 1, 2, 2]
