"""The reward of whole batches is CIDEr-D, no more and no less."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from multimodal_llm.image_captioning.caption_evaluation import cider_d
from multimodal_llm.image_captioning.reward import CiderReward
from multimodal_llm.image_captioning.vocabulary import END

LENGTH = 9


def padded(texts: list[list[int]]) -> np.ndarray:
    return np.array([[*text, END, *[0] * (LENGTH - len(text))] for text in texts])


def as_text(numbers: list[int]) -> str:
    return " ".join(f"w{number}" for number in [*numbers, END])


sentences = st.lists(st.integers(4, 9), min_size=0, max_size=LENGTH)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(sentences, st.tuples(sentences, sentences, sentences)), min_size=2, max_size=6))
def test_the_batched_reward_is_the_readable_cider_d(photos):
    references = np.stack([padded(list(texts)) for _, texts in photos])
    candidates = torch.from_numpy(padded([candidate for candidate, _ in photos]))
    found = CiderReward(references)(torch.arange(len(photos)), candidates)
    _, expected = cider_d(
        [as_text(candidate) for candidate, _ in photos], [[as_text(t) for t in texts] for _, texts in photos]
    )
    assert np.allclose(found.numpy() * 100, expected, rtol=1e-4, atol=1e-2)


def test_the_same_photo_may_be_asked_about_several_times():
    references = np.stack([padded([[4, 5, 6]]), padded([[7, 8, 9]])])
    reward = CiderReward(references)
    photos = torch.tensor([1, 0, 1])
    found = reward(photos, torch.from_numpy(padded([[7, 8, 9], [7, 8, 9], [4, 5, 6]])))
    assert found[0] > 5 and found[1:].max() < 1
