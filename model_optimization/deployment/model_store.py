"""Models by version in a folder (`models/1`, `models/2`, or named), one of which answers.

Another one takes its place while requests go on: it is opened, warmed up and must answer before it is switched to, and
what is under way finishes with the model that it began with. The one before stays in memory, so that going back takes
no time. What cannot be opened, or does not answer, is refused and changes nothing.
"""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from model_optimization.runtime import VARIANT, Variant
from shared.cleaning import clean
from shared.errors import UserError

# Of several lengths: an engine takes its memory for each at its first batch.
PROBES = ("a film to love", "neither good nor bad " * 12, "so dull that nobody stayed until its end " * 40)
OPEN_WITHIN_S = 120.0
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class UnknownVersion(Exception):
    """No model of this version is there, or it is not in memory."""


class Busy(Exception):
    """Another swap is under way, or there is nothing to go back to."""


@dataclass(frozen=True)
class Served:
    """A model in memory and its version."""

    version: str
    variant: Variant

    def read(self, texts: Sequence[str]) -> tuple[list[str], list[list[list[int]]]]:
        """The texts cleaned, and the windows of each."""
        cleaned = [clean(text) for text in texts]
        return cleaned, self.variant.reader.windows(cleaned)


class ModelStore:
    """What is served, what was before, and the versions in the folder."""

    def __init__(self, folder: Path, version: str | None = None, threads: int | None = None) -> None:
        """Open this version, by default the newest. Raises UserError where there is none that answers."""
        self.folder, self.threads = folder, threads
        found = self.versions()
        if not found:
            raise UserError(f"{folder}: holds no model (a folder with {VARIANT}): put one there as {folder.name}/1")
        if version is not None and version not in found:
            raise UserError(f"--version {version}: not in {folder}: choose among {', '.join(found)}")
        self.serving = self._open(version or found[-1])
        self.previous: Served | None = None
        self._swapping = asyncio.Lock()

    def versions(self) -> list[str]:
        """The versions in the folder, the newest last: numbers by size after names."""
        files = self.folder.glob(f"*/{VARIANT}")
        return sorted((file.parent.name for file in files if _NAME.fullmatch(file.parent.name)), key=_age)

    def get(self, version: str | None = None) -> Served:
        """The serving model, or the one of this version if it is in memory. Raises UnknownVersion."""
        if version is None:
            return self.serving
        for held in (self.serving, self.previous):
            if held is not None and held.version == version:
                return held
        raise UnknownVersion(f"version {version!r} is not in memory: leave it out to be answered by the serving one")

    async def swap(self, version: str) -> Served:
        """Serve another version. Raises UnknownVersion, Busy, or UserError for a model that is refused."""
        self._one_at_a_time()
        async with self._swapping:
            if version != self.serving.version:
                try:
                    chosen = await asyncio.wait_for(asyncio.to_thread(self._next, version), OPEN_WITHIN_S)
                except TimeoutError as error:
                    raise UserError(f"{version}: does not answer within {OPEN_WITHIN_S:g} s: look at it") from error
                self.serving, self.previous = chosen, self.serving
        return self.serving

    def roll_back(self) -> Served:
        """Serve the one before again, and forget the one left. Raises Busy where there is none."""
        self._one_at_a_time()
        if self.previous is None:
            raise Busy("nothing to go back to: no other version was served before")
        self.serving, self.previous = self.previous, None
        return self.serving

    def _one_at_a_time(self) -> None:
        if self._swapping.locked():
            raise Busy("another swap is under way: wait for it")

    def _next(self, version: str) -> Served:
        if version not in self.versions():
            raise UnknownVersion(f"version {version!r} is not in the folder of models")
        chosen = self._open(version)
        ours, theirs = self.serving.variant.settings.label_names, chosen.variant.settings.label_names
        if ours != theirs:
            raise UserError(f"{version}: has other labels ({', '.join(theirs)}): serve it under an address of its own")
        return chosen

    def _open(self, version: str) -> Served:
        variant = Variant(self.folder / version, self.threads)
        try:
            logits = [variant.logits([probe], 1) for probe in PROBES]
        except Exception as error:  # whatever an engine may raise
            raise UserError(f"{version}: does not answer ({type(error).__name__}): make the variant anew") from error
        expected = (1, len(variant.settings.label_names))
        if any(found.shape != expected or not np.isfinite(found).all() for found in logits):
            raise UserError(f"{version}: does not give a logit for each label: make the variant anew")
        return Served(version, variant)


def _age(version: str) -> tuple[bool, int, str]:
    return (version.isdigit(), int(version) if version.isdigit() else 0, version)
