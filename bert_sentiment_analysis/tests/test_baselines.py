"""The baselines learn from the training part, choose on the validation part, and never see the test part."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from bert_sentiment_analysis.models import baselines
from shared.datasets import Example
from shared.errors import UserError
from shared.splits import Splits


def examples(n: int, start: int = 0, good: str = "good", bad: str = "bad") -> list[Example]:
    return [Example(f"the film {start + i} is {(bad, good)[i % 3 > 0]}", label=int(i % 3 > 0)) for i in range(n)]


@pytest.fixture
def splits() -> Splits:
    return Splits("films", examples(60), examples(15, 60), examples(21, 75))


def accuracy(splits: Splits, answers: baselines.Answers) -> float:
    return float(np.mean([a == e.label for a, e in zip(answers.predictions, splits.test, strict=True)]))


def test_the_majority_is_right_as_often_as_it_is_the_majority(splits, tmp_path):
    share = Counter(example.label for example in splits.test)[1] / len(splits.test)
    assert accuracy(splits, baselines.majority(splits, tmp_path)) == share


def test_the_majority_is_that_of_the_training_part(splits, tmp_path):
    mostly_bad = replace(splits, train=[replace(example, label=1 - example.label) for example in splits.train])
    assert set(baselines.majority(mostly_bad, tmp_path).predictions) == {0}


def test_vader_goes_by_the_sign_and_else_by_the_commoner_class(splits, tmp_path):
    test = [Example("I love it", 1), Example("I hate it", 0), Example("the film is a film", 1)]
    answers = baselines.vader(replace(splits, test=test), tmp_path)
    assert answers.predictions == [1, 0, 1]
    assert answers.params > 7000
    with pytest.raises(UserError, match="films has other classes"):
        baselines.vader(replace(splits, label_names=("negative", "neutral", "positive")), tmp_path)


def test_tfidf_learns_from_words(splits, tmp_path):
    assert accuracy(splits, baselines.tfidf(splits, tmp_path)) == 1


def test_tfidf_never_sees_the_test_part(splits, tmp_path, monkeypatch):
    from sklearn.feature_extraction.text import TfidfVectorizer

    seen: list[str] = []
    fit = TfidfVectorizer.fit_transform
    monkeypatch.setattr(TfidfVectorizer, "fit_transform", lambda self, texts: seen.extend(texts) or fit(self, texts))
    before = baselines.tfidf(splits, tmp_path)
    assert seen == [example.text for example in splits.train]
    turned = [replace(example, label=1 - example.label) for example in splits.test]
    assert baselines.tfidf(replace(splits, test=turned), tmp_path).predictions == before.predictions


def test_tfidf_counts_characters_where_no_spaces_stand_between_words(tmp_path):
    def reviews(n: int, start: int = 0) -> list[Example]:
        rooms = "房间大厅早餐前台位置价格服务环境"
        return [
            Example(f"{rooms[(start + i) % 8 * 2 :][:2]}{('差', '好')[i % 2]}啊{start + i}", i % 2) for i in range(n)
        ]

    splits = Splits("hotels", reviews(40), reviews(10, 40), reviews(10, 50))
    assert accuracy(splits, baselines.tfidf(splits, tmp_path)) == 1


class CountingEncoder:
    """The presence of the words good and bad; `calls` counts the texts that it was given."""

    n_parameters = 10

    def __init__(self) -> None:
        self.calls = 0

    def encode(self, texts, role="query", on_progress=lambda done: None):
        self.calls += len(texts)
        return np.array([["good" in text, "bad" in text] for text in texts], dtype=np.float32)


def test_frozen_vectors_are_kept_and_not_computed_again(splits, tmp_path, monkeypatch):
    encoder = CountingEncoder()
    monkeypatch.setattr(baselines, "load_text_encoder", lambda name: encoder)
    first = baselines.frozen(splits, tmp_path)
    calls = encoder.calls
    assert accuracy(splits, first) == 1
    assert first.params == 10 + 3
    assert baselines.frozen(splits, tmp_path).predictions == first.predictions
    assert encoder.calls == calls
    assert first.texts_per_s > 0
