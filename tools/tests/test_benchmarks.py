"""The benchmarks of all projects, as `make bench` sees them, without running one."""

import importlib
import json
import re
from dataclasses import MISSING, fields

import pytest

from shared.benchmark import Benchmark
from tools.projects import CHECKOUT, existing_projects

DATA_MD = (CHECKOUT / "docs" / "data.md").read_text(encoding="utf-8")
LIMIT = 90 * 60  # seconds that `make bench` may take
SAMPLE_SECONDS = 240  # what the samples are made to take at most on 2 cores, and a benchmark that was never kept


def benchmarks_of(project: str, monkeypatch) -> dict[str, Benchmark]:
    """The table that a project gives to the benchmark command."""
    module = importlib.import_module(f"{project}.benchmark")
    caught: dict[str, Benchmark] = {}
    monkeypatch.setattr(module, "run_benchmarks", lambda folder, benchmarks: caught.update(benchmarks))
    module.main()
    return caught


@pytest.mark.parametrize("project", existing_projects())
def test_every_set_that_a_benchmark_needs_stands_in_docs_data(project, monkeypatch):
    for name, benchmark in benchmarks_of(project, monkeypatch).items():
        if benchmark.data is not None:
            assert f"`{benchmark.data}`" in DATA_MD, f"{project} {name}"


def test_every_measuring_set_has_a_licence_and_a_checksum():
    rows = [line.strip("| ").split(" | ") for line in DATA_MD.split("## Measuring sets")[1].splitlines() if "|" in line]
    for path, _, licence, *checksums in rows[2:]:
        assert licence, path
        if path != "`pdfs`":  # any folder will do
            assert re.search(r"`[0-9a-f]{64}`", checksums[0]), path


def test_every_set_that_a_readme_or_a_kept_result_names_stands_in_docs_data():
    files = [*CHECKOUT.glob("*/README.md"), *CHECKOUT.glob("*/results/*.json")]
    named = {path for file in files for path in re.findall(r"\$DATA/([\w./-]*\w)", file.read_text(encoding="utf-8"))}
    assert {path for path in named if f"`{path}`" not in DATA_MD} == set()


@pytest.mark.parametrize("project", existing_projects())
def test_a_sample_is_made_of_settings_that_the_benchmark_has(project, monkeypatch):
    for name, benchmark in benchmarks_of(project, monkeypatch).items():
        assert set(benchmark.sample or {}) <= {field.name for field in fields(benchmark.config_class)}, name
        if not _needed(benchmark):
            benchmark.config_class(**(benchmark.sample or {}))


def _needed(benchmark: Benchmark) -> set[str]:
    """The settings without a default."""
    return {field.name for field in fields(benchmark.config_class) if field.default is MISSING}


def test_make_bench_ends_within_ninety_minutes(monkeypatch):
    """By the seconds of the kept results; what is sampled or was never kept counts as SAMPLE_SECONDS at most."""
    seconds = {}
    for project in existing_projects():
        for name, benchmark in benchmarks_of(project, monkeypatch).items():
            if benchmark.long or _needed(benchmark) - {"data"}:
                continue
            kept = sorted((CHECKOUT / project / "results").glob(f"{name}*.json"))
            whole = json.loads(kept[0].read_text())["result"]["seconds"] if kept else SAMPLE_SECONDS
            seconds[f"{project}.{name}"] = min(whole, SAMPLE_SECONDS) if benchmark.sample else whole
    assert sum(seconds.values()) < LIMIT, seconds
