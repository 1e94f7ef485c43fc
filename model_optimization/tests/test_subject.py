"""Where a classifier may come from, what is kept of it, and that each fault of a folder is one clear line."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

from model_optimization.subject import MODEL, SHAPE, TOKENIZER, load_subject, save_subject
from shared.errors import UserError
from shared.leaks import TRAIN_IDS, save_ids, text_id

TEXT = "the film was not good, it is a dull plot"


def logits(model: torch.nn.Module, ids: list[int]) -> torch.Tensor:
    with torch.inference_mode():
        return model(torch.tensor([ids]), torch.ones(1, len(ids), dtype=torch.long))


def refuse(folder: Path, named: str) -> None:
    with pytest.raises(UserError, match=named) as caught:
        load_subject(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "changes", [{}, {"heads": (4, 1), "neurons": (3, 20), "word_width": 5, "inner": "relu", "pooling": "first"}]
)
def test_a_classifier_is_loaded_as_it_was_saved(changes, make_subject, tmp_path):
    saved = make_subject(**changes, n_classes=3)
    saved.model.train()
    save_subject(saved, tmp_path)
    loaded = load_subject(str(tmp_path))
    assert replace(loaded, model=saved.model, tokenizer=saved.tokenizer) == saved
    assert loaded.model.shape == saved.model.shape and not loaded.model.training
    assert loaded.tokenizer.to_str() == saved.tokenizer.to_str()
    weights = loaded.model.state_dict()
    assert weights.keys() == saved.model.state_dict().keys()
    assert all(torch.equal(weights[name], weight) for name, weight in saved.model.state_dict().items())


def test_a_folder_that_was_not_finished_is_none(subject, tmp_path, monkeypatch):
    def die(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("model_optimization.subject.write_text", die)
    with pytest.raises(KeyboardInterrupt):
        save_subject(subject, tmp_path)
    refuse(tmp_path, "no classifier here")


def test_another_model_goes_with_the_same_tokenizer_and_is_ready_to_answer(subject, make_subject):
    other = make_subject(heads=(1, 1)).model.train()
    changed = subject.with_model(other)
    assert changed.model is other and not other.training
    assert changed.tokenizer is subject.tokenizer and changed.trained_on == subject.trained_on


@pytest.mark.parametrize("rank", [1, 4])
def test_an_adapter_is_multiplied_into_every_layer_and_the_word_vectors(rank, checkpoint, make_run):
    from transformers import BertModel

    run = make_run(rank=rank)
    base = BertModel.from_pretrained(checkpoint("bert", classifies=False)).eval()
    expected, factors = base.state_dict(), load_file(run / MODEL)
    n_adapted = 0
    for name, weight in expected.items():
        a, b = (factors.get(f"encoder.{name.removesuffix('weight')}{part}") for part in "ab")
        if a is not None:
            weight += 16 / rank * (a @ b if "word_embeddings" in name else b @ a)
            n_adapted += 1
    assert n_adapted == 2 * 6 + 1 + 1, "six layers twice, the pooler's, the words"
    loaded = load_subject(run)
    ids = loaded.tokenizer.encode(TEXT).ids
    with torch.inference_mode():
        pooled = base(torch.tensor([ids])).last_hidden_state.mean(1)
    by_hand = pooled @ factors["output.weight"].T + factors["output.bias"]
    torch.testing.assert_close(logits(loaded.model, ids), by_hand, atol=1e-5, rtol=0)
    assert loaded.label_names == ("no", "maybe", "yes") and loaded.max_length == 24


def test_a_frozen_encoder_is_the_base_as_it_is(checkpoint, make_run):
    base = load_file(checkpoint("bert", classifies=False) / "model.safetensors")
    model = load_subject(make_run(rank=0)).model
    assert torch.equal(model.embedding.words.weight, base["embeddings.word_embeddings.weight"])
    assert torch.equal(model.layers[1].up.weight, base["encoder.layer.1.intermediate.dense.weight"])


def test_what_a_run_was_trained_on_is_known(make_run):
    run = make_run()
    assert load_subject(run).trained_on == frozenset()
    save_ids(run, [TEXT])
    assert load_subject(run).trained_on == {text_id(TEXT)}


@pytest.mark.parametrize("kind, positions", [("bert", 32), ("roberta", 32), ("distilbert", 32)])
def test_a_classifier_of_transformers_reads_as_many_tokens_as_it_has_positions(kind, positions, checkpoint):
    subject = load_subject(checkpoint(kind))
    assert subject.max_length == subject.model.shape.n_positions == positions
    assert logits(subject.model, [5] * positions).isfinite().all()


def test_the_classes_keep_their_names_or_get_numbers(checkpoint, tmp_path):
    folder = tmp_path / "named"
    shutil.copytree(checkpoint("bert"), folder)
    config = json.loads((folder / "config.json").read_text())
    for labels, expected in (
        ({"0": "bad", "1": "so so", "2": "good"}, ("bad", "so so", "good")),
        (None, ("class 0", "class 1", "class 2")),
    ):
        (folder / "config.json").write_text(json.dumps({**config, "id2label": labels}))
        assert load_subject(folder).label_names == expected


def test_weights_in_half_precision_become_whole(checkpoint, tmp_path):
    folder = tmp_path / "half"
    shutil.copytree(checkpoint("bert"), folder)
    weights = load_file(folder / MODEL)
    save_file({name: weight.half() for name, weight in weights.items()}, folder / MODEL)
    model = load_subject(folder).model
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}
    torch.testing.assert_close(model.output.weight, weights["classifier.weight"], atol=1e-3, rtol=0)


def test_weights_in_several_files_are_one(checkpoint, tmp_path):
    folder = tmp_path / "parts"
    shutil.copytree(checkpoint("bert"), folder)
    weights = load_file(folder / MODEL)
    (folder / MODEL).unlink()
    names = sorted(weights)
    for part, chosen in enumerate((names[:20], names[20:])):
        save_file({name: weights[name] for name in chosen}, folder / f"model-{part}.safetensors")
    found, whole = load_subject(folder).model.state_dict(), load_subject(checkpoint("bert")).model.state_dict()
    assert all(torch.equal(found[name], whole[name]) for name in whole)


def cut_short(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


def change_weights(file: Path, change) -> None:
    weights = load_file(file)
    change(weights)
    save_file(weights, file)


def change_json(file: Path, **changes) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


DAMAGES = {
    "the weights are cut short": (lambda folder: cut_short(folder / MODEL), "cut short or unreadable"),
    "there are no weights": (lambda folder: (folder / MODEL).unlink(), MODEL + "|holds no safetensors"),
    "there is no tokenizer": (lambda folder: (folder / TOKENIZER).unlink(), f"{TOKENIZER}: missing or damaged"),
    "the tokenizer is damaged": (lambda folder: (folder / TOKENIZER).write_text("{"), "missing or damaged"),
}
OWN = {
    "the shape is no JSON": (lambda folder: (folder / SHAPE).write_text("{"), "not valid JSON"),
    "the shape is no object": (lambda folder: (folder / SHAPE).write_text("[]"), "not a JSON object"),
    "the shape lacks a part": (lambda folder: (folder / SHAPE).write_text('{"label_names": []}'), "damaged"),
    "the shape has what there is not": (lambda folder: change_json(folder / SHAPE, shape={"colour": 1}), "colour"),
    "a weight is missing": (
        lambda folder: change_weights(folder / MODEL, lambda weights: weights.pop("output.bias")),
        r"do not fit its shape \(output.bias\)",
    ),
    "there is a weight too many": (
        lambda folder: change_weights(folder / MODEL, lambda weights: weights.update(extra=torch.ones(1))),
        r"do not fit its shape \(extra\)",
    ),
    "a weight has another shape": (
        lambda folder: change_weights(folder / MODEL, lambda weights: weights.update({"output.bias": torch.ones(7)})),
        r"do not fit its shape \(output.bias\)",
    ),
}


@pytest.mark.parametrize("damage, named", [*DAMAGES.values(), *OWN.values()], ids=[*DAMAGES, *OWN])
def test_a_damaged_folder_of_ours_is_one_clear_line(damage, named, subject, tmp_path):
    save_subject(subject, tmp_path)
    damage(tmp_path)
    refuse(tmp_path, named)


LAYER = "encoder.layer.1.output.dense.weight"
THEIRS = {
    "a weight is missing": (
        lambda folder: change_weights(folder / MODEL, lambda weights: weights.pop(f"bert.{LAYER}")),
        f"cut short, it holds no '{LAYER}'",
    ),
    "the word vectors are missing": (
        lambda folder: change_weights(
            folder / MODEL, lambda weights: weights.pop("bert.embeddings.word_embeddings.weight")
        ),
        "cut short, it holds no 'embeddings.word_embeddings.weight'",
    ),
    "the classes are missing": (
        lambda folder: change_weights(folder / MODEL, lambda weights: weights.pop("classifier.weight")),
        "holds no classifier of its own",
    ),
    "a weight has another shape": (
        lambda folder: change_weights(
            folder / MODEL, lambda weights: weights.update({f"bert.{LAYER}": torch.ones(16, 31)})
        ),
        r"do not fit its shape \(layers.1.down.weight\)",
    ),
    "there are fewer layers than it says": (
        lambda folder: change_json(folder / "config.json", num_hidden_layers=3),
        "cut short, it holds no 'encoder.layer.2",
    ),
    "it is albert": (
        lambda folder: change_json(folder / "config.json", model_type="albert"),
        "albert is not supported",
    ),
    "it is gpt2": (lambda folder: change_json(folder / "config.json", model_type="gpt2"), "gpt2 is not supported"),
    "it does not say what it is": (lambda folder: (folder / "config.json").write_text("{}"), "is not supported"),
}


@pytest.mark.parametrize("damage, named", [*DAMAGES.values(), *THEIRS.values()], ids=[*DAMAGES, *THEIRS])
def test_a_damaged_classifier_of_transformers_is_one_clear_line(damage, named, checkpoint, tmp_path):
    folder = tmp_path / "damaged"
    shutil.copytree(checkpoint("bert"), folder)
    damage(folder)
    refuse(folder, named)


RUN = {
    "it rates": (lambda run: change_json(run / "classifier.json", head="rating"), "rates texts instead"),
    "the settings are no JSON": (lambda run: (run / "classifier.json").write_text("{"), "not valid JSON"),
    "the settings are no object": (lambda run: (run / "classifier.json").write_text("[]"), "not a JSON object"),
    "the weights are cut short": (lambda run: cut_short(run / MODEL), "cut short or unreadable"),
    "the output layer is missing": (
        lambda run: change_weights(run / MODEL, lambda weights: weights.pop("output.bias")),
        "holds no output layer",
    ),
    "there are more names than classes": (
        lambda run: change_json(run / "classifier.json", label_names=["a", "b", "c", "d"]),
        r"do not fit its shape \(output",
    ),
}
FACTOR = "encoder.encoder.layer.0.attention.self.key."
ADAPTER = {
    "a factor is missing": lambda weights: weights.pop(f"{FACTOR}b"),
    "the other factor is missing": lambda weights: weights.pop(f"{FACTOR}a"),
    "a factor has another rank": lambda weights: weights.update({f"{FACTOR}a": torch.ones(5, 16)}),
    "a factor has another width": lambda weights: weights.update({f"{FACTOR}a": torch.ones(2, 15)}),
    "a factor belongs to no layer": lambda weights: weights.update(
        {
            "encoder.encoder.layer.9.output.dense.a": torch.ones(2, 32),
            "encoder.encoder.layer.9.output.dense.b": torch.ones(16, 2),
        }
    ),
    "there are no factors": lambda weights: [weights.pop(name) for name in list(weights) if "output." not in name[:7]],
}


@pytest.mark.parametrize("damage, named", RUN.values(), ids=RUN)
@pytest.mark.parametrize("rank", [None, 2], ids=["whole", "adapter"])
def test_a_damaged_run_is_one_clear_line(damage, named, rank, make_run):
    run = make_run(rank=rank)
    damage(run)
    refuse(run, named)


@pytest.mark.parametrize("change", ADAPTER.values(), ids=ADAPTER)
def test_an_adapter_that_does_not_fit_is_one_clear_line(change, make_run):
    run = make_run(rank=2)
    change_weights(run / MODEL, change)
    refuse(run, "its adapter does not fit its encoder")


def test_a_base_that_has_changed_or_gone_is_one_clear_line(checkpoint, make_run, tmp_path):
    base = tmp_path / "base"
    shutil.copytree(checkpoint("bert", classifies=False), base)
    run = make_run(rank=2, base=base)
    load_subject(run)
    change_weights(base / MODEL, lambda weights: weights["pooler.dense.bias"].add_(1e-3))
    refuse(run, "trained upon other weights")
    shutil.rmtree(base)
    refuse(run, "base")


def test_an_encoder_of_a_run_without_its_files_is_one_clear_line(make_run):
    run = make_run()
    (run / "encoder" / TOKENIZER).unlink()
    refuse(run, f"{TOKENIZER}: missing or damaged")
    (run / "encoder" / "config.json").unlink()
    refuse(run, "config.json: missing")


def test_no_folder_an_empty_one_and_a_file_are_one_clear_line(tmp_path):
    refuse(tmp_path / "nothing", "nothing")
    refuse(tmp_path, "neither shape.json, classifier.json nor config.json")
    (tmp_path / "file").write_text("")
    refuse(tmp_path / "file", "no such folder")


def test_texts_trained_on_are_kept_in_a_file_of_their_own(subject, tmp_path):
    save_subject(subject, tmp_path)
    assert (tmp_path / TRAIN_IDS).read_text() == "0123456789abcdef\n"
    assert isinstance(load_subject(tmp_path).tokenizer, Tokenizer)
