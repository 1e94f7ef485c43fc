"""Blind votes: nobody is asked twice, two can vote at once, and what comes out is what the formulas say."""

import csv
import json
import math
import subprocess
import sys

import numpy as np
import pytest

from gpt_text_generation.evaluation.agreement import (
    agreement,
    first_place_p,
    fit_strengths,
    krippendorff_alpha,
    strength_rows,
)
from gpt_text_generation.evaluation.human_evaluation import as_csv, main, summarise
from gpt_text_generation.evaluation.samples import Sample
from gpt_text_generation.evaluation.vote_store import Vote, VoteStore, rater_name
from shared.errors import UserError

# One person at the keyboard: votes on all there is, and says how many votes were taken.
VOTER = """
import sys
from gpt_text_generation.evaluation.vote_store import VoteStore
store, rater, taken = VoteStore(sys.argv[1]), sys.argv[2], 0
sys.stdin.readline()  # both begin together
while (shown := store.next_pair(rater)) is not None:
    taken += store.vote(rater, shown.pair, "first", f"says {rater}")
print(taken)
"""


def texts(n=3, sources=("greedy", "nucleus")):
    return [Sample(f"{source} wrote {i}", f"prompt {i}", source) for i in range(n) for source in sources]


@pytest.fixture
def store(tmp_path):
    return VoteStore(tmp_path / "votes.sqlite", seed=0)


def judge_all(store, rater, better="first", reason=""):
    seen = []
    while (shown := store.next_pair(rater)) is not None:
        seen.append(shown)
        assert store.vote(rater, shown.pair, better, reason)
    return seen


def vote(source_a, source_b, choice, pair=0, rater="r", first="a"):
    return Vote(pair, "", source_a, source_b, rater, first, choice, "", "")


def votes_of(wins, losses, ties=0, a="x", b="y"):
    outcomes = ["a"] * wins + ["b"] * losses + ["tie"] * ties
    return [vote(a, b, choice, pair=number) for number, choice in enumerate(outcomes)]


def test_every_two_sources_of_a_prompt_are_paired_once(store):
    samples = texts(4, ("a", "b", "c"))
    assert store.add(samples) == 4 * 3
    assert store.add(samples) == 0
    assert store.add([*samples, Sample("new", "prompt 0", "d")]) == 3
    assert store.progress("anna") == (0, 15)


@pytest.mark.parametrize(
    "samples",
    [
        [Sample("a", "p", "one"), Sample("b", "p", "one")],
        [Sample("a", "p", "one"), Sample("b", "q", "two")],
        [Sample("same", "p", "one"), Sample("same ", "p", "two")],
    ],
)
def test_what_cannot_be_paired_is_said(store, samples):
    with pytest.raises(UserError, match="nothing to compare"):
        store.add(samples)


def test_nobody_is_shown_a_pair_twice_and_everybody_sees_all(store):
    store.add(texts(20))
    anna, boris = judge_all(store, "anna"), judge_all(store, "boris")
    assert len({shown.pair for shown in anna}) == len(anna) == 20
    assert [shown.pair for shown in anna] == [shown.pair for shown in boris]  # so that their votes can be compared
    assert store.next_pair("anna") is None and store.progress("anna") == (20, 20)


def test_a_page_that_is_loaded_again_shows_the_same_pair_in_the_same_order(store):
    store.add(texts(12))
    for _ in range(12):
        shown = store.next_pair("anna")
        assert all(VoteStore(store.file).next_pair("anna") == shown for _ in range(5))
        store.vote("anna", shown.pair, "tie")


def test_a_second_answer_on_a_pair_is_not_taken(store):
    store.add(texts(1))
    shown = store.next_pair("anna")
    assert store.vote("anna", shown.pair, "first", "better")
    assert not store.vote("anna", shown.pair, "second")
    assert [(v.choice == v.first, v.reason) for v in store.votes()] == [(True, "better")]
    with pytest.raises(ValueError, match="boris was not shown"):
        store.vote("boris", shown.pair, "first")


def test_the_order_is_drawn_for_each_rater_and_kept(store):
    store.add(texts(200))
    judge_all(store, "anna")
    firsts = [v.first for v in store.votes()]
    assert 70 < firsts.count("a") < 130  # 4 standard deviations
    judge_all(store, "boris")
    assert firsts != [v.first for v in store.votes() if v.rater == "boris"]


@pytest.mark.parametrize("better, winner", [("first", 0), ("second", 1)])
def test_a_vote_counts_for_the_text_that_was_meant_whatever_its_place(store, better, winner):
    store.add(texts(30))
    seen = {shown.pair: shown.texts for shown in judge_all(store, "anna", better)}
    for v in store.votes():
        source = {"a": v.source_a, "b": v.source_b}[v.choice]
        assert seen[v.pair][winner].startswith(source)


def test_what_a_rater_sees_does_not_say_who_wrote_it(store):
    store.add([Sample("one text", "p", "secret_one"), Sample("other text", "p", "secret_two")])
    assert "secret" not in repr(store.next_pair("anna"))


