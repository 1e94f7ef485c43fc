"""A stream of texts cut into windows, each judged against the reference. A kill loses nothing and repeats nothing.

windows.jsonl        a line a judged window
pending.safetensors  readings of the texts that wait for their window to fill, and how many texts came before them

The order of writing makes that true: texts are first kept, then their window's line is added, then they are dropped.
After a kill in between, the number of lines says which of the kept texts have been judged.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from model_optimization.monitoring.readings import Readings, join, load_tensors, save_tensors
from model_optimization.monitoring.shift_tests import shares, tenths
from model_optimization.monitoring.verdict import judge
from shared.errors import UserError
from shared.files import atomic_path, parse_json, write_text

WINDOWS, PENDING = "windows.jsonl", "pending.safetensors"
EMPTY = hashlib.sha256().hexdigest()


class Stream:
    """`seen` texts have been taken in so far; `lines` has what was said of each window."""

    def __init__(
        self, reference: Readings, folder: Path, window: int, alpha: float, n_permutations: int, seed: int, about: str
    ) -> None:
        """Goes on where the folder's stream was left. `about` says what the reference is.

        Raises UserError where that stream was judged in another way, or is damaged.
        """
        self.reference, self.folder, self.window = reference, folder, window
        self.alpha, self.n_permutations, self.seed = alpha, n_permutations, seed
        self.rules = f"window {window}, alpha {alpha}, {n_permutations} permutations, seed {seed}, reference {about}"
        self.pending, self.seen, self.digest = reference[:0], 0, EMPTY
        self.lines = read_lines(folder / WINDOWS)
        if (folder / PENDING).is_file():
            self._restore()
        elif self.lines:
            raise UserError(f"{folder}: {PENDING} is missing: give another --output, or restore that file")

    def add(self, readings: Readings, texts: Sequence[str]) -> None:
        """Take in some texts: from now on they are kept."""
        self.pending, self.seen = join(self.pending, readings), self.seen + len(texts)
        self.digest = chain(self.digest, texts)
        self._keep()

    def judge_full(self) -> Iterator[dict[str, Any]]:
        """A line for each window that is full and not judged yet."""
        while len(self.pending) >= self.window:
            yield self._judge(self.pending[: self.window])
            self.pending = self.pending[self.window :]
            self._keep()

    def _judge(self, window: Readings) -> dict[str, Any]:
        number = len(self.lines)
        verdict = judge(self.reference, window, self.alpha, self.n_permutations, (self.seed, number))
        line = {
            "window": number + 1,
            "first": number * self.window + 1,
            "last": (number + 1) * self.window,
            "drift": verdict.drift,
            "because": verdict.because,
            "p": {name: test.p for name, test in verdict.tests.items()},
            "adjusted_p": verdict.adjusted,
            "statistic": {name: test.statistic for name, test in verdict.tests.items()},
            "mmd_null_95": float(np.quantile(verdict.tests["mmd"].null, 0.95)),
            "estimated_accuracy": verdict.estimated_accuracy,
            "accuracy": float(window.right.mean()) if len(window.labelled) == len(window) else None,
            "score_shares": [*shares(window.scores, tenths(self.reference.scores))],
            "length_shares": [*shares(window.lengths, tenths(self.reference.lengths))],
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        with open(self.folder / WINDOWS, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self.lines.append(line)
        return line

    def _keep(self) -> None:
        state = {"rules": self.rules, "seen": self.seen, "digest": self.digest}
        with atomic_path(self.folder / PENDING) as draft:
            save_tensors(draft, self.pending, state)

    def _restore(self) -> None:
        file = self.folder / PENDING
        readings = load_tensors(file)
        try:
            with safe_open(file, "numpy") as stored:
                state = parse_json(stored.metadata()["about"])
            rules, self.seen, self.digest = state["rules"], state["seen"], state["digest"]
        except (SafetensorError, TypeError, KeyError, ValueError) as error:
            raise UserError(f"{file}: damaged, it does not say which texts it holds: give another --output") from error
        if rules != self.rules:
            raise UserError(f"{self.folder}: holds a stream with {rules}: give the same again, or another --output")
        judged = len(self.lines) * self.window - (self.seen - len(readings))  # of those that are kept
        if not 0 <= judged <= len(readings):
            raise UserError(f"{self.folder}: {WINDOWS} and {PENDING} do not fit each other: give another --output")
        self.pending = readings[judged:]


def chain(digest: str, texts: Sequence[str]) -> str:
    """A hash of all texts so far, from the one before these."""
    for text in texts:
        digest = hashlib.sha256(f"{digest}{text}".encode("utf-8", "surrogatepass")).hexdigest()
    return digest


def read_lines(file: Path) -> list[dict[str, Any]]:
    """The lines of judged windows. One that a kill cut short is removed from the file, as its window is judged anew.

    Raises UserError where another line is damaged.
    """
    if not file.is_file():
        return []
    text = file.read_text(encoding="utf-8", errors="replace")
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        write_text(file, whole)
    try:
        return [parse_json(line) for line in whole.splitlines()]
    except json.JSONDecodeError as error:
        raise UserError(f"{file}: damaged, a line is not valid JSON: give another --output") from error
