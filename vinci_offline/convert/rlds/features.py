"""The features of steps in TFDS' description, and their values in a ``tf.train.Example``.

The description is ``features.json``, the JSON of TFDS' ``feature.proto``
(https://github.com/tensorflow/datasets/blob/master/tensorflow_datasets/proto/feature.proto).
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from vinci_offline.budget import afford
from vinci_offline.convert.sources.images import frames
from vinci_offline.errors import DatasetError
from vinci_offline.text import printable
from vinci_offline.types import Array

_CLASSES = "tensorflow_datasets.core.features"
_LARGEST_VALUE = 2**31
_ENCODINGS = {"none", "bytes", "zlib"}


@dataclass(frozen=True)
class Feature:
    """A feature of numbers.

    Attributes:
        shape: of one value.
        dtype: of one value.
        encoding: ``none`` (a list of numbers), ``bytes``, ``zlib`` or ``image`` (a string of bytes a value).
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    encoding: str = "none"

    @classmethod
    def holding(cls, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Feature:
        """Return the feature that holds such values exactly. Lists hold float32 and int64."""
        is_plain = len(shape) < 2 and dtype not in {np.dtype(np.float64), np.dtype(np.uint64)}
        return cls(shape, dtype, "none" if is_plain else "zlib")

    def described(self) -> dict[str, Any]:
        """Return its part of ``features.json``."""
        dimensions = {"dimensions": [str(size) for size in self.shape]} if self.shape else {}
        return {
            "pythonClassName": f"{_CLASSES}.tensor_feature.Tensor",
            "tensor": {"shape": dimensions, "dtype": str(self.dtype), "encoding": self.encoding},
        }

    def pack(self, values: Array, tensorflow: Any) -> Any:
        """Return ``[T, …]`` values as a ``tf.train.Feature``."""
        train = tensorflow.train
        if self.encoding == "zlib":
            packed = [zlib.compress(np.ascontiguousarray(value).tobytes(), 1) for value in values]
            return train.Feature(bytes_list=train.BytesList(value=packed))
        flat = values.reshape(-1)
        if values.dtype.kind == "f":
            return train.Feature(float_list=train.FloatList(value=flat.tolist()))
        return train.Feature(int64_list=train.Int64List(value=flat.astype(np.int64).tolist()))

    def unpack(self, packed: Any, where: str) -> Array:
        """Return the ``[T, …]`` values of a ``tf.train.Feature``.

        Raises:
            DatasetError: they are of another kind or size.
        """
        kind = packed.WhichOneof("kind")
        if (kind == "bytes_list") != (self.encoding != "none"):
            raise DatasetError(f"{where} is kept as {kind}, which features.json does not say: it is damaged")
        if self.encoding == "image":
            return self._images(packed.bytes_list.value, where)
        if self.encoding != "none":
            size = math.prod(self.shape) * self.dtype.itemsize
            count, present = len(packed.bytes_list.value), packed.ByteSize()
            afford(where, f"{count:,} values of shape {self.shape}", asked=2 * count * size, present=present)
            whole = b"".join(self._value(value, size, where) for value in packed.bytes_list.value)
            return np.frombuffer(whole, self.dtype).reshape(-1, *self.shape)
        found = self._listed(packed, kind)
        size = math.prod(self.shape)
        if found is None or len(found) % size:
            raise DatasetError(
                f"{where} holds other numbers than {self.dtype} of shape {self.shape}: it is damaged"
            )
        return found.reshape(-1, *self.shape)

    def _listed(self, packed: Any, kind: str | None) -> Array | None:
        """Return the numbers of a list; None if the dtype cannot hold them."""
        if kind == "float_list":
            return (
                np.array(packed.float_list.value, np.float32).astype(self.dtype)
                if self.dtype.kind == "f"
                else None
            )
        values = np.array(packed.int64_list.value, np.int64)
        if self.dtype == np.uint64:
            return values.view(np.uint64)
        found: Array = values.astype(self.dtype)
        return found if (found == values).all() else None

    def _value(self, value: bytes, size: int, where: str) -> bytes:
        if self.encoding == "zlib":
            try:
                value = zlib.decompressobj().decompress(value, size + 1)
            except zlib.error as error:
                raise DatasetError(f"{where} cannot be unfolded: it is damaged") from error
        if len(value) != size:
            raise DatasetError(f"{where} has a value of other than {size} bytes: it is damaged")
        return value

    def _images(self, images: Any, where: str) -> Array:
        shape = self.shape[:2] if self.shape[2:] == (1,) else self.shape
        return frames(images, shape, where, ("PNG", "JPEG")).reshape(-1, *self.shape)


def described(content: Mapping[str, Any], part: str, where: str) -> tuple[dict[str, Feature], list[str]]:
    """Return the features of numbers below ``steps`` or another part, by path, and the paths of the others.

    Args:
        content: of ``features.json``.
        part: which.
        where: the file, for messages.

    Raises:
        DatasetError: it describes no such thing.
    """
    found: dict[str, Feature] = {}
    others = []
    try:
        node = content["featuresDict"]["features"][part]
        for path, feature in _leaves("", node.get("sequence", {}).get("feature", node)):
            numeric = _feature(feature)
            if numeric is None:
                others.append(path)
            else:
                found[path] = numeric
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        reason = printable(" ".join(str(error).split()))[:100]
        raise DatasetError(
            f"{where} does not describe {part} as TFDS does since 4.5 ({reason}): it is damaged or too old"
        ) from error
    return found, others


def described_whole(steps: Mapping[str, Feature], facts: Mapping[str, Feature]) -> dict[str, Any]:
    """Return ``features.json`` of episodes."""
    parts: dict[str, Any] = {
        "steps": {
            "pythonClassName": f"{_CLASSES}.dataset_feature.Dataset",
            "sequence": {"feature": _nested(steps), "length": "-1"},
        }
    }
    if facts:
        parts["episode_metadata"] = _nested(facts)
    return _features_dict(parts)


def _nested(features: Mapping[str, Feature]) -> dict[str, Any]:
    groups: dict[str, dict[str, Feature]] = {}
    parts: dict[str, Any] = {}
    for path, feature in features.items():
        head, slash, rest = path.partition("/")
        if slash:
            groups.setdefault(head, {})[rest] = feature
        else:
            parts[head] = feature.described()
    return _features_dict(parts | {head: _nested(inner) for head, inner in groups.items()})


def _features_dict(parts: Mapping[str, Any]) -> dict[str, Any]:
    name = f"{_CLASSES}.features_dict.FeaturesDict"
    return {"pythonClassName": name, "featuresDict": {"features": dict(parts)}}


def _leaves(path: str, node: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if "featuresDict" not in node:
        yield path, node
        return
    for name, inner in node["featuresDict"].get("features", {}).items():
        yield from _leaves(f"{path}/{name}" if path else name, inner)


def _feature(node: Mapping[str, Any]) -> Feature | None:
    """Return the feature; None if it is no array of numbers of a known shape."""
    if "classLabel" in node:
        return Feature((), np.dtype(np.int64))
    content = node.get("tensor", node.get("image"))
    if content is None:
        return None
    dimensions = content.get("shape", {}).get("dimensions", [])
    shape, name = tuple(int(size) for size in dimensions), str(content["dtype"])
    encoding = "image" if "image" in node else str(content.get("encoding", "none"))
    if math.prod(shape) > _LARGEST_VALUE:
        raise ValueError(f"a shape of {math.prod(shape):.3g} numbers")
    if name in {"string", "bfloat16"} or any(size < 1 for size in shape):
        return None
    dtype = np.dtype(name)
    is_known = encoding in _ENCODINGS or (encoding == "image" and dtype == np.uint8 and len(shape) == 3)
    return Feature(shape, dtype, encoding) if dtype.kind in "biuf" and is_known else None