def test_a_full_disk_is_one_clear_line_and_loses_no_vote(store):
    store.add(texts(3))
    judge_all(store, "anna")
    before, connect = store.votes(), store._connect

    def connect_to_full_disk():
        base = connect()
        base.execute("PRAGMA max_page_count = 1")  # as many as there are: not one can be added
        return base

    store._connect = connect_to_full_disk
    with pytest.raises(UserError, match="nothing was changed .database or disk is full.: look at the disk"):
        store.add(texts(2000))
    store._connect = connect
    assert store.votes() == before and store.add(texts(4)) == 1


@pytest.mark.parametrize("raters", [("anna", "boris"), ("anna", "anna")], ids=["two raters", "one in two windows"])
def test_two_processes_vote_at_once_and_no_vote_is_lost(store, raters):
    store.add(texts(60))
    voters = [
        subprocess.Popen(
            [sys.executable, "-c", VOTER, str(store.file), rater],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rater in raters
    ]
    for voter in voters:
        voter.stdin.write("go\n")
        voter.stdin.flush()
    finished = [voter.communicate(timeout=100) for voter in voters]
    assert [voter.returncode for voter in voters] == [0, 0], finished
    taken = [int(out) for out, _ in finished]
    assert sum(taken) == len(store.votes()) == 60 * len(set(raters))
    assert {(v.rater, v.reason) for v in store.votes()} == {(rater, f"says {rater}") for rater in raters}


def test_strengths_of_two_sources_by_hand(monkeypatch):
    """Without a prior, 6 : 3 : 3 must come out as such: odds of 2, and v = 3 / sqrt(6 * 3)."""
    monkeypatch.setattr("gpt_text_generation.evaluation.agreement.PRIOR", 1e6)
    fitted = fit_strengths(votes_of(6, 3, 3))
    assert fitted.sources == ("x", "y")
    assert fitted.log_strength == pytest.approx([math.log(2) / 2, -math.log(2) / 2], abs=1e-4)
    assert fitted.tie == pytest.approx(3 / math.sqrt(18), abs=1e-4)


def test_without_ties_it_is_bradley_terry_as_logistic_regression_fits_it():
    linear_model = pytest.importorskip("sklearn.linear_model")
    from gpt_text_generation.evaluation.agreement import PRIOR

    draw = np.random.default_rng(0)
    sources = ["p", "q", "r", "s"]
    drawn = [(*draw.choice(4, 2, replace=False), draw.random() < 0.6) for _ in range(120)]
    votes = [vote(sources[i], sources[j], "a" if won else "b", pair=k) for k, (i, j, won) in enumerate(drawn)]
    design = np.zeros((len(drawn), 4))
    for row, (i, j, _) in zip(design, drawn, strict=True):
        row[i], row[j] = 1, -1
    logistic = linear_model.LogisticRegression(C=PRIOR**2, fit_intercept=False, tol=1e-8, max_iter=1000)
    expected = logistic.fit(design, [won for *_, won in drawn]).coef_[0]
    assert fit_strengths(votes).log_strength == pytest.approx(expected - expected.mean(), abs=2e-3)


def test_it_finds_the_strengths_that_drew_the_votes():
    draw, true, v = np.random.default_rng(1), {"p": 0.8, "q": 0.0, "r": -0.8}, 0.7
    votes = []
    for number in range(3000):
        i, j = draw.choice(list(true), 2, replace=False)
        weights = np.array([math.exp(true[i]), math.exp(true[j]), v * math.exp((true[i] + true[j]) / 2)])
        choice = draw.choice(["a", "b", "tie"], p=weights / weights.sum())
        votes.append(vote(str(i), str(j), str(choice), pair=number))
    fitted = fit_strengths(votes)
    assert fitted.log_strength == pytest.approx(list(true.values()), abs=0.12)
    assert fitted.tie == pytest.approx(v, abs=0.08)


def test_the_names_a_and_b_do_not_matter():
    votes = votes_of(7, 2, 3)
    swapped = [vote("y", "x", {"a": "b", "b": "a", "tie": "tie"}[v.choice], v.pair) for v in votes]
    assert fit_strengths(votes).log_strength == pytest.approx(fit_strengths(swapped).log_strength, abs=1e-4)


def test_a_source_that_won_every_vote_is_strong_and_finite():
    rows = strength_rows(votes_of(9, 0), resamples=20)
    assert rows[0]["source"] == "x" and 0 < rows[0]["log_strength"] < 10
    assert math.isfinite(rows[0]["low"]) and (rows[0]["wins"], rows[1]["losses"]) == (9, 9)


def test_intervals_hold_the_estimate_and_shrink_with_more_pairs():
    few, many = strength_rows(votes_of(4, 2, 2), resamples=200), strength_rows(votes_of(64, 32, 32), resamples=200)
    assert all(row["low"] <= row["log_strength"] <= row["high"] for row in few + many)
    assert many[0]["high"] - many[0]["low"] < (few[0]["high"] - few[0]["low"]) / 2


def test_votes_on_one_pair_are_not_taken_for_independent():
    """Ten raters who agree on three pairs know less than thirty pairs: the interval must not shrink."""
    three = votes_of(2, 1)
    thirty = [v._replace(rater=f"r{number}") for v in three for number in range(10)]
    narrow, wide = strength_rows(votes_of(20, 10), 200)[0], strength_rows(thirty, 200)[0]
    assert wide["high"] - wide["low"] > 2 * (narrow["high"] - narrow["low"])


def test_alpha_of_krippendorffs_own_example():
    """Computing Krippendorff's Alpha-Reliability (2011), section D: four observers, missing values; interval .849."""
    nothing = None
    observers = [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, nothing, nothing, nothing],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, nothing, 3],
        [nothing, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, nothing],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, nothing],
    ]
    units = [[value for value in unit if value is not nothing] for unit in zip(*observers, strict=True)]
    assert krippendorff_alpha(units) == pytest.approx(0.849, abs=5e-4)


