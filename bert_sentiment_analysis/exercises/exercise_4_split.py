"""Exercise 4: a split that cannot leak: the text itself decides on which side it stands."""

from shared.leaks import Side

REPLACES = "shared.leaks.side_of"
CHECKED_BY = [
    "shared/tests/test_leaks.py::test_the_side_is_fixed_by_the_text_alone",
    "shared/tests/test_leaks.py::test_the_sides_are_80_10_10_and_the_halves_are_even_within_each",
    "bert_sentiment_analysis/tests/test_dataset.py::test_a_file_is_split_by_the_hash_and_its_bad_rows_are_told",
]


def side_of(text: str) -> Side:
    """Where a text belongs: "train" for 80 % of all texts, "validation" for 10 %, "test" for 10 %. Always the same.

    Drawn at random, a sentence that two data sets share would train in one and test in the other. So:

      1. the text's key, `shared.cleaning.normalise(text)`: copies that differ in case or punctuation have the
         same one;
      2. its SHA-256: `hashlib.sha256(key.encode()).hexdigest()`, 64 hexadecimal digits that look random;
      3. the first 16 of them as a number, `int(digits, 16)`, divided by 2 to the 64: a fraction from 0 to 1;
      4. below .8 it is "train", below .9 "validation", else "test".

    Read: https://developers.google.com/machine-learning/crash-course/overfitting/dividing-datasets
    Expect: Python's own `hash(text)` passes until the program is started again: it is salted anew each time.
    """
    raise RuntimeError("fill in side_of")
