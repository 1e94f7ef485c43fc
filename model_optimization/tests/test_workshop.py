"""Every method by name is made once, one that fails leaves the others, and what is recommended has passed the gate."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from model_optimization import measurement, shipped_student, texts, workshop
from model_optimization.gate import paired_loss, wilson_interval
from model_optimization.measurement import BASELINE, measure, peak_mb
from model_optimization.optimize import OptimizeConfig, main, optimize, recommend
from model_optimization.runtime import ONNX, VARIANT, Variant
from model_optimization.subject import MODEL, SHAPE, save_subject
from model_optimization.texts import Texts, film_sentences, load_texts
from model_optimization.workshop import METHODS, Workshop, choose_methods
from shared.config import build
from shared.datasets import Example
from shared.errors import UserError
from shared.leaks import text_id
from shared.splits import Splits


@pytest.fixture
def toy(make_reviews, monkeypatch) -> Texts:
    """Texts for all that learns, in the place of the packaged sets."""
    reviews = make_reviews(40)
    found = Texts("toy", reviews[:30], reviews[30:], reviews[30:])
    monkeypatch.setattr(texts, "load_texts", lambda *_: found)
    monkeypatch.setattr(texts, "film_sentences", lambda n, seed: [Example("a dull plot of love")] * 10)
    for module in (texts, workshop):
        monkeypatch.setattr(module, "film_texts", lambda: ["a good film ."] * 5 + ["the bad plot"] * 4)
    monkeypatch.setattr(workshop, "NARROW", 6)
    monkeypatch.setattr(shipped_student, "WORD_WIDTH", 4)
    monkeypatch.setattr(shipped_student, "AT_LEAST_AFTER", 5)
    return found


@pytest.fixture
def no_export(onnx_variant, monkeypatch) -> list[Path]:
    """The ONNX file of the session's subject is taken instead of seconds of export. Notes where to."""
    written = []

    def copied(_: object, folder: Path, attention: bool = True) -> Variant:
        written.append(folder)
        shutil.copytree(onnx_variant.folder, folder)
        return Variant(folder)

    monkeypatch.setattr(workshop, "convert", copied)
    return written


def test_the_methods_asked_for_follow_the_baseline():
    assert choose_methods("all") == list(METHODS) and next(iter(METHODS)) == BASELINE
    assert choose_methods("trimmed,int8_dynamic") == [BASELINE, "trimmed", "int8_dynamic"]
    assert choose_methods(f"trimmed,{BASELINE}") == [BASELINE, "trimmed"]
    assert choose_methods("trimmed,trimmed") == [BASELINE, "trimmed"]
    for names in ("trimmed,nothing", ""):
        with pytest.raises(UserError, match=f"--methods {names.split(',')[-1]}: no such method") as caught:
            choose_methods(names)
        assert "\n" not in str(caught.value)


def test_every_method_names_a_classifier_that_can_be_made(make_subject, toy, tmp_path):
    shop = Workshop(make_subject(heads=(2,) * 6, neurons=(8,) * 6), toy, tmp_path)
    assert {method.classifier for method in METHODS.values()} == shop.makers.keys()
    made = {name: shop.classifier(name) for name in shop.makers}
    shapes = {name: subject.model.shape for name, subject in made.items()}
    trained = shapes["trained"]
    assert shapes["aware"] == shapes["magnitude"] == trained
    assert sum(shapes["structured"].heads) == sum(trained.heads) / 2
    assert sum(shapes["structured"].neurons) == sum(trained.neurons) / 2
    assert shapes["factorised"].word_width == 6
    assert shapes["student"] == shapes["student_alone"] and shapes["student"].n_layers == 3
    assert shapes["trimmed"].n_pieces < trained.n_pieces
    assert shapes["student"].word_width == 4 and shapes["student"].n_pieces == shapes["trimmed"].n_pieces
    kept = made["trimmed"].tokenizer.get_vocab()
    assert {"good", "film"} <= kept.keys() and not {"bad", "plot"} & kept.keys(), "at least five times"
    weights = {name: subject.model.output.weight for name, subject in made.items()}
    assert not torch.equal(weights["student"], weights["student_alone"])
    assert torch.equal(weights["trained"], shop.subject.model.output.weight)
    assert not torch.equal(weights["aware"], weights["trained"])
    files = {file.name for file in tmp_path.rglob("*") if file.is_file()}
    assert files == {SHAPE, MODEL, "tokenizer.json", "train_ids.sha256", "made_of.json"}, "no checkpoint stays"


