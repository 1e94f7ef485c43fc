"""How far does a model get outside what it was trained on? Each of four domains as training set, all four as tests.

The texts are those that 20 people rated (Hutto & Gilbert 2014), the target is their mean, and the measure is Pearson's
r with it, as in the paper's Table 4. No text that one set trains on is tested on in another.
"""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from bert_sentiment_analysis.comparison import trained
from bert_sentiment_analysis.config import TrainingConfig
from bert_sentiment_analysis.models.baselines import vader_scores
from bert_sentiment_analysis.models.outcome import rating_scores
from bert_sentiment_analysis.published import PUBLISHED_R
from shared.cleaning import clean
from shared.datasets import Example
from shared.files import kept_json
from shared.leaks import exclude, load_ids
from shared.logging import get_logger
from shared.splits import RATED, Splits, load_rated

log = get_logger(__name__)

Row = dict[str, Any]


def domain_rows(training: TrainingConfig, folder: Path) -> list[Row]:
    """A row a model: `trained_on`, r by domain, then `accuracy` of the sign and `n_test` by domain, and `n_train`.

    First one training a domain, then one on all of them, then VADER on the same texts and on the whole sets, which it
    may be tested on as it learns from none, and last what was published, on the whole sets. Each row that is finished
    is a file in `folder`. `training` says how to train.
    """
    domains = load_rated()
    rows = []
    for name, datasets in [(name, name) for name in RATED] + [("all", ",".join(RATED))]:
        config = replace(training, head="rating", dataset=datasets, tracking="none")

        def compute(config: TrainingConfig = config, name: str = name) -> Row:
            return _trained(name, config, domains, folder / name)

        rows.append(kept_json(folder / f"{name}.json", compute))
        shutil.rmtree(folder / name, ignore_errors=True)
    tests = {domain: splits.test for domain, splits in domains.items()}
    whole = {domain: [*splits.train, *splits.validation, *splits.test] for domain, splits in domains.items()}
    rows.append(kept_json(folder / "VADER.json", lambda: _vader("nothing (VADER)", tests)))
    rows.append(kept_json(folder / "VADER-whole.json", lambda: _vader("nothing (VADER, whole sets)", whole)))
    nothing = dict.fromkeys(("n_train", "accuracy", "n_test", "n_excluded", "train_seconds"))
    rows += [{"trained_on": name, **r, **nothing, "source": "ICWSM 2014"} for name, r in PUBLISHED_R.items()]
    return rows


def _trained(name: str, config: TrainingConfig, domains: dict[str, Splits], folder: Path) -> Row:
    from bert_sentiment_analysis.models.batches import predict_logits

    log.info("training on %s", config.dataset)
    classifier, summary = trained(config, folder)
    scores, n_excluded = {}, 0
    for domain, splits in domains.items():
        test, n = exclude(splits.test, load_ids(folder))
        texts = [clean(example.text) for example in test]
        predicted = predict_logits(classifier, texts, precision=summary["precision"])[:, 0]  # (N,)
        scores[domain] = {**rating_scores(predicted, test), "n_test": len(test)}
        n_excluded += n
    cost = {"n_train": summary["n_train"], "n_excluded": n_excluded, "train_seconds": summary["seconds"]}
    return _row(name, scores, cost)


def _vader(name: str, tests: dict[str, list[Example]]) -> Row:
    """Its compound score stands for the rating. Where it is 0, as for a text without a known word, it says negative."""
    scores = {}
    for domain, examples in tests.items():
        predicted = vader_scores([example.text for example in examples])
        scores[domain] = {**rating_scores(predicted, examples), "n_test": len(examples)}
    return _row(name, scores, {"n_train": 0, "n_excluded": 0, "train_seconds": 0.0})


def _row(name: str, scores: dict[str, dict[str, Any]], cost: dict[str, Any]) -> Row:
    return {
        "trained_on": name,
        **{domain: values["pearson_r"] for domain, values in scores.items()},
        "n_train": cost["n_train"],
        "accuracy": {domain: values["accuracy"] for domain, values in scores.items()},
        "n_test": {domain: values["n_test"] for domain, values in scores.items()},
        "n_excluded": cost["n_excluded"],
        "train_seconds": cost["train_seconds"],
        "source": "here",
    }
