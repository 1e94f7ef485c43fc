"""Questions about a document, answered with the place of the answer, or not at all and with the reason.

What can be an answer is collected first: the fields of receipts and invoices, every key with its value, telephone
numbers and addresses of mail and web, and the sentences of running text. Each has words for what it is. The question's
words are laid beside them, those of one meaning taken as one (question_words.py); where no words agree, the packaged
MiniLM compares the meanings. What agrees with too little is no answer: a document seldom holds what is asked of it.

Published models (layout_models.py) and language models by address (document_llm.py) answer in the same form.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from multimodal_llm.document_understanding.document import Page
from multimodal_llm.document_understanding.fields import FIELDS, Field, find_fields
from multimodal_llm.document_understanding.key_values import find_pairs, is_value
from multimodal_llm.document_understanding.question_words import GROUPS, words_of
from multimodal_llm.document_understanding.rows import Piece, is_chinese, page_rows, part
from multimodal_llm.document_understanding.sentences import sentences_of
from multimodal_llm.document_understanding.written_values import find_amounts, find_dates
from shared.errors import UserError
from shared.reading_order import Rectangle

Encode = Callable[[Sequence[str]], np.ndarray]
"""Texts to vectors (N, D) of length 1."""

ENOUGH = 0.6  # of the words agree
ENOUGH_MEANING = 0.55  # cosine of MiniLM between the question and what a value is called
ENOUGH_SENTENCE = 0.5  # mean of the words' share and the cosine, for sentences
MOST_CHARACTERS = 1000
MOST_REMEMBERED = 20_000  # texts whose vectors are kept: 30 MB

# A field's own words, and those that may stand beside them without asking for something else.
FIELD_WORDS: dict[Field, tuple[set[str], set[str]]] = {
    "company": ({"COMPANY"}, {"NAME", "INVOICE", "ISSUED"}),
    "date": ({"DATE"}, {"INVOICE", "ISSUED", "ORDER"}),
    "address": ({"ADDRESS"}, {"COMPANY", "INVOICE", "NAME"}),
    "total": ({"TOTAL", "AMOUNT", "PAID"}, {"TOTAL", "AMOUNT", "PAID", "INVOICE"}),
}

E_MAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
WEB = re.compile(r"(?:https?://|www\.)\S+")
PHONE = re.compile(r"(?<![\w.])\+?\(?\d[\d ()/.-]{6,18}\d(?![\w.])")
CLOCK = re.compile(r"(?<!\d)\d{1,2}[:：]\d{2}(?:[:：]\d{2})?(?:\s?[ap]m)?", re.IGNORECASE)

# What a value must look like if the question has this word.
LOOKS: dict[str, Callable[[str], bool]] = {
    "DATE": lambda text: next(find_dates(text), None) is not None,
    "TIME": lambda text: bool(CLOCK.search(text)),
    "PHONE": lambda text: len(re.findall(r"\d", text)) >= 6,
    "EMAIL": lambda text: bool(E_MAIL.search(text)),
    "AMOUNT": lambda text: is_value(text) or next(find_amounts(text), None) is not None,
    "NUMBER": lambda text: bool(re.search(r"\d", text)),
    "QUANTITY": lambda text: bool(re.search(r"\d", text)),
}
# Words that ask for a kind of value, and so agree with any value of that kind once another word has named it.
KINDS = {
    "TOTAL": "AMOUNT",
    "AMOUNT": "AMOUNT",
    "PAID": "AMOUNT",
    "DATE": "DATE",
    "NUMBER": "NUMBER",
    "QUANTITY": "QUANTITY",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer and its place; or an empty text, no place, and the reason why there is none."""

    text: str
    page: int | None
    box: Rectangle | None
    confidence: float
    reason: str

    @property
    def found(self) -> bool:
        return bool(self.text)


@dataclass(frozen=True, slots=True)
class Candidate:
    """What could be an answer: the words that name it, those that may stand beside them, and how it is called."""

    names: frozenset[str]
    beside: frozenset[str]
    called: str
    value: str
    page: int
    box: Rectangle
    score: float
    source: str
    any_name: bool = False
    """Whether one of the names is enough, as of a field."""


