"""Which text do people like better? Two texts on the same prompt, nobody knows who wrote which.

python -m gpt_text_generation.evaluation.human_evaluation add --file texts.jsonl
streamlit run gpt_text_generation/app.py                # people vote on the page's tab for it
python -m gpt_text_generation.evaluation.human_evaluation results
python -m gpt_text_generation.evaluation.human_evaluation export --output votes.csv

The file has one JSON object a line with `text`, `prompt` and `source`; texts of different sources that answer the same
prompt are paired. The order of the two on the screen is drawn and kept with the vote, and nobody is asked twice
(vote_store.py). How strengths, their intervals and the raters' agreement are found stands in agreement.py.
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpt_text_generation.evaluation.agreement import RESAMPLES, agreement, first_place_p, strength_rows
from gpt_text_generation.evaluation.samples import read_samples
from gpt_text_generation.evaluation.vote_store import Vote, VoteStore
from shared.config import check, parse_command
from shared.errors import UserError, run_program
from shared.files import as_cell, write_json, write_text
from shared.logging import print_result, print_table, setup_logging

STORE = "runs/gpt_text_generation/votes.sqlite"


@dataclass(frozen=True, kw_only=True)
class AddConfig:
    """Pair texts of different sources on the same prompt, for people to vote on."""

    file: str
    """Texts: JSON lines with text, prompt and source."""
    store: str = STORE
    """File of the pairs and votes; made where there is none."""
    seed: int = 0
    """Seed of the order of the pairs."""


@dataclass(frozen=True, kw_only=True)
class ResultsConfig:
    """What the votes say: strengths with intervals, agreement, and whether the first place helps."""

    store: str = STORE
    """File of the pairs and votes."""
    resamples: int = RESAMPLES
    """How often the pairs are drawn anew for the intervals."""
    seed: int = 0
    """Seed of these draws."""

    def __post_init__(self) -> None:
        check(self.resamples >= 1, "resamples", self.resamples, "give at least 1")


@dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """Write every vote with what was hidden from the rater into a .csv or .json file."""

    output: str
    """File to write; its ending says the format."""
    store: str = STORE
    """File of the pairs and votes."""

    def __post_init__(self) -> None:
        check(Path(self.output).suffix in (".csv", ".json"), "output", self.output, "end the name with .csv or .json")


def open_store(file: str | Path) -> VoteStore:
    """A store that is there. Raises UserError where it is not."""
    if not Path(file).is_file():
        raise UserError(f"--store {file}: no such file: put pairs into it by `human_evaluation add --file TEXTS`")
    return VoteStore(file)


def summarise(votes: Sequence[Vote], resamples: int = RESAMPLES, seed: int = 0) -> dict[str, Any]:
    """All that the votes say, as the result line has it. Raises UserError without votes."""
    if not votes:
        raise UserError("nobody has voted yet: open the page (streamlit run gpt_text_generation/app.py) and vote")
    won, decided, p = first_place_p(votes)
    return {
        "rows": strength_rows(votes, resamples, seed=seed),
        "n_votes": len(votes),
        "n_pairs": len({vote.pair for vote in votes}),
        "n_raters": len({vote.rater for vote in votes}),
        "share_tied": sum(vote.choice == "tie" for vote in votes) / len(votes),
        "alpha": agreement(votes),
        "first_won": won,
        "decided": decided,
        "first_won_p": p,
    }


def as_csv(votes: Sequence[Vote]) -> str:
    """The votes as a spreadsheet reads them; none of their texts is a formula there."""
    text = io.StringIO(newline="")
    table = csv.DictWriter(text, Vote._fields)
    table.writeheader()
    for vote in votes:
        cells = vote._asdict().items()
        table.writerow({name: as_cell(value) if isinstance(value, str) else value for name, value in cells})
    return text.getvalue()


def export(votes: Sequence[Vote], file: Path) -> None:
    """Write the votes, atomically, as CSV or JSON by the file's ending."""
    if file.suffix == ".json":
        write_json(file, [vote._asdict() for vote in votes])
    else:
        write_text(file, as_csv(votes))


def main(argv: Sequence[str] | None = None) -> None:
    commands = {"add": AddConfig, "results": ResultsConfig, "export": ExportConfig}
    name, config = parse_command(commands, argv, prog="python -m gpt_text_generation.evaluation.human_evaluation")
    setup_logging()
    if name == "add":
        samples = read_samples(config.file)
        print_result({"store": config.store, "new_pairs": VoteStore(config.store).add(samples, config.seed)})
    elif name == "results":
        result = summarise(open_store(config.store).votes(), config.resamples, config.seed)
        print_table("log strength of the sources, with 95 % intervals", result["rows"])
        print_result(result)
    else:
        votes = open_store(config.store).votes()
        export(votes, Path(config.output))
        print_result({"output": config.output, "n_votes": len(votes)})


if __name__ == "__main__":
    run_program(main)
