"""The work that tools/faults.py disturbs: small, real, and each of it can be given again and then goes on.

Every job works in a folder. `work` does it to its end, or goes on from where it was; `outcome` tells what is there in
the end, as JSON; `look` finds whatever is half after a kill. All but `begin` run in a fork, of which only the folder is
left. The functions are in tools/fault_trainings.py and tools/fault_stores.py.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from tools.fault_stores import (
    begin_documents,
    begin_photos,
    begin_story,
    begin_votes,
    documents,
    index_photos,
    ingest_documents,
    look_at_documents,
    look_at_photos,
    look_at_story,
    look_at_votes,
    photos,
    story,
    vote,
    votes,
    write_story,
)
from tools.fault_trainings import (
    begin_captioner,
    begin_language_model,
    begin_sentiment,
    captioner,
    language_model,
    look_at_language_model,
    sentiment,
    train_captioner,
    train_language_model,
    train_sentiment,
)


class Job(NamedTuple):
    """One kind of work."""

    name: str
    begin: Callable[[Path], None]
    """Loads what the children need, and lays what the work starts from into a folder of all rounds."""
    work: Callable[[Path, Path], None]
    """`work(given, folder)`"""
    outcome: Callable[[Path], dict[str, Any]]
    look: Callable[[Path], None]
    """Raises AssertionError where what is in the folder is half."""


def nothing(folder: Path) -> None:
    pass


JOBS = {
    job.name: job
    for job in (
        Job("language_model", begin_language_model, train_language_model, language_model, look_at_language_model),
        Job("sentiment", begin_sentiment, train_sentiment, sentiment, nothing),
        Job("captioner", begin_captioner, train_captioner, captioner, nothing),
        Job("documents", begin_documents, ingest_documents, documents, look_at_documents),
        Job("photos", begin_photos, index_photos, photos, look_at_photos),
        Job("votes", begin_votes, vote, votes, look_at_votes),
        Job("story", begin_story, write_story, story, look_at_story),
    )
}
