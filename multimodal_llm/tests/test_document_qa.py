"""Questions to made-up documents: the right answer in the right place, or none and the reason."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from multimodal_llm.document_understanding import document_llm
from multimodal_llm.document_understanding.answer_scores import (
    anls,
    edit_distance,
    exact,
    intersection_over_union,
    places_of,
)
from multimodal_llm.document_understanding.document import Page
from multimodal_llm.document_understanding.document_qa import answer
from multimodal_llm.document_understanding.document_samples import RECEIPT
from multimodal_llm.document_understanding.off_document import OFF_DOCUMENT
from multimodal_llm.document_understanding.question_words import words_of
from multimodal_llm.tests.document_fixtures import (
    CARD_SLIP_ZH,
    DINER,
    FAPIAO,
    FORM,
    FORM_ZH,
    INVOICE_UK,
    KEDAI,
    PROSE,
    SUPERMARKET_ZH,
    page_of,
)
from shared.endpoint import Endpoint
from shared.errors import UserError

RIGHT = [
    (DINER, "What is the total amount?", "44.54"),
    (DINER, "How much was the tip?", "8.00"),
    (DINER, "How much was the iced tea?", "2.75"),
    (DINER, "Who was the server?", "Maya"),
    (DINER, "What is the phone number?", "(217) 555-0143"),
    (DINER, "Where is the restaurant?", "482 Canal Street Springfield, IL 62701"),
    (DINER, "这张小票的日期是哪天？", "03/14/2024"),
    (INVOICE_UK, "When is payment due?", "9 March 2023"),
    (INVOICE_UK, "Who issued the invoice?", "Harcourt & Wells Ltd"),
    (INVOICE_UK, "What is the invoice number?", "HW-2291"),
    (INVOICE_UK, "What is the price of travel?", "142.50"),
    (FAPIAO, "开票日期是哪天？", "2024年03月12日"),
    (FAPIAO, "销售方名称是什么？", "苏州湖畔科技有限公司"),
    (FAPIAO, "购买方名称是什么？", "上海云舟信息技术有限公司"),
    (FAPIAO, "What is the total?", "1130.00"),
    (FORM, "What is the date of birth?", "04/09/1991"),
    (FORM, "preferred branch?", "Walcot Street"),
    (FORM, "When does the card expire?", "31/12/2026"),
    (FORM_ZH, "会员编号是多少？", "A20931"),
    (FORM_ZH, "住址是哪里？", "北京市海淀区中关村大街 1 号"),
    (SUPERMARKET_ZH, "找零多少？", "5.00"),
    (SUPERMARKET_ZH, "牛奶的单价是多少？", "12.50"),
    (CARD_SLIP_ZH, "商户名称是什么？", "老城根火锅店"),
    (KEDAI, "How much change was given?", "RM 1.90"),
    (RECEIPT, "How much was the almond croissant?", "12.75"),
]


@pytest.mark.parametrize(("drawing", "question", "expected"), RIGHT, ids=[question for _, question, _ in RIGHT])
def test_an_answer_is_right_and_in_its_place(drawing, question, expected):
    page = page_of(drawing)
    reply = answer(question, [page])
    assert reply.text == expected and reply.page == 1
    places = places_of(expected, page.lines)
    assert max(intersection_over_union(reply.box, place) for place in places) > 0.5


@pytest.mark.parametrize(
    ("drawing", "question"),
    [
        (DINER, "What is the due date?"),
        (DINER, "How much was the lobster?"),
        (DINER, "What is the customer's name?"),
        (INVOICE_UK, "What is the delivery date?"),
        (INVOICE_UK, "What is the bank account number?"),
        (FAPIAO, "电话是多少？"),
        (FORM, "What is the name of her dog?"),
        (FORM_ZH, "身份证号码是多少？"),
        (SUPERMARKET_ZH, "香蕉多少钱？"),
    ],
)
def test_what_the_document_does_not_tell_is_not_answered_even_in_its_own_words(drawing, question):
    reply = answer(question, [page_of(drawing)])
    assert not reply.found and reply.box is None and reply.confidence == 0
    assert "nothing on these pages" in reply.reason


def test_questions_beside_the_point_are_hardly_ever_answered():
    pages = [page_of(drawing) for drawing in (DINER, FAPIAO, KEDAI, SUPERMARKET_ZH)]
    replies = [answer(question, [page]) for page in pages for question in OFF_DOCUMENT]
    assert sum(reply.found for reply in replies) <= 1


def test_running_text_is_answered_by_its_sentence():
    page = page_of(PROSE)
    reply = answer("When was the gauge built by the city?", [page])
    assert reply.text.startswith("The gauge was built by the city in 1911")
    assert not answer("Who painted the ceiling?", [page]).found


def test_meaning_decides_where_no_words_agree():
    """The stand-in for MiniLM knows that a hobby is a pastime, and that no other words are alike."""

    def encode(texts):
        alike = [("pastime" in text or "hobby" in text) for text in texts]
        return np.array([[1.0, 0.0] if each else [0.0, 1.0] for each in alike])

    page = page_of("Pastime: kite flying\nShoe size: 43\n")
    assert answer("Which hobby?", [page], encode).text == "kite flying"
    assert not answer("Which hobby?", [page]).found


def test_the_answer_is_sought_on_every_page():
    reply = answer("Who is the cashier?", [page_of(INVOICE_UK, 1), page_of("Cashier: Noor\n", 2)])
    assert (reply.text, reply.page) == ("Noor", 2)


@pytest.mark.parametrize("question", ["", "  \n", "?!"])
def test_an_empty_question_is_one_clear_line(question):
    with pytest.raises(UserError, match="the question is empty"):
        answer(question, [page_of(DINER)])


def test_a_question_longer_than_the_page_is_one_clear_line():
    with pytest.raises(UserError, match="ask one thing"):
        answer("what is this " * 60, [page_of(DINER)])


def test_a_page_without_text_is_told_with_its_reason():
    reply = answer("What is the total?", [Page(1, 100, 100, "empty", "the page is blank")])
    assert not reply.found and "the page is blank" in reply.reason


@settings(max_examples=25)
@given(st.text(max_size=60))
def test_any_question_gets_an_answer_from_the_page_or_none(question):
    page = page_of(DINER)
    try:
        reply = answer(question, [page])
    except UserError:
        return
    assert not reply.found or all(word in page.text for word in reply.text.split())


def test_words_of_one_meaning_are_one_word_in_three_languages():
    assert words_of("telephone") == words_of("Tel") == words_of("电话") == ["PHONE"]
    assert words_of("What is the total?") == words_of("JUMLAH") == words_of("合计是多少？") == ["TOTAL"]
    assert words_of("Sub-Total") == words_of("小计") == ["SUB"]


# Scores


@pytest.mark.parametrize(
    ("said", "right", "score"),
    [("30.00", ["30.00"], 1.0), ("MAPLE  & rye", ["Maple & Rye"], 1.0), ("3O.00", ["30.00"], 0.8),
     ("", ["30.00"], 0.0), ("yes", ["not at all"], 0.0), ("abcd", ["zz", "abce"], 0.75)],
)  # fmt: skip
def test_anls_gives_most_of_the_point_for_a_misread_letter(said, right, score):
    assert anls(said, right) == pytest.approx(score)


@given(st.text(max_size=12), st.text(max_size=12), st.text(max_size=12))
def test_the_edit_distance_is_a_distance(one, other, third):
    assert (edit_distance(one, other) == 0) == (one == other)
    assert edit_distance(one, other) == edit_distance(other, one)
    assert edit_distance(one, third) <= edit_distance(one, other) + edit_distance(other, third)
    assert edit_distance(one, other) <= max(len(one), len(other))


def test_the_overlap_of_boxes():
    box = (0.0, 0.0, 4.0, 2.0)
    assert intersection_over_union(box, box) == 1
    assert intersection_over_union(box, (2.0, 0.0, 6.0, 2.0)) == pytest.approx(1 / 3)
    assert intersection_over_union(box, (4.0, 0.0, 8.0, 2.0)) == 0
    assert intersection_over_union(box, (5.0, 5.0, 6.0, 6.0)) == 0


def test_a_value_is_exact_but_for_case_and_the_amount_of_white():
    assert exact(" Kuala  LUMPUR", "kuala lumpur") and not exact("KualaLumpur", "kuala lumpur")


def test_an_answer_over_two_lines_stands_where_both_are():
    lines = page_of("x   12 Dock Street,\ny   Port Town\n").lines
    [place] = places_of("12 Dock Street, Port Town", [lines[1], lines[3]])
    assert place[1] == lines[1].box[1] and place[3] == lines[3].box[3]


# Language models by address


@pytest.fixture
def server():
    said, asked = [], []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps({"choices": [{"message": {"content": said[0]}}]}).encode())

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield Endpoint(f"http://127.0.0.1:{server.server_port}/v1"), said, asked
    server.shutdown()
    server.server_close()


def test_a_language_models_answer_is_found_on_the_page(server):
    endpoint, said, asked = server
    said[:] = ['"Blue Heron  Diner"']
    page = page_of(DINER)
    reply = document_llm.ask("Who sold it?", [page], endpoint)
    [place] = places_of("BLUE HERON DINER", page.lines)
    assert (reply.text, reply.page, reply.confidence) == ("Blue Heron Diner", 1, 1.0)
    assert reply.box == pytest.approx(place)
    assert "Catfish plate" in asked[0]["messages"][1]["content"] and asked[0]["temperature"] == 0


def test_a_misread_letter_does_not_hide_the_place_but_invented_words_have_none(server):
    endpoint, said, _ = server
    said[:] = ["482 Canai Street"]
    reply = document_llm.ask("Where?", [page_of(DINER)], endpoint)
    assert reply.box is not None and 0.8 <= reply.confidence < 1
    said[:] = ["a seafood restaurant on the coast"]
    reply = document_llm.ask("Where?", [page_of(DINER)], endpoint)
    assert reply.found and reply.box is None and reply.confidence == 0 and "stand nowhere" in reply.reason


def test_a_language_model_may_say_that_the_document_does_not_tell(server):
    endpoint, said, asked = server
    said[:] = ["NOT IN THE DOCUMENT."]
    assert not document_llm.ask("Who wrote it?", [page_of(DINER)], endpoint).found
    reply = document_llm.ask("Who wrote it?", [Page(1, 9, 9, "empty", "blank")], endpoint)
    assert not reply.found and len(asked) == 1  # nothing is sent of an empty page


def test_a_picture_goes_as_a_picture(server):
    endpoint, said, asked = server
    said[:] = ["Maya"]
    reply = document_llm.ask("Who?", [page_of(DINER)], endpoint, Image.new("RGB", (40, 30), "white"))
    picture, text = asked[0]["messages"][1]["content"]
    assert picture["image_url"]["url"].startswith("data:image/jpeg;base64,") and "Who?" in text["text"]
    assert reply.text == "Maya" and reply.box is not None


def test_a_dead_endpoint_is_one_clear_line():
    with pytest.raises(UserError, match="no answer"):
        document_llm.ask("Who?", [page_of(DINER)], Endpoint("http://127.0.0.1:9/v1"))
