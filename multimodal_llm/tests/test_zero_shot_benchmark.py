"""The zero-shot benchmark: its keys, what it takes away from the classifier, and the layouts that it refuses."""

import numpy as np
import pytest
from PIL import Image

from multimodal_llm import zero_shot_benchmark
from multimodal_llm.clip_applications import conse, zero_shot_classification
from multimodal_llm.clip_applications.conse import ConseSpace, Meanings, unit
from multimodal_llm.clip_applications.zero_shot_classification import ConseClassifier
from multimodal_llm.zero_shot_benchmark import ZeroShotConfig, ranks, ranks_in_folds, read_labels, zero_shot
from shared.errors import UserError

N = 20
NAMES = tuple(f"name {number}" for number in range(N))


class Words:
    """A text encoder with a direction for each text, the same in every process."""

    def encode(self, texts, role="query", on_progress=lambda done: None):
        seeds = [int.from_bytes(text.encode()[-4:], "big") for text in texts]
        return unit(np.array([np.random.default_rng(seed).standard_normal(384) for seed in seeds])).reshape(-1, 384)


class Sees(ConseSpace):
    """A classifier that is sure of the class whose number is the red of the picture."""

    def logits(self, images):
        return 10.0 * np.eye(N)[[int(np.asarray(image)[0, 0, 0]) for image in images]]


@pytest.fixture
def classifier(monkeypatch):
    monkeypatch.setattr(conse, "plain_names", lambda: NAMES)
    monkeypatch.setattr(conse, "synonyms", lambda: tuple((name,) for name in NAMES))
    monkeypatch.setattr("multimodal_llm.image_encoder.class_names", lambda: NAMES)
    made = ConseClassifier(Sees(None, Meanings.of(Words())))
    monkeypatch.setattr(zero_shot_classification, "load_classifier", lambda name: made)
    return made


def write(folder, column, values):
    (folder / "images").mkdir(parents=True, exist_ok=True)
    lines = [f"file,{column}"]
    for number, value in enumerate(values):
        Image.new("RGB", (8, 8), (number % N, 0, 0)).save(folder / "images" / f"{number}.png")
        lines.append(f"{number}.png,{value}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return folder


def test_what_is_known_is_found_and_what_was_taken_out_is_not(classifier, tmp_path):
    outcome = zero_shot(ZeroShotConfig(data=str(write(tmp_path, "imagenet_index", range(N)))))
    assert outcome.result["top1"] == outcome.result["classifier_top1"] == 1.0
    # The names are unrelated: with its class gone, nothing speaks for a label any more.
    assert outcome.result["unseen_top1"] < 0.3
    assert {"top5", "n", "unseen_top5", "accepted", "false_accepted", "conse_top1"} <= set(outcome.result)
    assert [row["recipe"] for row in outcome.rows] == ["ours", "ConSE (10)", "EfficientNet-Lite2"]
    assert len({tuple(row) for row in outcome.rows}) == 1


def test_other_labels_are_measured_without_the_columns_of_imagenet(classifier, tmp_path):
    outcome = zero_shot(ZeroShotConfig(data=str(write(tmp_path, "label", ["name 0", "name 1", "name 2"]))))
    assert outcome.result["top1"] == 1.0 and outcome.result["n"] == 3
    assert not any("unseen" in name or "classifier_" in name for name in outcome.result)


def test_a_rank_counts_the_labels_above_the_true_one_and_ties_against_it():
    scores = np.array([[0.5, 0.9, 0.1], [0.5, 0.5, 0.1]])
    assert ranks(scores, np.array([0, 0])).tolist() == [1, 1]


def test_every_photo_is_ranked_among_the_tenth_that_its_class_is_in(monkeypatch):
    names = unit(np.random.default_rng(0).standard_normal((N, 64)))
    truth = np.arange(N)
    found = ranks_in_folds(names, names, 10.0 * np.eye(N), truth, {})
    assert found.shape == (N,) and found.min() >= 0 and found.max() < N / zero_shot_benchmark.FOLDS


@pytest.mark.parametrize(
    ("table", "match"),
    [
        (None, "no labels.csv"),
        ("", "needs the columns"),
        ("file,colour\na.png,red\n", "needs the columns"),
        ("name,label\na.png,red\n", "needs the columns"),
        ("file,imagenet_index\na.png,cat\n", "cat is no number"),
        ("file,imagenet_index\na.png,1000\n", "1000 is no number"),
        ("file,imagenet_index\na.png\n", "None is no number"),
        ("file,label\na.png,\n", "a photo has no label"),
    ],
)
def test_another_layout_is_refused_on_one_line(classifier, tmp_path, table, match):
    if table is not None:
        (tmp_path / "labels.csv").write_text(table)
    with pytest.raises(UserError, match=match):
        read_labels(tmp_path)
