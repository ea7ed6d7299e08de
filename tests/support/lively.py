"""A small student whose signal survives its random weights: embeddings of two pictures can be told apart."""

import torch

from sightline_export.lite import EfficientNetLite
from sightline_export.student import Student, folded


def lively_student(blocks: int, dimension: int = 16) -> Student:
    """The first `blocks` blocks of Lite0 and a head, folded, always with the same weights."""
    torch.manual_seed(0)
    net = Student(EfficientNetLite(blocks=blocks), dimension, 0)
    for module in net.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight)
    return folded(net)
