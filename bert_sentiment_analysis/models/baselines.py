"""What a fine-tuned encoder has to beat: the commoner class, a word list, counted words, and frozen sentence vectors.

Each takes the parts of a set, learns from the training part, chooses on the validation part, and answers the test part.
All are deterministic: another seed would change nothing.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bert_sentiment_analysis.data.checks import UNSPACED, main_script, usual_script
from shared.cleaning import clean
from shared.datasets import Example
from shared.errors import UserError
from shared.files import atomic_path
from shared.logging import progress_bar
from shared.splits import Splits
from shared.text_encoder import load_text_encoder
from shared.timing import Timer

STRENGTHS = [10.0**power for power in range(-2, 4)]  # of the logistic regression; the larger, the closer its fit
MOST_WORDS = 200_000


@dataclass(frozen=True)
class Answers:
    """The classes (N,) that a model gave to the test texts, and what it took."""

    predictions: list[int]
    train_seconds: float
    texts_per_s: float | None
    """Of answering, one text after the other or in batches, as the model likes it best."""
    params: int
    """Learned numbers; of VADER the words in its list, which people rated."""
    examples_per_s: float | None = None
    """Of training by gradient."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def majority(splits: Splits, folder: Path) -> Answers:
    """The commonest class of the training part, for every text."""
    return Answers([_commonest(splits)] * len(splits.test), 0.0, None, 1)


def vader(splits: Splits, folder: Path) -> Answers:
    """VADER (Hutto & Gilbert 2014): rated words and a few rules; nothing is learned here.

    The sign of its compound score decides. Where that is 0, it knows no word of the text, or they cancel out: the
    commoner class of the training part is taken. Raises UserError for classes that are not negative and positive.
    """
    if splits.label_names != ("negative", "positive"):
        raise UserError(f"vader: tells negative from positive, and {splits.name} has other classes")
    with Timer() as timer:
        scores = vader_scores([example.text for example in splits.test])
    answers = np.where(scores == 0, _commonest(splits), scores > 0)
    return Answers(answers.astype(int).tolist(), 0.0, timer.rate(len(scores)), len(_vader().lexicon))


def vader_scores(texts: Sequence[str]) -> np.ndarray:
    """VADER's compound score of each text (N,), from -1 to 1."""
    analyser = _vader()
    return np.array([analyser.polarity_scores(clean(text))["compound"] for text in texts])


def _vader() -> Any:
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    return SentimentIntensityAnalyzer()


def tfidf(splits: Splits, folder: Path) -> Answers:
    """TF-IDF of words and pairs of words, and a logistic regression on it."""
    with Timer() as timer:
        vectorizer, model = fit_tfidf(splits)
    with Timer() as answering:
        answers = model.predict(vectorizer.transform(_cleaned(splits.test)))
    params = n_weights(model) + len(vectorizer.idf_)
    return Answers(answers.tolist(), timer.seconds, answering.rate(len(answers)), params)


def fit_tfidf(splits: Splits) -> tuple[Any, Any]:
    """A vectorizer and a logistic regression of scikit-learn's, for cleaned texts.

    Of Chinese and other writing without spaces single characters and pairs of them are counted instead of words.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    unspaced = usual_script([main_script(example.text) for example in splits.train]) in UNSPACED
    # scikit-learn's own pattern leaves out words of one letter.
    units = {"analyzer": "char"} if unspaced else {"token_pattern": r"(?u)\b\w+\b"}
    vectorizer = TfidfVectorizer(**units, ngram_range=(1, 2), sublinear_tf=True, max_features=MOST_WORDS)
    trained = vectorizer.fit_transform(_cleaned(splits.train))
    return vectorizer, fit_classifier(trained, splits.train, vectorizer.transform(_cleaned(splits.validation)), splits)


def frozen(splits: Splits, folder: Path, encoder: str = "minilm") -> Answers:
    """The sentence vectors of an encoder as its authors left it, and a logistic regression on them.

    The vectors are kept in `folder`, part by part, for a comparison that is killed and goes on.
    """
    vectors: dict[str, np.ndarray] = {}
    seconds: dict[str, float] = {}
    for part, examples in splits.parts.items():
        vectors[part], seconds[part] = _kept_vectors(folder / f"{part}.npz", encoder, examples)
    with Timer() as timer:
        model = fit_classifier(vectors["train"], splits.train, vectors["validation"], splits)
    answers = model.predict(vectors["test"])
    train_seconds = timer.seconds + seconds["train"] + seconds["validation"]
    params = load_text_encoder(encoder).n_parameters + n_weights(model)
    return Answers(answers.tolist(), train_seconds, len(answers) / seconds["test"], params)


def fit_classifier(train: Any, examples: Sequence[Example], validation: Any, splits: Splits) -> Any:
    """A logistic regression on (N, D) features; how freely it fits is chosen by the accuracy on the validation part."""
    from sklearn.linear_model import LogisticRegression

    labels, wanted = _labels(examples), _labels(splits.validation)
    models = [LogisticRegression(C=strength, max_iter=1000).fit(train, labels) for strength in STRENGTHS]
    return max(models, key=lambda model: model.score(validation, wanted))  # of equals the most cautious


def _kept_vectors(file: Path, encoder: str, examples: Sequence[Example]) -> tuple[np.ndarray, float]:
    """Vectors (N, D) of the texts, and the seconds that they took."""
    if not file.exists():
        model = load_text_encoder(encoder)
        texts = _cleaned(examples)
        model.encode(texts[:8])  # the first call prepares what later ones use
        with Timer() as timer, progress_bar(f"{encoder}: {file.stem} texts", len(texts)) as update:
            vectors = model.encode(texts, on_progress=update)
        with atomic_path(file) as draft, open(draft, "wb") as opened:
            np.savez(opened, vectors=vectors, seconds=timer.seconds)
    with np.load(file) as kept:
        return kept["vectors"], float(kept["seconds"])


def _commonest(splits: Splits) -> int:
    return Counter(_labels(splits.train).tolist()).most_common(1)[0][0]


def n_weights(model: Any) -> int:
    return model.coef_.size + model.intercept_.size


def _labels(examples: Sequence[Example]) -> np.ndarray:
    return np.array([example.label for example in examples])


def _cleaned(examples: Sequence[Example]) -> list[str]:
    return [clean(example.text) for example in examples]
