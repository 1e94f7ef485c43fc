"""Rules without weights measure a shape wherever it stands, understand single words, and doubt what is beside them."""

import numpy as np
import pytest
from PIL import Image

from multimodal_llm.visual_question_answering.data_loader import COLORS, SHAPES, load_vqa
from multimodal_llm.visual_question_answering.drawings import draw, draw_shape
from multimodal_llm.visual_question_answering.measured_shapes import MeasuredShapes, measure
from multimodal_llm.visual_question_answering.vqa_system import load_vqa_system
from shared.errors import UserError


@pytest.fixture(scope="module")
def rules():
    return MeasuredShapes()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("color", COLORS)
def test_every_shape_in_every_colour_is_measured_wherever_it_stands(rules, shape, color):
    for seed in range(8):
        picture = draw_shape(shape, color, np.random.default_rng(seed), size=128 if seed % 2 else 64)
        answers = rules.answer(picture, ["what color is the shape?", "what shape is it?"])
        assert [answer.text for answer in answers] == [color, shape]
        assert all(0.3 < answer.confidence <= 1 and not answer.doubts for answer in answers)


@pytest.mark.parametrize(
    "question, said",
    [
        ("is there a circle?", "yes"),
        ("is there no circle?", "no"),
        ("isn't it a circle?", "no"),
        ("is there a triangle?", "no"),
        ("is there not a triangle?", "yes"),
        ("is it RED?", "yes"),
        ("is there a red circle?", "yes"),
        ("is there a blue circle?", "no"),
        ("is there a red triangle?", "no"),
        ("is there no red triangle?", "yes"),
        ("is it round?", "yes"),
        ("what color is the circle?", "red"),
        ("what is the red shape?", "circle"),
        ("is the color of the shape blue?", "no"),
        ("tell me the shape", "circle"),
        ("the object has what colour?", "red"),
    ],
)
def test_single_words_decide_what_is_asked(rules, question, said):
    [answer] = rules.answer(draw_shape("circle", "red", np.random.default_rng(3)), [question])
    assert answer.text == said and not answer.doubts


@pytest.mark.parametrize(
    "question", ["how are you?", "is there a dog?", "is there a red car?", "where is the shape now?"]
)
def test_a_question_with_words_beside_the_point_is_doubted(rules, question):
    [answer] = rules.answer(draw_shape("circle", "red", np.random.default_rng(3)), [question])
    assert answer.doubts == ("question",)


@pytest.mark.parametrize("kind", ["empty", "noise", "clouds", "letters"])
def test_a_picture_without_one_plain_shape_is_doubted(rules, kind):
    assert not measure(draw(kind, np.random.default_rng(0))).known
    [answer] = rules.answer(draw(kind, np.random.default_rng(0)), ["what color is it?"])
    assert "picture" in answer.doubts and 0 <= answer.confidence <= 1


def test_odd_sizes_and_modes_are_measured(rules):
    [tiny, wide] = (Image.new("RGB", size, "white") for size in ((1, 1), (4000, 3)))
    assert not measure(tiny).known and not measure(wide).known
    gray = Image.new("L", (900, 900), 250)
    gray.paste(128, (200, 200, 500, 600))
    assert [a.text for a in rules.answer(gray, ["what colour is it?", "what shape is it?"])] == ["gray", "rectangle"]


def test_it_is_a_system_by_name_and_refuses_an_empty_question():
    with pytest.raises(UserError, match="the question is empty"):
        load_vqa_system("measured").answer(Image.new("RGB", (8, 8)), [" "])


@pytest.mark.network
def test_the_packaged_pictures_are_measured_as_well_as_ours(rules):
    """On the training part; the test part is the benchmark's."""
    train = load_vqa("easy_vqa", "train")
    for question in train.questions[:400]:
        [answer] = rules.answer(train.pictures[question.picture], [question.text])
        assert answer.text == question.answer