def test_what_is_finished_is_not_made_again(subject, toy, no_export, tmp_path):
    asked = []

    def make(folder: Path):
        asked.append(folder.name)
        return subject

    for _ in range(2):
        shop = Workshop(subject, toy, tmp_path)
        shop.makers["student"] = make
        for name in ("student", "student_int8"):
            variant = shop.variant(name)
            assert variant.folder == tmp_path / "variants" / name and variant.logits(["good"]).shape == (1, 2)
    assert asked == ["student"] and no_export == [tmp_path / "variants" / "student"]
    (tmp_path / "classifiers" / "student" / SHAPE).unlink()
    (tmp_path / "variants" / "student_int8" / VARIANT).unlink()
    shop.variant("student")
    assert asked == ["student"], "the variant is whole"
    shop.variant("student_int8")
    assert asked == ["student"] and len(no_export) == 1, "it is made of the ONNX file, which is whole"


def test_a_folder_of_another_classifier_set_or_seed_is_refused(make_subject, toy, tmp_path):
    Workshop(make_subject(), toy, tmp_path)
    Workshop(make_subject(), toy, tmp_path)
    others = [
        (make_subject(heads=(2, 2)), toy, 0),
        (make_subject(), replace(toy, name="x"), 0),
        (make_subject(), replace(toy, train=toy.train[1:]), 0),
        (make_subject(), toy, 1),
    ]
    for subject, its_texts, seed in others:
        with pytest.raises(UserError, match="of another classifier, set or seed"):
            Workshop(subject, its_texts, tmp_path, seed)


def test_each_packing_gives_the_engine_that_it_names(subject, toy, no_export, tmp_path):
    shop = Workshop(subject, toy, tmp_path)
    ours = {name: method for name, method in METHODS.items() if "openvino" not in name}
    found = {name: shop.variant(name) for name, method in ours.items() if method.classifier == "trained"}
    engines = {name: variant.settings.engine for name, variant in found.items()}
    assert engines == {
        "fp32_torch": "torch",
        "bf16_torch": "torch_bf16",
        "int8_torch_legacy": "torch_int8",
        "fp32_onnx": "onnx",
        "int8_dynamic": "onnx",
        "int8_static": "onnx",
    }
    logits = {name: variant.logits(["the plot is bad", "good"]) for name, variant in found.items()}
    for name in found:
        np.testing.assert_allclose(logits[name], logits["fp32_torch"], atol=1e-4 if "fp32" in name else 0.15)
    assert len({variant.tobytes() for variant in logits.values()}) == len(found)
    # In a batch with a longer text the scale of dynamic activations is another one.
    alone = {name: variant.logits(["the plot is bad", "good film " * 9], 1) for name, variant in found.items()}
    beside = {name: variant.logits(["the plot is bad", "good film " * 9], 16) for name, variant in found.items()}
    same = {name for name in found if np.allclose(alone[name], beside[name], atol=1e-2 if "bf16" in name else 1e-5)}
    assert {name for name in found if found[name].settings.batch_independent} == same
    assert same == found.keys() - {"int8_torch_legacy", "int8_dynamic"}
    assert found["int8_dynamic"].size_mb < 0.7 * found["fp32_onnx"].size_mb
    assert (found["int8_static"].folder / ONNX).read_bytes() != (found["int8_dynamic"].folder / ONNX).read_bytes()


@pytest.mark.parametrize("name, tolerance", [("openvino", 1e-2), ("openvino_int8", 0.3)])
def test_the_peer_answers_from_the_same_file(name, tolerance, subject, toy, tmp_path):
    pytest.importorskip("openvino")
    pytest.importorskip("nncf")
    shop = Workshop(subject, toy, tmp_path)
    peer, ours = shop.variant(name), shop.variant("fp32_onnx")
    for asked in (["the plot is bad", "good"], ["a film"] * 5):
        np.testing.assert_allclose(peer.logits(asked), ours.logits(asked), atol=tolerance)
    assert peer.settings.engine == "openvino"
    assert (peer.folder / "model.bin").stat().st_size < 1e6 * ours.size_mb
    (peer.folder / "model.xml").write_text("<net")
    with pytest.raises(UserError, match="OpenVINO cannot load it"):
        Variant(peer.folder)


