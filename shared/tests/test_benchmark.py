"""The benchmark command, with small measurements of our own."""

import json
from dataclasses import dataclass

import pytest

from shared.benchmark import Benchmark, BenchmarkConfig, Outcome, _portable, run_benchmarks
from shared.errors import UserError


@dataclass(frozen=True, kw_only=True)
class CountConfig(BenchmarkConfig):
    """Count the characters of a file."""

    data: str
    """A text file."""
    train: bool = False
    """Pretend to train."""


@pytest.fixture
def project(tmp_path):
    (tmp_path / "data" / "text").mkdir(parents=True)
    (tmp_path / "data" / "text" / "a.txt").write_text("four")
    (tmp_path / "project").mkdir()
    return tmp_path / "project"


def count(config: CountConfig) -> Outcome:
    with open(config.data) as file:
        return Outcome({"n": len(file.read()), "trained": config.train})


def steps(config: BenchmarkConfig) -> Outcome:
    return Outcome({"best": 2}, [{"model": "a", "score": 1}, {"model": "b", "score": 2}])


@dataclass(frozen=True, kw_only=True)
class PeerConfig(BenchmarkConfig):
    """Needs more than a folder of sets."""

    peer: str
    """A checkout."""


BENCHMARKS = {"count": Benchmark(CountConfig, count, "text/a.txt"), "steps": Benchmark(BenchmarkConfig, steps)}
BENCHMARKS["peer"] = Benchmark(PeerConfig, steps)


def run(project, capsys, *arguments) -> dict:
    run_benchmarks(project, BENCHMARKS, arguments)
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_the_last_line_has_the_result_with_seconds_seed_and_threads(project, capsys):
    result = run(project, capsys, "steps", "--seed", "3", "--threads", "1")
    assert result.pop("seconds") >= 0
    assert result == {"best": 2, "seed": 3, "threads": 1}
    assert not (project / "results").exists(), "nothing is kept unless asked"


def test_a_kept_result_says_how_it_was_made_and_names_no_folder_of_this_machine(project, capsys):
    data = str(project.parent / "data" / "text" / "a.txt")
    run(project, capsys, "count", "--data", data, "--save")
    kept = json.loads((project / "results" / "count.json").read_text())
    assert kept["command"] == "python -m project.benchmark count --data $DATA/text/a.txt"
    assert kept["result"]["n"] == 4
    assert kept["rows"] == [{"n": 4, "trained": False}]
    assert {"date", "commit", "hardware", "python"} <= set(kept)


def test_another_set_of_the_same_folder_is_named_below_it_too(project, capsys):
    folder = project.parent / "data" / "text"
    (folder / "b.txt").write_text("ab")
    run(project, capsys, "count", "--data", str(folder / "b.txt"), "--save")
    kept = json.loads((project / "results" / "count.json").read_text())
    assert kept["command"] == "python -m project.benchmark count --data $DATA/text/b.txt"


@pytest.mark.parametrize("flag", ["--run /home/me/runs/kept", "--run=/home/me/runs/kept", "--run '/home/me/runs/kept'"])
def test_of_another_absolute_path_a_kept_command_has_the_last_name_only(flag):
    command = _portable(f"python -m project.benchmark steps {flag} --save", BENCHMARKS["steps"], BenchmarkConfig())
    assert "kept" in command and "/" not in command


def test_all_takes_the_folder_of_sets_and_keeps_each_result(project, capsys):
    result = run(project, capsys, "all", "--data", str(project.parent / "data"), "--save", "--full")
    assert result["count"]["n"] == 4 and result["count"]["trained"] and result["steps"]["best"] == 2
    assert {file.name for file in (project / "results").iterdir()} == {"count.json", "steps.json"}
    kept = json.loads((project / "results" / "count.json").read_text())
    assert kept["command"] == "python -m project.benchmark count --data $DATA/text/a.txt --train"


def test_all_takes_a_sample_of_what_is_long_and_keeps_nothing_of_it(project, capsys):
    benchmarks = {
        "sampled": Benchmark(CountConfig, count, "text/a.txt", sample={"train": True}),
        "hours": Benchmark(BenchmarkConfig, steps, long=True),
    }
    flags = ["all", "--data", str(project.parent / "data"), "--save"]
    run_benchmarks(project, benchmarks, flags)
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert set(result) == {"sampled"} and result["sampled"]["trained"]
    assert not (project / "results").exists()
    run_benchmarks(project, benchmarks, [*flags, "--full"])
    assert {file.name for file in (project / "results").iterdir()} == {"sampled.json", "hours.json"}


def test_all_without_data_leaves_out_what_needs_it(project, capsys):
    assert set(run(project, capsys, "all")) == {"steps"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["cuont"], "did you mean count"),
        (["count"], "--data: missing"),
        (["steps", "--threads", "0"], "--threads 0: give at least 1"),
        (["all", "--data", "nowhere"], "holds no text/a.txt"),
    ],
)
def test_bad_input_is_one_line(project, capsys, arguments, message):
    with pytest.raises(UserError) as refusal:
        run(project, capsys, *arguments)
    assert message in str(refusal.value)