def answer(question: str, pages: Sequence[Page], encode: Encode | None = None) -> Answer:
    """The best answer on the pages, or none. `encode` compares meanings where no words agree; without it words decide.

    Raises UserError for an empty question and for one that is longer than `MOST_CHARACTERS` or than the pages' text.
    """
    question = check_question(question, pages)
    if not any(page.lines for page in pages):
        return abstain(no_text(pages))
    asked = words_of(question)
    candidates = [*_field_candidates(pages), *_pair_candidates(pages), *_pattern_candidates(pages)]
    weighed = sorted(((_agreement(asked, each), each) for each in candidates), key=lambda each: -each[0])
    if weighed and weighed[0][0] >= ENOUGH:
        points, best = weighed[0]
        return Answer(best.value, best.page, best.box, min(1.0, points) * best.score, best.source)
    others = [_by_meaning(question, asked, candidates, encode), _sentence(question, asked, pages, encode)]
    if found := [each for each in others if each is not None]:
        return max(found, key=lambda each: each.confidence)
    if not asked:
        return abstain("the question names nothing that could be looked for")
    nearest = f"; the nearest is {weighed[0][1].called!r}" if weighed and weighed[0][0] > 0.2 else ""
    return abstain(f"nothing on these pages is called what is asked for{nearest}")


def check_question(question: str, pages: Sequence[Page]) -> str:
    """The question without white around it. Raises UserError where nobody can answer it."""
    question = " ".join(question.split())
    if not re.search(r"\w", question):
        raise UserError("the question is empty: ask something, such as 'What is the total amount?'")
    written = sum(len(line.text) for page in pages for line in page.lines)
    if len(question) > MOST_CHARACTERS or (written and len(question) > max(written, 200)):
        raise UserError(
            f"the question has {len(question):,} characters, more than the page or {MOST_CHARACTERS:,}: ask one thing"
        )
    return question


def abstain(reason: str) -> Answer:
    return Answer("", None, None, 0.0, reason)


def no_text(pages: Sequence[Page]) -> str:
    """Why there is nothing to look for on pages without a line."""
    reasons = dict.fromkeys(page.reason for page in pages if page.reason)
    return "; ".join(reasons) or "no text was found: is the picture sharp and large enough?"


def _agreement(asked: Sequence[str], candidate: Candidate) -> float:
    """How far the words that are asked for name this candidate, 0 to about 1.

    The share of them that do, times a factor for names with much else in them: "total" is rather "Total" than "Total
    GST". Words for a kind of value agree with each value of that kind, if any other word agrees.
    """
    wanted = set(asked)
    named = wanted & candidate.names
    if not wanted or not named:
        return 0.0
    agreeing = named | (wanted & candidate.beside)
    for word in wanted - agreeing:
        if word in KINDS and LOOKS[KINDS[word]](candidate.value):
            agreeing.add(word)
    if any(word in LOOKS and not LOOKS[word](candidate.value) for word in wanted):
        return 0.0
    exact = 1.0 if candidate.any_name else len(named) / len(candidate.names)
    return len(agreeing) / len(wanted) * (0.6 + 0.4 * exact)


def _field_candidates(pages: Sequence[Page]) -> Iterator[Candidate]:
    fields = find_fields(pages)
    for name in FIELDS:
        if found := fields.get(name):
            names, beside = FIELD_WORDS[name]
            where = found.page, found.box, found.confidence
            source = f"the document's {name}: {found.why}"
            # First in the list: of what agrees equally the field is taken.
            yield Candidate(frozenset(names), frozenset(beside), name, found.value, *where, source, any_name=True)


def _pair_candidates(pages: Sequence[Page]) -> Iterator[Candidate]:
    for pair in find_pairs(pages):
        names = frozenset(words_of(pair.key))
        if names:
            doubt = 0.8 if pair.kind == "below" else 1.0
            source = {"below": "below", "cell": "in the row and column of"}.get(pair.kind, "beside") + f" {pair.key!r}"
            yield Candidate(names, frozenset(), pair.key, pair.value, pair.page, pair.box, doubt * pair.score, source)


