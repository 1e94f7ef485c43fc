"""The small captioner: it can learn, it decodes well, and what is saved loads as it was."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from multimodal_llm.image_captioning.caption_model import CaptionModel, CaptionSettings
from multimodal_llm.image_captioning.captioner import FREE_ONLY, load_captioner
from multimodal_llm.image_captioning.decoding import beam_search, sample
from multimodal_llm.image_captioning.flickr import CaptionedPhoto
from multimodal_llm.image_captioning.reward import CiderReward
from multimodal_llm.image_captioning.small_captioner import SmallCaptioner
from multimodal_llm.image_captioning.training import (
    CaptionData,
    SentenceStage,
    WordStage,
    describe,
    encode_captions,
    learn_sentences,
    learn_words,
)
from multimodal_llm.image_captioning.vocabulary import END, PADDING, START, UNKNOWN, Vocabulary
from multimodal_llm.image_encoder import EfficientNetLite2, ImageEncoder
from shared.errors import UserError

VOCABULARY = Vocabulary("a the dog cat ball sleeps runs on grass".split())
TEXTS = ("a dog runs on the grass", "the cat sleeps", "a ball on the grass", "the dog sleeps")


def model(**changes) -> CaptionModel:
    torch.manual_seed(0)
    shape = {
        "max_words": 8,
        "side": 64,
        "width": 32,
        "heads": 4,
        "encoder_layers": 1,
        "decoder_layers": 2,
        "dropout": 0.0,
    }
    return CaptionModel(CaptionSettings(n_words=len(VOCABULARY), **shape | changes)).eval()


def cells(n: int) -> torch.Tensor:
    """Few features are there at all, as behind a ReLU."""
    values = torch.rand(n, 4, 1280, generator=torch.Generator().manual_seed(1))
    return (values - 0.8).clamp(min=0) * 5


def quiet(*ignored) -> None: ...


def data() -> CaptionData:
    photos = [CaptionedPhoto(None, (text,)) for text in TEXTS]
    words, references = encode_captions(photos, VOCABULARY, 8)
    return CaptionData(cells(4)[None].half(), None, words, references)


def test_decoding_word_by_word_gives_the_logits_of_the_whole_sentence():
    captioner = model()
    picture = captioner.look(cells(2))
    words = torch.tensor([[START, 4, 6, 8], [START, 5, 7, 2]])
    whole, _ = captioner(words, picture)
    past, pieces = None, []
    for place in range(4):
        logits, past = captioner(words[:, place : place + 1], picture, past)
        pieces.append(logits)
    assert torch.allclose(torch.cat(pieces, 1), whole, atol=1e-5)


def test_a_word_does_not_see_those_after_it():
    captioner = model()
    picture = captioner.look(cells(1))
    one, _ = captioner(torch.tensor([[START, 4, 5]]), picture)
    other, _ = captioner(torch.tensor([[START, 4, 9]]), picture)
    assert torch.allclose(one[:, :2], other[:, :2], atol=1e-6)


def test_the_caption_depends_on_where_things_are():
    captioner = model()
    one, _ = captioner(torch.tensor([[START]]), captioner.look(cells(1)))
    other, _ = captioner(torch.tensor([[START]]), captioner.look(cells(1).flip(1)))
    assert not torch.allclose(one, other)


def test_a_wide_beam_finds_the_likeliest_of_all_sentences():
    captioner = model(width=16)
    captioner.settings = CaptionSettings(n_words=len(VOCABULARY), max_words=3, side=64, width=16, heads=4)
    picture = captioner.look(cells(1))

    def log_probability(sentence: tuple[int, ...]) -> float:
        logits, _ = captioner(torch.tensor([[START, *sentence[:-1]]]), picture)
        logs = logits[0].log_softmax(-1)
        return sum(logs[place, word].item() for place, word in enumerate(sentence))

    says = range(UNKNOWN + 1, len(VOCABULARY))
    short = [(*start, END) for n in (0, 1, 2) for start in itertools.product(says, repeat=n)]
    cut = list(itertools.product(says, repeat=3))
    best = max(short + cut, key=log_probability)
    [found] = beam_search(captioner, [picture], 1, beams=len(VOCABULARY) ** 2, no_repeat=0, length_penalty=0.0)
    assert tuple(found.words) == best
    assert found.confidence == pytest.approx(np.exp(log_probability(best) / len(best)), rel=1e-4)


def test_a_word_is_as_likely_as_on_the_mean_of_the_views():
    captioner = model()
    one, other = captioner.look(cells(1)), captioner.look(cells(1).flip(1))
    logs = [captioner(torch.tensor([[START]]), view)[0][0, 0].log_softmax(-1) for view in (one, other)]
    mean = (logs[0] + logs[1]) / 2
    mean[[PADDING, START, UNKNOWN]] = -1e9
    captioner.settings = replace(captioner.settings, max_words=1)
    [found] = beam_search(captioner, [one, other], 1, beams=2)
    assert found.words[0] == mean.argmax()
    assert found.confidence == pytest.approx(mean.max().exp().item(), rel=1e-4)


def test_no_run_of_words_is_repeated_and_nothing_special_is_said():
    captioner = model(max_words=24)
    for sentence in beam_search(captioner, [captioner.look(cells(6))], 6, beams=2, no_repeat=2):
        words = [word for word in sentence.words if word != END]
        pairs = list(itertools.pairwise(words))
        assert len(pairs) == len(set(pairs))
        assert not {PADDING, START, UNKNOWN} & set(words)


def test_a_sample_ends_once_and_follows_the_model():
    captioner = model()
    said = sample(captioner, captioner.look(cells(1)).repeat(4000), 4000)
    logits, _ = captioner(torch.tensor([[START]]), captioner.look(cells(1)))
    logits[..., [PADDING, START, UNKNOWN]] = -1e9
    expected = logits[0, 0].softmax(-1)
    found = torch.bincount(said[:, 0], minlength=len(VOCABULARY)) / 4000
    assert torch.allclose(found, expected, atol=0.04)
    for row in said.tolist():
        after = row[row.index(END) + 1 :] if END in row else []
        assert set(after) <= {PADDING}


def test_it_learns_four_captions_by_heart_and_rewards_make_it_surer():
    learner = model()
    averaged = learn_words(learner, data(), WordStage(epochs=100, lr=3e-3, smoothing=0.0, average=0.5), quiet)
    assert describe(averaged, data().grids[0], None, VOCABULARY) == list(TEXTS)
    learner.load_state_dict(averaged.state_dict())
    rewards = []
    stage = SentenceStage(epochs=12, lr=1e-3, word_weight=0.0, average=0.0)
    learn_sentences(learner, data(), CiderReward(data().references), stage, lambda *heard: rewards.append(heard[2]))
    assert rewards[-1] >= rewards[0]


def test_the_reward_alone_teaches_better_sentences():
    learner = model()
    rewards = []
    stage = SentenceStage(epochs=60, lr=3e-3, word_weight=0.0, samples=8, average=0.0)
    learn_sentences(learner, data(), CiderReward(data().references), stage, lambda *heard: rewards.append(heard[2]))
    assert np.mean(rewards[-5:]) > 3 * np.mean(rewards[:5])


@pytest.fixture
def captioner() -> SmallCaptioner:
    torch.manual_seed(0)
    return SmallCaptioner(model(use_classes=True), VOCABULARY, ImageEncoder(EfficientNetLite2()))


def test_what_is_saved_loads_as_it_was(captioner, tmp_path, monkeypatch):
    monkeypatch.setattr(ImageEncoder, "load", classmethod(lambda cls, device: captioner.encoder))
    pictures = [Image.new("RGB", (50, 40), colour) for colour in ("red", "blue")]
    before = captioner.caption(pictures)
    captioner.save(tmp_path)
    after = load_captioner(str(tmp_path), "cpu").caption(pictures)
    assert [one.text for one in after] == [one.text for one in before]
    assert all(0 < one.confidence <= 1 for one in after)


def test_the_prefix_begins_the_caption_and_unknown_words_are_refused(captioner):
    [caption] = captioner.caption([Image.new("RGB", (50, 40))], prefix="the dog")
    assert caption.text.startswith("the dog")
    with pytest.raises(UserError, match="never learnt"):
        captioner.caption([Image.new("RGB", (50, 40))], prefix="an aardvark")


def test_a_prefix_that_leaves_no_room_for_a_word_is_refused(captioner):
    """It came back as the caption, with a confidence of 1."""
    with pytest.raises(UserError, match="shorten"):
        captioner.caption([Image.new("RGB", (30, 30))], "the dog runs on grass the dog runs")


def test_damaged_weights_are_refused(captioner, tmp_path):
    captioner.save(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(UserError, match="not this captioner's weights"):
        load_captioner(str(tmp_path), "cpu")


def test_a_switch_leaves_the_non_commercial_weights_out(monkeypatch):
    monkeypatch.setenv(FREE_ONLY, "1")
    with pytest.raises(UserError, match="non-commercial"):
        load_captioner("small")
