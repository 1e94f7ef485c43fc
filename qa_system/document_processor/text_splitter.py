"""Cut a document into chunks of whole sentences, English and Chinese, as long as the embedding model can read.

all-MiniLM-L6-v2 cuts what it reads at 256 word pieces without a word; here every chunk is counted in the model's own
tokens, together with the headings it stands under, and stays below. Chunks keep their place:
`document.text[chunk.start:chunk.end] == chunk.text`.

A chunk begins anew at a heading once it is worth it, otherwise it overlaps the one before by its last sentences. Only a
sentence that is too long for a chunk is cut: after a comma or semicolon, else at a space, else where the chunk is full.
"""

import bisect
import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from qa_system.document_processor.documents import Chunk, Document, Span
from shared.config import check

CountTokens = Callable[[Sequence[str]], list[int]]
"""The number of tokens of each text, without those that mark beginning and end."""

CHARACTERS_A_TOKEN = 8  # at most: a model takes a very long word for one unknown token, and reads nothing of it
HEADINGS_SHARE = 0.25  # of a chunk's tokens that its headings may take; beyond that the outermost are left out
SMALL_SECTION = 0.25  # of a chunk: a heading after less than this does not begin a new one

# A dot after these ends no sentence. Compared in lower case, without the dot.
ABBREVIATIONS = frozenset(
    "mr mrs ms dr prof sr jr st gen col sgt capt rev hon gov sen vs etc al e.g i.e cf viz approx dept est ed eds inc"
    " ltd co corp jan feb mar apr jun jul aug sep sept oct nov dec u.s u.k u.n e.u ph.d m.d b.sc m.sc a.m p.m".split()
)
BEFORE_NUMBERS = frozenset(
    "no nos fig figs eq eqs sec secs ch vol vols p pp art par tab ref refs".split()
)  # else words
LATIN_END = re.compile(r"[.!?]+[\"'”’)\]]*(?=\s)")
HAN_END = re.compile(r"[。！？；…]+[”’」』）)\]]*")
NEXT_LETTER = re.compile(r"\s*(\S)")
LONGEST_ABBREVIATION = 12
BEFORE_DOT = re.compile(r"[^\s(\[\"'“‘\u3000-\u9fff\uff00-\uffef]+$")  # Chinese needs no space before "Dr."
CLAUSE_END = re.compile(r"[,;:—][\"'”’)\]]*\s|[，、；：]")


@dataclass(frozen=True)
class SplitterConfig:
    """How documents are cut."""

    max_tokens: int = 200
    """Most tokens of a chunk together with the headings above it, in the embedding model's count. MiniLM reads 254."""
    overlap_tokens: int = 40
    """Most tokens of the sentences that a chunk takes over from the end of the one before."""

    def __post_init__(self) -> None:
        check(self.max_tokens >= 8, "max_tokens", self.max_tokens, "give at least 8")
        fits = 0 <= self.overlap_tokens <= self.max_tokens // 2
        check(fits, "overlap_tokens", self.overlap_tokens, "give 0 to half of --max_tokens")


class _Unit(NamedTuple):
    """A sentence, or a part of one that is too long: its place, its tokens, its level if it is (part of) a heading."""

    start: int
    end: int
    tokens: int
    heading: int


