"""What an ONNX model asks for, read from its bytes before a runtime opens it.

Only the fields that are needed are read, by the wire format of protocol buffers
(https://protobuf.dev/programming-guides/encoding/) and the field numbers of
https://github.com/onnx/onnx/blob/main/onnx/onnx.proto.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from vinci_offline.budget import Tally, afford, limit, trusted
from vinci_offline.errors import VinciError

_DOMAINS = {"", "ai.onnx", "ai.onnx.ml"}
_LOOPS = {"Loop", "Scan", "If", "SequenceMap", "Optional", "OptionalGetElement"}
_LARGEST_SHAPE = 2**26
"""Numbers of a tensor that a constant may name, for operators such as ConstantOfShape, Expand and Tile."""
_NO_END = 2**40
"""Numbers from here on mean no end, in Slice."""
_MOST_NODES = 10_000
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED = {_FIXED64: 8, _FIXED32: 4}
_LARGEST_VARINT = 10
_EXTERNAL, _INT64 = 1, 7
_MOST_AXES = 64

Field = tuple[int, int | memoryview]
"""A field's number, and its value: a whole number, or bytes."""


def check_graph(path: Path) -> None:
    """Refuse a model that loops, that names huge tensors, or whose weights are not in the file.

    Raises:
        VinciError: the file is damaged, or has such a part.
        DatasetError: its tensors take far more memory than the file has bytes.
    """
    present = path.stat().st_size
    afford(str(path), "the model", asked=2 * present, present=present)
    try:
        model = list(_fields(memoryview(path.read_bytes())))
        graphs = [value for number, value in model if number == 7]  # ModelProto.graph
        functions = [value for number, value in model if number == 25]  # ModelProto.functions
        limit(str(path), "functions", len(functions), 0)
        limit(str(path), "graphs", len(graphs), 1)
        _check_graph(path, _of_bytes((graphs or [memoryview(b"")])[0]), Tally(str(path), present))
    except (ValueError, IndexError, UnicodeDecodeError) as error:
        raise VinciError(
            f"{path} is not an ONNX model of stock operators ({error}): export it again"
        ) from error


def _check_graph(path: Path, graph: memoryview, tally: Tally) -> None:
    nodes = 0
    for number, value in _fields(graph):
        if number == 1:  # node
            nodes += 1
            _check_node(path, _of_bytes(value), tally)
        elif number == 5:  # initializer
            _check_tensor(path, _of_bytes(value), tally)
        elif number == 15:  # sparse_initializer
            raise ValueError("sparse weights")
    limit(str(path), "operators", nodes, _MOST_NODES)


def _check_node(path: Path, node: memoryview, tally: Tally) -> None:
    fields = list(_fields(node))
    kind, domain = (
        next((str(_of_bytes(value), "utf-8") for number, value in fields if number == wanted), "")
        for wanted in (4, 7)  # op_type, domain
    )
    if domain not in _DOMAINS:
        raise ValueError(f"an operator of the domain {domain[:50]!r}")
    if kind in _LOOPS:
        raise ValueError(f"the operator {kind}, which can take any time or memory")
    for number, value in fields:
        if number != 5:  # attribute
            continue
        for inner, content in _fields(_of_bytes(value)):
            if inner in (6, 11):  # AttributeProto.g and graphs
                raise ValueError(f"a graph inside the operator {kind[:50]!r}")
            if inner in (22, 23):  # sparse tensors
                raise ValueError("sparse weights")
            if inner in (5, 10):  # t, tensors
                _check_tensor(path, _of_bytes(content), tally)


def _check_tensor(path: Path, tensor: memoryview, tally: Tally) -> None:
    """Check that the tensor's bytes are in the file."""
    sizes: list[int] = []
    numbers = np.zeros(0, np.int64)
    fields = list(_fields(tensor))
    is_integer = (2, _INT64) in fields
    for number, value in fields:
        if number == 1:  # dims
            sizes += [value] if isinstance(value, int) else _packed(value)
        elif number == 13 or (number == 14 and value == _EXTERNAL):  # external_data, data_location
            raise ValueError("weights in other files")
        elif number == 9 and is_integer:  # raw_data
            numbers = np.frombuffer(_of_bytes(value), "<i8")
        elif number == 7:  # int64_data
            numbers = np.append(numbers, [value] if isinstance(value, int) else _packed(value))
    shape = [int(size) for size in numbers[:_MOST_AXES] if 0 < size < _NO_END]
    if len(numbers) <= _MOST_AXES and math.prod(shape) > _LARGEST_SHAPE and not trusted():
        raise ValueError(f"a constant that names {math.prod(shape):,} numbers")
    limit(str(path), "axes of a tensor", len(sizes), _MOST_AXES)
    tally.add("a tensor", 8 * math.prod(sizes))
    if math.prod(sizes) > 8 * len(tensor) + 8:  # a number takes at least an eighth of a byte
        raise ValueError("a tensor without its numbers")


def _of_bytes(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise ValueError("a number where a message is expected")  # noqa: TRY004 - damage, not a wrong type of ours
    return value


def _packed(content: memoryview) -> list[int]:
    found, place = [], 0
    while place < len(content):
        value, place = _varint(content, place)
        found.append(value)
    return found


def _fields(content: memoryview) -> Iterator[Field]:
    """Yield the fields of a message.

    Raises:
        ValueError: it is no message.
    """
    place = 0
    while place < len(content):
        key, place = _varint(content, place)
        number, wire = key >> 3, key & 7
        if wire == _VARINT:
            value, place = _varint(content, place)
            yield number, value
            continue
        if wire == _BYTES:
            size, place = _varint(content, place)
        elif wire in _FIXED:
            size = _FIXED[wire]
        else:
            raise ValueError("no protocol buffer")
        if size > len(content) - place:
            raise ValueError("it was cut short")
        yield number, content[place : place + size]
        place += size


def _varint(content: memoryview, place: int) -> tuple[int, int]:
    value = 0
    for index in range(_LARGEST_VARINT):
        byte = content[place + index]
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value, place + index + 1
    raise ValueError("no protocol buffer")
