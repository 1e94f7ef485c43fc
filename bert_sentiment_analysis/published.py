"""Scores that others published, to stand beside ours: each with its source, and what it was measured on.

They are never filled in for a model that was not measured: they are rows of their own.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """The accuracy of a model on the usual test part of a set."""

    dataset: str
    model: str
    accuracy: float
    source: str
    detail: str
    """What of the set it was measured on."""
    link: str


_TEXTATTACK = (
    "TextAttack",
    "first 1,000 texts of the test part",
    "https://github.com/QData/TextAttack/blob/master/textattack/models/README.md",
)
_SANH = ("Sanh 2019", "whole test part", "https://arxiv.org/abs/1910.01108")
_SUN = ("Sun 2019", "whole test part", "https://arxiv.org/abs/1905.05583")

# Beside ours they are orientation, not a contest: our rotten_tomatoes test is its official validation and test
# sentences together with the sign of human ratings as labels, and our imdb test is cut from its training reviews.
PUBLISHED = [
    Published("rotten_tomatoes", "roberta-base", 0.883, *_TEXTATTACK),
    Published("rotten_tomatoes", "albert-base-v2", 0.851, *_TEXTATTACK),
    Published("rotten_tomatoes", "bert-base-uncased", 0.838, *_TEXTATTACK),
    Published("rotten_tomatoes", "LSTM", 0.781, *_TEXTATTACK),
    Published("rotten_tomatoes", "word CNN", 0.768, *_TEXTATTACK),
    Published("imdb", "bert-base, pretrained on", 0.9563, *_SUN),
    Published("imdb", "roberta-base", 0.941, *_TEXTATTACK),
    Published("imdb", "distilbert-base-uncased", 0.9282, *_SANH),
    Published("imdb", "bert-base-uncased", 0.919, *_TEXTATTACK),
    Published("imdb", "albert-base-v2", 0.913, *_TEXTATTACK),
    Published("imdb", "distilbert-base-uncased", 0.903, *_TEXTATTACK),
    Published("imdb", "LSTM", 0.883, *_TEXTATTACK),
    Published("imdb", "word CNN", 0.863, *_TEXTATTACK),
]

# Hutto & Gilbert 2014 (https://doi.org/10.1609/icwsm.v8i1.14550), Table 4: Pearson's r with the mean of 20 ratings, on
# whole sets.
PUBLISHED_R: dict[str, dict[str, float]] = {
    "one human": {"tweets": 0.888, "movie_snippets": 0.899, "amazon": 0.911, "nyt": 0.745},
    "VADER": {"tweets": 0.881, "movie_snippets": 0.451, "amazon": 0.565, "nyt": 0.492},
    "Hu-Liu 2004 word list": {"tweets": 0.756, "movie_snippets": 0.416, "amazon": 0.571, "nyt": 0.487},
}

# Table 5: F1 of three classes. Naive Bayes (NB) and maximum entropy (ME), trained on half of one set.
PUBLISHED_F1: dict[str, dict[str, float]] = {
    "VADER": {"tweets": 0.96, "movie_snippets": 0.61, "amazon": 0.63, "nyt": 0.55},
    "NB on tweets": {"tweets": 0.84, "movie_snippets": 0.53, "amazon": 0.53, "nyt": 0.42},
    "ME on tweets": {"tweets": 0.83, "movie_snippets": 0.56, "amazon": 0.58, "nyt": 0.45},
    "NB on movie_snippets": {"tweets": 0.56, "movie_snippets": 0.75, "amazon": 0.49, "nyt": 0.44},
    "ME on movie_snippets": {"tweets": 0.56, "movie_snippets": 0.75, "amazon": 0.51, "nyt": 0.45},
    "NB on amazon": {"tweets": 0.69, "movie_snippets": 0.55, "amazon": 0.61, "nyt": 0.48},
    "ME on amazon": {"tweets": 0.67, "movie_snippets": 0.55, "amazon": 0.60, "nyt": 0.43},
    "NB on nyt": {"tweets": 0.59, "movie_snippets": 0.56, "amazon": 0.51, "nyt": 0.49},
    "ME on nyt": {"tweets": 0.58, "movie_snippets": 0.55, "amazon": 0.51, "nyt": 0.50},
}


def published_scores(dataset: str) -> list[Published]:
    """What was published on a packaged set, or on the same set by its hub name (`stanfordnlp/imdb`)."""
    return [row for row in PUBLISHED if row.dataset == dataset.rpartition("/")[2]]
