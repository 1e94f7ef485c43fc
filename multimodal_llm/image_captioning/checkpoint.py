"""Where a stage of the captioner's training stands, step by step, and the file from which it goes on."""

import math
import time
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from multimodal_llm.image_captioning.caption_model import CaptionModel
from shared.files import atomic_path

if TYPE_CHECKING:
    from multimodal_llm.image_captioning.training import Stage


class Step:
    """Optimizer, learning rate, precision and averaged weights of a stage."""

    def __init__(self, model: CaptionModel, stage: "Stage", n_photos: int) -> None:
        self.model, self.device, self.lr, self.done = model.train(), model.word_places.device.type, stage.lr, 0
        self.steps = stage.epochs * -(-n_photos // stage.photos_a_step)
        self.parameters = list(model.parameters())
        matrices = [p for p in self.parameters if p.ndim > 1]
        others = [p for p in self.parameters if p.ndim <= 1]
        groups = [{"params": matrices, "weight_decay": stage.weight_decay}, {"params": others, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=stage.lr, betas=(0.9, 0.98), fused=True)
        self.average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(stage.average))
        self.average.eval()

    @property
    def averaged(self) -> CaptionModel:
        return self.average.module

    def precision(self) -> torch.autocast:
        return torch.autocast(self.device, torch.bfloat16, enabled=self.device == "cuda")

    def take(self, loss: Tensor) -> None:
        """One step down the gradient of this loss."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.lr * self._share()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        self.average.update_parameters(self.model)
        self.done += 1

    def _share(self) -> float:
        """Of the learning rate: up in a twentieth of the steps, then down along half a cosine to a hundredth."""
        warm = max(self.steps // 20, 1)
        if self.done < warm:
            return (self.done + 1) / warm
        return 0.01 + 0.99 * (1 + math.cos(math.pi * min((self.done - warm) / max(self.steps - warm, 1), 1))) / 2


class Checkpoint:
    """Where a stage stands after an epoch, in one safetensors file; and when the time is up, of time.monotonic()."""

    def __init__(self, file: Path, stop_at: float = math.inf) -> None:
        self.file, self.stop_at = file, stop_at

    def is_late(self) -> bool:
        return time.monotonic() > self.stop_at

    def save(self, step: Step, epoch: int) -> None:
        tensors = {"epoch": torch.tensor(epoch), "done": torch.tensor(step.done), "random": torch.get_rng_state()}
        if step.device == "cuda":
            tensors["random_cuda"] = torch.cuda.get_rng_state()
        tensors |= {f"model.{name}": value for name, value in step.model.state_dict().items()}
        tensors |= {f"average.{name}": value for name, value in step.average.state_dict().items()}
        for number, parameter in enumerate(step.parameters):
            tensors |= {f"adam.{number}.{name}": value for name, value in step.optimizer.state[parameter].items()}
        with atomic_path(self.file) as draft:
            save_file({name: value.detach().contiguous() for name, value in tensors.items()}, draft)

    def load(self, step: Step) -> int:
        """Bring the step to where the file stands, and give the epochs done: 0 where there is none."""
        if not self.file.exists():
            return 0
        tensors = load_file(self.file)
        step.model.load_state_dict(_under("model.", tensors))
        step.average.load_state_dict(_under("average.", tensors))
        for number, parameter in enumerate(step.parameters):
            state = _under(f"adam.{number}.", tensors)
            step.optimizer.state[parameter] = {
                name: value if name == "step" and step.device == "cpu" else value.to(parameter.device)
                for name, value in state.items()
            }
        step.done = int(tensors["done"])
        torch.set_rng_state(tensors["random"])
        if "random_cuda" in tensors and step.device == "cuda":
            torch.cuda.set_rng_state(tensors["random_cuda"])
        return int(tensors["epoch"])


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
