"""LayoutLM's and LayoutLMv3's code path, on tiny random checkpoints that are saved to disk as any are."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from multimodal_llm.document_understanding.document import Page
from multimodal_llm.document_understanding.document_qa import Answer
from multimodal_llm.document_understanding.layout_models import LayoutModel, likeliest, scaled
from multimodal_llm.tests.document_fixtures import DINER, page_of
from shared.errors import UserError

PAGE = page_of(DINER)
WORDS = sorted({word.text.lower() for line in PAGE.lines for word in line.words} | {"what", "is", "the", "total"})
SHAPE = {"hidden_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}


@pytest.fixture(scope="module")
def layoutlm(tmp_path_factory) -> Path:
    from transformers import BertTokenizerFast, LayoutLMConfig, LayoutLMForQuestionAnswering

    folder = tmp_path_factory.mktemp("layoutlm")
    vocabulary = folder / "vocab.txt"
    vocabulary.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]))
    tokenizer = BertTokenizerFast(str(vocabulary), model_max_length=48)
    torch.manual_seed(0)
    config = LayoutLMConfig(vocab_size=len(tokenizer), max_position_embeddings=64, **SHAPE)
    LayoutLMForQuestionAnswering(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def layoutlmv3(tmp_path_factory) -> Path:
    from transformers import LayoutLMv3Config, LayoutLMv3ForQuestionAnswering, LayoutLMv3Tokenizer

    folder = tmp_path_factory.mktemp("layoutlmv3")
    letters = sorted({*"".join(WORDS), *"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", "Ġ"})
    names = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", *letters]
    tokenizer = LayoutLMv3Tokenizer(
        vocab={name: number for number, name in enumerate(names)}, merges=[], model_max_length=512
    )
    torch.manual_seed(0)
    config = LayoutLMv3Config(
        vocab_size=len(names), input_size=32, patch_size=16, coordinate_size=4, shape_size=4,
        max_position_embeddings=514, **SHAPE,
    )  # fmt: skip
    LayoutLMv3ForQuestionAnswering(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_a_saved_layoutlm_points_at_words_of_the_page(layoutlm):
    reply = LayoutModel.load(str(layoutlm), "cpu").answer("What is the total?", [PAGE])
    assert_stands_on_the_page(reply)


def test_a_saved_layoutlmv3_sees_the_picture_as_well(layoutlmv3):
    model = LayoutModel.load(str(layoutlmv3), "cpu")
    blind = model.answer("What is the total?", [PAGE])
    red, blue = (Image.new("RGB", (60, 80), colour) for colour in ("red", "blue"))
    seen = [model.answer("What is the total?", [PAGE], [picture]) for picture in (red, blue)]
    for reply in (blind, *seen):
        assert_stands_on_the_page(reply)
    assert len({blind.confidence, *(reply.confidence for reply in seen)}) == 3


def assert_stands_on_the_page(reply: Answer) -> None:
    if not reply.found:  # random weights may hold "no answer" likeliest
        assert "no answer" in reply.reason
        return
    assert all(word in PAGE.text for word in reply.text.split())
    assert 0 < reply.confidence <= 1
    left, top, right, bottom = reply.box
    assert 0 <= left < right <= PAGE.width and 0 <= top < bottom <= PAGE.height


def test_the_words_that_the_model_points_at_are_the_answer(layoutlm):
    """Whatever window they stand in: the page is longer than one."""
    model = LayoutModel.load(str(layoutlm), "cpu")
    wanted = model.tokenizer("Pecan", add_special_tokens=False)["input_ids"][0]

    class Pointer(torch.nn.Module):
        config, device = model.model.config, "cpu"

        def forward(self, input_ids, **_):
            logits = torch.where(input_ids == wanted, 9.0, 0.0)
            return type("Output", (), {"start_logits": logits, "end_logits": logits})

    reply = LayoutModel(Pointer(), model.tokenizer).answer("What is the total?", [PAGE])
    pecan = next(word for line in PAGE.lines for word in line.words if word.text == "Pecan")
    assert (reply.text, reply.page, reply.box) == ("Pecan", 1, pecan.box)


def test_a_long_page_is_read_in_windows_that_overlap(layoutlm):
    model = LayoutModel.load(str(layoutlm), "cpu")
    words = [word for line in PAGE.lines for word in line.words]
    windows = model._windows("What is the total?", [w.text for w in words], [[1, 2, 3, 4]] * len(words))
    seen = [{word for word in windows.word_ids(n) if word is not None} for n in range(len(windows["input_ids"]))]
    assert len(seen) > 1 and set.union(*seen) >= set(range(len(words)))
    assert all(one & other for one, other in zip(seen, seen[1:], strict=False))
    assert all(len(ids) == len(boxes) for ids, boxes in zip(windows["input_ids"], windows["bbox"], strict=True))


def test_the_likeliest_run_does_not_begin_in_the_question_nor_end_before_it_begins():
    start, end = torch.tensor([0.0, 9.0, 1.0, 5.0, 0.0]), torch.tensor([0.0, 9.0, 6.0, 0.0, 5.0])
    span, none = likeliest(start, end, [None, None, 0, 1, 2])
    assert span[:2] == (1, 2) and 0 < none < span.probability


def test_boxes_are_thousandths_of_the_page():
    assert scaled((50, 20, 100, 400), width=200, height=400) == [250, 50, 500, 1000]
    assert scaled((-3, 0, 500, 4), width=200, height=400) == [0, 0, 1000, 10]


def test_a_page_that_surely_holds_no_answer_does_not_silence_another(layoutlm, monkeypatch):
    from multimodal_llm.document_understanding.layout_models import Span

    said = {1: (Span(0, 0, 0.001), 0.99), 2: (Span(1, 1, 0.9), 0.01)}
    model = LayoutModel.load(str(layoutlm), "cpu")
    monkeypatch.setattr(model, "_point", lambda question, words, page, picture: said[page.number])
    pages = [PAGE, replace(PAGE, number=2)]
    assert model.answer("What is the total?", pages).page == 2
    said[2] = (Span(1, 1, 0.4), 0.5)
    assert "(0.50) likelier than any (0.40)" in model.answer("What is the total?", pages).reason


def test_a_page_without_text_is_no_answer(layoutlm):
    empty = Page(1, 100, 100, "empty", "the page is blank")
    reply = LayoutModel.load(str(layoutlm), "cpu").answer("What is the total?", [empty])
    assert not reply.found and "the page is blank" in reply.reason


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"model_type": "layoutlmv2"}, "detectron2"),
        (
            {"model_type": "bert", "architectures": ["BertForQuestionAnswering"]},
            "its model is BertForQuestionAnswering",
        ),
        ({"model_type": "layoutlm", "architectures": ["LayoutLMForTokenClassification"]}, "TokenClassification"),
        (None, "no config.json"),
    ],
)
def test_other_models_are_refused_in_one_line(tmp_path, config, said):
    if config is not None:
        (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=said):
        LayoutModel.load(str(tmp_path))
