"""How many weights an ONNX file holds, read from its protobuf without the `onnx` package.

Only what counting needs is read: the tensors in `ModelProto.graph` that are initializers or the
values of Constant nodes (field numbers from onnx/onnx.proto3; wire format from
protobuf.dev/programming-guides/encoding).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path

from models.errors import BundleError

_GRAPH, _INITIALIZER, _NODE = 7, 5, 1
_ATTRIBUTE, _TENSOR = 5, 5
_DIMS, _TYPE = 1, 2
# Bytes per element of TensorProto.DataType; four bit types count half a byte.
_BYTES = {
    **dict.fromkeys((2, 3, 9, 17, 18, 19, 20, 23, 24), 1.0),
    **dict.fromkeys((4, 5, 10, 16), 2.0),
    **dict.fromkeys((1, 6, 12), 4.0),
    **dict.fromkeys((7, 11, 13, 14), 8.0),
    **dict.fromkeys((21, 22), 0.5),
    15: 16.0,
}

Field = tuple[int, int | memoryview]


@dataclass(frozen=True)
class Weights:
    """Numbers in a graph's constant tensors and the bytes they take in memory."""

    parameters: int
    bytes: int


def count_weights(path: Path) -> Weights:
    """Count the floating-point and integer values stored in a graph.

    Raises
    ------
    BundleError
        If the file is no ONNX model.
    """
    try:
        model = memoryview(path.read_bytes())
        tensors = [_size(t) for graph in _blobs(model, _GRAPH) for t in _tensors(graph)]
    except (IndexError, KeyError, ValueError) as err:
        raise BundleError(
            f"{path} cannot be read as ONNX ({err})", "an ONNX graph", "export the bundle again"
        ) from err
    return Weights(sum(n for n, _ in tensors), round(sum(n * each for n, each in tensors)))


def _tensors(graph: memoryview) -> Iterator[memoryview]:
    yield from _blobs(graph, _INITIALIZER)
    for node in _blobs(graph, _NODE):
        for attribute in _blobs(node, _ATTRIBUTE):
            yield from _blobs(attribute, _TENSOR)


def _size(tensor: memoryview) -> tuple[int, float]:
    dims: list[int] = []
    kind = 0
    for number, value in _fields(tensor):
        if number == _DIMS:
            dims += [value] if isinstance(value, int) else _packed(value)
        elif number == _TYPE and isinstance(value, int):
            kind = value
    return prod(dims), _BYTES[kind]


def _blobs(message: memoryview, wanted: int) -> Iterator[memoryview]:
    for number, value in _fields(message):
        if number == wanted and isinstance(value, memoryview):
            yield value


def _fields(message: memoryview) -> Iterator[Field]:
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, at = _varint(message, at)
            yield number, value
            continue
        size, at = _varint(message, at) if wire == 2 else ({1: 8, 5: 4}[wire], at)
        if at + size > len(message):
            raise ValueError("it ends inside a field")
        yield number, message[at : at + size]
        at += size


def _packed(values: memoryview) -> list[int]:
    found, at = [], 0
    while at < len(values):
        value, at = _varint(values, at)
        found.append(value)
    return found


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