def test_agreement_by_hand():
    same = [vote("x", "y", choice, pair, rater) for pair, choice in enumerate("ab") for rater in "rs"]
    assert agreement(same) == 1.0
    # Values -1 1 | -1 1: within each pair 4, over all ordered pairs of two -1 and two 1: 8 of 12 differ by 2.
    opposed = [vote("x", "y", choice, pair, rater) for pair in (0, 1) for choice, rater in (("a", "r"), ("b", "s"))]
    assert agreement(opposed) == pytest.approx(1 - 4 / (8 * 4 / 12))
    assert agreement(votes_of(3, 3)) is None  # one vote on each pair


def test_a_tie_against_a_side_is_less_disagreement_than_two_sides():
    def unsure(other):
        agreed = [vote("x", "y", c, pair, r) for pair, c in enumerate("abab") for r in "rs"]
        return agreement([*agreed, vote("x", "y", "a", 9, "r"), vote("x", "y", other, 9, "s")])

    assert unsure("a") == 1.0 > unsure("tie") > unsure("b")


def test_a_preference_for_the_first_place_shows(store):
    store.add(texts(40))
    judge_all(store, "anna", "first")
    won, decided, p = first_place_p(store.votes())
    assert (won, decided) == (40, 40) and p < 1e-9
    assert first_place_p([vote("x", "y", "tie")]) == (0, 0, None)


@pytest.mark.parametrize("name", ["", "  ", "x" * 81])
def test_a_name_that_is_none_is_refused(name):
    with pytest.raises(UserError, match="give one, always the same"):
        rater_name(name)
    assert rater_name("  Anna  K ") == "Anna K"


def test_a_file_that_is_no_store_is_one_line(tmp_path):
    (tmp_path / "text").write_text("not a database, long enough to look like one " * 50)
    with pytest.raises(UserError, match="no file of votes"):
        VoteStore(tmp_path / "text")
    with pytest.raises(UserError, match="put pairs into it"):
        main(["results", "--store", str(tmp_path / "none")])


def test_the_commands_from_texts_to_a_table(tmp_path, capsys):
    file, base = tmp_path / "texts.jsonl", tmp_path / "deep" / "votes.sqlite"
    file.write_text("".join(json.dumps(sample._asdict()) + "\n" for sample in texts(5)), encoding="utf-8")

    def result_of(*arguments):
        main([*arguments, "--store", str(base)])
        return json.loads(capsys.readouterr().out.splitlines()[-1])

    assert result_of("add", "--file", str(file))["new_pairs"] == 5
    with pytest.raises(UserError, match="nobody has voted yet"):
        result_of("results")
    for rater in ("anna", "boris"):
        judge_all(VoteStore(base, seed=1), rater, "first", 'said "so"\nand meant it')
    result = result_of("results", "--resamples", "20")
    assert result == summarise(VoteStore(base).votes(), 20)
    assert (result["n_votes"], result["n_pairs"], result["n_raters"]) == (10, 5, 2)
    for ending in ("csv", "json"):
        result_of("export", "--output", str(tmp_path / f"out.{ending}"))
    kept = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    with open(tmp_path / "out.csv", encoding="utf-8", newline="") as table:
        assert [{**row, "pair": int(row["pair"])} for row in csv.DictReader(table)] == kept
    assert {row["reason"] for row in kept} == {'said "so"\nand meant it'}


def test_no_text_of_an_exported_vote_is_a_formula(store):
    store.add(texts(3))
    judge_all(store, "anna", "first", "=1+1")
    rows = list(csv.DictReader(as_csv(store.votes()).splitlines()))
    assert {row["reason"] for row in rows} == {"'=1+1"} and {row["rater"] for row in rows} == {"anna"}


def test_an_export_of_another_kind_is_refused(tmp_path):
    with pytest.raises(UserError, match="end the name with .csv or .json"):
        main(["export", "--output", "votes.xls"])
