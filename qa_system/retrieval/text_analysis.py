"""A text as the terms that lexical search compares, English and Chinese mixed as they come.

Words are lower-cased, lose a possessive 's, are dropped where they are stop words, and are stemmed by Porter's
algorithm, as Lucene's EnglishAnalyzer does. Chinese has no spaces: each run of Han characters gives its
overlapping pairs, as Lucene's CJKAnalyzer does; a character that stands alone gives itself.

>>> analyse("The engines' speeds, Newton's laws")
['engin', 'speed', 'newton', 'law']
>>> analyse("用GPU训练模型")
['用', 'gpu', '训练', '练模', '模型']
"""

import re
import threading
import unicodedata

import Stemmer

# A change of what this module gives must change this name: a store keeps it, and refuses terms of another analysis.
VERSION = "english-porter-han-pairs-2"

HAN = "\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f"
_PIECES = re.compile(rf"[{HAN}]+|[^\W_{HAN}]+(?:'[^\W_{HAN}]+)*")
_HAN = re.compile(rf"[{HAN}]")
# Words that any text has and no question is about; Lucene's own list has 33 of them.
STOP_WORDS = frozenset(
    "a an the this that these those such both each few all any some more most other same no nor not only own "
    "i me my myself we us our ours ourselves you your yours he him his himself she her hers it its itself they them "
    "their theirs themselves who whom whose which what when where why how "
    "am is are was were be been being have has had having do does did doing done can could may might must shall should "
    "will would "
    "and but or if because as until while than then so too very just there here now once again also "
    "of at by for with about against between into through during before after above below to from up down in out on "
    "off over under further".split()
)

_local = threading.local()  # a stemmer keeps a cache of its own and is not made for several threads


def analyse(text: str) -> list[str]:
    """The terms of a text, in their order, repeated as often as they occur."""
    terms: list[str] = []
    words: list[str] = []
    for piece in _PIECES.findall(unicodedata.normalize("NFKC", text).lower().replace("\u2019", "'")):
        if _HAN.match(piece):
            terms += _stems(words)
            words = []
            terms += [piece[i : i + 2] for i in range(len(piece) - 1)] or [piece]
        else:
            word = piece.removesuffix("'s")
            if word not in STOP_WORDS:
                words.append(word)
    return terms + _stems(words)


def is_han(text: str) -> bool:
    """Whether the text is written in Chinese: most of its letters are Han characters, which count twice."""
    han = len(_HAN.findall(text))
    letters = sum(character.isalpha() for character in text)
    return 2 * han > letters - han


def _stems(words: list[str]) -> list[str]:
    if not hasattr(_local, "stemmer"):
        _local.stemmer = Stemmer.Stemmer("porter")
    return [stem for stem in _local.stemmer.stemWords(words) if stem]  # of a lone "s" nothing is left
