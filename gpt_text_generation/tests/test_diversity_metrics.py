"""The measures of variety: by hand, against reference libraries, and indifferent to length where they promise it."""

import json
import math

import numpy as np
import pytest

from gpt_text_generation.evaluation.diversity_metrics import (
    coherence,
    compare,
    control_length,
    cut,
    distinct_n,
    main,
    mattr,
    mauve,
    measure,
    repetition,
    self_bleu,
    words,
    zipf,
)
from gpt_text_generation.evaluation.samples import Sample, by_source, read_samples
from shared.errors import UserError

RHYME = "the cat sat on the mat and the dog sat on the cat".split()


class LetterEncoder:
    """Sentence vectors that count letters: alike for texts of like letters."""

    n_parameters = 0

    def encode(self, texts, role="query", on_progress=lambda done: None):
        counts = np.array([[text.lower().count(letter) for letter in "abcdefghijklmnopqrstuvwxyz"] for text in texts])
        return (counts / np.maximum(np.linalg.norm(counts, axis=1, keepdims=True), 1e-9)).astype(np.float32)


def random_texts(n=12, length=30, seed=0, vocabulary=9):
    random = np.random.default_rng(seed)
    return [[f"w{number}" for number in random.integers(0, vocabulary, length)] for _ in range(n)]


def write_samples(folder, *samples):
    file = folder / "texts.jsonl"
    file.write_text("".join(json.dumps(sample._asdict()) + "\n" for sample in samples), encoding="utf-8")
    return file


def test_words_are_words_signs_and_han_characters():
    assert words("Don’t stop—at 3.5 pm, 你好ok!") == "don’t stop — at 3 . 5 pm , 你 好 ok !".split()
    assert words(" \n") == []


@pytest.mark.parametrize("text", ["One, two; three four.", "你好，世界 again", "a"])
def test_a_cut_text_is_a_beginning_with_so_many_words(text):
    for length in range(1, len(words(text)) + 1):
        assert text.startswith(cut(text, length)) and words(cut(text, length)) == words(text)[:length]
    assert cut(text, 99) == text


def test_distinct_n_by_hand():
    # 13 words, 7 different; 12 pairs, of which "the cat", "sat on" and "on the" stand twice.
    assert distinct_n([RHYME], 1) == pytest.approx(7 / 13)
    assert distinct_n([RHYME], 2) == pytest.approx(9 / 12)
    assert distinct_n([["a", "b"], ["a", "b"]], 2) == 1 / 2  # no pair reaches from one text into the next
    assert math.isnan(distinct_n([["a"]], 2))


def test_repetition_by_hand():
    assert repetition("a b c d a b c d".split()) == pytest.approx(1 - 4 / 5)  # abcd bcda cdab dabc abcd
    assert repetition(list("abcdefgh")) == 0
    assert repetition(["so"] * 10) == pytest.approx(1 - 1 / 7)


def test_mattr_by_hand_and_over_slices():
    assert mattr(list("aabb"), window=2) == pytest.approx((1 / 2 + 1 + 1 / 2) / 3)
    assert mattr(list("aab"), window=50) == pytest.approx(2 / 3)
    tokens = random_texts(1, 80)[0]
    slices = [len(set(tokens[start : start + 7])) / 7 for start in range(80 - 7 + 1)]
    assert mattr(tokens, window=7) == pytest.approx(np.mean(slices))


def test_mattr_hardly_changes_with_length_where_distinct_1_does():
    short, long = random_texts(40, 60, vocabulary=300), random_texts(40, 240, vocabulary=300)
    assert np.mean([distinct_n([t], 1) for t in short]) - np.mean([distinct_n([t], 1) for t in long]) > 0.15
    assert abs(np.mean([mattr(t) for t in short]) - np.mean([mattr(t) for t in long])) < 0.01


def test_zipf_by_hand_and_as_scipy_fits_it():
    from scipy.stats import linregress

    exact = [["a"] * 12 + ["b"] * 6 + ["c"] * 4 + ["d"] * 3]  # 12 / rank
    assert zipf(exact) == pytest.approx(1.0)
    assert zipf([list("abcd")]) == pytest.approx(0.0, abs=1e-12)
    counts = np.sort(np.unique(RHYME, return_counts=True)[1])[::-1]
    assert zipf([RHYME]) == pytest.approx(-linregress(np.log(np.arange(1, 8)), np.log(counts)).slope)
    assert math.isnan(zipf([["a", "a"]]))


def test_self_bleu_by_hand():
    # One word of five differs: 4/5 words, 3/4 pairs, 2/3 triples, 1/2 fours match, both ways.
    pair = ["a b c d e".split(), "a b c d f".split()]
    assert self_bleu(pair) == pytest.approx((4 / 5 * 3 / 4 * 2 / 3 * 1 / 2) ** (1 / 4))
    assert self_bleu([RHYME, RHYME]) == pytest.approx(1.0)
    assert self_bleu([list("abcd"), list("efgh")]) == 0.0


@pytest.mark.parametrize("vocabulary", [2, 9, 60, 400])
def test_self_bleu_equals_sacrebleu(vocabulary):
    sacrebleu = pytest.importorskip("sacrebleu")
    texts = random_texts(vocabulary=vocabulary)
    bleu = sacrebleu.BLEU(tokenize="none", effective_order=True)
    lines = [" ".join(tokens) for tokens in texts]
    expected = [bleu.sentence_score(line, lines[:i] + lines[i + 1 :]).score / 100 for i, line in enumerate(lines)]
    assert self_bleu(texts) == pytest.approx(np.mean(expected))


@pytest.mark.parametrize("texts", [[], [RHYME], [RHYME, RHYME[:-1]]])
def test_self_bleu_refuses_what_it_cannot_compare(texts):
    with pytest.raises(ValueError, match="of one length"):
        self_bleu(texts)


