"""The commands from end to end with a tiny classifier: a reference, a stream that grows, a report, and bad input."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest

from model_optimization.config import REFERENCE, SUBJECT
from model_optimization.monitoring import drift_detection, make_reference, make_shipped
from model_optimization.monitoring.drift_detection import DriftConfig
from model_optimization.monitoring.readings import load, read
from model_optimization.subject import checksum, load_subject, save_subject
from shared.errors import UserError
from shared.leaks import save_ids
from shared.phrases import phrase

SCENES = "the film is a scene and it was very dull of this plot".split()
OTHERS = "!!! ,,, ... aa bb cc dd".split()


def make_texts(n, words, seed):
    draw = np.random.default_rng(seed)
    return [" ".join(draw.choice(words, draw.integers(4, 12))) + f" {seed} {i}" for i in range(n)]


def write_csv(file, texts, labels=None):
    with open(file, "w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        writer.writerow(["text", "label"][: 1 if labels is None else 2])
        writer.writerows(zip(texts, *([] if labels is None else [labels]), strict=True))
    return str(file)


@pytest.fixture
def run(subject, tmp_path):
    """The folder of a classifier."""
    save_subject(subject, tmp_path / "classifier")
    return str(tmp_path / "classifier")


@pytest.fixture
def reference(run, tmp_path, capsys):
    file = write_csv(tmp_path / "films.csv", make_texts(150, SCENES, 0), [i % 2 for i in range(150)])
    folder = str(tmp_path / "reference")
    make_reference.main(["--data", file, "--run", run, "--output", folder])
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["n"] == 150 and 0 <= told["accuracy"] <= 1
    return folder


@pytest.fixture
def watch(run, reference, tmp_path, capsys):
    """Runs the command on a file, and gives its last line."""

    def command(file, *more):
        flags = [
            "--file",
            file,
            "--run",
            run,
            "--reference",
            reference,
            "--output",
            str(tmp_path / "out"),
            "--window",
            "40",
        ]
        drift_detection.main([*flags, *more])
        return json.loads(capsys.readouterr().out.splitlines()[-1])

    return command


def lines_of(tmp_path):
    return [json.loads(line) for line in (tmp_path / "out/windows.jsonl").read_text().splitlines()]


def test_a_stream_that_turns_to_other_texts_is_told_of_from_that_window_on(watch, tmp_path):
    told = watch(write_csv(tmp_path / "in.csv", make_texts(80, SCENES, 1) + make_texts(90, OTHERS, 2)))
    assert [line["drift"] for line in lines_of(tmp_path)] == [False, False, True, True]
    assert told["windows"] == 4 and told["drifted"] == 2 and told["waiting"] == 10
    assert told["false_alarms_expected"] == pytest.approx(0.2)
    assert lines_of(tmp_path)[0]["accuracy"] is None


def test_a_file_that_has_grown_goes_on_with_what_is_new(watch, tmp_path):
    texts = make_texts(170, SCENES, 1)
    first = watch(write_csv(tmp_path / "in.csv", texts[:95]))
    assert first["n_judged"] == 2 and first["waiting"] == 15
    second = watch(write_csv(tmp_path / "in.csv", texts))
    assert second["n_new"] == 75 and second["n_judged"] == 2 and second["windows"] == 4
    grown = lines_of(tmp_path)
    nothing_new = watch(write_csv(tmp_path / "in.csv", texts))
    assert nothing_new["n_new"] == nothing_new["n_judged"] == 0 and lines_of(tmp_path) == grown
    watch(write_csv(tmp_path / "in.csv", texts), "--output", str(tmp_path / "at once"))
    at_once = [json.loads(line) for line in (tmp_path / "at once/windows.jsonl").read_text().splitlines()]
    assert [line["drift"] for line in at_once] == [line["drift"] for line in grown]
    np.testing.assert_allclose(*([line["estimated_accuracy"] for line in all_] for all_ in (at_once, grown)), atol=1e-4)


def test_a_run_that_was_killed_before_a_verdict_gives_it_when_run_again(watch, tmp_path, monkeypatch):
    file = write_csv(tmp_path / "in.csv", make_texts(40, SCENES, 1))

    def die(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("model_optimization.monitoring.stream.judge", die)
    with pytest.raises(KeyboardInterrupt):
        watch(file)
    monkeypatch.undo()
    assert watch(file)["n_judged"] == 1


def test_labels_in_the_file_are_the_true_accuracy(watch, run, tmp_path):
    texts = make_texts(40, SCENES, 1)
    answers = read(load_subject(run), texts).probabilities.argmax(1)
    watch(write_csv(tmp_path / "in.csv", texts, [*answers[:30], *(1 - answers[30:])]))
    assert lines_of(tmp_path)[0]["accuracy"] == 0.75


def test_the_report_has_both_languages_and_loads_nothing(watch, tmp_path):
    watch(write_csv(tmp_path / "in.csv", make_texts(80, OTHERS, 2), [0, 1] * 40))
    page = (tmp_path / "out/report.html").read_text(encoding="utf-8")
    for key in ("title", "caption.p_values", "number.expected", "test.ks_length", "caption.lengths"):
        for language in ("en", "zh"):
            assert phrase(f"optimization.drift.{key}", language, n=30) in page
    assert page.count('class="plot"') == 4
    own = re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)
    assert not re.findall(r"https?://|<img|<link rel=.stylesheet", own)


@pytest.mark.parametrize("format_", ["jsonl", "txt"])
def test_other_formats_are_read_too(watch, tmp_path, format_):
    texts = make_texts(40, SCENES, 1)
    lines = [json.dumps({"text": text}) for text in texts] if format_ == "jsonl" else texts
    (tmp_path / f"in.{format_}").write_text("\n".join(lines), encoding="utf-8")
    assert watch(str(tmp_path / f"in.{format_}"))["windows"] == 1


def refuse(named, call, *arguments):
    with pytest.raises(UserError, match=named) as caught:
        call(*arguments)
    assert "\n" not in str(caught.value)


def test_bad_files_are_one_clear_line(watch, tmp_path):
    refuse("no such file", watch, str(tmp_path / "none.csv"))
    refuse("39 texts, fewer than a window of 40", watch, write_csv(tmp_path / "few.csv", make_texts(39, SCENES, 1)))
    refuse("0 texts, fewer than", watch, write_csv(tmp_path / "empty.csv", []))
    refuse("row 2 has no text", watch, _write(tmp_path / "nan.jsonl", '{"text": "a"}\n{"text": NaN}'))
    refuse(
        "label 7: the classifier has 2 classes",
        watch,
        write_csv(tmp_path / "l.csv", make_texts(40, SCENES, 1), [7] * 40),
    )
    (tmp_path / "latin.csv").write_bytes(b"text\ncaf\xe9\n")
    refuse("not UTF-8", watch, str(tmp_path / "latin.csv"))
    assert not (tmp_path / "out/windows.jsonl").exists()


def _write(file, text):
    file.write_text(text, encoding="utf-8")
    return str(file)


def test_another_file_does_not_go_on_with_a_stream(watch, tmp_path):
    texts = make_texts(60, SCENES, 1)
    watch(write_csv(tmp_path / "in.csv", texts))
    for other in (texts[:45], ["another", *texts[1:]], make_texts(90, SCENES, 3)):
        refuse("stream of another file", watch, write_csv(tmp_path / "other.csv", other))
    refuse(
        "holds a stream with", watch, write_csv(tmp_path / "in.csv", texts), "--alpha", "0.01", "--permutations", "600"
    )


def test_equal_and_empty_texts_are_a_window_like_any_other(watch, tmp_path):
    told = watch(write_csv(tmp_path / "in.csv", ["the film", " "] * 20 + ["awful"] * 40))
    assert told["drifted"] == 2


def test_a_reference_by_another_classifier_is_refused(watch, reference, make_subject, tmp_path):
    save_subject(make_subject(heads=(4, 2)), tmp_path / "other")
    file = write_csv(tmp_path / "in.csv", make_texts(40, SCENES, 1))
    refuse("another classifier", watch, file, "--run", str(tmp_path / "other"))
    refuse("no finished reference", watch, file, "--reference", str(tmp_path / "nothing"))


def test_the_reference_leaves_out_what_the_classifier_was_trained_on(run, tmp_path, capsys):
    texts = make_texts(150, SCENES, 0)
    save_ids(tmp_path / "classifier", texts[:20])
    file = write_csv(tmp_path / "films.csv", texts)
    make_reference.main(["--data", file, "--run", run, "--output", str(tmp_path / "r"), "--n", "100"])
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["n"] == 100 and told["n_excluded"] == 20 and told["accuracy"] is None
    readings, _ = load(tmp_path / "r")
    assert len(readings.labelled) == 0
    save_ids(tmp_path / "classifier", texts[:60])
    refuse("90 texts that the classifier was not trained on", make_reference.main, ["--data", file, "--run", run])


def test_the_reference_is_drawn_at_random_and_again_the_same_by_the_same_seed(run, tmp_path):
    file = write_csv(tmp_path / "films.csv", ["a " * (i + 1) for i in range(300)])

    def lengths(seed):
        make_reference.main(
            ["--data", file, "--run", run, "--output", str(tmp_path / "r"), "--n", "100", "--seed", str(seed)]
        )
        return load(tmp_path / "r")[0].lengths.tolist()

    assert lengths(1) == lengths(1) != lengths(2)
    assert 200 < np.mean(lengths(1)) < 400, "it is not the head of the file, whose mean is 100"


@pytest.mark.parametrize(
    "flags, named",
    [
        ({"window": 19}, "--window 19"),
        ({"alpha": 0.0}, "--alpha 0.0"),
        ({"alpha": 1.0}, "--alpha 1.0"),
        ({"permutations": 119}, "--permutations 119: give at least 120"),
        ({"alpha": 0.01}, "--permutations 499: give at least 600"),
    ],
)
def test_settings_out_of_range_are_named(flags, named):
    with pytest.raises(ValueError, match=named):
        DriftConfig(file="texts.csv", **flags)


def test_what_ships_is_whole_and_was_read_by_the_classifier_that_ships():
    weights = checksum(Path(SUBJECT))
    for name in ("reference", "reviews", *make_shipped.SHIFTS):
        readings, about = load(Path(REFERENCE).parent / name, weights)
        assert len(readings) == about["n"] == len(readings.labelled) >= 300
        assert about["source"] == {"reference": "rotten_tomatoes", "reviews": "rotten_tomatoes"}.get(name, name)


@pytest.mark.slow
@pytest.mark.network
def test_what_ships_is_what_its_command_makes(tmp_path):
    make_shipped.make(tmp_path)
    for name in ("reference", "reviews", *make_shipped.SHIFTS):
        kept, made = load(Path(REFERENCE).parent / name)[0], load(tmp_path / name)[0]
        assert kept.lengths.tolist() == made.lengths.tolist() and kept.labels.tolist() == made.labels.tolist()
        # Another processor may round to bf16, or not.
        np.testing.assert_allclose(kept.probabilities, made.probabilities, atol=0.05)
        assert np.abs(kept.vectors.astype(float) - made.vectors).mean() < 0.02 * kept.vectors.astype(float).std()
