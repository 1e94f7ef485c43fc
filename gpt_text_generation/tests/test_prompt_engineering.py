"""Ways to ask: what a model sees, how its answer is read, and that templates are compared input by input."""

import json

import pytest

from gpt_text_generation import prompt_tasks
from gpt_text_generation.prompt_benchmark import PromptBenchmarkConfig, prompts
from gpt_text_generation.prompt_engineering import (
    Answer,
    Cell,
    PromptConfig,
    Template,
    ask,
    choose_templates,
    compare_templates,
    main,
    read_templates,
)
from gpt_text_generation.prompt_tasks import TASKS, Item, Material, check_label, load_material, long_words, words
from shared.cleaning import normalise
from shared.datasets import Example
from shared.errors import UserError
from shared.splits import Splits

REVIEW = Item("Review: a gripping thriller with wonderful performances", ("positive",))
PAIR = Item("Words: gripping, wonderful", ("gripping", "wonderful"))


class Parrot:
    """A LanguageModel that answers by a function of the whole prompt; its tokens are words."""

    name, context = "parrot", 400

    def __init__(self, answer):
        self.answer = answer
        self.prompts = []

    def chat(self, messages):
        return "".join(f"<{turn['role']}>{turn['content']}" for turn in messages) + "<assistant>"

    def encode(self, text, start=True):
        return text.split()

    def generate_batch(self, prompts, choose=None, *, max_new_tokens, stop=()):
        self.prompts += prompts
        return [self.answer(prompt) for prompt in prompts]


@pytest.fixture
def reviews(monkeypatch):
    """A small set in place of the packaged one; train and test share no text."""

    def made(side, n):
        text = "{0} story number {1}, wonderful gripping {0}{1}x performances all along today"
        return [Example(text.format(side, i), label=i % 2) for i in range(n)]

    splits = Splits("reviews", made("train", 12), made("check", 4), made("test", 10))
    monkeypatch.setattr(prompt_tasks, "load_packaged", lambda name: splits)
    return splits


@pytest.mark.parametrize(
    "answer, verdict",
    [
        ("positive", True),
        ("Positive.", True),
        ("The review is positive because it praises the actors.", True),
        ("negative", False),
        ("not positive", True),  # the stated rule reads labels, not sentences
        ("positive or negative", None),
        ("neutral", None),
        ("positively", None),
        ("", None),
        ("积极", None),
    ],
)
def test_a_label_counts_where_it_is_the_only_one(answer, verdict):
    assert check_label(REVIEW, answer) is verdict


@pytest.mark.parametrize(
    "answer, verdict",
    [
        ('["gripping", "thriller", "wonderful"]', True),
        ('```json\n["Gripping", "thriller", "wonderful"]\n```', True),
        ('["gripping", "thriller"]', False),
        ('["gripping", "gripping", "thriller"]', False),
        ('["gripping", "thriller", "superb"]', False),  # does not stand there
        ("[1, 2, 3]", False),
        ("gripping, thriller, wonderful", None),
        ("[gripping, thriller, wonderful]", None),
        ('["gripping", "thriller", "wonderful"] or ["a", "b", "c"]', None),
    ],
)
def test_a_list_must_be_json_of_three_words_of_the_text(answer, verdict):
    assert TASKS["format"].check(REVIEW, answer) is verdict


@pytest.mark.parametrize(
    "answer, verdict",
    [("A fine film.", True), ("one two three four five six seven eight", True), ("a " * 9, False), ("...", None)],
)
def test_a_short_answer_has_one_to_eight_words(answer, verdict):
    assert TASKS["length"].check(REVIEW, answer) is verdict


@pytest.mark.parametrize(
    "answer, verdict",
    [
        ("It was a gripping and wonderful night.", True),
        ("It was gripping.", False),
        ("It was gripping. And wonderful.", False),  # two sentences
        ("It was grippingly wonderful.", False),
        ("gripping wonderful " + "very " * 29, False),
        ("", None),
    ],
)
def test_both_keywords_stand_in_one_sentence(answer, verdict):
    assert TASKS["keywords"].check(PAIR, answer) is verdict


def test_long_words_come_in_the_order_of_the_text():
    assert long_words("A tiny but wonderful, gripping and wonderful thriller", 2) == ["wonderful", "gripping"]
    assert words("It's 3 o'clock-ish") == ["it's", "o'clock-ish"]


