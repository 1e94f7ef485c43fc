"""How far an answer can be trusted: a temperature for its confidence, and when a question or a picture is unfamiliar.

All of it is fitted on pictures kept out of training and on the rewordings of questions/dev.yaml.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from multimodal_llm.visual_question_answering import rewordings as words
from multimodal_llm.visual_question_answering.data_loader import EASY_VQA_ANSWERS, Facts

if TYPE_CHECKING:
    from multimodal_llm.visual_question_answering.training import Trainer

FAMILIAR_PICTURES = 0.995  # share of the kept-out pictures that must pass as familiar
SHRINKAGE = 0.05  # of the covariance towards its mean variance, so that no direction counts without end
PICTURES_EACH = 16  # that each rewording is put to
TEMPERATURES = np.geomspace(0.2, 10, 80)


@dataclass(frozen=True)
class PictureGate:
    """The distance of a picture from those of training: Mahalanobis over the convolutions' outputs.

    As in Lee et al. 2018 (arXiv 1807.03888), with one class: how many standard deviations away, whichever the
    direction. `whitener` (F, F) turns the features into ones of unit variance.
    """

    mean: Tensor
    whitener: Tensor
    threshold: float

    @classmethod
    def fit(cls, training: Tensor, kept_out: Tensor) -> "PictureGate":
        """Features (N, F) of the pictures of training, and of others that set the threshold."""
        mean = training.mean(0)
        covariance = torch.cov(training.T).double()
        scale = covariance.diagonal().mean()
        covariance = (1 - SHRINKAGE) * covariance + SHRINKAGE * scale * torch.eye(len(covariance))
        values, vectors = torch.linalg.eigh(covariance)
        whitener = (vectors / values.sqrt()).float()
        gate = cls(mean, whitener, 0.0)
        distances = gate.distance(kept_out)
        return cls(mean, whitener, float(torch.quantile(distances, FAMILIAR_PICTURES)))

    def distance(self, features: Tensor) -> Tensor:
        """(N, F) -> (N,): the root of the mean square of the whitened features, about 1 for a usual picture."""
        return ((features - self.mean) @ self.whitener).pow(2).mean(1).sqrt()


def calibrate(trainer: "Trainer") -> dict[str, Any]:
    """What `ShapesVqa` needs beside the model: temperature, question_threshold and picture_gate."""
    from multimodal_llm.visual_question_answering.vqa_system import grids_and_features, question_logits

    model, reader, random = trainer.model.eval(), trainer.reader, np.random.default_rng(trainer.config.seed)
    kept_out = trainer.validation
    grids, features = grids_and_features(model, trainer.pixels[kept_out])
    _, trained_on = grids_and_features(model, trainer.pixels[trainer.training])

    place = {picture: i for i, picture in enumerate(kept_out)}
    asked = [(place[q.picture], q.text, q.answer) for q in trainer.split.questions if q.picture in place]
    facts = [trainer.facts[picture] for picture in kept_out]
    asked += put_to_pictures(words.rewordings("dev"), facts, PICTURES_EACH, random)
    texts = sorted({text for _, text, _ in asked})
    where = {text: i for i, text in enumerate(texts)}
    logits, _ = question_logits(
        model, reader.read(texts), grids, [picture for picture, _, _ in asked], [where[text] for _, text, _ in asked]
    )
    target = torch.tensor([EASY_VQA_ANSWERS.index(answer) for _, _, answer in asked])
    return {
        "temperature": fit_temperature(logits, target),
        "question_threshold": question_threshold(model, reader),
        "picture_gate": PictureGate.fit(trained_on, features),
    }


def put_to_pictures(
    rewordings: tuple[words.Rewording, ...],
    facts: list[Facts | None],
    pictures_each: int,
    random: np.random.Generator,
) -> list[tuple[int, str, str]]:
    """Each rewording put to so many pictures: (picture, question, answer). Half of the named values are true."""
    usable = [i for i, fact in enumerate(facts) if fact is not None]
    asked = []
    for rewording in rewordings:
        for turn, i in enumerate(random.choice(usable, min(pictures_each, len(usable)), replace=False)):
            question = words.ask(rewording, facts[i], turn % 2 == 0, random)
            asked.append((int(i), question.text, question.answer))
    return asked


def fit_temperature(logits: Tensor, target: Tensor) -> float:
    """The T for which softmax(logits / T) has the least cross-entropy (Guo et al. 2017, arXiv 1706.04599).

    Logits (N, answers) and the right answers' numbers (N,), of data that was not learnt from.
    """
    losses = [torch.nn.functional.cross_entropy(logits / t, target).item() for t in TEMPERATURES]
    return float(TEMPERATURES[int(np.argmin(losses))])


def question_threshold(model: Any, reader: Any) -> float:
    """The gate's logit above which a question is taken for one of the learnt kind.

    The one for which the share of dev's rewordings let in, less that of its other questions, is greatest.
    """
    inside = [text for rewording in words.rewordings("dev") for text in words.every_wording(rewording)[:4]]
    outside = [text for kind in words.OUTSIDE for text in words.outside_questions("dev", kind)]
    with torch.inference_mode():
        device = next(model.parameters()).device
        kept, refused = (gate_logits(model, reader.read(texts), device) for texts in (inside, outside))
    cuts = np.sort(np.concatenate([kept, refused]))
    middles = (cuts[1:] + cuts[:-1]) / 2
    gains = [(kept > cut).mean() - (refused > cut).mean() for cut in middles]
    best = np.flatnonzero(np.isclose(gains, max(gains)))
    return float(middles[best[len(best) // 2]])


def gate_logits(model: Any, read: Any, device: Any) -> np.ndarray:
    """How sure the gate is of each question that was read, (N,)."""
    from multimodal_llm.visual_question_answering.vqa_model import Words

    return model.gate(Words(read.vectors.float().to(device), read.mask.to(device))).cpu().numpy()


def expected_calibration_error(confidence: np.ndarray, right: np.ndarray, bins: int = 15) -> float:
    """Mean gap of confidence and accuracy over equally wide bins, each weighted by its answers (Guo et al., eq. 3).

    `confidence` (N,) from 0 to 1, and `right` (N,): which answers were.
    """
    index = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = [
        abs(confidence[index == b].mean() - right[index == b].mean()) * (index == b).mean() for b in np.unique(index)
    ]
    return float(sum(gaps))
