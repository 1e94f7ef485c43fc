"""The measures are those of the papers: parity with the community's program, and what must hold for any captions."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from multimodal_llm.image_captioning.caption_evaluation import (
    bleu,
    caption_scores,
    cider_d,
    faithfulness,
    rouge_l,
    words,
)
from shared.errors import UserError

KNOWN = json.loads((Path(__file__).parent / "data" / "caption_scores.json").read_text())
CANDIDATES = [photo["candidate"] for photo in KNOWN["captions"]]
REFERENCES = [photo["references"] for photo in KNOWN["captions"]]

text = st.lists(st.sampled_from("a dog cat runs on the red grass".split()), min_size=1, max_size=8).map(" ".join)
photos = st.lists(st.tuples(text, st.lists(text, min_size=1, max_size=3)), min_size=2, max_size=6)


def test_cider_equals_the_reference_program():
    mean, each = cider_d(CANDIDATES, REFERENCES)
    assert mean == pytest.approx(KNOWN["cider"])
    assert each == pytest.approx(KNOWN["cider_each"])


def test_bleu_and_rouge_equal_the_reference_program():
    assert bleu(CANDIDATES, REFERENCES) == pytest.approx(KNOWN["bleu"])
    assert rouge_l(CANDIDATES, REFERENCES) == pytest.approx(KNOWN["rouge_l"])


def test_bleu_equals_sacrebleu_without_its_smoothing():
    import sacrebleu

    one = [references[:1] for references in REFERENCES]
    ours = bleu(CANDIDATES, one)[3]
    theirs = sacrebleu.corpus_bleu(CANDIDATES, [[r[0] for r in one]], smooth_method="none", tokenize="none").score
    assert ours * 100 == pytest.approx(theirs, rel=1e-4)


def test_case_and_punctuation_do_not_count():
    shouted = [f"{candidate.upper()} ." for candidate in CANDIDATES]
    assert caption_scores(shouted, REFERENCES) == pytest.approx(caption_scores(CANDIDATES, REFERENCES))
    assert words("A dog's 2 tri-colored balls!") == ("a", "dog's", "2", "tri", "colored", "balls")


@settings(max_examples=80, deadline=None)
@given(photos)
def test_every_score_stays_in_its_range(rows):
    scores = caption_scores([c for c, _ in rows], [r for _, r in rows])
    assert 0 <= scores["cider"] <= 1000
    assert 0 <= scores["bleu4"] <= 1 + 1e-6
    assert 0 <= scores["rouge_l"] <= 1 + 1e-9


@settings(max_examples=60, deadline=None)
@given(photos, st.randoms())
def test_no_score_depends_on_the_order_of_photos_or_references(rows, random):
    shuffled = [(candidate, random.sample(references, len(references))) for candidate, references in rows]
    random.shuffle(shuffled)
    before = caption_scores([c for c, _ in rows], [r for _, r in rows])
    after = caption_scores([c for c, _ in shuffled], [r for _, r in shuffled])
    assert after == pytest.approx(before)


def test_repeating_a_good_word_earns_nothing():
    references = [["a dog on grass"], ["a red car"]]
    once = cider_d(["a dog on grass", "a red car"], references)[1][0]
    again = cider_d(["a dog dog dog on grass", "a red car"], references)[1][0]
    assert again < once


def test_nothing_to_compare_with_is_refused():
    with pytest.raises(UserError, match="2 captions for 1 photos"):
        cider_d(["a", "b"], [["a"]])
    with pytest.raises(UserError, match="each at least one reference"):
        bleu(["a"], [[]])
    with pytest.raises(UserError, match="no captions"):
        rouge_l([], [])


class ByLetters:
    """A text encoder for tests: texts are alike as far as they share letters."""

    n_parameters = 0

    def encode(self, texts, role="query", on_progress=None) -> np.ndarray:
        rows = np.array([[text.count(letter) for letter in "abcdefghijklmnopqrstuvwxyz"] for text in texts], float)
        return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)


def test_faithfulness_is_the_share_of_things_that_the_tags_support():
    found = faithfulness(["a dog on the sofa", "a man"], [["dog", "lawn"], ["man"]], ByLetters(), threshold=0.99)
    assert found == pytest.approx((0.5 + 1) / 2)


def test_a_caption_that_names_nothing_is_left_out_of_faithfulness():
    assert faithfulness(["it is the", "a dog"], [["dog"], ["dog"]], ByLetters(), threshold=0.99) == 1.0
