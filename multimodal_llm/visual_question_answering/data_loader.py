"""Questions about pictures with their answers: easy-VQA, folders in the layout of VQAv2, and sets of the hub.

A question has one answer (easy-VQA) or those of ten people (VQAv2), which then count by the set's own formula.
The bar that every model has to clear stands here too: what one scores by the questions alone, eyes shut.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from multimodal_llm.images import ImageSource
from shared.assets import asset_path
from shared.errors import UserError
from shared.hub import hub_is_reachable, hub_offline, out_of_reach, refuse_malformed
from shared.logging import progress_bar
from shared.runs import read_json

Split = Literal["train", "test"]

EASY_VQA = "easy_vqa"
SHAPES = ("circle", "rectangle", "triangle")
COLORS = ("black", "blue", "brown", "gray", "green", "red", "teal", "yellow")
EASY_VQA_ANSWERS = ("yes", "no", *SHAPES, *COLORS)

HUB_SPLITS = {"train": "train", "test": "validation"}  # VQAv2's own test answers are kept secret
_VQAV2_FILES = {
    "train": ("*OpenEnded*train2014_questions.json", "*train2014_annotations.json"),
    "test": ("*OpenEnded*val2014_questions.json", "*val2014_annotations.json"),
}


class Question(NamedTuple):
    """A question about the picture at `picture` in its split's list, with the answers that people gave."""

    text: str
    answers: tuple[str, ...]
    picture: int

    @property
    def answer(self) -> str:
        """The commonest answer."""
        return Counter(self.answers).most_common(1)[0][0]


@dataclass(frozen=True)
class VqaSplit:
    """One part of a set: pictures as `load_image` takes them, and the questions about them."""

    pictures: Sequence[ImageSource]
    questions: Sequence[Question]


class Facts(NamedTuple):
    """What one of easy-VQA's pictures shows."""

    shape: str
    color: str


def load_vqa(name: str, split: Split) -> VqaSplit:
    """The train or test part of `easy_vqa`, of a folder laid out like easy-VQA or VQAv2, or of a set on the hub.

    Of VQAv2 the validation part is the test. Raises UserError where the name leads nowhere or a file is damaged.
    """
    folder = asset_path(EASY_VQA) if name == EASY_VQA else Path(name)
    if (folder / split / "questions.json").is_file():
        return _easy_vqa(folder / split)
    if folder.is_dir():
        return _vqav2(folder, split)
    return _from_hub(name, split)


def _easy_vqa(folder: Path) -> VqaSplit:
    """`questions.json` has [question, answer, number of the picture]; the pictures are images/NUMBER.png."""
    rows = read_json(folder / "questions.json")
    try:
        numbers = sorted({number for _, _, number in rows})
        places = {number: place for place, number in enumerate(numbers)}
        questions = [Question(text, (answer,), places[number]) for text, answer, number in rows]
    except (TypeError, ValueError) as error:
        raise UserError(f"{folder}/questions.json: not rows of [question, answer, picture]: fetch it anew") from error
    if not questions:
        raise UserError(f"{folder}/questions.json: holds no questions: give another set")
    return VqaSplit([folder / "images" / f"{number}.png" for number in numbers], questions)


def _vqav2(folder: Path, split: Split) -> VqaSplit:
    """Two files of JSON, as visualqa.org has them for download, and COCO's photos anywhere below the folder."""
    files = []
    for pattern in _VQAV2_FILES[split]:
        found = sorted(folder.glob(pattern))
        if not found:
            raise UserError(
                f"--data {folder}: no {pattern} in it, and no {split}/questions.json: "
                "give a folder laid out like VQAv2 or easy-VQA"
            )
        files.append(read_json(found[0]))
    try:
        asked = {row["question_id"]: row for row in files[0]["questions"]}
        answered = {row["question_id"]: row["answers"] for row in files[1]["annotations"]}
        photos = {int(m[1]): path for path in folder.rglob("*.jpg") if (m := re.search(r"(\d+)\.jpg$", path.name))}
        numbers = sorted({row["image_id"] for row in asked.values()} & photos.keys())
        places = {number: place for place, number in enumerate(numbers)}
        questions = [
            Question(row["question"], tuple(a["answer"] for a in answered[key]), places[row["image_id"]])
            for key, row in asked.items()
            if key in answered and row["image_id"] in places
        ]
    except (KeyError, TypeError) as error:
        raise UserError(f"--data {folder}: its JSON is not VQAv2's ({error} is missing): fetch it anew") from error
    if not questions:
        raise UserError(f"--data {folder}: none of the questions' photos (NUMBER.jpg) is below it: add COCO's photos")
    return VqaSplit([photos[number] for number in numbers], questions)


