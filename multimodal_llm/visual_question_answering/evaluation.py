"""What the small BLIP is worth: on easy-VQA's test, on our rewordings, and on what it was never taught."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch

from multimodal_llm.images import ImageSource, load_image
from multimodal_llm.visual_question_answering import rewordings as words
from multimodal_llm.visual_question_answering.calibration import expected_calibration_error, put_to_pictures
from multimodal_llm.visual_question_answering.data_loader import (
    load_vqa,
    picture_facts,
    question_only_prior,
    scores,
)
from multimodal_llm.visual_question_answering.drawings import PICTURE_KINDS, draw
from multimodal_llm.visual_question_answering.measured_shapes import MeasuredShapes, measure
from multimodal_llm.visual_question_answering.training import load_pixels
from multimodal_llm.visual_question_answering.vqa_model import to_pixels
from multimodal_llm.visual_question_answering.vqa_system import ShapesVqa, grids_and_features, question_logits
from shared.errors import UserError
from shared.leaks import text_id

PICTURES_EACH = 40  # that each rewording is put to
DRAWN_EACH = 100  # pictures of each kind for the picture gate

Asked = tuple[int, str, str]  # place of the picture, question, answer


def evaluate(system: ShapesVqa, data: str, seed: int, trained_on: Iterable[str] = ()) -> dict[str, Any]:
    """All scores; `trained_on` are ids of texts, and a rewording among them is left out (`n_excluded`).

    The pictures of the test part are not in training: easy-VQA has no picture twice.
    """
    train, test = load_vqa(data, "train"), load_vqa(data, "test")
    pixels = load_pixels(test.pictures, system.model.config.image_size)
    grids, features = grids_and_features(system.model, pixels)

    own = [(q.picture, q.text, q.answer) for q in test.questions]
    answers, confidence, known = ask_all(system, grids, own)
    right = np.array([said == true for said, (_, _, true) in zip(answers, own, strict=True)])
    prior = question_only_prior(train.questions, test.questions)
    rules = scores(test.questions, answers_by_rules(test.pictures, own))
    result: dict[str, Any] = {
        **scores(test.questions, answers),
        "question_only_prior": prior["accuracy"],
        "prior_by_type": prior["by_type"],
        "rules": rules["accuracy"],
        "rules_by_type": rules["by_type"],
        "n": len(own),
        "ece": expected_calibration_error(confidence, right),
    }
    result |= reworded_scores(system, grids, test.pictures, picture_facts(test), seed, frozenset(trained_on))
    outside = {kind: gate_of(system, words.outside_questions("test", kind)) for kind in words.OUTSIDE}
    result["question_refused"] = {
        "easy_vqa": float((~known).mean()),
        **{kind: float((~let_in).mean()) for kind, let_in in outside.items()},
        "rewordings": result.pop("reworded_refused"),
    }
    result["n_outside_questions"] = {kind: len(let_in) for kind, let_in in outside.items()}
    unlike = (system.picture_gate.distance(features) > system.picture_gate.threshold).float().mean()
    result["picture_refused"] = {"easy_vqa": float(unlike), **drawn_refused(system, seed)}
    return result


def reworded_scores(
    system: ShapesVqa,
    grids: torch.Tensor,
    pictures: Sequence[ImageSource],
    facts: Sequence[Any],
    seed: int,
    trained_on: frozenset[str],
) -> dict[str, Any]:
    """Accuracy on the test's rewordings, each put to the same number of pictures, beside the best blind guess and what
    rules without weights say. Raises UserError where the weights were trained on every rewording."""
    kept = tuple(
        r for r in words.rewordings("test") if not any(text_id(t) in trained_on for t in words.every_wording(r))
    )
    if not kept:
        raise UserError("nothing left to test on: the weights were trained on every rewording: train without them")
    asked = put_to_pictures(kept, list(facts), PICTURES_EACH, np.random.default_rng(seed))
    answers, confidence, known = ask_all(system, grids, asked)
    right = np.array([said == true for said, (_, _, true) in zip(answers, asked, strict=True)])
    each = right.reshape(len(kept), -1)  # (rewordings, pictures)
    truths = np.array([true for _, _, true in asked]).reshape(each.shape)
    blind = [max(np.mean(row == answer) for answer in set(row)) for row in truths]
    seen = words.words_of([t for r in words.rewordings("train") for t in words.every_wording(r)] + _own_questions())
    new_word = np.array([bool(words.words_of(words.every_wording(r)) - seen) for r in kept])
    rules = np.array(answers_by_rules(pictures, asked)).reshape(each.shape) == truths
    kinds = np.array([rewording.kind for rewording in kept])
    return {
        "paraphrase_accuracy": float(each.mean()),
        "paraphrase_by_kind": {kind: float(each[kinds == kind].mean()) for kind in dict.fromkeys(kinds.tolist())},
        "paraphrase_rules": float(rules.mean()),
        "paraphrase_rules_by_kind": {
            kind: float(rules[kinds == kind].mean()) for kind in dict.fromkeys(kinds.tolist())
        },
        "paraphrase_new_word_accuracy": float(each[new_word].mean()),
        "paraphrase_prior": float(np.mean(blind)),
        "paraphrase_answered": float(right[known].mean()) if known.any() else 0.0,
        "paraphrase_ece": expected_calibration_error(confidence, right),
        "n_paraphrases": len(kept),
        "n_with_new_word": int(new_word.sum()),
        "n_excluded": len(words.rewordings("test")) - len(kept),
        "reworded_refused": float((~known).mean()),
        "worst": {kept[i].text: float(each[i].mean()) for i in each.mean(1).argsort()[:8]},
    }


def ask_all(system: ShapesVqa, grids: torch.Tensor, asked: Sequence[Asked]) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Of each question about its picture: the answer, its confidence (N,), whether the question is let in (N,)."""
    texts = sorted({text for _, text, _ in asked})
    place = {text: i for i, text in enumerate(texts)}
    logits, gates = question_logits(
        system.model, system.reader.read(texts), grids, [p for p, _, _ in asked], [place[t] for _, t, _ in asked]
    )
    probabilities = torch.softmax(logits / system.temperature, dim=-1)
    confidence, best = probabilities.max(-1)
    known = (gates > system.question_threshold).numpy()
    return [system.answers[i] for i in best.tolist()], confidence.numpy(), known


