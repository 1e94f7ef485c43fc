"""Ask questions about a picture: the small BLIP that is trained here, or a full-size one by hub name or path.

Both give with each answer how sure they are, and the small one says when a question or a picture is not of the kind
that it learnt.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from multimodal_llm.hub_checkpoint import find_checkpoint, load_checkpoint
from multimodal_llm.images import ImageSource, load_image
from multimodal_llm.visual_question_answering.config import SHIPPED
from shared.errors import UserError, reason_of
from shared.files import atomic_path, write_json
from shared.runs import read_json

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from multimodal_llm.visual_question_answering.calibration import PictureGate
    from multimodal_llm.visual_question_answering.vqa_model import QuestionReader, VqaModel, Words

WEIGHTS, SETTINGS = "model.safetensors", "vqa.json"
SHAPES, MEASURED = "shapes", "measured"
Doubt = Literal["question", "picture"]


@dataclass(frozen=True)
class Answer:
    """An answer, how sure the system is of it (0 to 1), and what else it considered.

    `doubts` names what is unlike everything in training: the question, the picture, or both. The answer is then a
    guess, whatever the confidence. `familiarity` has both on a scale where 0 or more is as in training.
    """

    question: str
    text: str
    confidence: float
    alternatives: dict[str, float] = field(default_factory=dict)
    doubts: tuple[Doubt, ...] = ()
    familiarity: dict[str, float] = field(default_factory=dict)


class VqaSystem(Protocol):
    """What `load_vqa_system` gives."""

    name: str

    def answer(self, picture: ImageSource, questions: Sequence[str]) -> list[Answer]:
        """One answer a question, in their order. Raises UserError for a question without words or a bad picture."""


def load_vqa_system(name: str | Path = SHAPES, device: str = "auto") -> VqaSystem:
    """`shapes` (it ships with the project), `measured` (rules without weights), the folder of a training, or a BLIP for
    VQA by path or hub name.

    Raises UserError where there is no such model, and for a BLIP of another kind.
    """
    if str(name) == SHAPES:
        return ShapesVqa.load(SHIPPED, device)
    if str(name) == MEASURED:
        from multimodal_llm.visual_question_answering.measured_shapes import MeasuredShapes

        return MeasuredShapes()
    if (Path(name) / SETTINGS).is_file():
        return ShapesVqa.load(Path(name), device)
    return BlipVqa(str(name), device)


def checked(questions: Sequence[str]) -> list[str]:
    """The questions with single spaces. Raises UserError for an empty one."""
    for question in questions:
        if not question.strip():
            raise UserError("the question is empty: ask something, such as 'what color is the shape?'")
    return [" ".join(question.split()) for question in questions]


class ShapesVqa:
    """The small BLIP over frozen word vectors, with its calibration."""

    name = SHAPES

    def __init__(
        self,
        model: "VqaModel",
        reader: "QuestionReader",
        temperature: float,
        question_threshold: float,
        picture_gate: "PictureGate",
    ) -> None:
        self.model, self.reader = model.eval(), reader
        self.temperature, self.question_threshold = temperature, question_threshold
        self.picture_gate = picture_gate

    @classmethod
    def load(cls, folder: Path, device: str = "auto") -> "ShapesVqa":
        """What `save` wrote. Raises UserError where files are missing or damaged."""
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        from multimodal_llm.visual_question_answering.calibration import PictureGate
        from multimodal_llm.visual_question_answering.vqa_model import QuestionReader, VqaModel, VqaModelConfig
        from shared.devices import choose_device

        remedy = "run `python -m multimodal_llm.visual_question_answering.train` and give its folder"
        if not (folder / WEIGHTS).is_file():
            raise UserError(f"{folder}: no {WEIGHTS} in it: {remedy}")
        settings = read_json(folder / SETTINGS)
        try:
            shape = settings["model"]
            model = VqaModel(VqaModelConfig(**{**shape, "answers": tuple(shape["answers"])}))
            weights = {name: weight.float() for name, weight in load_file(folder / WEIGHTS).items()}
            threshold = settings["picture_threshold"]
            gate = PictureGate(weights.pop("picture_mean"), weights.pop("picture_whitener"), threshold)
            model.load_state_dict(weights)
            fitted = {name: settings[name] for name in ("temperature", "question_threshold")}
        except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
            raise UserError(f"{folder}: the model is damaged ({reason_of(error)}): {remedy}") from error
        return cls(model.to(choose_device(device).value), QuestionReader(), **fitted, picture_gate=gate)

    def save(self, folder: Path, train_ids: Sequence[str]) -> None:
        """Weights in half precision, settings, and the ids of what it was trained on."""
        from safetensors.torch import save_file

        from multimodal_llm.visual_question_answering.vqa_model import settings_of
        from shared.leaks import save_ids

        weights = {name: weight.detach().cpu() for name, weight in self.model.state_dict().items()}
        weights |= {"picture_mean": self.picture_gate.mean, "picture_whitener": self.picture_gate.whitener}
        halved = {name: weight.half().contiguous() for name, weight in weights.items() if weight.is_floating_point()}
        kept = {name: weight for name, weight in weights.items() if not weight.is_floating_point()}
        with atomic_path(folder / WEIGHTS) as draft:
            save_file({**halved, **kept}, draft)
        settings = {
            "model": settings_of(self.model.config),
            "temperature": self.temperature,
            "question_threshold": self.question_threshold,
            "picture_threshold": self.picture_gate.threshold,
        }
        write_json(folder / SETTINGS, settings)
        save_ids(folder, train_ids)

    @property
    def answers(self) -> tuple[str, ...]:
        """All that it can say."""
        return self.model.config.answers

    def answer(self, picture: ImageSource, questions: Sequence[str]) -> list[Answer]:
        import torch

        from multimodal_llm.visual_question_answering.vqa_model import to_pixels

        questions = checked(questions)
        if not questions:
            return []
        pixels = to_pixels(load_image(picture), self.model.config.image_size)[None]
        grids, features = grids_and_features(self.model, pixels)
        read = self.reader.read(questions)
        logits, gate = question_logits(self.model, read, grids, [0] * len(questions), list(range(len(questions))))
        probabilities = torch.softmax(logits / self.temperature, dim=-1)
        unlike = float(self.picture_gate.distance(features)[0]) - self.picture_gate.threshold
        found = []
        for question, row, known in zip(questions, probabilities, gate.tolist(), strict=True):
            best = row.argsort(descending=True)[:4].tolist()
            known -= self.question_threshold
            doubts = (*(("question",) if known < 0 else ()), *(("picture",) if unlike > 0 else ()))
            found.append(
                Answer(
                    question,
                    self.answers[best[0]],
                    float(row[best[0]]),
                    {self.answers[i]: float(row[i]) for i in best[1:]},
                    doubts,
                    {"question": known, "picture": -unlike},
                )
            )
        return found


def grids_and_features(model: "VqaModel", pixels: "np.ndarray", batch: int = 64) -> "tuple[Tensor, Tensor]":
    """The grids (N, 1 + cells, D) of pictures (N, 3, S, S), and what `PictureGate` compares of each, (N, 3 D).

    That is the mean, the spread and the largest value of every channel of the convolutions.
    """
    import torch

    from multimodal_llm.visual_question_answering.vqa_model import from_pixels

    device = next(model.parameters()).device
    grids, features = [], []
    with torch.inference_mode():
        for start in range(0, len(pixels), batch):
            stem = model.image_encoder.stem(from_pixels(pixels[start : start + batch]).to(device)).flatten(2)
            grids.append(model.image_encoder.after_stem(stem))
            features.append(torch.cat([stem.mean(2), stem.std(2), stem.amax(2)], dim=1).cpu())
    return torch.cat(grids), torch.cat(features)


def question_logits(
    model: "VqaModel", read: "Words", grids: "Tensor", pictures: Sequence[int], texts: Sequence[int], batch: int = 256
) -> "tuple[Tensor, Tensor]":
    """For each pair of picture and text, both by their place: the answers' logits (N, answers), the gate's (N,)."""
    import torch

    logits, gates = [], []
    with torch.inference_mode():
        for start in range(0, len(texts), batch):
            words = read.rows(torch.tensor(texts[start : start + batch]))
            words = type(words)(words.vectors.to(grids.device), words.mask.to(grids.device))
            grid = grids[torch.tensor(pictures[start : start + batch], device=grids.device)]
            logits.append(model.read_off(grid, words).cpu())
            gates.append(model.gate(words).cpu())
    return torch.cat(logits), torch.cat(gates)


class BlipVqa:
    """A `BlipForQuestionAnswering`, such as Salesforce/blip-vqa-base, from the hub or a folder.

    Its decoder writes the answer; the confidence is the probability of that text, the product over its tokens, end
    mark included. It was made from photos of everything and says nothing of what it does not know: no doubts.
    """

    def __init__(self, name: str, device: str = "auto") -> None:
        """Raises UserError where there is no such model, or one of another kind."""
        from transformers import BlipForQuestionAnswering, BlipImageProcessorPil

        self.name = name
        folder, settings = find_checkpoint(name, SHAPES)
        kind = settings.get("model_type")
        if kind != "blip":
            raise UserError(
                f"{name}: a {kind} model: give a BLIP for VQA such as Salesforce/blip-vqa-base, or {SHAPES}"
            )
        parts = load_checkpoint(name, folder, BlipForQuestionAnswering, BlipImageProcessorPil, SHAPES, device)
        if parts.missing:
            raise UserError(
                f"{name}: a BLIP of another kind, {parts.missing[0]} is missing: "
                "give one for VQA such as Salesforce/blip-vqa-base"
            )
        self.model, self.tokenizer, self.processor = parts.model, parts.tokenizer, parts.pictures

    def answer(self, picture: ImageSource, questions: Sequence[str]) -> list[Answer]:
        import torch

        questions = checked(questions)
        if not questions:
            return []
        device, text = self.model.device, self.model.config.text_config
        pixels = self.processor(load_image(picture), return_tensors="pt")["pixel_values"].to(device)
        window = {"truncation": True, "max_length": text.max_position_embeddings}
        asked = self.tokenizer(questions, padding=True, return_tensors="pt", **window).to(device)
        with torch.inference_mode():
            written = self.model.generate(
                pixel_values=pixels.expand(len(questions), -1, -1, -1),
                input_ids=asked["input_ids"],
                attention_mask=asked["attention_mask"],
                max_new_tokens=10,
                do_sample=False,
                num_beams=1,
                return_dict_in_generate=True,
                output_scores=True,
            )
        steps = torch.stack(written.scores, dim=1).float().log_softmax(-1)  # (N, T, V)
        tokens = written.sequences[:, -steps.shape[1] :]  # (N, T)
        said = steps.gather(2, tokens[..., None])[..., 0]  # (N, T)
        # What comes after an answer's end mark is padding and was not said.
        end = tokens == text.sep_token_id
        counted = end.cumsum(1) - end.long() == 0
        confidence = (said * counted).sum(1).exp().tolist()
        texts = self.tokenizer.batch_decode(written.sequences, skip_special_tokens=True)
        return [Answer(q, t.strip(), c) for q, t, c in zip(questions, texts, confidence, strict=True)]
