"""Every method by name: first the classifier that it makes, then how that is packed. What is finished is kept on disk.

fp32_torch, bf16_torch, int8_torch_legacy     the subject as it is, run by torch
fp32_onnx, int8_dynamic, int8_static          the same in ONNX Runtime
int8_aware                                    trained to bear int8
openvino, openvino_int8                       peers: OpenVINO as it comes, and in int8 by NNCF
magnitude                                     half of the weights zero: no smaller and no quicker
structured, structured_int8                   heads and neurons removed
trimmed, trimmed_int8, factorised             a shorter, or narrower, table of word vectors
student, student_alone                        half the layers and a small table, taught, and not taught
student_int8                                  all stacked: the student in int8
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

from model_optimization.config import STUDENT
from model_optimization.deployment.onnx_conversion import convert, settings_of
from model_optimization.openvino_peer import convert_to_openvino, quantize_with_nncf
from model_optimization.pruning import magnitude_pruning, structured_pruning, vocabulary
from model_optimization.quantization.dynamic_quantization import quantize_dynamically
from model_optimization.quantization.quantization_aware_training import train_aware
from model_optimization.quantization.static_quantization import calibration_texts, quantize_statically
from model_optimization.runtime import VARIANT, EngineName, Variant, write_settings
from model_optimization.shipped_student import make_student, make_student_alone
from model_optimization.subject import SHAPE, Subject, load_subject, save_subject
from model_optimization.texts import Texts, film_texts
from model_optimization.training import Recipe
from shared.errors import UserError
from shared.files import write_json
from shared.logging import get_logger
from shared.runs import read_json
from shared.splits import NAMES

log = get_logger(__name__)

Packing = Literal["torch", "torch_bf16", "torch_int8", "onnx", "dynamic", "static", "openvino", "openvino_int8"]
FROM_UNFUSED = ("static", "openvino", "openvino_int8")
TORCH: tuple[EngineName, ...] = ("torch", "torch_bf16", "torch_int8")
MADE_OF = "made_of.json"
CALIBRATION = 256  # texts
AT_LEAST = 5  # occurrences of a piece that is kept
NARROW = 128  # numbers of a factorised word vector


class Method(NamedTuple):
    """Which classifier, and how it is packed."""

    classifier: str
    packing: Packing


METHODS: dict[str, Method] = {
    "fp32_torch": Method("trained", "torch"),
    "bf16_torch": Method("trained", "torch_bf16"),
    "int8_torch_legacy": Method("trained", "torch_int8"),
    "fp32_onnx": Method("trained", "onnx"),
    "int8_dynamic": Method("trained", "dynamic"),
    "int8_static": Method("trained", "static"),
    "int8_aware": Method("aware", "dynamic"),
    "openvino": Method("trained", "openvino"),
    "openvino_int8": Method("trained", "openvino_int8"),
    "magnitude": Method("magnitude", "onnx"),
    "structured": Method("structured", "onnx"),
    "structured_int8": Method("structured", "dynamic"),
    "trimmed": Method("trimmed", "onnx"),
    "trimmed_int8": Method("trimmed", "dynamic"),
    "factorised": Method("factorised", "onnx"),
    "student": Method("student", "onnx"),
    "student_alone": Method("student_alone", "onnx"),
    "student_int8": Method("student", "dynamic"),
}


class Workshop:
    """Makes classifiers and variants below a folder, each once: what is whole there is loaded instead."""

    def __init__(
        self, subject: Subject, texts: Texts, folder: Path, seed: int = 0, shipped_student: bool = False
    ) -> None:
        """With `shipped_student` that one is taken instead of making one, which takes longer than all else together.

        Raises UserError where the folder holds what was made of another classifier, other texts or another seed.
        """
        made_of = {"classifier": subject.fingerprint(), "dataset": texts.name, "seed": seed}
        made_of["student"] = "shipped" if shipped_student else "made here"
        if texts.name not in NAMES:  # a file of the same name may hold something else now
            made_of["texts"] = hashlib.sha256(repr((texts.train, texts.validation)).encode()).hexdigest()
        if (folder / MADE_OF).is_file() and read_json(folder / MADE_OF) != made_of:
            raise UserError(f"{folder}: holds what was made of another classifier, set or seed: give another --output")
        write_json(folder / MADE_OF, made_of)
        self.subject, self.texts, self.folder, self.seed = subject, texts, folder, seed
        self.shipped_student = shipped_student
        self.makers: dict[str, Callable[[Path], Subject]] = {
            "trained": lambda _: subject,
            "aware": self._aware,
            "magnitude": lambda _: magnitude_pruning.prune(subject, 0.5),
            "structured": self._structured,
            "trimmed": lambda _: vocabulary.trim(subject, film_texts(), AT_LEAST),
            "factorised": self._factorised,
            "student": self._student,
            "student_alone": lambda folder: make_student_alone(subject, texts, folder, seed),
        }

    def classifier(self, name: str) -> Subject:
        folder = self.folder / "classifiers" / name
        if not (folder / SHAPE).is_file():
            log.info("making the classifier %s", name)
            save_subject(self.makers[name](folder), folder)
        return load_subject(folder)

    def variant(self, name: str) -> Variant:
        """Raises UserError where it cannot be made here."""
        method, folder = METHODS[name], self.folder / "variants" / name
        if (folder / VARIANT).is_file():
            return Variant(folder)
        if method.packing == "dynamic":
            whole = self._whole(method.classifier)
            log.info("packing %s", name)
            return quantize_dynamically(whole, folder)
        if method.packing in FROM_UNFUSED:
            return self._from_unfused(method, folder)
        classifier = self.classifier(method.classifier)
        log.info("packing %s", name)
        if method.packing in TORCH:
            save_subject(classifier, folder)
            write_settings(folder, settings_of(classifier, method.packing), classifier.tokenizer)
            return Variant(folder)
        return convert(classifier, folder)

    def _from_unfused(self, method: Method, folder: Path) -> Variant:
        """What wants the weights of attention in plain sight."""
        source = self.folder / "onnx" / f"{method.classifier}_unfused"
        if (source / VARIANT).is_file():
            unfused = Variant(source)
        else:
            unfused = convert(self.classifier(method.classifier), source, attention=False)
        log.info("packing %s", folder.name)
        if method.packing == "openvino":
            return convert_to_openvino(unfused, folder)
        chosen = calibration_texts([example.text for example in self.texts.train], CALIBRATION)
        quantize = quantize_statically if method.packing == "static" else quantize_with_nncf
        return quantize(unfused, chosen, folder)

    def _whole(self, name: str) -> Variant:
        """The classifier in ONNX in 32 bits, which int8 is made of: a method of its own, or made for this only."""
        for method, (classifier, packing) in METHODS.items():
            if (classifier, packing) == (name, "onnx"):
                return self.variant(method)
        folder = self.folder / "onnx" / name
        return Variant(folder) if (folder / VARIANT).is_file() else convert(self.classifier(name), folder)

    def _aware(self, folder: Path) -> Subject:
        recipe = Recipe(epochs=1, learning_rate=2e-5, seed=self.seed)
        return train_aware(self.subject, self.texts.train, recipe, folder / "checkpoint.safetensors")

    def _structured(self, folder: Path) -> Subject:
        config = structured_pruning.StructuredConfig(seed=self.seed)
        return structured_pruning.prune(self.subject, self.texts, config, folder)

    def _factorised(self, folder: Path) -> Subject:
        from model_optimization.distillation.teacher_student import learn_from

        narrow = vocabulary.factorise(self.subject, NARROW)
        recipe = Recipe(epochs=1, learning_rate=1e-4, seed=self.seed)
        return learn_from(self.subject, narrow, self.texts.train, recipe, folder / "checkpoint.safetensors")

    def _student(self, folder: Path) -> Subject:
        if self.shipped_student:
            return load_subject(STUDENT)
        return make_student(self.subject, self.texts, folder, self.seed)


def choose_methods(names: str) -> list[str]:
    """The methods named, the baseline first. Raises UserError for one that is not there."""
    if names == "all":
        return list(METHODS)
    chosen = names.split(",")
    for name in chosen:
        if name not in METHODS:
            raise UserError(f"--methods {name}: no such method: choose all, or among {', '.join(METHODS)}")
    return list(dict.fromkeys(["fp32_torch", *chosen]))
