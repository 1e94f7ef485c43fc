"""The audit finds what was planted: repeats, contradictions, leaks, odd rows and wrong labels."""

import csv
import json
import random

import numpy as np
import pytest

from bert_sentiment_analysis.data import audit
from bert_sentiment_analysis.data.checks import TextSet, describe_texts, main_script, overlap
from bert_sentiment_analysis.data.label_noise import find_suspicious, out_of_fold_probabilities
from shared.datasets import Example
from shared.errors import UserError

GOOD, BAD = ("great", "lovely", "moving", "fresh"), ("dull", "awful", "boring", "stale")
NEUTRAL = [f"word{i}" for i in range(30)]


def review(draw: random.Random, label: int) -> str:
    return " ".join(draw.choices(NEUTRAL, k=5) + draw.sample(GOOD if label else BAD, k=3))


@pytest.fixture
def planted(tmp_path) -> str:
    """200 clear reviews of which rows 11 and 12 have each other's label, and odd rows after them."""
    draw = random.Random(0)
    rows = [{"text": review(draw, i % 2), "label": i % 2} for i in range(200)]
    rows[10]["label"], rows[11]["label"] = 1, 0
    rows += [
        {"text": rows[0]["text"].upper() + "!", "label": 0},
        {"text": "contradiction itself", "label": 0},
        {"text": "Contradiction, itself", "label": 1},
        {"text": ":)", "label": 1},
        {"text": "ok", "label": 1},
        {"text": "очень хорошо", "label": 1},
        {"text": None, "label": 1},
        {"text": "unlabelled", "label": None},
    ]
    file = tmp_path / "planted.json"
    file.write_text(json.dumps(rows))
    return str(file)


def run(capsys, *arguments: str) -> tuple[str, dict]:
    audit.main(list(arguments))
    *text, result = capsys.readouterr().out.splitlines()
    return "\n".join(text), json.loads(result)


def test_everything_planted_is_counted(planted, capsys):
    text, result = run(capsys, "--dataset", planted, "--against", "")
    expected = {
        "rows": 207,
        "skipped": 1,
        "distinct_exact": 207,
        "distinct_normalised": 205,
        "texts_with_two_labels": 1,
        "rows_with_two_labels": 2,
        "unlabelled": 1,
        "blank": 0,
        "without_letters": 1,
        "short": 1,
        "script": "LATIN",
        "other_script": 1,
    }
    assert {name: result[name] for name in expected} == expected
    assert result["splits"]["texts on two sides"] == 0
    assert "rows with two labels" in text and "Suspicious labels" in text


def test_swapped_labels_are_found_by_row_and_written(planted, capsys, tmp_path):
    output = tmp_path / "folder" / "suspicious.csv"
    text, result = run(capsys, "--dataset", planted, "--against", "", "--output", str(output), "--shown", "1")
    with open(output, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {rows[0]["row"], rows[1]["row"]} == {"11", "12"}
    assert all(float(row["probability"]) < 0.3 and row["label"] != row["suggested"] for row in rows[:2])
    assert len(rows) == result["suspicious"]
    assert "the 1 least probable" in text


def test_texts_of_another_set_are_told_with_how_the_labels_agree(planted, capsys, tmp_path):
    rows = json.loads(open(planted).read())
    other = tmp_path / "other.jsonl"
    copies = [{"text": row["text"] + " ...", "label": int(i % 2)} for i, row in enumerate(rows[:20])]
    other.write_text("\n".join(map(json.dumps, copies)))
    _, result = run(capsys, "--dataset", planted, "--against", str(other))
    found = result["shared"][str(other)]
    assert found["rows"] == 21  # 20, and the repeat of the first
    assert found["labelled_in_both"] == 21 and found["same_label"] == pytest.approx(19 / 21)
    assert found["suspicious_contradicted"] == 1.0


def test_a_file_without_labels_is_audited_but_for_them(tmp_path, capsys):
    file = tmp_path / "a.txt"
    file.write_text("one\ntwo\none\n")
    _, result = run(capsys, "--dataset", str(file), "--against", "")
    assert result["distinct_exact"] == 2 and result["unlabelled"] == 3
    assert result["accuracy_out_of_fold"] is None and result["suspicious"] == 0 and result["splits"] == {}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "--dataset: missing"),
        (["--dataset", "gone.csv"], "no such file"),
        (["--dataset", "x", "--folds", "1"], "--folds 1: give at least 2"),
        (["--dataset", "x", "--nosuch", "1"], "unknown option --nosuch"),
    ],
)
def test_bad_input_is_one_line(arguments, words):
    with pytest.raises(UserError) as refusal:
        audit.main(arguments)
    assert words in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "script"),
    [("good", "LATIN"), ("很好 ok", "CJK"), ("ok 很", "LATIN"), ("хорошо", "CYRILLIC"), (":) 10", ""), ("", "")],
)
def test_the_script_is_that_of_most_letters(text, script):
    assert main_script(text) == script


