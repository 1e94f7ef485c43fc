"""How often the monitor cries wolf, which share of other texts it notices, and what its accuracy estimates are worth.

A trial draws a reference and windows without replacement from one pool of held-out texts. So the two are exchangeable,
and no window shares a text with its reference or with another window of the same trial; those of different trials do.
Windows are scored as one population, and the standard error comes from the trials, as windows of one share a reference.

Held out are the test parts of the packaged sets, less what the classifier was trained on: all 2,128 sentences of
rotten_tomatoes, and 2,000 reviews of imdb, evenly spread. Imdb's reviews of one film stand in a row, so that windows
cut from it as it stands, or a reference of other films, would differ by their films; the second is measured as well.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from model_optimization.monitoring.accuracy_estimate import CHOSEN, ESTIMATES, choose
from model_optimization.monitoring.make_shipped import SHIFTS
from model_optimization.monitoring.readings import Readings, join, load, save
from model_optimization.monitoring.verdict import Verdict, judge
from shared.errors import UserError
from shared.logging import progress_bar
from shared.splits import evenly, load_packaged
from shared.timing import Timer

if TYPE_CHECKING:
    from model_optimization.benchmark import DriftPowerConfig
    from model_optimization.subject import Subject

SENTENCES, REVIEWS = "rotten_tomatoes", "imdb"
N_REVIEWS = 2_000
N_TIMED = 15
FILM_BLOCKS = 5  # of each label, in imdb's test part
SHARES = (0.05, 0.1, 0.2, 0.3, 0.5, 1.0)
RULES = {"psi_score > .1": 0.1, "psi_score > .25": 0.25}  # as people use it, whatever the size of the window
VERDICT = "verdict"

Alarms = dict[str, list[bool]]  # by single test, each at alpha of its own, by rule of thumb, and by the verdict


def measure(config: "DriftPowerConfig") -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The benchmark's JSON line and its rows, one a test."""
    from model_optimization.monitoring.make_reference import load_classifier

    subject, about = load_classifier(config.run)
    folder = Path(config.output)
    pools, n_excluded = {}, 0
    for name in (SENTENCES, *SHIFTS, REVIEWS):
        pools[name], excluded = held_out(folder, subject, about, name, "test", N_REVIEWS if name == REVIEWS else None)
        n_excluded += excluded
    tuning = {name: held_out(folder, subject, about, name, "validation")[0] for name in SHIFTS}

    false = {name: false_alarms(pools[name], config, name) for name in (SENTENCES, REVIEWS)}
    films = other_films(pools[REVIEWS], config)
    found = {kind: {share: alarms(pools, kind, share, config) for share in SHARES} for kind in SHIFTS}

    rates = {name: {test: float(np.mean(values)) for test, values in rows.items()} for name, rows in false.items()}
    n = {name: len(rows[VERDICT]) for name, rows in false.items()}
    together = {test: sum(rates[name][test] * n[name] for name in false) / sum(n.values()) for test in rates[SENTENCES]}
    curves = {
        test: {kind: {f"{share:g}": float(np.mean(found[kind][share][test])) for share in SHARES} for kind in SHIFTS}
        for test in together
    }
    result = {
        "false_alarm_rate": together[VERDICT],
        "n_windows": sum(n.values()),
        "window": config.window,
        "power": {kind: curves[VERDICT][kind]["1"] for kind in SHIFTS},
        "power_by_share": curves[VERDICT],
        "false_alarm_rate_by_source": {name: rates[name][VERDICT] for name in false},
        "false_alarm_error_by_source": {
            name: _error(rows[VERDICT], _windows(pools[name], config)) for name, rows in false.items()
        },
        "alarm_rate_other_films": float(np.mean(films[VERDICT])),
        "n_windows_other_films": len(films[VERDICT]),
        "n_windows_power": config.n_power,
        "n_reference": config.n_reference,
        "alpha": config.alpha,
        "judge_ms": judge_ms(pools[SENTENCES], config),
        **accuracies(pools, tuning),
        "single_tests": {
            test: {"false_alarm_rate": together[test], "power_by_share": curves[test]} for test in together
        },
        "n_excluded": n_excluded,
    }
    rows = [
        {"test": test, "false_alarm_rate": together[test]}
        | {f"{kind}_{100 * share:g}": curves[test][kind][f"{share:g}"] for share in (0.1, 0.3, 1.0) for kind in SHIFTS}
        for test in together
    ]
    return result, rows


def held_out(
    folder: Path, subject: "Subject", about: Mapping[str, Any], name: str, part: str, n: int | None = None
) -> tuple[Readings, int]:
    """Readings of a packaged set's part that the classifier was not trained on, kept below the folder; and how many
    texts it was trained on."""
    from model_optimization.monitoring.make_reference import read_examples
    from shared.leaks import exclude

    examples, n_excluded = exclude(evenly(load_packaged(name).parts[part], n), subject.trained_on)  # type: ignore[index]
    place = folder / f"{name}_{part}"
    try:
        readings, _ = load(place, about["classifier"])
        if len(readings) == len(examples):
            return readings, n_excluded
    except UserError:
        pass  # not made yet, cut short, or of another classifier
    with progress_bar(f"reading {name}", len(examples)) as update:
        readings = read_examples(subject, examples, update)
    save(place, readings, {**about, "source": f"{name}, {part}"})
    return readings, n_excluded


