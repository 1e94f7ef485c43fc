"""Do two samples come from one distribution? Five tests, each with a p-value.

mmd         vectors: maximum mean discrepancy, unbiased (Gretton et al., JMLR 2012, equation 3)
classifier  vectors: how well a linear classifier tells the two apart on rows that it did not see (arXiv 1610.06545)
ks          one number a text: the largest gap between the two shares below a value (Kolmogorov and Smirnov)
psi         the same: population stability index over the reference's tenths

The p-values of the first two come from permutations: were there no shift, any other split of all rows into reference
and window would have been as likely as the true one (Gretton et al., section 5). Nothing before that may know which row
is whose, so the whitening and the kernel's width come from all rows together. Both are products of matrices in which a
split is a row or a column, so that all splits go through one product.

Letters in shapes: M rows of the reference, then N of the window; D numbers a row; S splits, the true one first.
"""

from typing import NamedTuple

import numpy as np
from scipy.stats import chi2, ks_2samp
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold, cross_val_predict

from shared.errors import UserError

DIRECTIONS = 50
FOLDS = 5
BINS = 10


class Evidence(NamedTuple):
    """A test's statistic and its p-value; `null` has the statistic of each other split (S - 1,), if there are any."""

    statistic: float
    p: float
    null: np.ndarray | None = None


def random_splits(n_reference: int, n_window: int, n_permutations: int, draw: np.random.Generator) -> np.ndarray:
    """Which rows are the window (1 + n_permutations, M + N): the true split, then random ones of the same sizes."""
    true = np.repeat([False, True], [n_reference, n_window])
    return np.vstack([true, draw.permuted(np.tile(true, (n_permutations, 1)), axis=1)])


def by_permutation(statistics: np.ndarray) -> Evidence:
    """Of statistics (S,) the first, and the share of all that are at least as large."""
    return Evidence(float(statistics[0]), float((statistics >= statistics[0]).mean()), statistics[1:])


def whiten(vectors: np.ndarray) -> np.ndarray:
    """The directions (M + N, at most 50) in which vectors (M + N, D) differ most, each with variance 1.

    A classifier's vectors differ most by what it answers, which would drown what a text is about.
    Raises UserError where all vectors are the same.
    """
    if np.ptp(vectors, axis=0).max() == 0:
        raise UserError("all texts of reference and window are the same to the classifier: give texts that differ")
    n = min(DIRECTIONS, vectors.shape[1] // 2, len(vectors) - 1)
    return PCA(n, whiten=True, svd_solver="covariance_eigh").fit_transform(vectors.astype(np.float32))


def rbf_kernel(rows: np.ndarray) -> np.ndarray:
    """Similarity (M + N, M + N) of rows (M + N, D): exp(-d^2 / 2 w^2), w the median distance between two of them."""
    squares = (rows**2).sum(1)
    distances = np.maximum(squares[:, None] + squares - 2 * rows @ rows.T, 0)  # squared
    # The median is 0 where most texts are one and the same.
    width = np.median(distances[np.triu_indices(len(rows), 1)]) or distances.mean()
    return np.exp(distances / (-2 * width))


def mmd(kernel: np.ndarray, splits: np.ndarray) -> np.ndarray:
    """The squared discrepancy (S,) of splits (S, M + N), from the kernel of all rows."""
    n, m = int(splits[0].sum()), int((~splits[0]).sum())
    window = splits.astype(kernel.dtype)
    to_window = window @ kernel  # (S, M + N), the sum of each row's similarities to the window
    within = (to_window * window).sum(1)
    across = to_window.sum(1) - within
    rest = kernel.sum() - within - 2 * across
    own = kernel.diagonal()  # a row's similarity to itself is left out
    return (within - window @ own) / (n * (n - 1)) + (rest - (1 - window) @ own) / (m * (m - 1)) - 2 * across / (n * m)


def domain_auc(rows: np.ndarray, splits: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """Area under the ROC curve (S,) of a ridge regression from rows (M + N, D) to window or not, cross-validated.

    Rows and targets are centred, in place of an intercept: that would differ from fold to fold, and by itself put a
    fold that holds much of the window below the others.
    """
    # The true split may not lie in the folds otherwise than the random ones; and equal rows fall into any order.
    order = draw.permutation(len(rows))
    rows, splits = rows[order] - rows.mean(0), splits[:, order]
    targets = (splits - splits[0].mean()).T.astype(rows.dtype)  # a regression a split, all of them solved at once
    found = cross_val_predict(Ridge(fit_intercept=False), rows, targets, cv=KFold(FOLDS)).T  # (S, M + N)
    by_rank = np.take_along_axis(splits, found.argsort(1), 1)
    n, m = splits[0].sum(), (~splits[0]).sum()
    return (by_rank @ np.arange(1, len(rows) + 1) - n * (n + 1) / 2) / (n * m)


def ks(reference: np.ndarray, window: np.ndarray) -> Evidence:
    """The largest gap between the shares of (M,) and of (N,) below a value."""
    found = ks_2samp(reference, window)
    return Evidence(float(found.statistic), float(found.pvalue))


def psi(reference: np.ndarray, window: np.ndarray) -> Evidence:
    """Sum of (w - r) ln(w / r) over bins that the reference (M,) fills evenly, r and w the shares in a bin of it
    and of the window (N,).

    Without a shift it is (1/M + 1/N) times a chi-squared variable with a degree less than bins (Yurdakul and Naranjo,
    Journal of Risk Model Validation 2020). The usual limits of .1 and .25 know nothing of M and N. Each bin counts
    half a text more than it has, so that an empty one does not make the sum infinite.
    """
    edges = tenths(reference)
    r, w = shares(reference, edges, 0.5), shares(window, edges, 0.5)
    index = float(((w - r) * np.log(w / r)).sum())
    return Evidence(index, float(chi2.sf(index / (1 / len(reference) + 1 / len(window)), len(edges))))


def tenths(reference: np.ndarray) -> np.ndarray:
    """The borders (9,) of bins that the reference (M,) fills evenly; fewer where many of its values are equal."""
    return np.unique(np.quantile(reference, np.linspace(0, 1, BINS + 1)[1:-1]))


def shares(values: np.ndarray, edges: np.ndarray, extra: float = 0.0) -> np.ndarray:
    """The share of values (N,) in each bin, (edges + 1,), with `extra` values put into every one."""
    counts = np.bincount(np.searchsorted(edges, values), minlength=len(edges) + 1) + extra
    return counts / counts.sum()
