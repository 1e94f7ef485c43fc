"""The captioner's losses go by length in parts; they are those of all sentences at once, each with its own photo."""

import pytest
import torch
from PIL import Image, ImageOps
from torch.nn import functional as F

from multimodal_llm.image_captioning.caption_model import CaptionModel, CaptionSettings
from multimodal_llm.image_captioning.small_captioner import SmallCaptioner
from multimodal_llm.image_captioning.training import CAPTIONS, _reward_loss, _word_loss
from multimodal_llm.image_captioning.vocabulary import END, PADDING, START, Vocabulary
from multimodal_llm.image_encoder import ImageEncoder

WORDS = [f"word{number}" for number in range(8)]


def model() -> CaptionModel:
    torch.manual_seed(0)
    settings = CaptionSettings(n_words=len(Vocabulary(WORDS)), side=64, width=32, heads=4, max_words=9)
    return CaptionModel(settings).eval()


def sentences(n: int) -> torch.Tensor:
    """(n, 10), from START to END, of 2 to 9 words."""
    torch.manual_seed(1)
    rows = torch.full((n, 10), PADDING)
    for row, length in zip(rows, torch.randint(1, 9, (n,)).tolist(), strict=True):
        row[0], row[1 : 1 + length], row[1 + length] = START, torch.randint(4, 12, (length,)), END
    return rows


def test_the_word_loss_is_that_of_all_captions_at_once():
    captioner, captions = model(), sentences(3 * CAPTIONS)
    picture = captioner.look(torch.randn(3, 4, 1280))
    logits, _ = captioner(captions[:, :-1], picture.repeat(CAPTIONS))
    plain = F.cross_entropy(logits.flatten(0, 1), captions[:, 1:].flatten(), ignore_index=PADDING, label_smoothing=0.1)
    assert _word_loss(captioner, picture, captions.view(3, CAPTIONS, -1), 0.1).item() == pytest.approx(
        plain.item(), 1e-5
    )


def test_the_reward_loss_is_that_of_all_sentences_at_once():
    captioner, whole, advantage = model(), sentences(3 * 4), torch.randn(12)
    picture = captioner.look(torch.randn(3, 4, 1280))
    logs = captioner(whole[:, :-1], picture.repeat(4))[0].log_softmax(-1).gather(2, whole[:, 1:, None])[..., 0]
    there = whole[:, 1:] != PADDING
    plain = -(advantage[:, None] * logs * there).sum() / there.sum()
    assert _reward_loss(captioner, picture, whole[:, 1:], advantage).item() == pytest.approx(plain.item(), 1e-4)


def test_a_caption_looks_at_the_photo_and_at_its_mirror_image(random_encoder, monkeypatch):
    captioner = SmallCaptioner(model(), Vocabulary(WORDS), ImageEncoder.load("cpu"))
    photo, seen, encode = Image.linear_gradient("L").rotate(90).convert("RGB"), [], captioner.encoder.encode

    def looked(photos, side):
        seen.extend(photos)
        return encode(photos, side)

    monkeypatch.setattr(captioner.encoder, "encode", looked)
    captioner.caption([photo])
    assert [picture.tobytes() for picture in seen] == [photo.tobytes(), ImageOps.mirror(photo).tobytes()]
    assert seen[0].tobytes() != seen[1].tobytes()
