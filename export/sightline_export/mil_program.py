"""Runs a Core ML package's program, operation by operation, in torch: the arithmetic, not Apple's runtime.

Core ML itself runs on Apple's systems only. What can be shown anywhere is that the program in the file, with the
weights in the file, computes the student's embeddings: every operation is computed as the MIL documentation defines it,
and an operation that is not listed here is refused, never skipped. Values that the program keeps as float16 are rounded
to float16 after every operation; sums inside one operation are float32, as on hardware that accumulates wide. A neural
engine may round elsewhere, so figures from here are labelled "not run on Core ML".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from sightline_export.mil_file import MilFile, Operation, Port, read_package
from sightline_shared.errors import RuntimeFailed

NOTE = "not run on Core ML: the package's program computed operation by operation"
Values = Mapping[str, Any]


class MilProgram:
    """A package ready to compute: `embed` is the device's call, `weights` what the file's weights decode to."""

    def __init__(self, file: MilFile) -> None:
        self.file = file
        self.image = _only(file.inputs, "input")
        self.output = _only(file.outputs, "output")
        self._constants: dict[str, Any] = {}
        self._steps: list[Operation] = []
        for step in file.operations:
            if step.kind not in OPERATIONS and step.kind not in CONSTANTS:
                known = sorted([*OPERATIONS, *CONSTANTS])
                raise RuntimeFailed(f"MIL operation '{step.kind}' ({step.output}): expected one of {known}.")
            if step.kind in CONSTANTS:
                self._constants[step.output] = _rounded(CONSTANTS[step.kind](step), step)
            else:
                self._steps.append(step)

    @classmethod
    def load(cls, folder: Path) -> MilProgram:
        """Read the package `folder`; raises RuntimeFailed."""
        return cls(read_package(folder))

    @property
    def name(self) -> str:
        return f"Core ML program ({NOTE})"

    @property
    def weights(self) -> dict[str, NDArray[np.float32]]:
        """The weight of every convolution and matrix product, by the operation's output, decompressed."""
        return {
            step.output: self._constants[step.inputs["weight"]].numpy()
            for step in self._steps
            if "weight" in step.inputs
        }

    def embed(self, tensors: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return `(n, d) float32` of `(n, s, s, 3) uint8` RGB pixels; raises RuntimeFailed for another size."""
        if tensors.ndim != 4 or tensors.shape[1:] != (*self.image.shape, 3):
            raise RuntimeFailed(f"Core ML program: expected (n, {self.image.shape}, 3) pixels, got {tensors.shape}.")
        with torch.inference_mode():
            rows = [self._run(torch.from_numpy(picture[None].copy())) for picture in tensors]
        return np.concatenate(rows)

    def _run(self, picture: Tensor) -> NDArray[np.float32]:
        # An image arrives in the program as its planes, 0 to 255.
        values = {**self._constants, self.image.name: picture.permute(0, 3, 1, 2).to(torch.float32)}
        for step in self._steps:
            given = {**step.constants, **{key: values[name] for key, name in step.inputs.items()}}
            values[step.output] = _rounded(OPERATIONS[step.kind](given), step)
        result: NDArray[np.float32] = values[self.output.name].numpy()
        return result.astype(np.float32, copy=False)


def _only(ports: tuple[Port, ...], what: str) -> Port:
    if len(ports) != 1:
        raise RuntimeFailed(f"Core ML package: expected one {what}, got {[port.name for port in ports]}.")
    return ports[0]


def _rounded(value: Any, step: Operation) -> Any:
    """Return `value` as the program stores it: rounded to float16 where it says so, of the stated shape."""
    if not isinstance(value, Tensor):
        return value
    if step.shape and tuple(value.shape) != step.shape:
        raise RuntimeFailed(f"MIL operation '{step.kind}' ({step.output}): expected {step.shape}, got {value.shape}.")
    return value.to(torch.float16).to(torch.float32) if step.dtype == "<f2" else value


def _constant(step: Operation) -> Any:
    return _tensor(step.constants["val"])


def _tensor(value: Any) -> Any:
    if isinstance(value, str) or value.dtype.kind not in "f":
        return value
    return torch.from_numpy(value.astype(np.float32))


def _affine(step: Operation) -> Tensor:
    """scale * (quantized - zero point), along one axis: MIL's constexpr_affine_dequantize."""
    parts = step.constants
    quantized, axis = np.asarray(parts["quantized_data"]), int(np.asarray(parts["axis"]))
    shape = [1] * quantized.ndim
    shape[axis] = -1
    scale, zero = (np.asarray(parts[key]).astype(np.float32) for key in ("scale", "zero_point"))
    spread = [value.reshape(shape) if value.ndim else value for value in (scale, zero)]
    return torch.from_numpy(((quantized.astype(np.float32) - spread[1]) * spread[0]).astype(np.float32))


def _palette(step: Operation) -> Tensor:
    """lut[index] for indices packed into bytes, lowest bits first: MIL's constexpr_lut_to_dense."""
    parts = step.constants
    lut, shape = np.asarray(parts["lut"]).astype(np.float32), tuple(int(n) for n in np.asarray(parts["shape"]))
    bits, count = int(np.log2(len(lut))), int(np.prod(shape))
    flat = np.unpackbits(np.asarray(parts["indices"]), bitorder="little")[: count * bits].reshape(count, bits)
    indices = (flat << np.arange(bits, dtype=np.int64)).sum(axis=1)
    return torch.from_numpy(lut[indices].reshape(shape))


CONSTANTS: dict[str, Callable[[Operation], Any]] = {
    "const": _constant,
    "constexpr_affine_dequantize": _affine,
    "constexpr_lut_to_dense": _palette,
}


def _conv(given: Values) -> Tensor:
    x: Tensor = given["x"]
    kind = given["pad_type"]
    if kind not in ("valid", "custom"):
        raise RuntimeFailed(f"MIL conv: expected the pad_type 'valid' or 'custom', got '{kind}'.")
    if kind == "custom":
        top, bottom, left, right = (int(n) for n in given["pad"])
        x = functional.pad(x, (left, right, top, bottom))
    strides, dilations = ([int(n) for n in given[key]] for key in ("strides", "dilations"))
    return functional.conv2d(
        x, given["weight"], given.get("bias"), stride=strides, dilation=dilations, groups=int(given["groups"])
    )


def _pad(given: Values) -> Tensor:
    if given["mode"] != "constant":
        raise RuntimeFailed(f"MIL pad: expected the mode 'constant', got '{given['mode']}'.")
    x: Tensor = given["x"]
    # MIL names the padding from the first axis on, torch from the last.
    pairs = np.asarray(given["pad"]).reshape(-1, 2)[::-1].reshape(-1).tolist()
    return functional.pad(x, pairs, value=float(given["constant_val"]))


def _axes(given: Values) -> tuple[list[int], bool]:
    return [int(n) for n in np.asarray(given["axes"]).reshape(-1)], bool(given["keep_dims"])


def _mean(given: Values) -> Tensor:
    axes, keep = _axes(given)
    x: Tensor = given["x"]
    return x.mean(dim=axes, keepdim=keep)


def _length(given: Values) -> Tensor:
    axes, keep = _axes(given)
    x: Tensor = given["x"]
    return x.square().sum(dim=axes, keepdim=keep).sqrt()


def _cast(given: Values) -> Tensor:
    if given["dtype"] not in ("fp16", "fp32"):
        raise RuntimeFailed(f"MIL cast: expected fp16 or fp32, got '{given['dtype']}'.")
    x: Tensor = given["x"]
    return x  # the rounding to float16 is done for every operation alike


def _clip(given: Values) -> Tensor:
    x: Tensor = given["x"]
    return x.clamp(float(given["alpha"]), float(given["beta"]))


OPERATIONS: dict[str, Callable[[Values], Tensor]] = {
    "add": lambda given: given["x"] + given["y"],
    "cast": _cast,
    "clip": _clip,
    "conv": _conv,
    "linear": lambda given: functional.linear(given["x"], given["weight"], given.get("bias")),
    "maximum": lambda given: torch.maximum(given["x"], torch.as_tensor(given["y"])),
    "mul": lambda given: given["x"] * given["y"],
    "pad": _pad,
    "real_div": lambda given: given["x"] / given["y"],
    "reduce_l2_norm": _length,
    "reduce_mean": _mean,
    "relu": lambda given: functional.relu(given["x"]),
    "relu6": lambda given: functional.relu6(given["x"]),
    "sub": lambda given: given["x"] - given["y"],
    "tile": lambda given: given["x"].tile([int(n) for n in given["reps"]]),
}