def test_coherence_is_the_mean_cosine_of_the_pairs():
    # aab and abb: (2*1 + 1*2) / 5; c and d share nothing.
    assert coherence(["aab", "c"], ["abb", "d"], LetterEncoder()) == pytest.approx((4 / 5 + 0) / 2)


@pytest.mark.network
def test_by_minilm_a_text_is_closer_to_its_own_prompt():
    from shared.text_encoder import load_text_encoder

    encoder = load_text_encoder("minilm")
    prompts = ["The storm broke over the harbour.", "She whisked the eggs with sugar."]
    texts = ["Waves threw the boats against the quay.", "Then the batter went into the oven."]
    assert coherence(prompts, texts, encoder) > coherence(prompts, texts[::-1], encoder) + 0.1


def test_mauve_tells_like_from_unlike():
    pytest.importorskip("mauve")
    random = np.random.default_rng(0)
    texts = ["".join(random.choice(list("abcde"), 20)) for _ in range(60)]
    same = ["".join(random.choice(list("abcde"), 20)) for _ in range(60)]
    other = ["".join(random.choice(list("vwxyz"), 20)) for _ in range(60)]
    near, far = mauve(texts, same, LetterEncoder()), mauve(texts, other, LetterEncoder())
    assert near.mean > 0.8 and far.mean < 0.05
    assert near.spread > 0  # the seeds of its clustering do differ


def test_without_its_library_mauve_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "mauve", None)
    with pytest.raises(UserError, match="pip install mauve-text"):
        mauve(["a"], ["b"], LetterEncoder())


def test_every_source_is_compared_on_equally_many_texts_of_equal_length():
    groups = {
        "short": [Sample("one two three four five six")] * 3 + [Sample("one two three")],
        "long": [Sample("a b c d e f g h i j k l")] * 9,
    }
    controlled = control_length(groups, 5)
    assert {source: len(samples) for source, samples in controlled.groups.items()} == {"short": 3, "long": 3}
    assert {len(words(s.text)) for samples in controlled.groups.values() for s in samples} == {5}
    assert controlled.too_short == {"short": 1, "long": 0}


def test_by_default_nine_in_ten_texts_of_every_source_are_long_enough():
    ten = [Sample(" ".join(["w"] * length)) for length in [5, *range(20, 29)]]
    controlled = control_length({"a": ten, "b": [Sample("w " * 50)] * 10})
    assert controlled.length == 20 and controlled.too_short == {"a": 1, "b": 0}
    assert control_length({"a": ten[:9], "b": [Sample("w " * 50)] * 10}).length == 5


def test_a_source_does_not_look_better_for_writing_less():
    """Without a common length, the same writer scores higher on distinct-n when it stops sooner."""
    long = [Sample(" ".join(tokens)) for tokens in random_texts(10, 80, vocabulary=50)]
    short = [Sample(cut(sample.text, 20)) for sample in long]
    assert measure([s.text for s in short])["distinct_1"] > measure([s.text for s in long])["distinct_1"] + 0.1
    rows, _ = compare({"long": long, "short": short})
    names = ("distinct_1", "distinct_2", "self_bleu", "rep_4", "mattr", "zipf")
    assert [rows[0][name] for name in names] == [rows[1][name] for name in names]


def test_a_looping_source_scores_worse_on_every_measure():
    varied = [Sample(" ".join(tokens)) for tokens in random_texts(6, 40, vocabulary=500)]
    looping = [Sample(" ".join(["over", "and", "over", "again"] * 10))] * 6
    rows, _ = compare({"varied": varied, "looping": looping})
    good, bad = rows
    assert good["distinct_1"] > bad["distinct_1"] and good["distinct_2"] > bad["distinct_2"]
    assert good["mattr"] > bad["mattr"] and good["rep_4"] < bad["rep_4"] and good["self_bleu"] < bad["self_bleu"]


@pytest.mark.parametrize(
    "content, why",
    [
        ("", "holds no texts"),
        ("{", "line 1: not valid JSON"),
        ('{"text": "a"}\n[1]', "line 2: no text in it"),
        ('{"prompt": "a"}', "line 1: no text in it"),
        ('{"text": "a", "source": 3}', "line 1: its source is no text"),
    ],
)
def test_a_file_that_is_no_list_of_texts_is_one_line(tmp_path, content, why):
    (tmp_path / "bad.jsonl").write_text(content)
    with pytest.raises(UserError, match=why) as caught:
        read_samples(tmp_path / "bad.jsonl")
    assert "\n" not in str(caught.value)


def test_half_a_surrogate_pair_becomes_a_character_that_every_tokenizer_takes(tmp_path):
    (tmp_path / "texts.jsonl").write_text('{"text": "cut \\ud83d", "source": "\\ud83d\\ude00"}')
    assert read_samples(tmp_path / "texts.jsonl") == [Sample("cut \ufffd", source="😀")]


def test_texts_that_are_too_short_are_one_line(tmp_path):
    with pytest.raises(UserError, match="no text of a has 4 words"):
        compare(by_source([Sample("too short", source="a")]))
    with pytest.raises(UserError, match="--length 2: give at least 4"):
        main(["--file", "x", "--length", "2"])


def test_the_command_prints_a_row_for_each_source(tmp_path, capsys):
    file = write_samples(
        tmp_path,
        *(Sample(" ".join(tokens), source="one") for tokens in random_texts(3, 12)),
        *(Sample(" ".join(tokens), source="two") for tokens in random_texts(4, 12, seed=1)),
    )
    main(["--file", str(file)])
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [(row["source"], row["n_texts"]) for row in result["rows"]] == [("one", 3), ("two", 3)]
    assert result["length"] == 12 and result["encoder"] is None
