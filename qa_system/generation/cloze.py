"""Questions made from plain text, to practise reading on before the few real ones.

A phrase is taken out of a sentence, and what is left of the sentence asks for it: of "The tower was opened by Eiffel in
1889." comes "the tower opened by Eiffel in what year?" (unsupervised question answering by cloze, arXiv 1906.04980;
words are left out and moved as there, so that the answer cannot be found by copying alone). A third of the questions
have no answer: asked of another passage, of the passage without the sentence, or with a word changed for one of the
same kind, as the people did who wrote the unanswerable questions of SQuAD 2.0 (arXiv 1806.03822). `deceive` does the
last to real questions too.
"""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from random import Random

from qa_system.document_processor.text_splitter import sentences
from qa_system.generation.reader_windows import Example
from qa_system.retrieval.text_analysis import STOP_WORDS

MONTH = "January|February|March|April|May|June|July|August|September|October|November|December"
YEAR = re.compile(rf"(?:(?:{MONTH})\b.*|1\d{{3}}|20\d{{2}})s?$")
NUMBER = re.compile(
    rf"(?:(?:\d{{1,2}} )?\b(?:{MONTH})\b,? )?\d[\d,.]*\d(?:st|nd|rd|th|s)?(?: (?:percent|million|billion))?|\d%?"
)
NAME = re.compile(r"[A-Z][\w'-]+(?: (?:(?:of|the|de|von|van) )*[A-Z][\w'-]+)*")
WORD = re.compile(r"\w+(?:['-]\w+)*")
WORD_OR_END = re.compile(rf"{WORD.pattern}|\Z")
WHO = ("who", "what", "which", "where", "who", "what")


@lru_cache(maxsize=100_000)  # the same passages come up over and over
def phrases(sentence: str) -> tuple[tuple[int, int, str], ...]:
    """Places of phrases worth asking for, and their kind: number, name or thing."""
    found = [(*match.span(), "number") for match in NUMBER.finditer(sentence)]
    for match in NAME.finditer(sentence):
        first = match[0].split()[0].lower()
        if match.start() > 0 and first not in STOP_WORDS or (" " in match[0] and first not in STOP_WORDS):
            found.append((*match.span(), "name"))
    run: list[re.Match[str]] = []
    for word in WORD_OR_END.finditer(sentence):
        goes_on = word[0].lower() not in STOP_WORDS and word[0].islower()  # the end does not
        if goes_on and (not run or sentence[run[-1].end() : word.start()] == " "):
            run.append(word)
            continue
        if 1 <= len(run) <= 4 and len(run[-1][0]) > 3:
            found.append((run[0].start(), run[-1].end(), "thing"))
        run = [word] if goes_on else []
    kept: list[tuple[int, int, str]] = []
    for place in found:  # numbers before names before things
        if all(place[1] <= other[0] or place[0] >= other[1] for other in kept):
            kept.append(place)
    return tuple(kept)


def question_for(sentence: str, start: int, end: int, kind: str, random: Random) -> str:
    """The sentence, or what stands around the phrase, as a question for the phrase."""
    answer = sentence[start:end]
    if kind == "number":
        asks = random.choice(("when", "what year", "in what year")) if YEAR.search(answer) else "how many"
    else:
        asks = random.choice(WHO) if kind == "name" else "what"
    reach = random.randint(5, 14)
    before = WORD.findall(sentence[:start])[-reach:]
    after = WORD.findall(sentence[end:])[: reach + 2]
    dropped = random.choice((0.0, 0.15, 0.3, 0.5))

    def thinned(words: list[str]) -> list[str]:
        return [word for word in words if random.random() > (dropped if word.lower() in STOP_WORDS else 0.6 * dropped)]

    before, after = thinned(before), thinned(after)
    if random.random() < 0.5:
        words = [asks, *before, *after]
    elif random.random() < 0.5:
        words = [asks, *after, *before]
    else:
        words = [*before, asks, *after]
    if random.random() < 0.3 and len(words) > 4:
        place = random.randrange(1, len(words) - 1)
        words[place], words[place + 1] = words[place + 1], words[place]
    return " ".join(words) + "?"


def deceive(question: str, elsewhere: Sequence[str], random: Random) -> str | None:
    """The question with a name, number or other word changed for one of the same kind; None where nothing fits."""
    own = list(phrases(question))
    random.shuffle(own)
    own.sort(key=lambda place: place[2] == "thing" and random.random() < 0.6)
    for start, end, kind in own:
        others = [
            text[first:last]
            for text in random.sample(list(elsewhere), min(4, len(elsewhere)))
            for first, last, other in phrases(text)
            if other == kind and text[first:last].lower() not in question.lower()
        ]
        if others:
            return question[:start] + random.choice(others) + question[end:]
    return None


def cloze_examples(
    documents: Sequence[Sequence[str]], random: Random, a_passage: int = 4, unanswerable: float = 0.33
) -> Iterator[Example]:
    """Questions for the passages of documents, `a_passage` each."""
    for passages in documents:
        for place, passage in enumerate(passages):
            places = list(sentences(passage))
            asked = [(where, phrase) for where in places for phrase in phrases(passage[slice(*where)])]
            random.shuffle(asked)
            asked.sort(key=lambda each: each[1][2] == "thing" and random.random() < 0.6)
            for (first, last), (start, end, kind) in asked[:a_passage]:
                sentence = passage[first:last]
                question = question_for(sentence, start, end, kind, random)
                answer = sentence[start:end]
                if len(question.split()) < 5:
                    continue
                if random.random() >= unanswerable:
                    yield Example(question, passage, ((first + start, first + end),))
                    continue
                way = random.random()
                if way < 0.35 and len(places) > 2:
                    rest = (passage[:first] + passage[last:]).replace("  ", " ").strip()
                    if answer not in rest:
                        yield Example(question, rest, ())
                elif way < 0.6 and len(passages) > 1:
                    other = passages[(place + random.randrange(1, len(passages))) % len(passages)]
                    if answer not in other:
                        yield Example(question, other, ())
                elif (changed := deceive(question, [passage, *passages], random)) is not None:
                    yield Example(changed, passage, ())


def hard_negatives(examples: Sequence[Example], random: Random, share: float) -> Iterator[Example]:
    """Unanswerable questions made of answerable ones: of their article's other passages, or with a word changed."""
    by_article: dict[str, list[str]] = {}
    for example in examples:
        passages = by_article.setdefault(example.article, [])
        if not passages or passages[-1] != example.passage:
            passages.append(example.passage)
    for example in examples:
        if not example.answers or random.random() >= share:
            continue
        passages = by_article[example.article]
        if random.random() < 0.5:
            start, end = example.answers[0]
            words = set(WORD.findall(example.question.lower())) - STOP_WORDS
            others = [
                text
                for text in random.sample(passages, min(8, len(passages)))
                if example.passage[start:end] not in text
            ]
            if others:
                best = max(others, key=lambda text: len(words & set(WORD.findall(text.lower()))))
                yield example._replace(passage=best, answers=())
        elif (changed := deceive(example.question, [example.passage, *passages], random)) is not None:
            yield example._replace(question=changed, answers=())
