"""How good answers are: against given ones, against their evidence, and whether it abstains where it should.

Exact match and F1 follow the official SQuAD 2.0 script (arXiv 1806.03822): lower case, no punctuation, no articles, and
of several given answers the nearest counts. Chinese is compared by character, as in CMRC 2018 (arXiv 1810.07366).
"""

import re
import string
from collections import Counter
from collections.abc import Sequence

HAN = r"\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation + "，。！？；：、“”‘’（）《》〈〉【】「」『』—…·－％")
_TOKENS = re.compile(rf"[{HAN}]|[^\s{HAN}]+")


def normalised_tokens(text: str) -> list[str]:
    """Words of English, characters of Chinese, as answers are compared."""
    return _TOKENS.findall(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)))


def exact_match(said: str, given: Sequence[str]) -> float:
    """1 where it equals one of the given answers, else 0. No given answer means that "" is right."""
    tokens = normalised_tokens(said)
    return float(any(tokens == normalised_tokens(each) for each in given or [""]))


def token_f1(said: str, given: Sequence[str]) -> float:
    """The F1 of shared tokens with the nearest of the given answers; for none, 1 where nothing is said."""
    return max(_f1(normalised_tokens(said), normalised_tokens(each)) for each in given or [""])


def _f1(said: list[str], given: list[str]) -> float:
    if not said or not given:
        return float(said == given)
    shared = sum((Counter(said) & Counter(given)).values())
    return 2 * shared / (len(said) + len(given))