@pytest.mark.parametrize(
    "reads, answer, found",
    [
        ("whole", "  positive\n", "positive"),
        ("answer_line", "It praises. Answer: positive", "positive"),
        ("answer_line", "Answer: negative? No.\nAnswer: positive", "positive"),
        ("answer_line", "positive", None),
        ("json", '{"answer": "positive"}', "positive"),
        ("json", 'Sure! ```json\n{"answer": ["a", "b"]}\n``` done', '["a", "b"]'),
        ("json", '{"label": "positive"}', None),
        ("json", '{"answer": null}', None),
        ("json", '{"answer": "positive"', None),
        ("json", "positive", None),
    ],
)
def test_an_answer_is_read_where_its_template_says(reads, answer, found):
    assert Template("{input}", reads=reads).read(answer) == found


def test_every_packaged_template_puts_every_task(reviews):
    templates = read_templates()
    assert {"zero_shot", "few_shot", "instruction", "role", "step_by_step", "structured_output"} <= set(templates)
    for task in TASKS.values():
        material = load_material(task, 3, 4)
        for template in templates.values():
            messages = template.messages(task, material.items[0], material.solved)
            assert messages[-1]["role"] == "user" and material.items[0].text in messages[-1]["content"]
            assert [turn["role"] for turn in messages[:-1]].count("assistant") == template.examples
            assert not any("{" in turn["content"].replace('{"answer"', "") for turn in messages)


@pytest.mark.parametrize("task", TASKS)
def test_the_solved_examples_are_right_and_can_be_read_back(reviews, task):
    material = load_material(TASKS[task], 5, 4)
    assert len(material.solved) == 4
    for item, answer in material.solved:
        assert TASKS[task].check(item, answer) is True
        for reads in ("whole", "answer_line", "json"):
            template = Template("{input}", examples=1, reads=reads)
            shown = template.messages(TASKS[task], material.items[0], [(item, answer)])[1]["content"]
            assert TASKS[task].check(item, template.read(shown)) is True


@pytest.mark.parametrize("n", [2, 4, 7, 8, 10])
def test_the_inputs_have_both_labels_equally_often(reviews, n):
    """A regression: every k-th text of a list with alternating labels had one label, so "positive" was always right."""
    items = load_material(TASKS["sentiment"], n, 4).items
    assert len(items) == n and abs(sum(item.target == ("positive",) for item in items) * 2 - n) <= 1


def test_the_examples_of_the_labels_alternate(reviews):
    solved = load_material(TASKS["sentiment"], 5, 4).solved
    assert [answer for _, answer in solved] == ["positive", "negative", "positive", "negative"]


def test_a_review_is_put_without_what_its_web_page_added(monkeypatch):
    """`&amp;` once stood in the prompts, and counted as a word."""
    made = [Example(f"Lovely &amp; Amazing    is incisive, number {n} of many", label=n % 2) for n in range(8)]
    monkeypatch.setattr(prompt_tasks, "load_packaged", lambda name: Splits("reviews", made, made, made))
    material = load_material(TASKS["sentiment"], 4, 2)
    for item in [*material.items, *(item for item, _ in material.solved)]:
        assert item.text.startswith("Review: Lovely & Amazing is incisive, number ")


@pytest.mark.parametrize("task", TASKS)
def test_examples_come_from_the_train_part_and_inputs_from_the_test_part(reviews, task):
    material = load_material(TASKS[task], 10, 4)
    train = " ".join(example.text for example in reviews.train)
    if task != "keywords":  # whose inputs are but two words
        assert all(item.text.removeprefix("Review: ") in train for item, _ in material.solved)
        assert not any(item.text.removeprefix("Review: ") in train for item in material.items)
    assert all("test" not in item.text + answer for item, answer in material.solved)


@pytest.mark.network
@pytest.mark.parametrize("task", TASKS)
def test_of_the_real_set_too_no_example_is_a_test_input(task):
    material = load_material(TASKS[task], 200, 4)
    assert len(material.items) == 200 and len(material.solved) == 4
    asked = {normalise(item.text) for item in material.items}
    assert len(asked) > 190
    assert not asked & {normalise(item.text) for item, _ in material.solved}
    assert all(TASKS[task].check(item, answer) for item, answer in material.solved)


def test_what_cannot_be_parsed_counts_as_wrong_and_is_shown():
    material = Material([REVIEW] * 4, [])
    answers = iter(["positive", "negative", "neutral", "both positive and negative"])
    cell = ask(Parrot(lambda prompt: next(answers)), Template("{input} {question}"), TASKS["sentiment"], material)
    assert [answer.right for answer in cell.answers] == [True, False, None, None]
    (row,) = compare_templates({("t", "sentiment"): cell})
    assert (row["score"], row["parsed"]) == (0.25, 0.5)
    assert row["low"] <= 0.25 <= row["high"] and row["p"] is None


def cell_of(*right):
    return Cell([Answer(f"input {i}", "", "", each) for i, each in enumerate(right)], 1, 1, 1)


