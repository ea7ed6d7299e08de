"""Quantization-aware fine-tuning: a folded student learns to give the float student's embeddings through int8's rounding.

Weights are rounded with the pair-safe scales of `quantize.py`, activations where ONNX Runtime's QDQ form rounds them
(input, convolution with its ReLU6, residual sum, pooled features, head), in ranges taken from photographs. Gradients pass
the rounding as if it were not there (straight-through: Bengio et al. 2013; Jacob et al. 2018, section 3). What comes out
are float weights again, for the ordinary `quantize`.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.nn.utils import parametrize

from sightline_export.augment import augment
from sightline_export.lite import Block, ConvBn
from sightline_export.losses import teacher_loss
from sightline_export.progress import Progress
from sightline_export.quantize import pair_safe_limits
from sightline_export.recipe import Qat, Strength
from sightline_export.rounding import LEVELS
from sightline_export.student import Student

STEPS_OF_UINT8 = 255
CALIBRATION = 64


class RoundedWeight(nn.Module):
    """A parametrization: each output's weights on its int8 grid, `limits` `(outputs,)` at 127."""

    def __init__(self, limits: Tensor) -> None:
        super().__init__()
        self.register_buffer("limits", limits)

    def forward(self, weight: Tensor) -> Tensor:
        limits = self.get_buffer("limits")
        scale = (limits / LEVELS).reshape(-1, *[1] * (weight.dim() - 1))
        return straight_through(weight, torch.clamp(torch.round(weight / scale), -LEVELS, LEVELS) * scale)


class RoundedActivation:
    """A forward hook: the output on its uint8 grid; until `fixed`, it only looks at the range."""

    def __init__(self) -> None:
        self.low, self.high, self.fixed = 0.0, 0.0, False

    def __call__(self, module: nn.Module, inputs: object, output: Tensor) -> Tensor:
        return self.apply(output)

    def apply(self, x: Tensor) -> Tensor:
        if not self.fixed:  # zero is always in the range, as ONNX Runtime has it
            self.low, self.high = min(self.low, float(x.min())), max(self.high, float(x.max()))
            return x
        scale = max(self.high - self.low, 1e-8) / STEPS_OF_UINT8
        zero = round(-self.low / scale)
        return straight_through(x, (torch.clamp(torch.round(x / scale) + zero, 0, STEPS_OF_UINT8) - zero) * scale)


class Rounding:
    """Puts the rounding into a folded student, and takes it out again."""

    def __init__(self, student: Student, pixels: NDArray[np.uint8]) -> None:
        self._modules = [module for module in student.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
        self._hooks: list[RoundedActivation] = []
        self._handles = []
        for module in student.modules():
            if isinstance(module, ConvBn | nn.Linear) or (isinstance(module, Block) and module.residual):
                self._hooks.append(RoundedActivation())
                self._handles.append(module.register_forward_hook(self._hooks[-1]))
        pooled = RoundedActivation()
        self._hooks.append(pooled)
        self._handles.append(student.head.register_forward_pre_hook(lambda _, inputs: (pooled.apply(inputs[0]),)))
        with torch.inference_mode():
            for picture in pixels[:CALIBRATION]:
                student(torch.from_numpy(picture[None]))
        for hook in self._hooks:
            hook.fixed = True
        for module in self._modules:
            parametrize.register_parametrization(module, "weight", RoundedWeight(weight_limits(module)))

    def remove(self) -> None:
        """Leave the trained float weights, not their rounded copies."""
        for handle in self._handles:
            handle.remove()
        for module in self._modules:
            trained = module.parametrizations["weight"].original.detach().clone()  # type: ignore[index, union-attr]
            parametrize.remove_parametrizations(module, "weight")
            module.weight = nn.Parameter(trained)


def fine_tune(
    student: Student,
    images: Sequence[Image.Image],
    pixels: NDArray[np.uint8],
    settings: Qat,
    strength: Strength,
    seed: int,
    progress: Progress | None = None,
) -> tuple[Student, list[float]]:
    """Return a fine-tuned copy of a folded student, and the loss (1 - cosine) of every step.

    It sees camera views of `images`; `pixels` `(n, s, s, 3) uint8` set the activations' ranges.
    """
    progress = progress or Progress(quiet=True)
    torch.manual_seed(seed)
    rng = np.random.default_rng((seed, 7))
    target, twin = student.eval(), copy.deepcopy(student).eval()
    rounding = Rounding(twin, pixels)
    optimiser = torch.optim.Adam([value for value in twin.parameters() if value.requires_grad], settings.learning_rate)
    losses: list[float] = []
    with progress.bar(settings.steps, "quantization-aware fine-tuning") as advance:
        for step in range(settings.steps):
            rows = rng.choice(len(images), settings.batch)
            views = np.stack([augment(images[row], int(pixels.shape[1]), rng, strength) for row in rows])
            with torch.no_grad():
                wanted = target(torch.from_numpy(views))
            for group in optimiser.param_groups:
                group["lr"] = settings.learning_rate * 0.5 * (1 + np.cos(np.pi * step / settings.steps))
            loss = teacher_loss(twin(torch.from_numpy(views)), wanted)
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            optimiser.step()
            losses.append(float(loss.detach()))
            advance(1, f"loss {losses[-1]:.4f}")
    rounding.remove()
    return twin, losses


def weight_limits(module: nn.Conv2d | nn.Linear) -> Tensor:
    """Return the magnitudes `(outputs,)` that 127 stands for: pair-safe, or the largest weight where it is depthwise."""
    rows = module.weight.detach().numpy().reshape(len(module.weight), -1)
    depthwise = isinstance(module, nn.Conv2d) and module.groups > 1
    limits = np.maximum(np.abs(rows).max(axis=1), 1e-6) if depthwise else pair_safe_limits(rows)
    return torch.from_numpy(limits.astype(np.float32))


def straight_through(x: Tensor, rounded: Tensor) -> Tensor:
    """Return `rounded` with the gradient of `x`."""
    return x + (rounded - x).detach()
