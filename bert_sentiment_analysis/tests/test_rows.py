"""Rows of lists and files: what cannot be used is skipped with its number and the reason, and nothing else is lost."""

import json

import pytest

from bert_sentiment_analysis.data.rows import Rows, check_texts, column_names, read_rows
from shared.datasets import Example, load_examples
from shared.errors import UserError


@pytest.fixture
def write(tmp_path):
    def to(name: str, content: str | bytes) -> str:
        file = tmp_path / name
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(file)

    return to


def fault(action, *arguments, **named) -> str:
    with pytest.raises(UserError) as caught:
        action(*arguments, **named)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def test_a_list_of_anything_is_sorted_into_texts_and_reasons():
    rows = check_texts(["good", None, 5, " \0", "👍", ["x"], float("nan"), "\ud83d"])
    assert [example.text for example in rows.examples] == ["good", "👍", "\ud83d"]
    assert rows.numbers == [1, 5, 8]
    assert rows.skipped == {
        2: "no text",
        3: "int, not text",
        4: "blank",
        6: "list, not text",
        7: "float, not text",
    }


def test_a_single_string_is_no_list_of_texts():
    assert "give a list of strings" in fault(check_texts, "good")


def test_the_skipped_rows_are_told_in_one_line():
    assert Rows().describe_skipped() == ""
    assert check_texts(["a", None, ""]).describe_skipped() == "2 of 3 rows skipped: row 2 (no text), row 3 (blank)"
    assert check_texts([None] * 9).describe_skipped().endswith("row 5 (no text), and 4 more")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", 'text,label\n"good, really",1\nbad,0\n'),
        ("a.csv", '\ufeffid,review,sentiment\r\n7,"good, really",positive\r\n8,bad,Negative\r\n'),
        ("a.tsv", "label\tsentence\n1.0\tgood, really\n0.0\tbad\n"),
        ("a.json", '[{"text": "good, really", "label": 1}, {"label": "neg", "text": "bad"}]'),
        ("a.jsonl", '{"text": "good, really", "label": "1"}\n\n{"text": "bad", "label": 0}'),
    ],
)
def test_every_format_gives_the_same_examples(write, name, content):
    rows = read_rows(write(name, content), labelled=True)
    assert rows.examples == [Example("good, really", label=1), Example("bad", label=0)]
    assert rows.numbers == [1, 2] and rows.skipped == {}


def test_texts_alone_are_enough_to_predict(write):
    assert read_rows(write("a.json", '["good", null, "bad"]')).skipped == {2: "no text"}
    assert read_rows(write("a.txt", "good\n\nbad\n")).numbers == [1, 3]
    assert read_rows(write("a.csv", "text\ngood\n")).examples == [Example("good")]


def test_whole_files_read_as_the_strict_loader_reads_them(write):
    file = write("a.csv", 'id,text,label\n1,"one\ntwo, ""three""",1\n2,\u2028x\x85y,0\n')
    assert read_rows(file).examples == load_examples(file)


def test_one_bad_row_of_a_table_loses_no_other(write):
    """Regression: a stray quote took all rows up to the next quote, and a comma cut a text short."""
    lines = [
        "text,label",
        "a,1",
        '"b,1',
        "c,0",
        '"d" e,0',
        "f, g,1",
        ",1",
        "h",
        "i,maybe",
        "j,0.5",
        "k,1",
        '"l,0',
        "m,0",
    ]
    rows = read_rows(write("a.csv", "\n".join(lines)), labelled=True)
    assert [example.text for example in rows.examples] == ["a", "c", "k", "m"]
    assert rows.numbers == [1, 3, 10, 12]
    assert {number: reason.split(":")[0] for number, reason in rows.skipped.items()} == {
        2: "line 3",
        4: "line 5",
        5: "3 cells for 2 columns",
        6: "blank",
        7: "no label",
        8: "label maybe is no whole number from 0 and none of negative, neg, neutral, positive, pos",
        9: "label 0.5 is no whole number from 0 and none of negative, neg, neutral, positive, pos",
        11: "line 12",
    }


