"""Makes the files beside it: one small network with seeded weights as ONNX and as TFLite in every kind.

    python tests/support/tflite/make.py /path/to/tflite-env/bin/python

The interpreter named is the one with litert-torch (export/README.md). The files are kept because that environment is
2 GB; the tests that read them need only a TFLite runtime.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from support.tiny_bundle import picture

from sightline_export.convert_onnx import to_onnx
from sightline_export.convert_tflite import to_tflite
from sightline_shared.preprocess import to_tensor

SIZE, DIM = 64, 256
KINDS = ("static", "dynamic", "weights")


class SmallStudent(nn.Module):
    """The student's operators in small: strided and depthwise convolutions, ReLU6, a residual, pooling, a linear head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, 2)
        self.depthwise = nn.Conv2d(16, 16, 3, padding=1, groups=16)
        self.point = nn.Conv2d(16, 16, 1)
        self.down = nn.Conv2d(16, 32, 3, 2)
        self.head = nn.Linear(32, DIM)

    def forward(self, pixels: Tensor) -> Tensor:
        x = (pixels.permute(0, 3, 1, 2).to(torch.float32) - 127.0) / 128.0
        x = functional.relu6(self.stem(functional.pad(x, (0, 1, 0, 1))))
        x = x + self.point(functional.relu6(self.depthwise(x)))
        x = functional.relu6(self.down(functional.pad(x, (0, 1, 0, 1))))
        return functional.normalize(self.head(x.mean(dim=(2, 3))))


def small_student(pixels: np.ndarray) -> SmallStudent:
    """Return the network, its head centred on `pixels` so that different pictures point in different directions."""
    torch.manual_seed(7)
    student = SmallStudent().eval()
    features: list[Tensor] = []
    hook = student.head.register_forward_pre_hook(lambda _, given: features.append(given[0]))
    with torch.no_grad():
        student(torch.from_numpy(pixels))
        hook.remove()
        student.head.weight.copy_(torch.randn(DIM, 32))
        student.head.bias.copy_(-student.head.weight @ features[0].mean(dim=0))
    return student


def main() -> None:
    pixels = np.stack([to_tensor(picture(20_000 + seed), SIZE) for seed in range(200)])
    student, folder = small_student(pixels), Path(__file__).parent
    onnx_bytes = to_onnx(student, SIZE).SerializeToString(deterministic=True)
    (folder / "small.onnx").write_bytes(onnx_bytes)
    for kind, data in to_tflite(student, pixels, KINDS, Path(sys.argv[1])).items():
        (folder / f"small.{kind}.tflite").write_bytes(data)
        print(kind, len(data))


if __name__ == "__main__":
    main()