def token_counter(tokenizer_file: Path) -> CountTokens:
    """Counts with the model's own `tokenizer.json`. That of MiniLM says to cut at 128 tokens: here nothing is cut."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(tokenizer_file))
    tokenizer.no_truncation()
    tokenizer.no_padding()

    def count(texts: Sequence[str]) -> list[int]:
        return [len(each.ids) for each in tokenizer.encode_batch(list(texts), add_special_tokens=False)]

    return count


def split_document(document: Document, count_tokens: CountTokens, config: SplitterConfig | None = None) -> list[Chunk]:
    """The chunks of a document, in its order. Every character but white space is in one of them at least."""
    config = config or SplitterConfig()
    most = config.max_tokens
    units = list(_units(document, count_tokens, most - int(HEADINGS_SHARE * most)))
    paths = _shortened(_paths(document, units), count_tokens, int(HEADINGS_SHARE * most))
    ends = [span.end for span in document.spans]
    chunks = []
    for first, last in _packed(document.text, units, paths, count_tokens, config):
        start, end = units[first].start, units[last].end
        boxes = []
        for span in document.spans[bisect.bisect_right(ends, start) :]:
            if span.start >= end:
                break
            if span.box is not None:
                boxes.append(span.box)
        text = document.text[start:end]
        key = hashlib.sha256(f"{document.id} {start} {text}".encode()).hexdigest()[:32]
        chunks.append(Chunk(key, document.id, document.source, text, start, end, paths[first], tuple(boxes)))
    return chunks


def sentences(text: str, start: int = 0, end: int | None = None) -> Iterator[tuple[int, int]]:
    """The places of the sentences of `text[start:end]`, white space around them left out. A line break ends one."""
    end = len(text) if end is None else end
    for line_start, line_end in _parts(text, start, end, re.compile(r"\n+")):
        cuts = [found.end() for found in HAN_END.finditer(text, line_start, line_end)]
        for found in LATIN_END.finditer(text, line_start, line_end):
            if found.end() < line_end and _ends_sentence(text, line_start, found):
                cuts.append(found.end())
        begin = line_start
        for cut in [*sorted(cuts), line_end]:
            if cut > begin and (part := _stripped(text, begin, cut)):
                yield part
            begin = max(begin, cut)


def _ends_sentence(text: str, line_start: int, found: re.Match[str]) -> bool:
    """Whether a mark before white space ends a sentence: not after "Dr.", "e.g.", "J." nor before a small letter."""
    after = NEXT_LETTER.match(text, found.end())
    if after and after[1].islower():
        return False
    if found[0][0] != "." or found[0].startswith(".."):
        return True
    before = BEFORE_DOT.search(text[max(line_start, found.start() - LONGEST_ABBREVIATION) : found.start()])
    written = before[0] if before else ""
    word = written.lower()
    initial = len(word) == 1 and written.isupper() and written != "I"
    numbered = word in BEFORE_NUMBERS and after is not None and after[1].isdigit()
    return word not in ABBREVIATIONS and not numbered and not initial


def _parts(text: str, start: int, end: int, separator: re.Pattern[str]) -> Iterator[tuple[int, int]]:
    for found in separator.finditer(text, start, end):
        yield start, found.start()
        start = found.end()
    yield start, end


def _stripped(text: str, start: int, end: int) -> tuple[int, int] | None:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return (start, end) if start < end else None


def _units(document: Document, count_tokens: CountTokens, most: int) -> Iterator[_Unit]:
    text = document.text
    headings = [span for span in document.spans if span.heading]
    starts = [span.start for span in headings]
    places = list(sentences(text))
    counts = count_tokens([text[start:end] for start, end in places])
    for (start, end), tokens in zip(places, counts, strict=True):
        near = bisect.bisect_right(starts, start) - 1
        level = headings[near].heading if near >= 0 and start < headings[near].end else 0
        tokens = max(tokens, -(-(end - start) // CHARACTERS_A_TOKEN))
        if tokens <= most:
            yield _Unit(start, end, tokens, level)
        else:
            for part in _cut(text, start, end, count_tokens, most):
                yield _Unit(*part, level)


def _cut(text: str, start: int, end: int, count_tokens: CountTokens, most: int) -> Iterator[tuple[int, int, int]]:
    """A long sentence in parts that fit, each with its tokens."""

    def tokens(first: int, last: int) -> int:
        return max(count_tokens([text[first:last]])[0], -(-(last - first) // CHARACTERS_A_TOKEN))

    while start < end:
        reach = min(end, start + most * CHARACTERS_A_TOKEN)
        if tokens(start, reach) > most:
            fits, too_long = start + 1, reach  # a single character counts as fitting, whatever a tokenizer makes of it
            while too_long - fits > 1:
                middle = (fits + too_long) // 2
                fits, too_long = (middle, too_long) if tokens(start, middle) <= most else (fits, middle)
            reach = fits
        if reach < end:
            clauses = [found.end() for found in CLAUSE_END.finditer(text, start + (reach - start) // 2, reach)]
            spaces = [place for place in range(start + 1, reach) if text[place].isspace()][-1:]
            reach = (clauses[-1:] or spaces or [reach])[0]
        if part := _stripped(text, start, reach):
            yield *part, tokens(*part)
        start = reach


def _packed(
    text: str,
    units: Sequence[_Unit],
    paths: Sequence[tuple[str, ...]],
    count_tokens: CountTokens,
    config: SplitterConfig,
) -> Iterator[tuple[int, int]]:
    """First and last unit of each chunk."""
    first = 0
    while first < len(units):
        above = " ".join(paths[first])
        last, tokens = first, count_tokens([above])[0] + units[first].tokens
        while last + 1 < len(units) and tokens + units[last + 1].tokens <= config.max_tokens:
            new_section = units[last + 1].heading and not units[last].heading
            if new_section and tokens >= SMALL_SECTION * config.max_tokens:
                break
            last += 1
            tokens += units[last].tokens
        # The sum is exact where words are counted one by one; a tokenizer that looks across spaces may differ.
        while last > first and _count(count_tokens, above, text, units[first], units[last]) > config.max_tokens:
            last -= 1
        while last > first and last + 1 < len(units) and units[last].heading and not units[first].heading:
            last -= 1  # a heading belongs to what follows
        yield first, last
        if last + 1 >= len(units):
            return
        first = _next_first(units, first, last, config)


def _count(count_tokens: CountTokens, above: str, text: str, first: _Unit, last: _Unit) -> int:
    return count_tokens([f"{above} {text[first.start : last.end]}"])[0]


def _next_first(units: Sequence[_Unit], first: int, last: int, config: SplitterConfig) -> int:
    """Where the next chunk begins: after this one, or some sentences before for the overlap."""
    following = last + 1
    if units[following].heading:
        return following
    room = config.max_tokens - int(HEADINGS_SHARE * config.max_tokens)  # the chunk must get further than the last one
    tokens = 0
    begin = following
    while begin - 1 > first and not units[begin - 1].heading:
        tokens += units[begin - 1].tokens
        if tokens > config.overlap_tokens or tokens + units[following].tokens > room:
            break
        begin -= 1
    return begin


def _paths(document: Document, units: Sequence[_Unit]) -> list[tuple[str, ...]]:
    """For each unit the headings that it stands under, itself included where it is one; outermost first."""
    headings = list(_headings(document))
    paths = []
    path: list[tuple[int, str]] = []
    read = 0
    for unit in units:
        while read < len(headings) and headings[read][0] <= unit.start:
            _, level, words = headings[read]
            path = [above for above in path if above[0] < level] + [(level, words)]
            read += 1
        paths.append(tuple(words for _, words in path))
    return paths


def _shortened(paths: list[tuple[str, ...]], count_tokens: CountTokens, most: int) -> list[tuple[str, ...]]:
    """The paths without as many of their outermost headings as it takes to stay below so many tokens."""
    short: dict[tuple[str, ...], tuple[str, ...]] = {}
    for path in set(paths):
        kept = path
        while kept and count_tokens([" ".join(kept)])[0] > most:
            kept = kept[1:]
        short[path] = kept
    return [short[path] for path in paths]


def _headings(document: Document) -> Iterator[tuple[int, int, str]]:
    """Start, level and words of each heading; one of several lines is one."""
    begun: list[Span] = []
    for span in [*document.spans, None]:
        if begun and (span is None or span.heading != begun[-1].heading or "\n" in _gap(document, begun[-1], span)):
            words = document.text[begun[0].start : begun[-1].end]
            yield begun[0].start, begun[0].heading, " ".join(words.split())
            begun = []
        if span is not None and span.heading:
            begun.append(span)


def _gap(document: Document, above: Span, below: Span) -> str:
    return document.text[above.end : below.start]