def answers_by_rules(pictures: Sequence[ImageSource], asked: Sequence[Asked]) -> list[str]:
    """What measuring the shapes answers, each picture measured once."""
    system = MeasuredShapes()
    measured = {place: measure(load_image(pictures[place])) for place in {place for place, _, _ in asked}}
    return [system.answer_measured(measured[place], text).text for place, text, _ in asked]


def gate_of(system: ShapesVqa, texts: Sequence[str]) -> np.ndarray:
    """Which of these questions the gate lets in, (N,)."""
    read = system.reader.read(texts)
    with torch.inference_mode():
        words_read = read.rows(torch.arange(len(texts)))
        device = next(system.model.parameters()).device
        gates = system.model.gate(type(words_read)(words_read.vectors.to(device), words_read.mask.to(device)))
    return (gates > system.question_threshold).cpu().numpy()


def drawn_refused(system: ShapesVqa, seed: int) -> dict[str, float]:
    """The share of pictures of each drawn kind that is called unlike training's; of the first kind none should be."""
    random = np.random.default_rng(seed)
    size, shares = system.model.config.image_size, {}
    for kind in PICTURE_KINDS:
        pixels = np.stack([to_pixels(draw(kind, random), size) for _ in range(DRAWN_EACH)])
        _, features = grids_and_features(system.model, pixels)
        distances = system.picture_gate.distance(features)
        shares[kind] = float((distances > system.picture_gate.threshold).float().mean())
    return shares


def _own_questions() -> list[str]:
    """Easy-VQA's question texts."""
    return sorted({question.text for question in load_vqa("easy_vqa", "train").questions})
