"""HDF5 attributes from and to plain Python values: text and numbers as they are, everything else as JSON text."""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import h5py
import numpy as np

from vinci_offline.budget import Tally, check_nesting, limit
from vinci_offline.data import layout
from vinci_offline.errors import DatasetError, UsageError
from vinci_offline.spec import EnvironmentSpec

_JSON_STARTS = ("{", "[", '"', "null")
_LARGEST_ARRAY = 4096
_MOST_ATTRIBUTES = 1024
_LARGEST_ATTRIBUTE = 2**24
_LARGEST_TOGETHER = 2**25
_JSON_GROWTH = 20
"""A list of empty lists takes this many times its text."""


def encode(value: Any) -> str | bool | int | float:
    """Return ``value`` as it is stored; `decode` gives it back.

    Raises:
        TypeError: JSON cannot hold the value.
        ValueError: an integer has more than 64 bits.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, str):
        # Text that looks like JSON is quoted, so that reading cannot mistake it for a list.
        return json.dumps(value) if value.startswith(_JSON_STARTS) or not _storable(value) else value
    if isinstance(value, bool | int | float):
        if isinstance(value, int) and abs(value) >= 2**63:
            raise ValueError(f"{value} has more than 64 bits")
        return value
    return json.dumps(value, default=_plain)


def read_attributes(node: h5py.Group | h5py.Dataset, tally: Tally) -> dict[str, Any]:
    """Return the attributes of a group or an array of an untrusted file, without those that are no remarks.

    Args:
        node: the group or array.
        tally: what is held of the file; the attributes are added.

    Raises:
        DatasetError: they are too many, or take far more memory than the file has bytes.
    """
    names = list(node.attrs)
    limit(tally.where, "attributes", len(names), _MOST_ATTRIBUTES)
    found, together = {}, 0
    for name in names:
        attribute = h5py.h5a.open(node.id, name.encode(errors="surrogateescape"))
        if not _is_remark(attribute):
            continue
        tally.add("an attribute", attribute.get_storage_size())
        together += attribute.get_storage_size()
        limit(tally.where, "bytes of attributes", together, _LARGEST_TOGETHER)
        with suppress(TypeError):
            value = node.attrs[name]
            if isinstance(value, str | bytes):  # many attributes may refer to one text
                tally.add("an attribute", len(value) * _JSON_GROWTH)
            found[name] = decode(value)
    return found


def _is_remark(attribute: Any) -> bool:
    """Return whether an attribute is one text or a few numbers, as far as its declaration tells."""
    if attribute.get_storage_size() > _LARGEST_ATTRIBUTE:
        return False
    kind: int = attribute.get_type().get_class()
    size: int = math.prod(attribute.shape)
    if kind == h5py.h5t.STRING:
        return size == 1
    return size <= _LARGEST_ARRAY and kind in {h5py.h5t.INTEGER, h5py.h5t.FLOAT, h5py.h5t.ENUM}


def decode(value: Any) -> Any:
    """Return the plain value of an attribute that h5py read, whoever wrote it.

    Raises:
        TypeError: it is a reference, or an array too large to be a remark.
    """
    if isinstance(value, bytes | np.bytes_):
        value = bytes(value).decode(errors="replace")
    if isinstance(value, str):
        return _decode_text(str(value))
    if isinstance(value, bool | int | float):
        return value
    if (
        isinstance(value, np.generic | np.ndarray)
        and value.dtype.kind in "biuf"
        and value.size <= _LARGEST_ARRAY
    ):
        return value.tolist()
    raise TypeError(f"an attribute of type {type(value).__name__}")


def file_attributes(spec: EnvironmentSpec, attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return all attributes of a dataset file but its content hash, as they are stored.

    Raises:
        UsageError: an attribute is one of the format's own, or cannot be stored.
    """
    return {
        layout.ATTRIBUTE_FORMAT: layout.FORMAT,
        layout.ATTRIBUTE_VERSION: layout.VERSION,
        layout.ATTRIBUTE_ENVIRONMENT: spec.to_json(),
        **encoded({"versions": library_versions(), **attributes}),
    }


def encoded(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return a user's attributes as they are stored.

    Raises:
        UsageError: an attribute is one of the format's own, or cannot be stored.
    """
    reserved = sorted(set(attributes) & set(layout.RESERVED_ATTRIBUTES))
    if reserved:
        raise UsageError(f"the attributes {', '.join(reserved)} are the format's own: choose other names")
    try:
        return {key: encode(value) for key, value in attributes.items()}
    except (TypeError, ValueError) as error:
        raise UsageError(f"attributes: {error}; give text, numbers, lists and dicts") from error


def library_versions() -> dict[str, str]:
    """Return the versions of what recorded the data; nothing is imported for it."""
    versions = {}
    for name in ("vinci-offline", "python", "numpy", "h5py", "gymnasium", "mujoco", "keras"):
        with suppress(PackageNotFoundError):
            versions[name] = platform.python_version() if name == "python" else version(name)
    return versions


def _storable(text: str) -> bool:
    """Return whether HDF5 can hold a text as it is; a text from a stranger's file may hold bytes that are no text."""
    try:
        return b"\0" not in text.encode()
    except UnicodeEncodeError:
        return False


def _decode_text(text: str) -> Any:
    if not text.startswith(_JSON_STARTS):
        return text
    try:
        check_nesting("", "text", text)
        return json.loads(text)
    except (ValueError, RecursionError, DatasetError):
        return text


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} cannot be stored as an attribute")
