"""How vectors are written down: one JSON file a category, and the binary files that its vectors name.

Bytes are hex (`..._hex`) where a person may want to read them, base64 (`..._base64`) where they are many; an array of
numbers is the base64 of its little-endian float32. Values whose msgpack type matters are tagged: `["int", "12"]`,
`["float", 0.5]`, `["text", "x"]`, `["bool", true]`, `["nil"]`, `["bytes", hex]`, `["array", [...]]`,
`["map", [[key, value], ...]]`; ints are written as text because JSON numbers end at 53 bits in many languages.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightline_shared.errors import InputError, SightlineError

FORMAT = 1

Vector = dict[str, Any]


@dataclass(frozen=True)
class Document:
    """One category: `vectors` each with a unique `name`, and the binary `files` that they refer to by name.

    Numbers of a vector are equal when they differ by at most `tolerance` times the larger of 1 and the number.
    """

    category: str
    about: str
    vectors: Sequence[Vector]
    tolerance: float = 0.0
    binaries: Mapping[str, bytes] = field(default_factory=dict)

    def files(self) -> dict[str, bytes]:
        """Return the category's files by name."""
        body = {
            "format": FORMAT,
            "category": self.category,
            "about": self.about,
            "tolerance": self.tolerance,
            "vectors": self.vectors,
        }
        text = json.dumps(body, indent=1, ensure_ascii=False, allow_nan=False)
        return {f"{self.category}.json": text.encode() + b"\n", **self.binaries}


def base64_of(data: bytes | NDArray[np.uint8]) -> str:
    """Return bytes, or the bytes of an array of levels, as base64."""
    return base64.b64encode(data if isinstance(data, bytes) else data.tobytes()).decode()


def floats(array: NDArray[np.float32]) -> str:
    """Return float32 numbers as the base64 of their little-endian bytes."""
    return base64_of(array.astype("<f4").tobytes())


def tagged(value: Any) -> list[Any]:
    """Return a value with its msgpack type, as the module's docstring says; raises InputError for one without."""
    if value is None:
        return ["nil"]
    for kind, tag in ((bool, "bool"), (str, "text"), (float, "float")):
        if isinstance(value, kind):
            return [tag, value]
    if isinstance(value, int):
        return ["int", str(value)]
    if isinstance(value, bytes):
        return ["bytes", value.hex()]
    if isinstance(value, list):
        return ["array", [tagged(each) for each in value]]
    if isinstance(value, dict):
        return ["map", [[key, tagged(each)] for key, each in value.items()]]
    raise InputError(f"conformance: expected a value that can travel, got {type(value).__name__}.")


def refusal(read: Callable[[], object]) -> str:
    """Return the code of the error with which the SDK refuses what `read` reads; raises InputError when it does not."""
    try:
        read()
    except SightlineError as error:
        return error.code
    raise InputError("conformance: expected bytes that the SDK refuses, got some that it reads.")


def noise(label: str, count: int) -> NDArray[np.uint8]:
    """Return `count` bytes that depend on `label` alone: SHAKE-256, which no version of numpy changes."""
    return np.frombuffer(hashlib.shake_256(label.encode()).digest(count), np.uint8)


def units(label: str, count: int, dim: int) -> NDArray[np.float32]:
    """Return `count` vectors of unit length, `(count, dim) float32`, that depend on `label`."""
    numbers = noise(label, count * dim).astype(np.float64).reshape(count, dim) - 127.5
    lengths = np.sqrt(np.square(numbers).sum(axis=1, keepdims=True))
    return np.asarray(numbers / lengths, dtype=np.float32)
