"""Tell the sentiment of texts with a trained classifier.

python -m bert_sentiment_analysis.predict "a film to love"
python -m bert_sentiment_analysis.predict --run english-ratings --file reviews.csv --output answers.jsonl
python -m bert_sentiment_analysis.predict --run runs/bert_sentiment_analysis/20261124-101500 "a film to love"
"""

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from bert_sentiment_analysis.config import DEFAULT_RUN, PROJECT
from shared.config import check, parse_config, split_texts
from shared.errors import UserError, run_program
from shared.files import as_json, atomic_path
from shared.logging import print_result, setup_logging
from shared.timing import Timer


@dataclass(frozen=True, kw_only=True)
class PredictConfig:
    """Tell the sentiment of texts: of those that stand after the options, or of a file's."""

    run: str = DEFAULT_RUN
    """Folder of a finished training; by default the classifier that ships, and english-ratings gives ratings."""
    file: str | None = None
    """CSV, JSON or text file (one text a line) to read instead."""
    text_column: str | None = None
    """Column of the file that holds the texts; by default the first of text, sentence, review, content."""
    output: str | None = None
    """File for the answers, one JSON object a line; by default they are printed."""
    abstain_below: float | None = None
    """Give no answer below this probability; by default what the run was calibrated to, and 0 answers everything."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where to compute."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Number format of the matrix products; auto takes bf16 where it is faster."""

    def __post_init__(self) -> None:
        valid = self.abstain_below is None or 0 <= self.abstain_below <= 1
        check(valid, "abstain_below", self.abstain_below, "give a probability from 0 to 1")


def predict(config: PredictConfig, texts: Sequence[str]) -> dict[str, Any]:
    """Answer the texts or the file's, print or write the answers, and give the counts.

    Raises UserError for no texts or both kinds, and for a file or a run that cannot be read.
    """
    from bert_sentiment_analysis.data.rows import read_rows
    from bert_sentiment_analysis.inference.predictor import Prediction, Predictor

    if bool(texts) == bool(config.file):
        raise UserError("no texts: give some after the options, or --file, and not both")
    rows = read_rows(config.file, config.text_column, labelled=None) if config.file else None
    predictor = Predictor.load(
        config.run, abstain_below=config.abstain_below, device=config.device, precision=config.precision
    )
    asked = [example.text for example in rows.examples] if rows else list(texts)
    numbers = rows.numbers if rows else range(1, len(asked) + 1)
    counts = {"n": 0, "abstained": 0, "skipped": 0}

    def answers() -> Iterator[dict[str, Any]]:
        for number, text, found in zip(numbers, asked, predictor.stream(asked), strict=True):
            counts["n"] += 1
            counts["abstained"] += found.abstained
            counts["skipped"] += found.error is not None
            yield {**asdict(found), "row": number, "text": text}
        for number, reason in (rows.skipped if rows else {}).items():
            counts["n"], counts["skipped"] = counts["n"] + 1, counts["skipped"] + 1
            yield {**asdict(Prediction(number, error=reason)), "text": None}

    with Timer() as timer:
        _write(answers(), config.output)
    return {**counts, "output": config.output, "texts_per_s": timer.rate(counts["n"]), "seconds": timer.seconds}


def _write(answers: Iterable[dict[str, Any]], output: str | None) -> None:
    if output is None:
        for answer in answers:
            print_result(answer)
        return
    with atomic_path(Path(output)) as draft, open(draft, "w", encoding="utf-8") as file:
        file.writelines(as_json(answer) + "\n" for answer in answers)


def main(argv: Sequence[str] | None = None) -> None:
    options, texts = split_texts(sys.argv[1:] if argv is None else argv)
    config = parse_config(PredictConfig, options, prog=f"python -m {PROJECT}.predict [TEXT ...]")
    setup_logging()
    print_result(predict(config, texts))


if __name__ == "__main__":
    run_program(main)
