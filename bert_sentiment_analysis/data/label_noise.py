"""Which labels look wrong: confident learning (Northcutt et al. 2021, arXiv 1911.00068) as cleanlab implements it.

Every text is judged by a model that was trained without it. A text is suspicious where that model is confident of
another class, by the standard of how confident it usually is of that class. TF-IDF with logistic regression judges in
seconds; `find_suspicious` takes the probabilities of any better model as well.
"""

from collections.abc import Callable, Sequence

import numpy as np

from shared.errors import UserError

# Ten settings were tried on Rotten Tomatoes, by how well a low probability finds the labels that 20 raters disagree
# with: all had an AUROC of .77 to .78.
NGRAMS, INVERSE_REGULARISATION = (1, 2), 3.0
# Reviews of one film stand in a row, at most 30 in imdb (see shared/splits.py). In different folds some told of others:
# of the first 3,000 of each label 90 were then suspicious, with an accuracy of .896; together, 162, and .874.
NEIGHBOURS = 30
ALIKE = 10  # groups of neighbours of each class in a fold, at least: smaller sets have smaller groups
TOKEN = r"\w+|[^\w\s]"  # noqa: S105 - words, and punctuation as words of its own


def out_of_fold_probabilities(
    texts: Sequence[str],
    labels: Sequence[int],
    *,
    folds: int = 5,
    seed: int = 0,
    unspaced: bool = False,
    on_fold: Callable[[int], None] = lambda done: None,
) -> np.ndarray:
    """Each text's class probabilities (n, classes), from a model trained on the other folds.

    `labels` are 0, 1, ... `unspaced` is for scripts without spaces between words: characters are counted then. The
    texts must be distinct, or a copy in another fold would give the answer away; neighbours mostly share a fold, as
    they may be on one thing. `on_fold` hears how many are done. Raises UserError where a class has fewer rows than
    there are folds.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedGroupKFold

    classes = np.asarray(labels, dtype=int)
    counts = np.bincount(classes)
    if len(counts) < 2 or counts.min() < folds:
        raise UserError(f"label noise: the classes have {counts.tolist()} rows: give two or more with at least {folds}")
    units = {"analyzer": "char", "ngram_range": (1, 3)} if unspaced else {"ngram_range": NGRAMS, "token_pattern": TOKEN}
    # Counting words asks for no label, so one count serves all folds.
    vectorizer = TfidfVectorizer(**units, sublinear_tf=True, min_df=2, dtype=np.float32)
    try:
        features = vectorizer.fit_transform(texts)  # (n, n-grams)
    except ValueError as error:
        raise UserError("label noise: no two texts share a word: give more texts") from error
    probabilities = np.zeros((len(classes), len(counts)))
    together = max(1, min(NEIGHBOURS, int(counts.min()) // (ALIKE * folds)))
    groups = np.arange(len(classes)) // together
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    for done, (others, fold) in enumerate(splitter.split(features, classes, groups), start=1):
        model = LogisticRegression(C=INVERSE_REGULARISATION, max_iter=300).fit(features[others], classes[others])
        probabilities[np.ix_(fold, model.classes_)] = model.predict_proba(features[fold])
        on_fold(done)
    return probabilities


def find_suspicious(labels: Sequence[int], probabilities: np.ndarray) -> list[int]:
    """The places of the labels that look wrong, the least probable first. `probabilities` (n, classes) out of fold."""
    from cleanlab.filter import find_label_issues

    found = find_label_issues(np.asarray(labels), probabilities, return_indices_ranked_by="self_confidence", n_jobs=1)
    return [int(place) for place in found]
