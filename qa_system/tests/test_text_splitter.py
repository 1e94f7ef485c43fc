"""Chunks: whole sentences, in place, never too long, nothing lost."""

import random

import pytest

from qa_system.document_processor.documents import Box, Document, Span
from qa_system.document_processor.text_splitter import SplitterConfig, sentences, split_document, token_counter


def count_words(texts):
    """A tokenizer of words and Han characters."""
    return [
        sum(1 + sum("\u4e00" <= letter <= "\u9fff" for letter in word[1:]) for word in text.split()) for text in texts
    ]


def document_of(text, spans=None):
    return Document("d" * 64, "a.txt", "text", text, spans if spans is not None else (Span(0, len(text)),))


def split(text, spans=None, **settings):
    return split_document(document_of(text, spans), count_words, SplitterConfig(**settings))


def sentences_of(text):
    return [text[start:end] for start, end in sentences(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Ducks cross. Geese wait! Do they?", ["Ducks cross.", "Geese wait!", "Do they?"]),
        (
            "Dr. Smith et al. saw Fig. 3 at 3.14 m. It was a duck.",
            ["Dr. Smith et al. saw Fig. 3 at 3.14 m.", "It was a duck."],
        ),
        ("She said no. Then see No. 7. He sat. The end.", ["She said no.", "Then see No. 7.", "He sat.", "The end."]),
        ("J. R. R. Tolkien wrote it. We read it.", ["J. R. R. Tolkien wrote it.", "We read it."]),
        ("It was the U.S. Army, i.e. them. So am I. Good.", ["It was the U.S. Army, i.e. them.", "So am I.", "Good."]),
        ('He said "Go." Then he went.', ['He said "Go."', "Then he went."]),
        ("It costs 5 vs. 6, e.g. here. www.a.com is next.", ["It costs 5 vs. 6, e.g. here. www.a.com is next."]),
        ("先检索，再回答。没有证据？就说不知道！", ["先检索，再回答。", "没有证据？", "就说不知道！"]),
        ("他说：“先走。”然后走了。", ["他说：“先走。”", "然后走了。"]),
        ("用 BERT 模型。It works. 很好。", ["用 BERT 模型。", "It works.", "很好。"]),
        ("他来了。Dr. Who came. 他是Dr. Who。", ["他来了。", "Dr. Who came.", "他是Dr. Who。"]),
        ("Wait... what? Yes", ["Wait... what?", "Yes"]),
        ("a title\nA line of a table\n\nEnd", ["a title", "A line of a table", "End"]),
        ("  \n ", []),
        ("", []),
    ],
)
def test_sentences(text, expected):
    assert sentences_of(text) == expected


def test_chunks_are_whole_sentences_and_overlap_by_whole_sentences():
    text = " ".join(f"Sentence number {number} has six words." for number in range(12))
    chunks = split(text, max_tokens=20, overlap_tokens=6)
    assert all(chunk.text.startswith("Sentence") and chunk.text.endswith("words.") for chunk in chunks)
    for above, below in zip(chunks, chunks[1:], strict=False):
        assert (
            above.text[below.start - above.start :]
            == f"Sentence number {text[: above.end].count('.') - 1} has six words."
        )


def test_chunks_do_not_overlap_where_none_is_asked():
    chunks = split("One two three. " * 30, max_tokens=10, overlap_tokens=0)
    assert all(above.end < below.start for above, below in zip(chunks, chunks[1:], strict=False))


def test_a_long_sentence_is_cut_at_a_comma_before_it_is_cut_at_a_space():
    chunks = split("one two three four five six, seven eight nine ten eleven twelve", max_tokens=8, overlap_tokens=0)
    assert [chunk.text for chunk in chunks] == ["one two three four five six,", "seven eight nine ten eleven twelve"]
    chunks = split("一" * 7 + "，" + "二" * 6, max_tokens=10, overlap_tokens=0)
    assert [chunk.text for chunk in chunks] == ["一" * 7 + "，", "二" * 6]


def test_a_word_without_end_is_cut():
    """A tokenizer takes it for one unknown token, and the model would read nothing of it."""
    text = "x" * 1000
    chunks = split(text, max_tokens=10, overlap_tokens=0)
    assert "".join(chunk.text for chunk in chunks) == text
    assert max(len(chunk.text) for chunk in chunks) <= 80


def headed(*parts):
    """A text of (level, words) parts; level 0 is no heading."""
    text, spans = "", []
    for level, words in parts:
        text += "\n\n" if text else ""
        spans.append(Span(len(text), len(text) + len(words), heading=level))
        text += words
    return text, tuple(spans)


def test_chunks_know_the_headings_that_they_stand_under():
    body = "These are eight words about it, no more. "
    text, spans = headed(
        (1, "Birds"),
        (0, body),
        (2, "Ducks"),
        (0, body),
        (3, "Wild ones"),
        (0, body),
        (2, "Geese"),
        (0, body),
        (1, "End"),
        (0, body),
    )
    chunks = split(text, spans, max_tokens=16, overlap_tokens=0)
    assert [chunk.headings for chunk in chunks] == [
        ("Birds",),
        ("Birds", "Ducks"),
        ("Birds", "Ducks", "Wild ones"),
        ("Birds", "Geese"),
        ("End",),
    ]
    assert [chunk.text.split("\n")[0] for chunk in chunks] == ["Birds", "Ducks", "Wild ones", "Geese", "End"]


