"""Reasons in the words of a page: this package gives them in English, and the table of phrases has both languages.

What speaks for an answer is a chain such as "labelled total; named 2 times": each link is told by itself, and what the
document says within it stays as it is printed. What speaks against one, or against a file, is known by a part of it.
"""

import re
from ast import literal_eval
from collections.abc import Callable

Say = Callable[..., str]

QUOTED = r"(?P<name>'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")"  # as `repr` writes it
FOR: dict[str, str] = {
    r"the document's (?P<field>\w+): ": "of_field",
    r"labelled (?P<label>\w+)": "labelled",
    r"labelled as a date": "labelled_date",
    r"beside a time": "beside_time",
    r"the page's first date": "first_date",
    r"named (?P<n>\d+) times": "named_times",
    r"cash less change": "cash_less_change",
    r"the same was paid": "same_paid",
    r"the sum of what stands before it": "sum_before",
    r"the largest of them": "largest",
    r"printed large": "printed_large",
    r"has a legal form": "legal_form",
    r"names a trade": "trade",
    r"number or address right below": "right_below",
    r"the page's first line": "first_line",
    r"stands at a label of the issuer's name": "issuer_label",
    r"stands at a label of the address": "address_label",
    r"street and postcode at the head of the page": "street_postcode",
    rf"below {QUOTED}": "below",
    rf"beside {QUOTED}": "beside",
    rf"in the row and column of {QUOTED}": "cell",
    r"looks like email": "looks_email",
    r"looks like web": "looks_web",
    r"looks like time": "looks_time",
    r"looks like phone": "looks_phone",
    r"by meaning, (?P<cosine>[-\d.]+)": "by_meaning",
    r"the sentence that fits best": "sentence",
}
"""The links of a chain that speaks for an answer, and their keys: `documents_reason.KEY`."""
AGAINST: dict[str, str] = {
    "nothing on these pages is called what is asked for": "not_called",
    "the question names nothing": "names_nothing",
    "the question is empty": "empty_question",
    "characters, more than the page": "long_question",
    "the page is blank": "blank",
    "no text was found": "no_text",
    "it is encrypted": "encrypted",
    "its password is another": "wrong_password",
    "the PDF is damaged": "damaged",
    "the PDF has no pages": "no_pages",
}
"""Parts of the other reasons, and their keys."""
_LINKS = [(re.compile(f"{link}(?:(?<=: )|; |$)"), key) for link, key in FOR.items()]


def in_words(reason: str, say: Say) -> str:
    """A reason in the page's language; as it came, where the phrases have no words for it."""
    if told := _speaking_for(reason, say):
        return told
    for part, key in AGAINST.items():
        if part in reason:
            _, _, nearest = reason.partition("; the nearest is ")
            return say(f"documents_reason.{key}") + (say("documents_nearest", name=nearest) if nearest else "")
    return reason


def _speaking_for(reason: str, say: Say) -> str:
    """The links one after the other; empty where one of them is not known."""
    told, place, field = [], 0, ""
    while place < len(reason):
        found = next(((match, key) for link, key in _LINKS if (match := link.match(reason, place))), None)
        if found is None:
            return ""
        match, key = found
        values = match.groupdict()
        if "name" in values:
            values["name"] = literal_eval(values["name"])
        if key == "of_field":
            field = say("documents_reason.of_field", name=say(f"documents_field.{values['field']}").lower())
        else:
            told.append(say(f"documents_reason.{key}", **values))
        place = match.end()
    return field + say("documents_reason.and").join(told)
