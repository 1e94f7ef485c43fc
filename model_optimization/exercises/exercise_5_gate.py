"""Exercise 5: the gate: how much accuracy may have been lost, when so much was seen to be lost?"""

import numpy as np

REPLACES = "model_optimization.gate.paired_loss"
CHECKED_BY = "model_optimization/tests/test_gate.py"


def paired_loss(baseline_right: np.ndarray, right: np.ndarray):
    """Whether each answer is right (N,), of the baseline and of what is to ship: `Loss(loss, bound)`.

    `loss` is (lost - won) / N, with `lost` the texts on which only the baseline is right and `won` those on which only
    the other is. `bound` is Tango's: the true loss d at which the score below falls to -1.6448536. Above it so small a
    loss as was seen would be seen in fewer than 5 of 100 tests.

        score(d) = (lost - won - N d) / sqrt(N (2 q + d (1 - d)))

    q is the likeliest share of texts won, given that d more are lost: the positive root of a q^2 + b q + c = 0 with
    a = 2 N,  b = (2 N - lost + won) d - lost - won,  c = -won d (1 - d).

    Hints: the score falls as d rises, so halve the interval from the seen loss to 1 until it is narrower than 1e-9.
    `from model_optimization.gate import Loss` inside the function.

    Read: Tango, Statistics in Medicine 17 (1998), pages 891 to 908; the same formulas as code, in R:
    https://rdrr.io/cran/contingencytables/src/R/Tango_asymptotic_score_CI_paired_2x2.R
    Expect: with two accuracies compared as if they came from different texts, the same variant needs many more of them.
    """
    raise RuntimeError("fill in paired_loss")
