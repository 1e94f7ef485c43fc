"""Four tasks whose answers a program can check, made of one-sentence film reviews.

sentiment  is the review positive or negative?          the label that people gave it
format     three of its words as a JSON list            valid JSON, three different words that stand in it
length     the same in at most eight words              one to eight words
keywords   a sentence with two given words              both stand in it, one sentence, at most 30 words

Every check is a rule written below. An answer in which the rule finds nothing to check cannot be parsed: it counts as
wrong, and the share of such answers is shown beside the score, since a template may fail by form and not by content.
The inputs are test sentences; what the examples of a few-shot prompt are made of comes from the train part.
"""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from shared.cleaning import clean
from shared.datasets import Example, mix_labels
from shared.splits import evenly, load_packaged

SOURCE = "rotten_tomatoes"
LABELS = ("negative", "positive")
LONGEST_SHORT = 8  # words
LONGEST_SENTENCE = 30  # words
FEWEST_LETTERS = 5  # of a keyword: long words are those with meaning

_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")


class Item(NamedTuple):
    """One input of a task, and what its answer is checked against."""

    text: str
    target: tuple[str, ...] = ()


class Task(NamedTuple):
    """`check` tells right from wrong, and None where there is nothing to check; `solve` gives a right answer, as a
    few-shot prompt shows them, or None where it knows none."""

    question: str
    rules: str
    role: str
    max_new_tokens: int
    make: Callable[[Example], Item | None]
    solve: Callable[[Example], str | None]
    check: Callable[[Item, str], bool | None]


def words(text: str) -> list[str]:
    """Words without digits and signs, in lower case."""
    return [word.lower() for word in _WORD.findall(text)]


def long_words(text: str, n: int) -> list[str]:
    """The `n` longest different words in the order of the text; fewer where it has no more with enough letters."""
    different = [word for word in dict.fromkeys(words(text)) if len(word) >= FEWEST_LETTERS]
    longest = sorted(different, key=len, reverse=True)[:n]
    return [word for word in different if word in longest]


def check_label(item: Item, answer: str) -> bool | None:
    """The answer is the one label that stands in it as a whole word. None where none does, or both.

    So "not negative" is no answer by accident right or wrong: it counts as negative, as a reader skimming for the label
    would take it; "positive or negative" and "neutral" count as no answer.
    """
    found = set(words(answer)) & set(LABELS)
    return found == set(item.target) if len(found) == 1 else None


def check_list(item: Item, answer: str) -> bool | None:
    """The only list in the answer is JSON and holds three different words of the text. Around it anything may stand."""
    lists = re.findall(r"\[[^\[\]]*\]", answer)
    try:
        (found,) = [json.loads(each) for each in lists]
    except ValueError:
        return None
    if not all(isinstance(word, str) for word in found):
        return False
    given = [word.strip().lower() for word in found]
    return len(given) == 3 == len(set(given)) and set(given) <= set(words(item.text))


def check_short(item: Item, answer: str) -> bool | None:
    """One to eight words; None where there are none."""
    n = len(words(answer))
    return n <= LONGEST_SHORT if n else None


def check_keywords(item: Item, answer: str) -> bool | None:
    """Both words, as they are given, in one sentence of at most 30 words; None where there are no words."""
    given = words(answer)
    if not given:
        return None
    sentences = [part for part in re.split(r"[.!?]+(?:\s|$)|\n+", answer) if words(part)]
    return len(sentences) == 1 and len(given) <= LONGEST_SENTENCE and set(item.target) <= set(given)


def _review(example: Example) -> Item:
    return Item(f"Review: {example.text}", (LABELS[example.label or 0],))


def _long_review(example: Example) -> Item | None:
    """Not one that is short enough already."""
    return _review(example) if len(words(example.text)) > LONGEST_SHORT else None


def _two_words(example: Example) -> Item | None:
    pair = long_words(example.text, 2)
    return Item(f"Words: {pair[0]}, {pair[1]}", tuple(pair)) if len(pair) == 2 else None


def _first_clause(example: Example) -> str | None:
    """The review up to its first comma or dash, where that is short enough to be its short form."""
    clause = re.split(r"\s*(?:,|--|;|\.\.\.)\s*", example.text)[0].strip(" .")
    return f"{clause}." if 3 <= len(words(clause)) <= LONGEST_SHORT and clause != example.text.strip(" .") else None


def _own_sentence(example: Example) -> str | None:
    """The review itself, where it passes the check."""
    item, sentence = _two_words(example), example.text.strip()
    return sentence if item is not None and check_keywords(item, sentence) else None


def _list_of_three(example: Example) -> str | None:
    three = long_words(example.text, 3)
    return json.dumps(three, ensure_ascii=False) if len(three) == 3 else None


TASKS: dict[str, Task] = {
    "sentiment": Task(
        question="Is this review positive or negative?",
        rules='Decide whether the film review is positive or negative. Answer with one word: "positive" or "negative".',
        role="a film critic who knows at once whether a reviewer liked a film",
        max_new_tokens=24,
        make=_review,
        solve=lambda example: LABELS[example.label or 0],
        check=check_label,
    ),
    "format": Task(
        question="Which three words of it matter most? Answer as a JSON list.",
        rules="Choose the three words of the film review that matter most. Write them as a JSON list of three strings, "
        "each one word that stands in the review, and nothing else.",
        role="a program that answers in JSON and never in prose",
        max_new_tokens=40,
        make=_review,
        solve=_list_of_three,
        check=check_list,
    ),
    "length": Task(
        question=f"Say this in at most {LONGEST_SHORT} words.",
        rules=f"Say what the film review says in at most {LONGEST_SHORT} words. Write nothing else.",
        role="an editor who writes headlines and never wastes a word",
        max_new_tokens=40,
        make=_long_review,
        solve=_first_clause,
        check=check_short,
    ),
    "keywords": Task(
        question="Write one sentence with both words.",
        rules=f"Write one sentence of at most {LONGEST_SENTENCE} words in which both of the given words stand exactly "
        "as they are. Write nothing else.",
        role="a writer of crossword clues who uses the given words exactly",
        max_new_tokens=48,
        make=_two_words,
        solve=_own_sentence,
        check=check_keywords,
    ),
}


class Material(NamedTuple):
    """The same inputs for every template, and solved examples of other texts."""

    items: list[Item]
    solved: list[tuple[Item, str]]


def load_material(task: Task, n: int, n_solved: int) -> Material:
    """`n` inputs from the test part and `n_solved` examples from the train part, the labels of both alternating. Fewer
    inputs where the set has no more.
    """
    splits = load_packaged(SOURCE)
    test, train = ([replace(each, text=clean(each.text)) for each in part] for part in (splits.test, splits.train))
    # A label at a time: every k-th of a list in which labels alternate would all have one label.
    usable = [example for example in test if task.make(example) is not None]
    of_both = [[example for example in usable if example.label == label] for label in (0, 1)]
    asked = mix_labels([example for same in of_both for example in evenly(same, (n + 1) // 2)])[:n]
    items = [item for example in asked if (item := task.make(example)) is not None]
    solved: dict[int | None, list[tuple[Item, str]]] = {0: [], 1: []}
    for example in train:
        of_label = solved[example.label]
        if len(of_label) < (n_solved + 1) // 2 and (item := task.make(example)) and (answer := task.solve(example)):
            of_label.append((item, answer))
    alternating = [pair for pairs in zip(solved[1], solved[0], strict=False) for pair in pairs]
    return Material(items, alternating[:n_solved])