def test_a_text_counts_with_its_first_labelled_row():
    """Regression: nyt has texts whose first copy is rated 0 and so has no label."""
    texts = TextSet([Example("a"), Example("A", label=1), Example("b", label=0), Example("b!", label=1)])
    assert texts.distinct_places() == [1]
    assert texts.contradicted == {"b"} and texts.labels == {"a": 1}
    assert describe_texts(texts)["rows_with_two_labels"] == 2
    assert overlap(texts, TextSet([Example("a", label=0), Example("b")])).rows == 4


def test_what_neighbours_share_does_not_tell_their_labels():
    """Reviews of one film stand in a row and have its name: known from the others, it would give the label away."""
    draw = random.Random(2)
    labels = [film % 2 for film in range(100) for _ in range(30)]
    texts = [" ".join([f"film{film}", *draw.choices(NEUTRAL, k=5)]) for film in range(100) for _ in range(30)]
    best = out_of_fold_probabilities(texts, labels).argmax(1)
    assert abs(float((best == labels).mean()) - 0.5) < 0.15


def test_probabilities_are_out_of_fold():
    """Labels that no other row explains must not be learned from the rows themselves."""
    draw = random.Random(1)
    labels = [i % 2 for i in range(200)]
    texts = [review(draw, label) for label in labels]
    wrong = [0, 40, 60, 121, 141, 181]
    for row in wrong:
        labels[row] = 1 - labels[row]
    probabilities = out_of_fold_probabilities(texts, labels)
    assert probabilities.shape == (200, 2) and np.allclose(probabilities.sum(1), 1)
    assert all(probabilities[row, labels[row]] < 0.3 for row in wrong)
    assert sorted(find_suspicious(labels, probabilities)) == wrong
    assert np.array_equal(out_of_fold_probabilities(texts, labels), probabilities)


def test_three_classes_and_texts_without_spaces_are_judged_too():
    draw = random.Random(2)
    marks = ("太差了", "一般般", "非常好")
    labels = [i % 3 for i in range(120)]
    texts = ["".join(draw.choices("的一是在我有和人这中大为上个国", k=8)) + marks[label] for label in labels]
    labels[5] = 0
    found = find_suspicious(labels, out_of_fold_probabilities(texts, labels, unspaced=True))
    assert found[0] == 5


def test_too_few_rows_of_a_class_are_refused():
    with pytest.raises(UserError, match=r"the classes have \[3, 1\] rows"):
        out_of_fold_probabilities(["a b", "a c", "a d", "a e"], [0, 0, 0, 1])
    with pytest.raises(UserError, match="no two texts share a word"):
        out_of_fold_probabilities(["a", "b", "c", "d"], [0, 0, 1, 1], folds=2)


@pytest.mark.network
def test_low_probability_finds_film_labels_that_the_raters_contradict(capsys):
    """Of the flagged labels 9 to 10 % are contradicted by 20 raters, where 2.7 % of all are."""
    _, result = run(capsys, "--dataset", "rotten_tomatoes", "--against", "movie_snippets")
    found = result["shared"]["movie_snippets"]
    assert found["rows"] == 8_484 and found["labelled_in_both"] == 8_455
    assert found["same_label"] == pytest.approx(0.9734, abs=1e-4)
    assert found["suspicious_contradicted"] > 3 * (1 - found["same_label"])
    assert result["accuracy_out_of_fold"] == pytest.approx(0.769, abs=0.01)
