"""Exercise 1: soft targets, by which a student learns how sure its teacher is, and not only of what."""

from torch import Tensor

REPLACES = "model_optimization.distillation.teacher_student.soft_target_loss"
CHECKED_BY = [
    "model_optimization/tests/test_distillation.py::test_soft_targets_by_hand",
    "model_optimization/tests/test_distillation.py::test_soft_targets_are_the_divergence_and_the_teachers_entropy",
    "model_optimization/tests/test_distillation.py::"
    "test_the_gradient_of_soft_targets_is_the_difference_of_probabilities_times_the_temperature",
]


def soft_target_loss(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Logits (B, C) of both to one number: the mean cross-entropy with softened probabilities, times T squared.

        T^2 * mean over texts of  - sum over classes of  softmax(teacher / T) * log softmax(student / T)

    Hints: `torch.nn.functional.cross_entropy` takes probabilities (B, C) as targets, and logits, not probabilities, as
    inputs. Divide both by the temperature.

    Read: "Distilling the Knowledge in a Neural Network", section 2, https://arxiv.org/abs/1503.02531
    Expect: without the square the gradient shrinks with the temperature, and next to another loss it counts ever less.
    """
    raise RuntimeError("fill in soft_target_loss")
