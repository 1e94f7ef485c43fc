"""Pairs of texts and people's votes on them, in one SQLite file that several people use at once.

Everybody gets the pairs in one shuffled order, so that raters who stop early have judged the same pairs, and can be
compared. Which of the two texts comes first is drawn anew for each rater and written down when it is shown.
"""

import datetime
import itertools
import random
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Literal, NamedTuple

from gpt_text_generation.evaluation.samples import Sample
from shared.errors import UserError

Choice = Literal["a", "b", "tie"]
CHOICES: tuple[Choice, ...] = ("a", "b", "tie")
LONGEST_NAME = 80
WAIT = 30.0  # seconds that a writer waits for another; a vote takes a few milliseconds

_TABLES = """
CREATE TABLE IF NOT EXISTS pairs (
    id INTEGER PRIMARY KEY,
    place REAL NOT NULL,  -- of the shuffled order
    prompt TEXT NOT NULL,
    text_a TEXT NOT NULL, source_a TEXT NOT NULL,
    text_b TEXT NOT NULL, source_b TEXT NOT NULL,
    UNIQUE (prompt, text_a, source_a, text_b, source_b)
);
CREATE TABLE IF NOT EXISTS votes (
    pair INTEGER NOT NULL REFERENCES pairs (id),
    rater TEXT NOT NULL,
    first TEXT NOT NULL CHECK (first IN ('a', 'b')),  -- the text that stood first
    choice TEXT CHECK (choice IN ('a', 'b', 'tie')),  -- empty until the rater has chosen
    reason TEXT NOT NULL DEFAULT '',
    at TEXT,
    PRIMARY KEY (pair, rater)
);
"""


class Shown(NamedTuple):
    """A pair as one rater sees it: nothing in it says who wrote which."""

    pair: int
    prompt: str
    texts: tuple[str, str]


class Vote(NamedTuple):
    """One rater's answer on one pair, with what was hidden from them."""

    pair: int
    prompt: str
    source_a: str
    source_b: str
    rater: str
    first: str
    choice: Choice
    reason: str
    at: str


def rater_name(text: str) -> str:
    """A name as it is kept: blanks around and within it count once. Raises UserError for none, or one too long."""
    name = " ".join(text.split())
    if not 1 <= len(name) <= LONGEST_NAME:
        raise UserError(f"a rater's name has 1 to {LONGEST_NAME} characters: give one, always the same")
    return name


