"""Measures of answers: worked out by hand, and against the libraries that have them."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qa_system.evaluation.answer_quality import (
    answer_relevance,
    auroc,
    citation_scores,
    exact_match,
    faithfulness,
    normalised_tokens,
    roc_curve,
    rouge,
    token_f1,
)
from qa_system.evaluation.question_maker import make_questions, questions_of
from qa_system.generation.citation_handler import Citation, CitedSentence


def test_squad_s_normalisation_drops_case_articles_and_punctuation():
    assert normalised_tokens("The  Eiffel-Tower, an icon!") == ["eiffeltower", "icon"]
    assert exact_match("the Normans.", ["Normans"]) == 1 and exact_match("Norman", ["Normans", "a Norman"]) == 1


def test_chinese_is_compared_by_character():
    assert normalised_tokens("1889年，开放。") == ["1889", "年", "开", "放"]
    assert token_f1("1889年", ["于1889年开放"]) == pytest.approx(2 * 2 / (2 + 5))


def test_f1_takes_the_nearest_given_answer_and_silence_where_there_is_none():
    assert token_f1("in the year 1889", ["1889", "the year 1889"]) == pytest.approx(2 * 2 / (3 + 2))
    assert token_f1("", []) == 1 and token_f1("something", []) == 0 and token_f1("", ["something"]) == 0


def test_rouge_of_a_pair_that_was_worked_out_by_hand():
    # cat sat down / cat lay down: 2 of 3 words, no pair of the two, and "cat down" in order.
    assert rouge("the cat sat down", ["cat lay down"]) == pytest.approx(
        {"rouge_1": 2 / 3, "rouge_2": 0.0, "rouge_l": 2 / 3}
    )


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=40))
def test_auroc_equals_the_chance_that_a_positive_is_above(pairs):
    positives = [score for score, there in pairs if there]
    negatives = [score for score, there in pairs if not there]
    found = auroc(*zip(*pairs, strict=True))
    if not positives or not negatives:
        assert found is None
        return
    above = [(p > n) + (p == n) / 2 for p in positives for n in negatives]
    assert found == pytest.approx(sum(above) / len(above))


def test_the_roc_curve_goes_from_the_strictest_threshold_to_everything():
    assert roc_curve([0.9, 0.5, 0.5, 0.1], [True, True, False, False]) == [
        (0.9, 0.0, 0.5),
        (0.5, 0.5, 1.0),
        (0.1, 1.0, 1.0),
    ]


def cited(source, start, end, text):
    return CitedSentence("said", Citation(source, None, start, end, text, (), "c", 1.0), True)


def answer_of(*sentences, text="said", abstained=False):
    return SimpleNamespace(sentences=sentences, text=text, abstained=abstained, hits=(), question="which?")


def test_a_citation_counts_as_right_inside_its_place_only_and_as_verbatim_only_if_it_is():
    texts = {"a": "one two three", "b": "four"}
    answers = [
        answer_of(cited("a", 4, 7, "two")),
        answer_of(cited("b", 0, 4, "five")),  # neither the words nor the place
        answer_of(CitedSentence("said", None, False)),
        answer_of(abstained=True),
    ]
    scores = citation_scores(answers, texts, [[("a", 0, 8)]] * 4)
    assert (scores.spans, scores.verbatim) == (2, 1)
    assert scores.precision == 0.5 and scores.coverage == pytest.approx(2 / 3)


def test_an_abstaining_answer_has_neither_faithfulness_nor_relevance(hashed_words):
    silent = answer_of(abstained=True)
    assert faithfulness(silent) is None and answer_relevance(silent, hashed_words) is None
    assert faithfulness(answer_of()) == 0  # nothing was found that could support it
    assert answer_relevance(answer_of(text="which?"), hashed_words) == pytest.approx(1)


def test_a_made_question_has_its_answer_in_the_sentence_and_not_in_itself():
    from random import Random

    (pair,) = questions_of("In the end the tower of iron was opened by Gustave Eiffel himself.", Random(0))
    assert pair == ("In the end the tower of iron was opened by what himself?", "Gustave Eiffel")
    assert list(questions_of("铁塔的高度是330米而且非常重。", Random(0))) == [("铁塔的高度是多少米而且非常重？", "330")]


def test_made_questions_are_spread_over_the_documents(tmp_path, hashed_words, make_document):
    from random import Random

    from qa_system.document_processor.vector_store import VectorStore

    store = VectorStore(tmp_path / "store", hashed_words)
    for name in ("a", "b"):
        store.add(
            *make_document(
                f"{name}.txt", [f"In the end the tower was opened by Gustave {name} in 188{n}." for n in range(5)]
            )
        )
    made = make_questions(store, 4, Random(0))
    store.close()
    assert sorted(row["sources"][0] for row in made) == ["a.txt", "a.txt", "b.txt", "b.txt"]