def test_headings_that_are_too_long_leave_the_outermost_out():
    """With its headings before it a chunk was longer than the model reads."""
    body = "These are eight words about it, no more. " * 4
    text, spans = headed((1, "one two three four five six"), (2, "seven eight"), (0, body))
    chunks = split(text, spans, max_tokens=20, overlap_tokens=0)
    assert [chunk.headings for chunk in chunks][1:] == [("seven eight",)] * (len(chunks) - 1)
    assert max(count_words([" ".join([*chunk.headings, chunk.text])])[0] for chunk in chunks) <= 20


def test_a_heading_is_never_the_last_of_a_chunk():
    text, spans = headed((0, "One two three. Four five six."), (1, "Ducks"), (0, "Seven eight nine ten eleven."))
    assert [chunk.text.split("\n\n")[-1] for chunk in split(text, spans, max_tokens=8, overlap_tokens=0)][0].endswith(
        "six."
    )


def test_a_heading_over_several_lines_is_one():
    text = "A heading that\nruns on\n\nText."
    text = text.replace("\n", " ", 1)
    spans = (Span(0, 14, heading=1), Span(15, 22, heading=1), Span(24, 29))
    (chunk,) = split(text, spans)
    assert chunk.headings == ("A heading that runs on",)


def test_small_sections_share_a_chunk():
    text, spans = headed((1, "A"), (0, "One."), (1, "B"), (0, "Two."))
    (chunk,) = split(text, spans, max_tokens=100)
    assert chunk.headings == ("A",)


def test_chunks_know_their_pages_and_boxes():
    text = "Ducks cross the river. Geese wait here. Swans do not."
    spans = (
        Span(0, 22, Box(1, 50, 700, 200, 710)),
        Span(23, 39, Box(2, 50, 60, 200, 70)),
        Span(40, 53, Box(3, 50, 60, 200, 70)),
    )
    first, second = split(text, spans, max_tokens=8, overlap_tokens=0)
    assert (first.pages, second.pages) == ((1, 2), (3,))
    assert first.boxes == (spans[0].box, spans[1].box)


def test_the_same_document_gives_the_same_ids_and_another_gives_others():
    text = "Ducks cross the river. Geese wait here. " * 10
    ids = [chunk.id for chunk in split(text, max_tokens=20, overlap_tokens=4)]
    assert ids == [chunk.id for chunk in split(text, max_tokens=20, overlap_tokens=4)]
    assert len(set(ids)) == len(ids)
    other = Document("e" * 64, "a.txt", "text", text, (Span(0, len(text)),))
    assert not set(ids) & {chunk.id for chunk in split_document(other, count_words, SplitterConfig(20, 4))}


def random_text(choose):
    pieces = [
        "ducks",
        "Geese",
        "Dr.",
        "e.g.",
        "end.",
        "what?",
        "检索",
        "增强。",
        "，",
        "\n",
        "\n\n",
        "x" * 70,
        "3.14",
        "“Go.”",
        "\t",
        "é",
    ]
    return "".join(choose.choice(pieces) + choose.choice([" ", " ", "", "  "]) for _ in range(choose.randint(0, 200)))


@pytest.mark.parametrize("seed", range(100))
def test_on_any_text_chunks_are_in_place_short_enough_in_order_and_lose_nothing(seed):
    choose = random.Random(seed)
    text = random_text(choose)
    starts = sorted(choose.sample(range(len(text) + 1), min(6, len(text) + 1)))
    spans = tuple(
        Span(a, b, heading=choose.choice((0, 0, 1, 2))) for a, b in zip(starts, starts[1:], strict=False) if a < b
    )
    most = choose.choice((8, 20, 60))
    chunks = split(text, spans, max_tokens=most, overlap_tokens=choose.choice((0, most // 4, most // 2)))
    covered = [False] * len(text)
    for chunk in chunks:
        assert text[chunk.start : chunk.end] == chunk.text == chunk.text.strip() != ""
        assert count_words([" ".join([*chunk.headings, chunk.text])])[0] <= most
        covered[chunk.start : chunk.end] = [True] * len(chunk.text)
    assert all(done or letter.isspace() for done, letter in zip(covered, text, strict=True))
    for above, below in zip(chunks, chunks[1:], strict=False):
        assert above.start < below.start and above.end < below.end


def test_a_tokenizer_that_looks_across_spaces_makes_no_chunk_too_long():
    def count(texts):  # two tokens more for every space: the sum over sentences is too small
        return [len(text.split()) + 2 * text.count(". ") for text in texts]

    document = document_of("One two three. " * 40)
    chunks = split_document(document, count, SplitterConfig(20, 5))
    assert max(count([chunk.text])[0] for chunk in chunks) <= 20
    assert chunks[-1].end == len(document.text.rstrip())


def test_the_counter_counts_what_a_tokenizer_would_cut(tmp_path):
    """MiniLM's tokenizer.json says to cut at 128 tokens: counted so, every chunk would seem short enough."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel({"duck": 0, "[UNK]": 1}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.enable_truncation(4)
    tokenizer.enable_padding(length=64)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    assert token_counter(tmp_path / "tokenizer.json")(["duck " * 10, "duck"]) == [10, 1]


@pytest.mark.parametrize(
    "settings", [{"max_tokens": 4}, {"overlap_tokens": -1}, {"max_tokens": 20, "overlap_tokens": 11}]
)
def test_refused_settings(settings):
    with pytest.raises(ValueError, match="tokens"):
        SplitterConfig(**settings)


def test_a_document_without_text_has_no_chunks():
    assert split("") == []
    assert split(" \n ") == []


def test_a_million_characters_without_a_line_break_are_split_in_seconds():
    """Looking for the next letter copied the rest of the text at every dot."""
    chunks = split("Ducks cross the river. " * 40_000)
    assert len(chunks) > 700