def false_alarms(pool: Readings, config: "DriftPowerConfig", name: str) -> Alarms:
    """Alarms of windows without drift, in each trial as many as the pool holds beside the reference."""
    per_trial = _windows(pool, config)

    def windows() -> Iterator[tuple[Readings, Readings]]:
        for trial in range(-(-config.n_windows // per_trial)):
            order = np.random.default_rng((config.seed, trial)).permutation(len(pool))
            reference, rest = pool[order[: config.n_reference]], order[config.n_reference :]
            for start in range(0, per_trial * config.window, config.window):
                yield reference, pool[rest[start : start + config.window]]

    return _judge_all(windows, per_trial * -(-config.n_windows // per_trial), f"false alarms, {name}", config)


def other_films(pool: Readings, config: "DriftPowerConfig") -> Alarms:
    """Alarms of windows of films that the reference has no review of: both come from blocks of their own."""
    block = np.arange(len(pool)) * 2 * FILM_BLOCKS // len(pool) % FILM_BLOCKS  # the file is sorted by label
    n = max(1, config.n_windows // 5)

    def windows() -> Iterator[tuple[Readings, Readings]]:
        for trial in range(n):
            draw = np.random.default_rng((config.seed, trial))
            known = np.isin(block, draw.permutation(FILM_BLOCKS)[:3])
            rows = [draw.permutation(np.flatnonzero(side)) for side in (known, ~known)]
            yield pool[rows[0][: config.n_reference]], pool[rows[1][: config.window]]

    return _judge_all(windows, n, "other films", config)


def alarms(pools: Mapping[str, Readings], kind: str, share: float, config: "DriftPowerConfig") -> Alarms:
    """Alarms of windows with a share of texts of this kind, the rest sentences that are not in the reference."""
    sentences, others, n_others = pools[SENTENCES], pools[kind], round(share * config.window)

    def windows() -> Iterator[tuple[Readings, Readings]]:
        for trial in range(config.n_power):
            draw = np.random.default_rng((config.seed, trial, n_others))
            order, chosen = draw.permutation(len(sentences)), draw.permutation(len(others))[:n_others]
            reference, rest = order[: config.n_reference], order[config.n_reference :]
            yield sentences[reference], join(sentences[rest[: config.window - n_others]], others[chosen])

    return _judge_all(windows, config.n_power, f"{kind}, {share:.0%}", config)


def accuracies(pools: Mapping[str, Readings], tuning: Mapping[str, Readings]) -> dict[str, Any]:
    """Every estimate beside the truth, on test parts, and which one the validation parts choose.

    The reference is all of the sentences, whose accuracy is the point from which accuracy is lost.
    """
    reference = pools[SENTENCES]
    chosen, errors = choose(reference, tuning)
    truth = {kind: float(pools[kind].right.mean()) for kind in SHIFTS}
    estimates = {
        name: {kind: estimate(reference, pools[kind]) for kind in SHIFTS} for name, estimate in ESTIMATES.items()
    }
    start = float(reference.right.mean())
    return {
        "reference_accuracy": start,
        "accuracy": truth,
        "estimated_accuracy": estimates[CHOSEN],
        "accuracy_loss": {kind: start - truth[kind] for kind in SHIFTS},
        "estimated_accuracy_loss": {kind: start - estimates[CHOSEN][kind] for kind in SHIFTS},
        "estimate": CHOSEN,
        "estimate_chosen_on_validation": chosen,
        "validation_error": errors,
        "estimates": estimates,
    }


def judge_ms(pool: Readings, config: "DriftPowerConfig") -> float:
    """Median time of a verdict, its texts already read."""
    reference, window = pool[: config.n_reference], pool[config.n_reference :][: config.window]
    times = []
    for _ in range(N_TIMED):
        with Timer() as timer:
            judge(reference, window, config.alpha)
        times.append(1000 * timer.seconds)
    return median(times)


def _windows(pool: Readings, config: "DriftPowerConfig") -> int:
    """Windows that the pool holds beside a reference. Raises UserError where there is not one."""
    n = (len(pool) - config.n_reference) // config.window
    if n < 1:
        sizes = f"a reference of {config.n_reference} and a window of {config.window}"
        raise UserError(f"{len(pool):,} held-out texts are too few for {sizes}: make one of them smaller")
    return n


def _judge_all(
    windows: Callable[[], Iterator[tuple[Readings, Readings]]], n: int, title: str, config: "DriftPowerConfig"
) -> Alarms:
    found: Alarms = {}
    with progress_bar(title, n) as update:
        for number, (reference, window) in enumerate(windows()):
            verdict = judge(reference, window, config.alpha, seed=(config.seed, number))
            for test, alarm in _by_test(verdict).items():
                found.setdefault(test, []).append(alarm)
            update(done=number + 1)
    return found


def _by_test(verdict: Verdict) -> dict[str, bool]:
    single = {name: test.p <= verdict.alpha for name, test in verdict.tests.items()}
    rules = {rule: verdict.tests["psi_score"].statistic > limit for rule, limit in RULES.items()}
    return {VERDICT: verdict.drift, **single, **rules}


def _error(alarms: Sequence[bool], per_trial: int) -> float | None:
    """Standard error of the rate of alarms, from the trials' own rates."""
    rates = np.reshape(alarms, (-1, per_trial)).mean(1)
    return float(rates.std(ddof=1) / np.sqrt(len(rates))) if len(rates) > 1 else None