def test_one_bad_row_of_json_loses_no_other(write):
    lines = ['{"text": "a"}', '{"text": "b"', "[1]", '{"label": 1}', '{"text": 5}', "null", '{"text": "c\\u0000"}']
    rows = read_rows(write("a.jsonl", "\n".join(lines)))
    assert rows.numbers == [1, 7]
    assert list(rows.skipped.values()) == ["not valid JSON", "no object", "no text", "int, not text", "no text"]


@pytest.mark.parametrize(
    ("label", "number"),
    [("1", 1), (1, 1), (1.0, 1), ("2.0", 2), ("positive", 1), (" NEG ", 0), (True, 1)],
)
def test_labels_are_whole_numbers_or_words(write, label, number):
    file = write("a.json", json.dumps([{"text": "a", "label": label}]))
    assert read_rows(file).examples == [Example("a", label=number)]


@pytest.mark.parametrize("label", ["good", "-1", -1, 0.5, [], "inf", "nan", {}])
def test_any_other_label_skips_its_row(write, label):
    file = write("a.json", json.dumps([{"text": "a", "label": label}, {"text": "b", "label": 1}]))
    assert read_rows(file).numbers == [2]


def test_neutral_takes_the_middle_only_where_it_occurs(write):
    words = ["negative", "neutral", "positive"]
    three = write("a.json", json.dumps([{"text": word, "label": word} for word in words]))
    assert [example.label for example in read_rows(three).examples] == [0, 1, 2]
    two = write("b.json", json.dumps([{"text": word, "label": word} for word in ("negative", "positive")]))
    assert [example.label for example in read_rows(two).examples] == [0, 1]


@pytest.mark.parametrize(
    ("content", "named", "words"),
    [
        ("id,words\n1,x\n", {}, "no text column among the columns id, words: name the right one with --text_column"),
        ("text\nx\n", {"text_column": "body"}, "no 'body' among the columns text"),
        ("text\nx\n", {"labelled": True}, "no label column among the columns text: name the right one with --label_c"),
        ("text\nx\n", {"label_column": "stars"}, "no 'stars' among the columns text"),
        ("text,label\n,1\n", {}, "no usable row: 1 of 1 rows skipped: row 1 (blank)"),
        ("text,label\n", {}, "holds no rows"),
        ("", {}, "holds no rows"),
        ('"text,label\nx,1\n', {}, "the header is no table row"),
        (b"text\n\xd6\xd0\n", {}, "not UTF-8 text (byte 5)"),
    ],
)
def test_what_no_row_can_help_is_one_line_with_the_remedy(write, content, named, words):
    assert words in fault(read_rows, write("a.csv", content), **named)


def test_a_file_that_is_no_list_or_is_not_there_is_one_line(write):
    assert "not valid JSON" in fault(read_rows, write("a.json", "[1,"))
    assert "not a list" in fault(read_rows, write("a.json", '{"text": "a"}'))
    assert "not valid JSON" in fault(read_rows, write("a.json", "[" * 100_000))
    assert "no such file" in fault(read_rows, "gone.csv")


def test_named_columns_win_over_the_usual_ones(write):
    file = write("a.csv", "text,label,body,stars\nx,0,good,1\n")
    assert read_rows(file, "body", "stars").examples == [Example("good", label=1)]


def test_the_columns_of_a_file_are_named_in_order(write):
    assert column_names(write("a.csv", "id,review\n1,good\n")) == ["id", "review"]
    assert column_names(write("a.jsonl", '{"b": "x"}\n{"a": 1, "b": "y"}\n')) == ["b", "a"]
    assert column_names(write("a.json", '["good"]')) == ["text"]
    assert column_names(write("a.txt", "good\n")) == []
