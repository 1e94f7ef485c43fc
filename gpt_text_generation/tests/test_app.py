"""The demo page, played without a browser, on a tiny model of random weights or one that says what it is told."""

import json
from pathlib import Path

import numpy as np
import pytest

from gpt_text_generation import page_code, page_model, page_story, page_strategies, page_vote, story_writer
from gpt_text_generation.evaluation.human_evaluation import STORE
from gpt_text_generation.evaluation.samples import Sample
from gpt_text_generation.evaluation.vote_store import VoteStore
from gpt_text_generation.page_strategies import Token, Written, shaded, with_probabilities
from gpt_text_generation.story import Plan, Story
from shared.phrases import LANGUAGES, phrase

PAGE = Path(page_model.__file__).with_name("app.py")


def say(key, language="en", **values):
    return phrase(f"generation.page.{key}", language, **values)


@pytest.fixture(scope="module")
def model(tiny_language_model):
    from shared.language_model import load_language_model

    return load_language_model(str(tiny_language_model("llama", 1024)), "transformers")


@pytest.fixture
def open_page(run_page, model, tmp_path, monkeypatch):
    """Opens the page in an empty folder, with the tiny model in place of whatever it asks for."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(page_model, "_load", lambda name: model)
    page_vote._open.clear()
    return lambda language="en": run_page(PAGE, language)


def shown(page):
    return "".join(element.proto.body for element in page.get("html"))


def write(page, *strategies, length=10):
    page.multiselect(key="strategies-en").set_value(list(strategies))
    page.number_input(key="length").set_value(length)
    page.button(key="write").click().run()
    assert not page.exception
    return page


@pytest.mark.parametrize("language", LANGUAGES)
def test_it_opens_in_both_languages_and_loads_no_model(open_page, monkeypatch, language):
    monkeypatch.setattr(page_model, "_load", lambda name: pytest.fail("a model was loaded before anybody asked"))
    page = open_page(language)
    assert not page.exception and not page.error
    assert [tab.label for tab in page.tabs] == [
        say(f"tab.{name}", language) for name in ("strategies", "story", "code", "vote")
    ]


def test_every_strategy_writes_into_its_card_and_the_words_stay(open_page, model):
    names = list(page_strategies.generation_configs)
    page = write(open_page(), *names)
    written = page.session_state["written"]
    assert list(written) == names and all(each.tokens for each in written.values())
    page.text_input(key="topic").set_value("anything else").run()
    assert not page.exception and shown(page).count("title=") >= sum(len(each.tokens) for each in written.values())


def test_the_same_seed_writes_the_same(open_page):
    page = write(open_page(), "sampling")
    first = page.session_state["written"]["sampling"].text
    assert write(page, "sampling").session_state["written"]["sampling"].text == first
    page.number_input(key="seed").set_value(1)
    assert write(page, "sampling").session_state["written"]["sampling"].text != first


def test_the_odds_are_those_of_the_model(model):
    before = model.encode("the cat sat")
    after = model.encode(" on the mat and")
    tokens = with_probabilities(model, before, after)
    assert "".join(token.text for token in tokens) == " on the mat and"
    expected = np.exp(model.log_probabilities(before, after))
    assert [token.probability for token in tokens] == pytest.approx(expected, rel=1e-4)
    for token in tokens:
        shares = [share for _, share in token.likeliest]
        assert shares == sorted(shares, reverse=True) and token.probability <= shares[0] + 1e-6
    assert with_probabilities(model, before, [next(iter(model.stop_ids))]) == []


def test_a_likely_token_has_less_shade_than_an_unlikely_one_and_nothing_becomes_html():
    tokens = [Token("<b>&", 1.0, [('"', 1.0)]), Token("odd", 0.001, [("x", 0.9)])]
    html = shaded(Written('<script>"', tokens, 1.0))
    assert "0.00)" in html and "0.75)" in html
    assert "<script" not in html and "<b>" not in html and html.count("title=") == 2


@pytest.mark.parametrize("text", ["", "  \n"])
def test_an_empty_beginning_is_said(open_page, text):
    page = open_page()
    page.text_area(key="beginning").set_value(text)
    write(page, "greedy")
    assert say("empty_beginning") in [note.value for note in page.info]


def test_a_beginning_too_long_for_the_window_is_said(open_page, model):
    page = open_page()
    page.text_area(key="beginning").set_value("z x " * 400)
    write(page, "greedy")
    n = len(model.encode("z x " * 400))
    assert [fault.value for fault in page.error] == [say("too_long", n=n, window=1024)]


def test_a_model_that_is_none_is_one_line(run_page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = run_page(PAGE)
    page.text_input(key="model").set_value(str(tmp_path))
    write(page, "greedy")
    assert len(page.error) == 1 and "no causal language model" in page.error[0].value


def test_an_example_fills_the_beginning(open_page):
    page = open_page()
    page.button(key="beginning-robot").click().run()
    assert page.text_area(key="beginning").value == page_strategies.BEGINNINGS["robot"]


def test_a_story_appears_and_can_be_gone_on_with(open_page, monkeypatch):
    def tell(story, writer):
        story.outline = ["One", "Two"]
        place = len(story.texts)
        story.texts[place] = f"It was <b>part</b> {place}."
        yield "piece"

    monkeypatch.setattr(page_story, "tell", tell)
    page = open_page()
    page.text_input(key="topic").set_value("雨")
    page.button(key="story-write").click().run()
    assert not page.exception and not page.error
    told = " ".join(element.value for element in page.markdown)
    assert "## One" in told and "\\<b>part" in told and "## Two" not in told
    assert page.session_state["story"].plan.genre == "短篇小说"
    assert [limit["en"] for limit in page.session_state["story_limits"]]  # of the tiny model, in Chinese
    page.button(key="story-go-on").click().run()
    assert "## Two" in " ".join(element.value for element in page.markdown)


def test_a_real_tiny_model_writes_a_story_or_says_that_it_could_not(open_page, monkeypatch):
    monkeypatch.setattr(story_writer, "TRIES", 1)  # it never ends a sentence
    monkeypatch.setattr(story_writer, "TOKENS_A_WORD", 0.4)
    page = open_page()
    page.slider(key="sections").set_value(1)
    page.slider(key="story_length").set_value(160)
    page.button(key="story-write").click().run()
    assert not page.exception and not page.error
    story = page.session_state["story"]
    assert story.outline and (story.texts or say("nothing_kept") in [each.value for each in page.warning])


def test_what_a_model_writes_is_text_and_not_markdown():
    story = Story(Plan("t", "g", "s", 20, 1), ["H"], {0: "![x](http://x) <img src=y> `code` $x$ *em*"})
    assert page_story._visible(story).endswith("!\\[x\\](http://x) \\<img src=y> \\`code\\` \\$x\\$ \\*em\\*\n")


def test_code_is_shown_with_its_tests(open_page, monkeypatch):
    asked = []

    def generate(config, model):
        asked.append(config)
        rows = [
            {"test": "assert f(1) == 2", "passed": True, "why not": None},
            {"test": "assert f(2) == 4", "passed": False, "why not": "got 3"},
        ]
        result = {"outcome": "ran", "tests_passed": 1, "n_tests": 2, "candidates": 3, "candidates_passing": 0}
        return "def f(x):\n    return x + 1\n", rows, result

    monkeypatch.setattr(page_code, "generate_code", generate)
    page = open_page()
    page.button(key="code-double").click().run()
    page.button(key="code-write").click().run()
    assert not page.exception
    assert asked[0].description == "double a number" and asked[0].tests.count("assert") == 2
    assert "def f(x):\n    return x + 1" in [code.value.strip() for code in page.code]
    assert say("tests_passed", passed=1, n=2) in [each.value for each in page.warning]


def test_the_code_of_a_real_tiny_model_is_shown_and_not_run_without_tests(open_page):
    page = open_page()
    page.text_area(key="tests").set_value("")
    page.slider(key="candidates").set_value(1)
    page.button(key="code-write").click().run()
    assert not page.exception and not page.error
    assert say("code_not_run") in [note.value for note in page.info]


@pytest.mark.parametrize(
    "field, value, why", [("tests", "assert (", "write Python"), ("signature", "not a signature", "signature")]
)
def test_what_is_no_python_is_one_line(open_page, field, value, why):
    page = open_page()
    widget = page.text_area if field == "tests" else page.text_input
    widget(key=field).set_value(value)
    page.button(key="code-write").click().run()
    assert not page.exception and len(page.error) == 1 and why in page.error[0].value


@pytest.fixture
def votes(tmp_path):
    store = VoteStore(tmp_path / STORE)
    store.add([Sample(f"{source} <i>text</i> {i}", f"prompt {i}", source) for i in range(3) for source in ("x1", "y2")])
    return store


def test_without_pairs_the_page_says_how_to_get_them(open_page):
    page = open_page()
    assert say("rater_needed") in [note.value for note in page.info]
    page.text_input(key="rater").set_value("anna").run()
    assert say("no_pairs") in [note.value for note in page.info]
    assert any("human_evaluation add" in code.value for code in page.code)


def test_three_votes_by_three_buttons_and_no_pair_twice(open_page, votes, tmp_path):
    page = open_page()
    page.text_input(key="rater").set_value(" anna ").run()
    seen = []
    for better in ("first", "tie", "second"):
        html = shown(page)
        assert "&lt;i&gt;" in html and "<i>" not in html
        seen.append(next(i for i in range(3) if f"prompt {i}" in html))
        page.text_input(key=next(w.key for w in page.text_input if w.key.startswith("reason-"))).set_value(better)
        page.button(key=f"vote-{better}").click().run()
        assert not page.exception
    assert sorted(seen) == [0, 1, 2]
    assert say("vote_finished") in [each.value for each in page.success]
    kept = votes.votes()
    assert {vote.rater for vote in kept} == {"anna"}
    for vote in kept:
        other = "b" if vote.first == "a" else "a"
        assert vote.choice == {"first": vote.first, "tie": "tie", "second": other}[vote.reason]


def test_nothing_on_the_page_says_who_wrote_what_until_asked(open_page, votes):
    votes.add([Sample("plain one", "q", "hidden_source"), Sample("plain two", "q", "other_source")])
    for shown_pair in iter(lambda: votes.next_pair("boris"), None):
        votes.vote("boris", shown_pair.pair, "first")
    page = open_page()
    page.text_input(key="rater").set_value("anna").run()
    assert "hidden_source" not in str(page) and not page.get("plotly_chart")
    page.toggle(key="show-results").set_value(True).run()
    assert not page.exception
    figure = json.loads(page.get("plotly_chart")[0].proto.spec)
    assert set(figure["data"][0]["y"]) == {"x1", "y2", "hidden_source", "other_source"}


def test_what_the_strategies_wrote_can_be_put_to_the_vote(open_page, tmp_path):
    page = write(open_page(), "greedy", "sampling", "nucleus")
    page.button(key="take-over").click().run()
    assert not page.exception
    assert VoteStore(tmp_path / STORE).progress("anna") == (0, 3)


def test_a_damaged_file_of_votes_is_one_line(open_page, tmp_path):
    (tmp_path / STORE).parent.mkdir(parents=True)
    (tmp_path / STORE).write_text("no database at all " * 100)
    page = open_page()
    assert not page.exception and "no file of votes" in page.error[0].value