def _from_hub(name: str, split: Split) -> VqaSplit:
    """A set with the columns image, question and answers (or answer), such as lmms-lab/VQAv2."""
    refuse_malformed(name, EASY_VQA)
    try:
        from datasets import load_dataset
    except ImportError as error:
        raise UserError(
            f"{name}: not {EASY_VQA} and no folder: for a set of the hub run `pip install datasets`"
        ) from error
    reachable = hub_is_reachable()
    try:
        with nullcontext() if reachable else hub_offline():
            rows: Iterable[Any] = load_dataset(name, split=HUB_SPLITS[split])
    except Exception as error:  # the library has no common class for what can go wrong
        if not reachable:
            raise out_of_reach(name, EASY_VQA) from error
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{name}: the hub refused it ({reason}): check the name, or use {EASY_VQA}") from error
    pictures, questions = [], []
    with progress_bar(name, None) as update:
        for place, row in enumerate(rows):
            questions.append(Question(row["question"], _hub_answers(name, row), place))
            pictures.append(row["image"])
            update(done=place + 1)
    return VqaSplit(pictures, questions)


def _hub_answers(name: str, row: dict[str, Any]) -> tuple[str, ...]:
    for column in ("answers", "answer", "multiple_choice_answer"):
        if row.get(column):
            value = row[column] if isinstance(row[column], list) else [row[column]]
            return tuple(each["answer"] if isinstance(each, dict) else str(each) for each in value)
    raise UserError(f"{name}: its rows have no answers (the columns are {', '.join(row)}): choose another set")


def picture_facts(split: VqaSplit) -> list[Facts | None]:
    """Shape and colour of each of easy-VQA's pictures, read off its questions; None where these do not tell both."""
    told: dict[int, dict[str, str]] = defaultdict(dict)
    for question in split.questions:
        value = question.answer
        if value in ("yes", "no"):
            # "is there a red shape?" yes, or "is no red shape present?" no: the value is the picture's.
            negated = re.search(r"\b(no|not)\b", question.text) is not None
            named = [word for word in re.findall(r"\w+", question.text) if word in EASY_VQA_ANSWERS[2:]]
            value = named[0] if named and (value == "yes") != negated else ""
        if value:
            told[question.picture]["shape" if value in SHAPES else "color"] = value
    return [
        Facts(told[i]["shape"], told[i]["color"]) if len(told[i]) == 2 else None for i in range(len(split.pictures))
    ]


def question_type(answer: str) -> str:
    """What is asked for: `yes_no`, easy-VQA's `shape` and `color`, VQAv2's `number`, or `other`."""
    if answer in ("yes", "no"):
        return "yes_no"
    if answer in SHAPES:
        return "shape"
    return "color" if answer in COLORS else "number" if answer.isdigit() else "other"


def scores(questions: Sequence[Question], answers: Sequence[str]) -> dict[str, Any]:
    """Accuracy over all questions and by type, of answers in their order."""
    by_type: dict[str, list[float]] = defaultdict(list)
    for question, answer in zip(questions, answers, strict=True):
        by_type[question_type(question.answer)].append(vqa_accuracy(answer, question.answers))
    every = [score for group in by_type.values() for score in group]
    return {
        "accuracy": sum(every) / len(every),
        "by_type": {name: sum(group) / len(group) for name, group in sorted(by_type.items())},
    }


def vqa_accuracy(answer: str, people: Sequence[str]) -> float:
    """VQAv2's measure: min(1, people who said so / 3), the mean over leaving each person out (arXiv 1505.00468).

    With one person's answer it is 1 or 0.
    """
    said = normalise_answer(answer)
    right = [normalise_answer(person) == said for person in people]
    if len(people) < 2:
        return float(any(right))
    others = [min(1.0, (sum(right) - own) / 3) for own in right]
    return sum(others) / len(others)


def normalise_answer(answer: str) -> str:
    """Lower case, without articles, points and outer space: the main part of VQAv2's own cleaning."""
    words = re.sub(r"[^\w\s':/-]", " ", answer.lower()).split()
    return " ".join(word for word in words if word not in ("a", "an", "the"))


def question_only_prior(train: Sequence[Question], test: Sequence[Question]) -> dict[str, Any]:
    """The score of one who never looks: to each question the commonest answer that it had in training.

    A question that training does not hold gets the commonest answer of all.
    """
    by_text: dict[str, Counter[str]] = defaultdict(Counter)
    every: Counter[str] = Counter()
    for question in train:
        by_text[question.text][question.answer] += 1
        every[question.answer] += 1
    guesses = [(by_text.get(question.text) or every).most_common(1)[0][0] for question in test]
    return scores(test, guesses)


def split_ids(split: VqaSplit) -> list[str]:
    """A line for each picture of a split of files, such as `train/17.png`: what weights say they were trained on."""
    return ["/".join(Path(str(picture)).parts[-3:]).replace("/images", "") for picture in split.pictures]