def test_templates_are_compared_input_by_input_and_corrected_together():
    """7 inputs only the other gets right, 1 only the first: McNemar 2 * (1 + 8) / 2^8; Holm doubles the smaller."""
    first = cell_of(*[False] * 7, True, *[True] * 4)
    better = cell_of(*[True] * 7, False, *[True] * 4)
    rows = compare_templates({("a", "t"): first, ("b", "t"): better, ("c", "t"): first})
    assert rows[1]["p"] == pytest.approx(2 * 9 / 256) and rows[1]["p_holm"] == pytest.approx(4 * 9 / 256)
    assert (rows[1]["only_this_right"], rows[1]["only_first_right"]) == (7, 1)
    assert rows[2]["p"] == rows[2]["p_holm"] == 1.0
    assert [set(row) for row in rows[1:]] == [set(rows[0])] * 2


def test_other_inputs_are_not_compared():
    with pytest.raises(ValueError, match="different inputs"):
        compare_templates({("a", "t"): cell_of(True, False), ("b", "t"): cell_of(True)})


def test_a_prompt_that_does_not_fit_is_said(reviews):
    model = Parrot(lambda prompt: "")
    model.context = 30
    with pytest.raises(UserError, match="do not fit into its window of 30: take fewer examples"):
        ask(model, Template("{rules} {input}"), TASKS["sentiment"], Material([REVIEW], []))


@pytest.mark.parametrize(
    "content, why",
    [
        ("", "holds no templates"),
        ("- a", "holds no templates"),
        ("a: {user: '{input'}", "template a: .*no placeholder"),
        ("a: {user: '{text}'}", "template a: 'text' is no placeholder"),
        ("a: {user: ''}", "template a: its user is empty"),
        ("a: {user: x, reads: mind}", "template a: reads mind: choose one of whole"),
        ("a: {system: x}", "template a: .*user"),
        ("a: {user: x, tone: y}", "template a: .*tone"),
        ("a: just words", "template a: "),
        ("a: [", "not valid YAML"),
    ],
)
def test_a_file_of_no_templates_is_one_line(tmp_path, content, why):
    (tmp_path / "mine.yaml").write_text(content)
    with pytest.raises(UserError, match=why) as caught:
        read_templates(tmp_path / "mine.yaml")
    assert "\n" not in str(caught.value)


def test_own_templates_stand_beside_the_packaged_ones(tmp_path):
    (tmp_path / "mine.yaml").write_text("polite: {user: 'Please! {input} {question}'}")
    config = PromptConfig(templates="zero_shot, polite", template_file=str(tmp_path / "mine.yaml"))
    assert list(choose_templates(config)) == ["zero_shot", "polite"]
    with pytest.raises(UserError, match="--templates rude: unknown, choose among zero_shot"):
        choose_templates(PromptConfig(templates="rude"))


@pytest.mark.parametrize("flags, why", [(["--tasks", "poetry"], "--tasks poetry"), (["--n", "0"], "--n 0: give at le")])
def test_bad_settings_are_one_line(flags, why):
    with pytest.raises(UserError, match=why):
        main(flags)


def test_the_benchmark_has_a_row_for_each_template_and_task(reviews):
    model = Parrot(lambda prompt: "positive" if "test1x" in prompt or "<assistant>positive" in prompt else "maybe")
    outcome = prompts(PromptBenchmarkConfig(n=10), model)
    assert [(row["template"], row["task"]) for row in outcome.rows] == [
        (template, task) for task in TASKS for template in read_templates()
    ]
    few = next(row for row in outcome.rows if (row["template"], row["task"]) == ("few_shot", "sentiment"))
    zero = next(row for row in outcome.rows if (row["template"], row["task"]) == ("zero_shot", "sentiment"))
    assert (few["score"], few["parsed"]) == (0.5, 1.0)  # always positive, by its examples
    assert zero["score"] == zero["parsed"] == pytest.approx(0.1)
    assert few["only_this_right"] == 4 and few["p"] == pytest.approx(2 / 2**4)
    assert outcome.result["answers"] == len(TASKS) * len(read_templates()) * 10


def test_the_command_keeps_every_answer(reviews, tmp_path, monkeypatch, capsys):
    model = Parrot(lambda prompt: "negative")
    monkeypatch.setattr("shared.language_model.load_language_model", lambda name, backend: model)
    out = tmp_path / "answers.jsonl"
    main(["--tasks", "sentiment", "--templates", "role,zero_shot", "--n", "6", "--output", str(out)])
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [row["template"] for row in result["rows"]] == ["role", "zero_shot"]
    kept = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert len(kept) == 12 and all(row["prompt"].startswith(("<system>", "<user>")) for row in kept)
    assert sum(row["right"] for row in kept) == 6