def _pattern_candidates(pages: Sequence[Page]) -> Iterator[Candidate]:
    """What is known by its looks alone: addresses of mail and web, clock times, telephone numbers."""
    kinds = (("EMAIL", E_MAIL), ("WEB", WEB), ("TIME", CLOCK), ("PHONE", PHONE))
    for page in pages:
        for row in page_rows(page):
            for piece in row:
                for word, pattern in kinds:
                    if found := pattern.search(piece.text):
                        if word == "PHONE" and not _is_phone(piece, found):
                            continue
                        where = part(piece, *found.span())
                        score = 0.8 * piece.score
                        beside = frozenset({"NUMBER", "COMPANY", "ADDRESS", "ISSUED"} - {word})
                        source = f"looks like {word.lower()}"
                        yield Candidate(
                            frozenset({word}), beside, word.lower(), found[0], page.number, where.box, score, source
                        )


def _is_phone(piece: Piece, found: re.Match[str]) -> bool:
    """A telephone number has seven digits or more, is no date and no amount, and fills its piece."""
    digits = len(re.findall(r"\d", found[0]))
    alone = len(found[0]) > 0.7 * len(piece.text.strip())
    return 7 <= digits <= 15 and alone and bool(re.search(r"[ ()+-]", found[0])) and not list(find_dates(piece.text))


def _by_meaning(
    question: str, asked: Sequence[str], candidates: Sequence[Candidate], encode: Encode | None
) -> Answer | None:
    """The candidate whose name means what the question asks, where the words differ."""
    fitting = [
        each
        for each in candidates
        if not each.any_name
        and not is_chinese(each.called)
        and all(LOOKS[word](each.value) for word in asked if word in LOOKS)
    ]
    # Of a question all of whose words are known, words alone decide: a due date means almost what a date does.
    known = all(word in GROUPS for word in asked)
    if encode is None or not fitting or known or is_chinese(question):
        return None
    vectors = encode([question, *(f"the {each.called.lower()}" for each in fitting)])
    cosines = vectors[1:] @ vectors[0]  # (candidates,)
    best = int(cosines.argmax())
    if cosines[best] < ENOUGH_MEANING:
        return None
    found = fitting[best]
    source = f"{found.source}; by meaning, {cosines[best]:.2f}"
    return Answer(found.value, found.page, found.box, float(cosines[best]) * found.score, source)


def _sentence(question: str, asked: Sequence[str], pages: Sequence[Page], encode: Encode | None) -> Answer | None:
    """The sentence of running text that shares most words and meaning with the question."""
    sentences = [each for page in pages for each in sentences_of(page)]
    if not sentences or not asked:
        return None
    words = [set(words_of(each.text)) for each in sentences]
    seen = {word: sum(word in each for each in words) for word in asked}
    # A word of few sentences tells more than one of many (inverse document frequency).
    worth = {word: np.log(1 + len(words) / (0.5 + count)) for word, count in seen.items()}
    total = sum(worth.values())
    shares = np.array([sum(worth[word] for word in each & worth.keys()) / total for each in words])
    points = shares
    if encode is not None and not is_chinese(question):
        likely = np.argsort(-shares, kind="stable")[:200]
        vectors = encode([question, *(sentences[n].text for n in likely)])
        points = np.zeros(len(sentences))
        points[likely] = (shares[likely] + vectors[1:] @ vectors[0]) / 2
    best = int(points.argmax())
    if points[best] < ENOUGH_SENTENCE or shares[best] < 0.3:
        return None
    found = sentences[best]
    return Answer(found.text, found.page, found.box, float(points[best]) * found.score, "the sentence that fits best")


def text_encoder() -> Encode:
    """MiniLM, loaded when first needed. It remembers texts: a page's keys stay the same from question to question."""
    loaded: list[Encode] = []
    known: dict[str, np.ndarray] = {}

    def encode(texts: Sequence[str]) -> np.ndarray:
        if not loaded:
            from shared.text_encoder import load_text_encoder

            loaded.append(load_text_encoder("minilm").encode)
        if len(known) > MOST_REMEMBERED:
            known.clear()
        if new := [text for text in dict.fromkeys(texts) if text not in known]:
            known.update(zip(new, loaded[0](new), strict=True))
        return np.stack([known[text] for text in texts])

    return encode
