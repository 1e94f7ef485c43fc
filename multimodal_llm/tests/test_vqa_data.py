"""Sets of visual questions are read as they lie, scored by their own measure, and never guessed at."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from multimodal_llm.tests.vqa_fixtures import write_easy_vqa
from multimodal_llm.visual_question_answering.data_loader import (
    Facts,
    Question,
    VqaSplit,
    load_vqa,
    normalise_answer,
    picture_facts,
    question_only_prior,
    question_type,
    scores,
    vqa_accuracy,
)
from shared.errors import UserError


def test_a_folder_in_easy_vqas_layout_gives_its_questions_and_pictures(tmp_path):
    split = load_vqa(str(write_easy_vqa(tmp_path)), "test")
    assert len(split.pictures) == 8 and len(split.questions) == 24
    assert split.questions[0] == Question("what shape is present?", ("circle",), 0)
    assert all(path.is_file() for path in split.pictures)


def write_vqav2(folder):
    (folder / "photos").mkdir()
    for number in (9, 262148):
        Image.new("RGB", (8, 8)).save(folder / "photos" / f"COCO_val2014_{number:012d}.jpg")
    questions = [{"image_id": i, "question_id": i * 10, "question": "what is it?"} for i in (262148, 9, 77)]
    answers = [{"question_id": q["question_id"], "answers": [{"answer": "a dog"}] * 10} for q in questions]
    name = folder / "v2_OpenEnded_mscoco_val2014_questions.json"
    name.write_text(json.dumps({"questions": questions}))
    (folder / "v2_mscoco_val2014_annotations.json").write_text(json.dumps({"annotations": answers}))
    return name


def test_vqav2s_layout_joins_questions_people_and_photos_and_leaves_out_photos_that_are_not_here(tmp_path):
    write_vqav2(tmp_path)
    split = load_vqa(str(tmp_path), "test")
    assert [split.pictures[q.picture].stem[-6:] for q in split.questions] == ["262148", "000009"]
    assert len(split.questions[0].answers) == 10 and split.questions[0].answer == "a dog"


def test_a_folder_of_neither_layout_says_what_is_missing(tmp_path):
    with pytest.raises(UserError, match=r"no \*OpenEnded\*train2014_questions.json"):
        load_vqa(str(tmp_path), "train")


@pytest.mark.parametrize("text", ['[["what?", "yes"]]', "{", "[1]"])
def test_damaged_questions_are_one_clear_line(tmp_path, text):
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "questions.json").write_text(text)
    with pytest.raises(UserError, match=r"questions\.json"):
        load_vqa(str(tmp_path), "test")


def test_a_set_without_questions_is_one_clear_line(tmp_path):
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "questions.json").write_text("[]")
    with pytest.raises(UserError, match="holds no questions"):
        load_vqa(str(tmp_path), "test")


def test_vqav2_json_of_another_shape_is_one_clear_line(tmp_path):
    write_vqav2(tmp_path).write_text('{"rows": []}')
    with pytest.raises(UserError, match="not VQAv2's"):
        load_vqa(str(tmp_path), "test")


def test_a_name_that_can_be_nothing_says_so_at_once():
    with pytest.raises(UserError, match="no such path"):
        load_vqa("no/such/set", "train")


@pytest.mark.parametrize(
    "agreeing, expected", [(0, 0.0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1.0), (10, 1.0)]
)  # known values of the official formula
def test_vqa_accuracy_is_the_official_mean_over_nine_of_ten_people(agreeing, expected):
    people = ["yes"] * agreeing + ["no"] * (10 - agreeing)
    assert vqa_accuracy("Yes.", people) == pytest.approx(expected)


@given(st.text())
def test_normalising_an_answer_twice_changes_nothing_more(text):
    assert normalise_answer(normalise_answer(text)) == normalise_answer(text)


def test_the_prior_answers_by_the_question_alone_and_unknown_questions_by_the_commonest_answer():
    train = [Question("a?", ("yes",), 0), Question("a?", ("yes",), 1), Question("b?", ("red",), 2)]
    test = [Question("a?", ("yes",), 0), Question("b?", ("blue",), 1), Question("c?", ("yes",), 2)]
    assert question_only_prior(train, test) == {"accuracy": 2 / 3, "by_type": {"color": 0.0, "yes_no": 1.0}}


def test_scores_by_type_weigh_back_to_the_accuracy():
    questions = [Question("?", (answer,), 0) for answer in ("yes", "no", "circle", "teal", "2", "dog")]
    result = scores(questions, ["yes", "yes", "circle", "red", "2", "cat"])
    assert result["accuracy"] == 0.5
    assert result["by_type"] == {"color": 0, "number": 1, "other": 0, "shape": 1, "yes_no": 0.5}
    assert question_type("circle") == "shape"


def test_what_a_picture_shows_is_read_off_positive_and_negated_questions_alike():
    rows = [
        ("is there a red shape?", "yes", 0),
        ("is no circle present?", "no", 0),
        ("is there a red shape?", "no", 1),
        ("what shape is present?", "circle", 1),
        ("does the image not contain a teal shape?", "no", 2),
        ("is there not a circle?", "yes", 2),
        ("what is the black shape?", "triangle", 2),
    ]
    split = VqaSplit(["a", "b", "c"], [Question(text, (answer,), i) for text, answer, i in rows])
    assert picture_facts(split) == [Facts("circle", "red"), None, Facts("triangle", "teal")]
