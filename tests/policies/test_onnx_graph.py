"""ONNX models of strangers, built byte by byte: what loops or asks for much is refused before a runtime opens it."""

from __future__ import annotations

import numpy as np
import pytest

from vinci_offline.errors import VinciError
from vinci_offline.policies.onnx_graph import check_graph


def varint(value):
    out = b""
    while value > 0x7F:
        out, value = out + bytes([value & 0x7F | 0x80]), value >> 7
    return out + bytes([value])


def field(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    content = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(content)) + content


def node(kind, domain="", *attributes):
    return field(1, field(4, kind) + field(7, domain) + b"".join(field(5, each) for each in attributes))


def tensor(dims, kind=1, raw=b"", *more):
    return b"".join(field(1, size) for size in dims) + field(2, kind) + field(9, raw) + b"".join(more)


def write(tmp_path, *parts, functions=b""):
    path = tmp_path / "m.onnx"
    path.write_bytes(field(1, 8) + field(7, b"".join(parts)) + functions)
    return path


def test_honest_graph_passes(tmp_path):
    weights = np.ones((4, 2), np.float32).tobytes()
    shape = np.array([0, -1, 2**63 - 1], np.int64).tobytes()
    check_graph(
        write(
            tmp_path,
            node("MatMul"),
            node("Tanh"),
            node("ArrayFeatureExtractor", "ai.onnx.ml"),
            field(5, tensor([4, 2], 1, weights)),
            field(5, tensor([3], 7, shape)),
        )
    )


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([node("Loop")], "the operator Loop"),
        ([node("If")], "the operator If"),
        ([node("Scan")], "the operator Scan"),
        ([node("Run", "com.example")], "an operator of the domain 'com.example'"),
        ([node("Add", "", field(6, b""))], "a graph inside the operator 'Add'"),
        ([field(5, tensor([4], 1, b"", field(13, b"x")))], "weights in other files"),
        ([field(5, tensor([4], 1, b"", field(14, 1)))], "weights in other files"),
        ([field(5, tensor([10**6]))], "a tensor without its numbers"),
        ([field(5, tensor([10**6, 10**6]))], "takes .* of memory"),
        (
            [node("Constant", "", field(5, tensor([2], 7, np.array([10**6] * 2).tobytes())))],
            "1,000,000,000,000 numbers",
        ),
        ([field(5, tensor([1], 7, b"", field(7, 10**9)))], "1,000,000,000 numbers"),
        ([field(15, b"")], "sparse weights"),
        ([node("Relu") * 10_001], "10,001 operators"),
        ([b"\xff" * 20], "not an ONNX model"),
    ],
)
def test_hostile_graph_is_refused(tmp_path, parts, message):
    with pytest.raises(VinciError, match=message) as error:
        check_graph(write(tmp_path, *parts))
    assert str(error.value).isprintable()


def test_own_functions_are_refused(tmp_path):
    with pytest.raises(VinciError, match="1 functions"):
        check_graph(write(tmp_path, node("Relu"), functions=field(25, b"")))
