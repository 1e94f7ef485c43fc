"""One pass gives what the classifier says; what is kept on the disk is whole, or one clear line says what it is not."""

import json
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from model_optimization.monitoring.readings import ABOUT, TENSORS, UNKNOWN, Readings, join, load, read, save
from model_optimization.runtime import Reader
from shared.errors import UserError

TEXTS = ["a good film", "", "the plot is dull and the actor is bad " * 12, "awful", "very good scene of love and hate"]


@pytest.fixture
def readings(subject):
    return read(subject, TEXTS, [1, None, 0, 0, 1])


def equal(first, second, tolerance=0.0):
    for each in fields(Readings):
        np.testing.assert_allclose(getattr(first, each.name), getattr(second, each.name), atol=tolerance)


def test_the_probabilities_are_those_of_the_shipped_variant_also_of_texts_longer_than_the_model(onnx_variant, readings):
    logits = onnx_variant.logits(TEXTS)
    likelihoods = np.exp(logits / onnx_variant.settings.temperature)
    np.testing.assert_allclose(readings.probabilities, likelihoods / likelihoods.sum(1, keepdims=True), atol=1e-4)


def test_the_temperature_makes_answers_less_sure(subject, readings):
    milder = read(replace(subject, temperature=3.0), TEXTS)
    assert (milder.confidences < readings.confidences).all()
    odds = [np.log(each.probabilities[:, 1] / each.probabilities[:, 0]) for each in (readings, milder)]
    np.testing.assert_allclose(odds[0], 3 * odds[1], atol=1e-4)


def test_the_vector_is_the_mean_over_the_tokens_of_the_middle_layer(make_subject):
    subject = make_subject(heads=(4, 4, 4, 4), neurons=(32, 32, 32, 32))
    [[window]] = Reader(subject.tokenizer, subject.max_length).windows(TEXTS[:1])
    ids = torch.tensor([window])
    inside = subject.model.look_inside(ids, torch.ones_like(ids))
    found = read(subject, TEXTS[:1]).vectors
    np.testing.assert_allclose(found[0], inside.hidden[2][0].mean(0).detach(), atol=2e-3)


def test_a_text_reads_the_same_in_any_company(subject, readings):
    for i, text in enumerate(TEXTS):
        equal(read(subject, [text]), replace(readings, labels=np.full(5, UNKNOWN))[i : i + 1], 2e-3)
    order = [3, 0, 4, 2, 1]
    equal(
        read(subject, [TEXTS[i] for i in order]), replace(readings, labels=np.full(5, UNKNOWN))[np.array(order)], 2e-3
    )


def test_progress_ends_with_all_texts(subject):
    heard = []
    read(subject, TEXTS * 20, on_progress=heard.append)
    assert heard == sorted(heard) and heard[-1] == 100 and len(heard) > 2


def test_lengths_are_characters_and_labels_stay_with_their_texts(readings):
    assert readings.lengths.tolist() == [len(text) for text in TEXTS]
    assert readings.labels.tolist() == [1, UNKNOWN, 0, 0, 1] and len(readings.labelled) == 4
    assert (
        readings.labelled.right.tolist() == (readings.probabilities.argmax(1) == [1, 9, 0, 0, 1])[[0, 2, 3, 4]].tolist()
    )


def test_scores_and_confidences_by_hand(readings):
    made = replace(readings[:2], probabilities=np.array([[0.3, 0.7], [0.9, 0.1]]))
    assert made.scores.tolist() == pytest.approx([0.7, 0.1]) and made.confidences.tolist() == [0.7, 0.9]
    three = replace(readings[:1], probabilities=np.array([[0.2, 0.3, 0.5]]))
    assert three.scores == pytest.approx([0.3 + 2 * 0.5])


def test_no_texts_are_no_rows(subject, readings):
    none = read(subject, [])
    assert len(none) == 0 and none.vectors.shape == (0, 16)
    equal(join(none, readings, none), readings)


def test_a_classifier_that_answers_with_no_number_is_one_clear_line(subject):
    subject.model.output.bias.data[0] = float("nan")
    with pytest.raises(UserError, match="no number: its weights are damaged"):
        read(subject, TEXTS)


def test_readings_are_loaded_as_they_were_saved_and_no_text_is_kept(readings, tmp_path):
    save(tmp_path / "kept", readings, {"classifier": "abc", "source": "films"})
    loaded, about = load(tmp_path / "kept", "abc")
    equal(loaded, readings)
    assert loaded.vectors.dtype == readings.vectors.dtype == np.float16
    assert about["source"] == "films" and about["n"] == 5
    assert b"dull" not in b"".join(file.read_bytes() for file in (tmp_path / "kept").iterdir())


def test_saving_that_is_cut_short_leaves_nothing_that_counts_as_whole(readings, tmp_path, monkeypatch):
    def die(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("model_optimization.monitoring.readings.write_json", die)
    with pytest.raises(KeyboardInterrupt):
        save(tmp_path, readings, {})
    with pytest.raises(UserError, match="no finished reference"):
        load(tmp_path)


def cut(folder):
    (folder / TENSORS).write_bytes((folder / TENSORS).read_bytes()[:-7])


def without_a_tensor(folder):
    tensors = load_file(folder / TENSORS)
    rewrite(folder, {name: tensor for name, tensor in tensors.items() if name != "lengths"})


def with_nan(folder):
    tensors = load_file(folder / TENSORS)
    tensors["vectors"][0, 0] = np.nan
    rewrite(folder, tensors)


def with_fewer_rows(folder):
    tensors = load_file(folder / TENSORS)
    rewrite(folder, {**tensors, "labels": tensors["labels"][:-1]})


def rewrite(folder, tensors):
    """With a checksum that fits."""
    import hashlib

    save_file(tensors, folder / TENSORS)
    about = json.loads((folder / ABOUT).read_text())
    about["sha256"] = hashlib.sha256((folder / TENSORS).read_bytes()).hexdigest()
    (folder / ABOUT).write_text(json.dumps(about))


@pytest.mark.parametrize(
    "spoil, named",
    [
        (cut, "not the file that readings.json was written for"),
        (without_a_tensor, "damaged"),
        (with_nan, "damaged"),
        (with_fewer_rows, "damaged"),
        (lambda folder: (folder / TENSORS).unlink(), "not whole"),
        (lambda folder: (folder / ABOUT).unlink(), "no finished reference"),
        (lambda folder: (folder / ABOUT).write_text("{"), "not valid JSON"),
        (lambda folder: (folder / ABOUT).write_text("[1]"), "not whole"),
    ],
)
def test_a_damaged_reference_is_one_clear_line(readings, tmp_path, spoil, named):
    save(tmp_path, readings, {"classifier": "abc"})
    spoil(tmp_path)
    with pytest.raises(UserError, match=named) as caught:
        load(tmp_path, "abc")
    assert "\n" not in str(caught.value) and str(tmp_path) in str(caught.value)


def test_another_classifiers_reference_is_refused(readings, tmp_path):
    save(tmp_path, readings, {"classifier": "abc"})
    with pytest.raises(UserError, match="another classifier"):
        load(tmp_path, "def")
