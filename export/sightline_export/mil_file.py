"""Reads a Core ML package's program: the operations in order, and the weights as the file holds them.

A package is a folder: `Manifest.json` names the model (a protobuf, Apple's MIL.proto) whose big tensors lie in
`weights/weight.bin`. That file is an archive of blobs, little-endian: 64 bytes of metadata at the offset that the model
names (sentinel 0xDEADBEEF, type, bytes, offset of the data, padding bits), then the data. It is read here without
Apple's library, so that what the converter wrote is checked by other code than the code that wrote it.
"""

from __future__ import annotations

import io
import json
import logging
import struct
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from sightline_shared.errors import ExtraMissing, RuntimeFailed

SENTINEL = 0xDEADBEEF
WEIGHTS = "@model_path/"
# MIL's DataType numbers, and how numpy reads them.
TYPES: dict[int, str] = {
    1: "bool",
    10: "<f2",
    11: "<f4",
    12: "<f8",
    21: "<i1",
    22: "<i2",
    23: "<i4",
    24: "<i8",
    31: "<u1",
    32: "<u2",
    33: "<u4",
    34: "<u8",
}
STRING = 2
# Field of an immediate value -> how numpy reads it.
FIELDS = {"floats": "<f4", "ints": "<i4", "bools": "bool", "longInts": "<i8", "doubles": "<f8"}

Tensor = NDArray[Any]
Constant = Tensor | str


@dataclass(frozen=True)
class Operation:
    """One operation: `inputs` names values computed before, `constants` are the attributes that the file states."""

    kind: str
    output: str
    dtype: str
    shape: tuple[int, ...]
    inputs: Mapping[str, str]
    constants: Mapping[str, Constant]


@dataclass(frozen=True)
class Port:
    """An input or output that an app sees: a picture of `(height, width)` pixels, or a tensor of a shape."""

    name: str
    kind: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class MilFile:
    """A package as read back: what an app gives and gets, the program's own input names, the operations."""

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    operations: tuple[Operation, ...]
    size_bytes: int


def coremltools() -> Any:
    """Import coremltools without its complaints about not running on a Mac; raises ExtraMissing."""
    for name in ("coremltools", "coremltools.models.model", "coremltools.models.compute_device"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import coremltools as tools
    except ImportError as error:
        raise ExtraMissing(
            f"Core ML: expected the package coremltools, got '{error}'.", hint="Run: pip install 'sightline[coreml]'"
        ) from error
    return tools


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the converter's progress bars and log lines off the terminal: it has no setting for that."""
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        yield


def read_package(folder: Path) -> MilFile:
    """Read the package `folder`; raises RuntimeFailed when it is none, or holds what this reader does not know."""
    tools = coremltools()
    try:
        manifest = json.loads((folder / "Manifest.json").read_text(encoding="utf-8"))
        root = manifest["itemInfoEntries"][manifest["rootModelIdentifier"]]["path"]
        path = folder / "Data" / root
        model = tools.proto.Model_pb2.Model.FromString(path.read_bytes())
        function = model.mlProgram.functions["main"]
        block = function.block_specializations[function.opset]
        operations = tuple(_operation(item, path.parent) for item in block.operations)
    except (OSError, ValueError, KeyError, TypeError, struct.error, DecodeError) as error:
        raise RuntimeFailed(f"{folder}: expected a Core ML package, got '{error}'.") from error
    if not operations:
        raise RuntimeFailed(f"{folder}: expected a Core ML program, got no operations.")
    return MilFile(
        tuple(_port(item) for item in model.description.input),
        tuple(_port(item) for item in model.description.output),
        operations,
        sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()),
    )


def _port(feature: Any) -> Port:
    kind = feature.type.WhichOneof("Type")
    if kind == "imageType":
        image = feature.type.imageType
        colours = image.ColorSpace.Name(image.colorSpace)
        return Port(feature.name, f"image {colours}", (image.height, image.width))
    return Port(feature.name, kind, tuple(feature.type.multiArrayType.shape))


def _operation(proto: Any, folder: Path) -> Operation:
    if len(proto.outputs) != 1:
        raise RuntimeFailed(f"MIL operation '{proto.type}': expected one output, got {len(proto.outputs)}.")
    constants: dict[str, Constant] = {}
    inputs: dict[str, str] = {}
    for key, value in proto.attributes.items():
        constants[key] = _value(value, folder)
    for key, argument in proto.inputs.items():
        if len(argument.arguments) != 1:
            raise RuntimeFailed(f"MIL operation '{proto.type}': expected one value for '{key}'.")
        binding = argument.arguments[0]
        if binding.WhichOneof("binding") == "name":
            inputs[key] = binding.name
        else:
            constants[key] = _value(binding.value, folder)
    kind = proto.outputs[0].type.tensorType
    dtype = "string" if kind.dataType == STRING else _dtype(kind.dataType)
    return Operation(proto.type, proto.outputs[0].name, dtype, _shape(kind), inputs, constants)


def _dtype(number: int) -> str:
    if number not in TYPES:
        raise RuntimeFailed(f"MIL data type {number}: expected one of {sorted(TYPES)}.")
    return TYPES[number]


def _shape(kind: Any) -> tuple[int, ...]:
    return tuple(int(dimension.constant.size) for dimension in kind.dimensions)


def _value(value: Any, folder: Path) -> Constant:
    """Return a constant: a string, or a tensor of the stated type and shape."""
    kind = value.type.tensorType
    if value.WhichOneof("value") == "blobFileValue":
        blob = value.blobFileValue
        return _blob(folder, blob.fileName, blob.offset, _dtype(kind.dataType)).reshape(_shape(kind))
    tensor = value.immediateValue.tensor
    field = tensor.WhichOneof("value")
    if field == "strings":
        return str(tensor.strings.values[0])
    dtype = _dtype(kind.dataType)
    if field == "bytes":
        return np.frombuffer(tensor.bytes.values, dtype).reshape(_shape(kind))
    if field not in FIELDS:
        raise RuntimeFailed(f"MIL constant: expected one of {sorted(FIELDS)}, bytes or strings, got {field!r}.")
    return np.array(getattr(tensor, field).values, FIELDS[field]).astype(dtype).reshape(_shape(kind))


def _blob(folder: Path, name: str, offset: int, dtype: str) -> Tensor:
    path = folder / name.removeprefix(WEIGHTS)
    if not name.startswith(WEIGHTS) or not path.resolve().is_relative_to(folder.resolve()):
        raise RuntimeFailed(f"MIL weights: expected a file inside the package, got '{name}'.")
    with path.open("rb") as file:
        file.seek(offset)
        sentinel, _, size, start = struct.unpack("<IIQQ", file.read(24))
        if sentinel != SENTINEL:
            raise RuntimeFailed(f"{path.name}: expected a blob at {offset}, got the sentinel {sentinel:#x}.")
        file.seek(start)
        data = file.read(size)
    if len(data) != size:
        raise RuntimeFailed(f"{path.name}: expected a blob of {size} bytes at {start}, got {len(data)}.")
    return np.frombuffer(data, dtype)
