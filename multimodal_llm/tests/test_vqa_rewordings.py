"""Sentences that measure are in no training, mean what their answers say, and are many."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from multimodal_llm.visual_question_answering.data_loader import COLORS, SHAPES, Facts, load_vqa
from multimodal_llm.visual_question_answering.rewordings import (
    OUTSIDE,
    Rewording,
    ask,
    every_wording,
    outside_questions,
    rewordings,
    words_of,
)
from shared.cleaning import normalise

facts = st.builds(Facts, st.sampled_from(SHAPES), st.sampled_from(COLORS))
named = [r for part in ("train", "dev", "test") for r in rewordings(part) if r.kind in ("yes", "no")]


def all_texts(part):
    texts = [text for rewording in rewordings(part) for text in every_wording(rewording)]
    return {normalise(text) for text in [*texts, *(t for kind in OUTSIDE for t in outside_questions(part, kind))]}


def test_there_are_at_least_sixty_rewordings_and_sixty_questions_beside_the_point_to_measure_on():
    assert len(set(rewordings("test"))) >= 60
    assert sum(len(set(outside_questions("test", kind))) for kind in OUTSIDE) >= 60


@pytest.mark.parametrize("first, second", [("train", "test"), ("dev", "test"), ("train", "dev")])
def test_no_sentence_stands_in_two_parts(first, second):
    assert all_texts(first) & all_texts(second) == set()


@pytest.mark.network
def test_no_rewording_is_one_of_easy_vqas_own_questions():
    own = {normalise(question.text) for question in load_vqa("easy_vqa", "train").questions}
    assert len(own) == 107
    assert (all_texts("test") | all_texts("dev") | all_texts("train")) & own == set()


@given(st.sampled_from(named), facts, st.booleans(), st.integers(0, 1000))
def test_the_answer_says_whether_the_value_named_is_the_pictures(rewording, fact, truth, seed):
    asked = ask(rewording, fact, truth, np.random.default_rng(seed))
    mentioned = {rewording.names} if rewording.names else words_of([asked.text.replace("s?", "?")]) & {*SHAPES, *COLORS}
    holds = bool(mentioned) and mentioned <= set(fact)
    assert asked.answer == ("yes" if holds == (rewording.kind == "yes") else "no")
    assert "{" not in asked.text


@given(facts, st.integers(0, 1000))
def test_an_open_question_is_answered_by_the_picture_and_never_gives_the_answer_away(fact, seed):
    for rewording in rewordings("test"):
        if rewording.kind in ("color", "shape"):
            asked = ask(rewording, fact, True, np.random.default_rng(seed))
            assert asked.answer == getattr(fact, rewording.kind)
            choice = {*SHAPES} if rewording.kind == "shape" else {*COLORS}
            assert len(words_of([asked.text]) & choice) in (0, len(choice))


def test_every_wording_holds_whatever_can_be_asked():
    random = np.random.default_rng(0)
    for rewording in (*rewordings("train"), *rewordings("test")):
        texts = set(every_wording(rewording))
        for _ in range(20):
            fact = Facts(str(random.choice(SHAPES)), str(random.choice(COLORS)))
            assert ask(rewording, fact, bool(random.random() < 0.5), random).text in texts


def test_a_sentence_without_gaps_has_one_wording():
    assert every_wording(Rewording("is it round?", "yes", "circle")) == ["is it round?"]