def test_without_the_peers_library_its_row_says_so(subject, toy, no_export, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(UserError, match=r"openvino is not here: it is an optional extra, pip install -e .\[peers\]"):
        Workshop(subject, toy, tmp_path).variant("openvino")


@pytest.mark.parametrize("train", [False, True])
def test_what_the_shipped_student_learned_from_is_not_tested_on(train, make_subject, tmp_path, monkeypatch):
    ids = {name: text_id(name) for name in ("subject", "student")}
    for name, own in ids.items():
        save_subject(make_subject().with_model(make_subject().model, [own]), tmp_path / name)
        monkeypatch.setattr(f"model_optimization.optimize.{name.upper()}", str(tmp_path / name))
    asked = []

    def load_texts(dataset, trained_on, n_classes):
        asked.append(set(trained_on))
        raise UserError("enough")

    monkeypatch.setattr(texts, "load_texts", load_texts)
    with pytest.raises(UserError, match="enough"):
        optimize(OptimizeConfig(run=str(tmp_path / "subject"), train=train, output=str(tmp_path / "out")))
    assert ids["subject"] in asked[0] and (ids["student"] in asked[0]) == (not train)


@pytest.fixture
def measured(subject, toy, no_export, tmp_path, monkeypatch):
    """`measured(texts, turns)`: rows of the baseline and of one whose answers are all the other class."""
    monkeypatch.setattr(measurement, "peak_mb", lambda folder: 7.0)
    monkeypatch.setattr(measurement, "N_TIMED", {1: 3, 16: 32})
    shop = Workshop(subject, toy, tmp_path)

    class Wrong:
        name, folder, size_mb = "wrong", tmp_path, 1.0
        settings = shop.variant(BASELINE).settings

        def logits(self, texts, batch_size=16):
            return -shop.variant(BASELINE).logits(texts, batch_size)

    def get(test: list[Example], turns: int = 2, most_lost: float = 0.01):
        return measure([shop.variant(BASELINE), shop.variant("fp32_onnx"), Wrong()], test, (1, 16), turns, most_lost)

    return get


def test_a_row_holds_what_its_answers_were_worth(measured, subject, make_reviews):
    from model_optimization.fidelity import answers

    reviews = make_reviews(400)
    right = answers(subject, reviews) == np.array([review.label for review in reviews])
    rows = {(row["method"], row["batch"]): row for row in measured(reviews)}
    assert rows.keys() == {(name, batch) for name in (BASELINE, "fp32_onnx", "wrong") for batch in (1, 16)}
    for (name, _), row in rows.items():
        own = ~right if name == "wrong" else right
        assert row["accuracy"] == pytest.approx(own.mean())
        assert row["accuracy_ci"] == wilson_interval(own.sum(), 400)
        assert (row["loss"], row["loss_bound"]) == paired_loss(right, own)
        assert row["ships"] == (row["loss_bound"] <= 0.01) and row["peak_mb"] == 7.0
        assert 0 < row["p50_ms"] <= row["p95_ms"] and row["texts_per_s"] > 0
    assert rows[BASELINE, 1]["ships"] and rows[BASELINE, 1]["speed_up"] == 1.0
    assert rows["wrong", 1]["size_mb"] == 1.0 and rows["wrong", 1]["speed_up"] < 1.5


def test_turns_begin_with_another_variant_each_and_time_whole_batches(monkeypatch):
    called = []

    class Named:
        def __init__(self, name: str) -> None:
            self.name = name

        def logits(self, texts, batch_size):
            called.append((self.name, len(texts), batch_size))

    monkeypatch.setattr(measurement, "N_TIMED", {4: 8})
    seconds = measurement._take_turns([Named("a"), Named("b"), Named("c")], [str(i) for i in range(20)], 4, 4)
    order = [name for name, *_ in called[::3]]  # a warm-up and two batches each
    assert order == [*"abc", *"bca", *"cab", *"abc"]
    assert {size for _, *sizes in called for size in sizes} == {4}
    assert {name: [len(turn) for turn in turns] for name, turns in seconds.items()} == dict.fromkeys("abc", [2] * 4)


def test_the_memory_is_that_of_the_variant_alone_however_large_its_parent(onnx_variant):
    """On Linux a process starts with its parent's peak as its own, if asked by getrusage."""
    before = peak_mb(onnx_variant.folder)
    assert 20 < before < 400
    ballast = bytearray(600_000_000)
    assert peak_mb(onnx_variant.folder) == pytest.approx(before, abs=60)
    del ballast


@pytest.mark.parametrize(
    "stderr, reason", [("Traceback\nUserError: no finished variant", "no finished variant"), ("", "exit code -9")]
)
def test_a_variant_that_cannot_run_alone_is_one_clear_line(stderr, reason, tmp_path, monkeypatch):
    done = subprocess.CompletedProcess([], -9, "", stderr)
    monkeypatch.setattr(measurement.subprocess, "run", lambda *_, **__: done)
    with pytest.raises(UserError, match=f"could not be run alone .*{reason}") as caught:
        peak_mb(tmp_path)
    assert "\n" not in str(caught.value)


def row(method: str, batch: int, ships: bool, p50: float, rate: float, size: float) -> dict:
    return {"method": method, "batch": batch, "ships": ships, "p50_ms": p50, "texts_per_s": rate, "size_mb": size}


def test_only_what_ships_is_recommended_by_purpose():
    rows = [
        row("whole", 1, True, 9, 100, 90),
        row("whole", 16, True, 90, 200, 90),
        row("quick", 1, True, 3, 300, 50),
        row("quick", 16, False, 20, 900, 50),
        row("small", 1, True, 5, 150, 20),
        row("small", 16, True, 50, 400, 20),
        row("wrong", 1, False, 1, 999, 1),
        row("wrong", 16, False, 1, 999, 1),
    ]
    assert recommend(rows) == {"one_text": "quick", "many_texts": "small", "smallest": "small"}


def test_where_nothing_passes_nothing_is_recommended():
    assert recommend([row("whole", 1, False, 1, 1, 1), row("whole", 16, False, 1, 1, 1)]) == {}
    assert recommend([row("a", 1, True, 1, 1, 1), row("a", 16, False, 1, 1, 1)]) == {"one_text": "a"}


@pytest.fixture
def run(subject, make_reviews, no_export, tmp_path, monkeypatch) -> dict[str, str]:
    """Flags of a run on a file of reviews, whose memory is not asked."""
    save_subject(subject, tmp_path / "subject")
    rows = [
        json.dumps({"text": f"{review.text} {i}", "label": review.label}) for i, review in enumerate(make_reviews(400))
    ]
    (tmp_path / "reviews.jsonl").write_text("\n".join(rows))
    monkeypatch.setattr(measurement, "peak_mb", lambda folder: 7.0)
    monkeypatch.setattr(measurement, "N_TIMED", {1: 3, 16: 32})
    names = {"run": "subject", "dataset": "reviews.jsonl", "output": "output"}
    return {flag: str(tmp_path / name) for flag, name in names.items()}


def test_a_method_that_fails_leaves_the_others(run, monkeypatch):
    def fail(*_: object) -> None:
        raise UserError("torch has it no longer")

    monkeypatch.setattr("model_optimization.torch_engine.quantize_legacy", fail)
    methods = "int8_torch_legacy,bf16_torch,factorised,int8_dynamic"  # the subject is too narrow for 128 numbers a word
    found = optimize(OptimizeConfig(**run, methods=methods, turns=1, most_lost=0.5))
    assert found["failed"].keys() == {"int8_torch_legacy", "factorised"}
    assert found["failed"]["int8_torch_legacy"] == "torch has it no longer"
    assert found["failed"]["factorised"].startswith("a word width of 128")
    assert {row["method"] for row in found["rows"]} == {BASELINE, "bf16_torch", "int8_dynamic"}
    assert len(found["rows"]) == 6 and found["rows"][0]["method"] == BASELINE
    sizes = {row["method"]: row["size_mb"] for row in found["rows"]}
    assert found["recommended"]["smallest"] == min(sizes, key=sizes.__getitem__) and len(found["recommended"]) == 3
    assert 20 < found["n_test"] < 60 and found["n_excluded"] == 0


def test_a_baseline_that_cannot_be_had_ends_it(run, monkeypatch):
    optimize(OptimizeConfig(**run, methods=BASELINE, turns=1))
    (Path(run["output"]) / "variants" / BASELINE / MODEL).unlink()
    with pytest.raises(UserError, match="cut short or unreadable"):
        optimize(OptimizeConfig(**run, methods=BASELINE, turns=1))


def test_the_program_ends_with_one_json_line_and_keeps_the_table(run, capsys):
    main(
        [part for flag, value in {**run, "methods": "fp32_onnx", "turns": "1"}.items() for part in (f"--{flag}", value)]
    )
    told = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    table = json.loads((Path(run["output"]) / "table.json").read_text())
    assert told["table"] == str(Path(run["output"]) / "table.json")
    assert table["rows"] == told["rows"] and {row["method"] for row in table["rows"]} == {BASELINE, "fp32_onnx"}


@pytest.mark.parametrize("values", [{"most_lost": 1.0}, {"most_lost": -0.1}, {"turns": 0}, {"threads": 0}])
def test_a_refused_setting_is_named(values):
    with pytest.raises(UserError, match=f"--{next(iter(values))}"):
        build(OptimizeConfig, values)


def test_texts_trained_on_are_not_tested_on(run):
    whole = load_texts(run["dataset"])
    assert whole.n_excluded == 0 and {example.label for example in whole.test} == {0, 1}
    trained_on = frozenset(text_id(example.text) for example in whole.test[:5])
    part = load_texts(run["dataset"], trained_on)
    assert part.test == whole.test[5:] and part.n_excluded == 5 and part.train == whole.train
    parts = [{example.text for example in side} for side in (whole.train, whole.validation, whole.test)]
    assert sum(map(len, parts)) == len(set.union(*parts)) == 400


def test_texts_are_cleaned_and_their_labels_known(tmp_path):
    file = tmp_path / "texts.csv"
    lines = [f"a <br /> film&amp;plot {i},{i % 3}" for i in range(60)]
    file.write_text("\n".join(["text,label", *lines]))
    found = load_texts(str(file), n_classes=3)
    assert len(found.train) > 30
    assert not any("<br" in example.text or "&amp;" in example.text for example in found.train)
    with pytest.raises(UserError, match="has the label 2, and the classifier 2 classes"):
        load_texts(str(file))
    file.write_text("\n".join(["text,label", *(f"a film {i},{1 - i % 2 * 2}" for i in range(60))]))
    with pytest.raises(UserError, match="has the label -1, and the classifier 2 classes, numbered from 0"):
        load_texts(str(file))
    file.write_text("text\n" + "\n".join(lines))
    with pytest.raises(UserError, match="has no labels"):
        load_texts(str(file))


def test_a_hub_set_is_split_like_a_file(monkeypatch, make_reviews):
    reviews = [Example(f"{review.text} {i}", review.label) for i, review in enumerate(make_reviews(100))]
    monkeypatch.setattr(texts, "load_examples", lambda name: reviews if name == "owner/films" else [])
    found = load_texts("owner/films")
    assert found.name == "owner/films" and len(found.train) > 60
    assert sum(len(part) for part in (found.train, found.validation, found.test)) == 100


def test_sentences_to_learn_from_are_whole_ones_that_no_set_holds_out(monkeypatch):
    reviews = [
        Example(
            "A good film of love! Dull. It was very bad indeed, they said. " + "word " * 61 + ". The end of it all."
        ),
        Example("This was held out somewhere. A GOOD film of love!"),
    ]

    def packaged(name: str) -> Splits:
        if name == "imdb":
            return Splits(name, reviews, [], [])
        return Splits(name, [], [Example("this was held out somewhere.")], [])

    monkeypatch.setattr(texts, "load_packaged", packaged)
    found = {example.text for example in film_sentences(10)}
    assert found == {"A good film of love!", "It was very bad indeed, they said.", "The end of it all."}
    assert all(example.label is None for example in film_sentences(10))
    assert len(film_sentences(2)) == 2 and film_sentences(2, seed=1) == film_sentences(2, seed=1)
    assert film_sentences(0) == []


@pytest.mark.slow
@pytest.mark.network
def test_the_packaged_sets_give_sentences_and_texts_on_films():
    sentences = film_sentences(50)
    assert len({example.text for example in sentences}) == 50
    held_out = {example.text for example in load_texts().test}
    assert not held_out & {example.text for example in sentences}