class VoteStore:
    """The file of one comparison. Raises UserError for a file that is none."""

    def __init__(self, file: str | Path, seed: int | None = None) -> None:
        self.file = Path(file)
        self._draw = random.Random(seed)
        self.file.parent.mkdir(parents=True, exist_ok=True)
        try:
            with closing(self._connect()) as base:
                # Readers and a writer do not wait for each other; the setting stays with the file.
                if base.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
                    base.execute("PRAGMA journal_mode = WAL")
                base.executescript(_TABLES)
            # Held open: with the last connection SQLite closes its log, which costs the disk a third of a second.
            self._held_open = self._connect()
            self._held_open.execute("SELECT count(*) FROM pairs").fetchone()
        except sqlite3.OperationalError as error:
            raise UserError(f"{file}: cannot be opened ({error}): check the path and its permissions") from error
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
            why = " ".join(str(error).split())  # a damaged file may bring its own words into this
            raise UserError(f"{file}: no file of votes ({why}): name another --store") from error

    def _connect(self) -> sqlite3.Connection:
        # Every call has its own: threads and processes cannot share one.
        base = sqlite3.connect(self.file, timeout=WAIT, isolation_level=None)
        base.execute("PRAGMA synchronous = NORMAL")  # a vote outlives the program at once, a power cut after seconds
        return base

    @contextmanager
    def _transaction(self, *, writes: bool) -> Iterator[sqlite3.Connection]:
        """One that writes says so at its start: two that had both read before they write could not both go on.

        Raises UserError on a full disk, for a damaged file, and where another program writes for too long.
        """
        try:
            with closing(self._connect()) as base:
                base.execute("BEGIN IMMEDIATE" if writes else "BEGIN")
                try:
                    yield base
                    base.execute("COMMIT")
                except BaseException:
                    if base.in_transaction:  # SQLite itself rolls back on a full disk
                        base.execute("ROLLBACK")
                    raise
        except sqlite3.OperationalError as error:
            raise UserError(f"{self.file}: nothing was changed ({error}): look at the disk, then try again") from error
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
            raise UserError(f"{self.file}: damaged ({error}): restore it, or name another --store") from error

    def add(self, samples: Sequence[Sample], seed: int = 0) -> int:
        """Pair the texts of different sources that answer the same prompt; returns how many pairs are new.

        Raises UserError where there is nothing to pair. A pair that is already there, or of equal texts, is left out.
        """
        by_prompt: dict[str, list[Sample]] = {}
        for sample in samples:
            by_prompt.setdefault(sample.prompt, []).append(sample)
        pairs = [
            (one, other)
            for same in by_prompt.values()
            for one, other in itertools.combinations(sorted(same, key=lambda sample: sample.source), 2)
            if one.source != other.source and one.text.strip() != other.text.strip()
        ]
        if not pairs:
            raise UserError(
                "no two different texts of different sources have the same prompt: there is nothing to compare"
            )
        draw = random.Random(seed)
        with self._transaction(writes=True) as base:
            before = base.total_changes
            for one, other in pairs:
                base.execute(
                    "INSERT OR IGNORE INTO pairs (place, prompt, text_a, source_a, text_b, source_b)"
                    " VALUES (?, ?, ?, ?, ?, ?)",
                    (draw.random(), one.prompt, one.text, one.source, other.text, other.source),
                )
            return base.total_changes - before

    def next_pair(self, rater: str) -> Shown | None:
        """The pair that this rater has not judged yet; None after the last. Asked again, the same in the same order."""
        with self._transaction(writes=True) as base:
            found = base.execute(
                "SELECT id, prompt, text_a, text_b, first FROM pairs"
                " LEFT JOIN votes ON pair = id AND rater = ? WHERE choice IS NULL ORDER BY place, id LIMIT 1",
                (rater,),
            ).fetchone()
            if found is None:
                return None
            pair, prompt, text_a, text_b, first = found
            if first is None:
                first = self._draw.choice("ab")
                base.execute("INSERT INTO votes (pair, rater, first) VALUES (?, ?, ?)", (pair, rater, first))
        return Shown(pair, prompt, (text_a, text_b) if first == "a" else (text_b, text_a))

    def vote(self, rater: str, pair: int, better: Literal["first", "second", "tie"], reason: str = "") -> bool:
        """Keep an answer on a pair that this rater was shown. A second answer is not taken; returns whether it was.

        Raises ValueError for a pair that this rater was not shown.
        """
        with self._transaction(writes=True) as base:
            found = base.execute("SELECT first FROM votes WHERE pair = ? AND rater = ?", (pair, rater)).fetchone()
            if found is None:
                raise ValueError(f"{rater} was not shown pair {pair}")
            second = "b" if found[0] == "a" else "a"
            choice = {"first": found[0], "second": second, "tie": "tie"}[better]
            at = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
            changed = base.execute(
                "UPDATE votes SET choice = ?, reason = ?, at = ? WHERE pair = ? AND rater = ? AND choice IS NULL",
                (choice, reason.strip(), at, pair, rater),
            )
            return changed.rowcount == 1

    def votes(self) -> list[Vote]:
        """All answers, in the order of the pairs and raters."""
        with self._transaction(writes=False) as base:
            rows = base.execute(
                "SELECT pair, prompt, source_a, source_b, rater, first, choice, reason, at FROM votes"
                " JOIN pairs ON id = pair WHERE choice IS NOT NULL ORDER BY place, pair, rater"
            ).fetchall()
        return [Vote(*row) for row in rows]

    def progress(self, rater: str) -> tuple[int, int]:
        """How many pairs this rater has judged, and of how many."""
        with self._transaction(writes=False) as base:
            done = base.execute(
                "SELECT count(*) FROM votes WHERE rater = ? AND choice IS NOT NULL", (rater,)
            ).fetchone()[0]
            return done, base.execute("SELECT count(*) FROM pairs").fetchone()[0]
