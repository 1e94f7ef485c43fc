"""Counted words answer as the ladder's TF-IDF does, and their credits of words are exact."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_sentiment_analysis.inference.counted_words import CountedWords
from bert_sentiment_analysis.models import baselines
from shared.datasets import Example
from shared.splits import Splits

WRONG = (60, 61, 62, 74)  # numbers of the sentences with a wrong label
WORDS = ["such", "Awful", "awful", "WONDERFUL", "fine", "film,", "3", "never-seen", "İ’s", "很好", ".", "\n"]


def small_set() -> Splits:
    """120 sentences, of which every third is blame; some validation labels are wrong, so that none is certain."""
    words = ("awful", "wonderful", "fine")
    examples = [Example(f"such {words[i % 3]} film {i}", label=int((i % 3 > 0) != (i in WRONG))) for i in range(120)]
    return Splits("films", examples[:60], examples[60:90], examples[90:])


@pytest.fixture(scope="module")
def counted() -> CountedWords:
    return CountedWords(small_set())


def test_it_answers_as_the_ladder_does(counted, tmp_path):
    splits = small_set()
    answers = [found.label for found in counted.predict([example.text for example in splits.test])]
    ladder = baselines.tfidf(splits, tmp_path)
    assert answers == [splits.label_names[i] for i in ladder.predictions]
    assert counted.n_params == ladder.params


def test_the_held_out_answers_are_those_to_the_test_part(counted):
    labels, probabilities = counted.held_out
    assert labels.tolist() == [example.label for example in small_set().test]
    given = [list(found.probabilities.values()) for found in counted.predict([e.text for e in small_set().test])]
    np.testing.assert_allclose(probabilities, given)


@given(st.lists(st.sampled_from(WORDS), max_size=12))
def test_the_credits_of_words_sum_up_to_the_log_odds_of_the_answer(counted, words):
    text = "x " + " ".join(words)
    explanation = counted.explain(text)
    assert explanation.error < 1e-9
    p = counted.predict([text])[0].probabilities["positive"]
    assert explanation.answer == pytest.approx(np.log(p / (1 - p)))
    assert abs(explanation.answer) < 10
    spans = explanation.spans
    assert all(before.end <= after.start for before, after in zip(spans, spans[1:], strict=False))


def test_a_word_that_decides_gets_most_and_one_never_read_nothing(counted):
    found = counted.explain("such awful zebra")
    values = {found.text[span.start : span.end]: span.value for span in found.spans}
    assert values["awful"] < min(0, values["such"]) and values["zebra"] == 0


def test_no_texts_and_blank_ones_are_no_fault(counted):
    assert counted.predict([]) == []
    assert counted.predict([" "])[0].error == "blank"
