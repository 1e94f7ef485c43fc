"""What became of each upload, written down so that a killed server forgets none."""

import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from shared.files import parse_json, write_json

State = Literal["waiting", "reading", "encoding", "done", "refused", "failed"]
"""`refused` is the document's fault and `failed` ours, or the disk's; both say why in `detail`."""
ENDED: tuple[State, ...] = ("done", "refused", "failed")
MOST_KEPT = 1000  # jobs that have ended


@dataclass(frozen=True, kw_only=True)
class Job:
    """One upload, from when it was taken until its document can be found."""

    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    source: str
    """The name it is known by."""
    suffix: str = ""
    """Of the file that waits."""
    state: State = "waiting"
    done: int = 0
    """Pages that are read, or passages that are encoded, of `total`."""
    total: int = 0
    change: str = ""
    """added, updated or unchanged, once it is done."""
    passages: int = 0
    reason: str = ""
    """Of a refusal, as a word."""
    detail: str = ""
    """Of a refusal or fault, in a sentence."""
    taken: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="milliseconds"))
    """When it was taken, as ISO 8601 in UTC."""

    @property
    def ended(self) -> bool:
        return self.state in ENDED

    def now(self, **changes: Any) -> "Job":
        return replace(self, **changes)


class JobBook:
    """Jobs as files of JSON in a folder, one each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def write(self, job: Job) -> None:
        """On the disk when it returns. Raises OSError."""
        write_json(self.folder / f"{job.id}.json", asdict(job))

    def read(self, identity: str) -> Job | None:
        """The job of this id, None where there is none."""
        if not (len(identity) == 32 and identity.isascii() and identity.isalnum()):
            return None
        with suppress(FileNotFoundError):
            return Job(**parse_json((self.folder / f"{identity}.json").read_text(encoding="utf-8")))
        return None

    def all(self) -> list[Job]:
        """All of them, the newest first."""
        return sorted(self._read_all(), key=lambda job: job.taken, reverse=True)

    def forget_old(self) -> None:
        """Keep the newest thousand of those that have ended."""
        for job in [job for job in self.all() if job.ended][MOST_KEPT:]:
            (self.folder / f"{job.id}.json").unlink(missing_ok=True)

    def _read_all(self) -> Iterator[Job]:
        for file in self.folder.glob("*.json"):
            if job := self.read(file.stem):
                yield job
