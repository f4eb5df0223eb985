"""Spaces in Minari's metadata, to and from ours."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from vinci_offline.errors import SpecError
from vinci_offline.spec import BoxSpace, DictSpace, DiscreteSpace, MultiDiscreteSpace, Space, TupleSpace
from vinci_offline.text import printable
from vinci_offline.types import Array

_MOST_NUMBERS = 2**24
"""Of an element of a space: 8 million pixels of two bytes have as many."""


def space_from_minari(text: Any, where: str, *, actions: bool = False) -> Space:
    """Return the space that a metadata entry describes.

    MultiBinary and MultiDiscrete observations are the Box of integers with the same elements.
    The description is that of https://github.com/Farama-Foundation/Minari/blob/main/minari/serialization.py.

    Args:
        text: JSON text.
        where: the entry, for messages.
        actions: True for actions: several choices at once are then a space of their own, not a Box.

    Raises:
        SpecError: it is damaged, or datasets cannot hold elements of such a space.
    """
    try:
        content = json.loads(text)
        space = _space(content)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise SpecError(
            f"{where} is no description of a space ({printable(' '.join(str(error).split()))[:200]})"
        ) from error
    if actions and isinstance(space, BoxSpace) and content["type"] != "Box":
        return MultiDiscreteSpace(space.shape, space.dtype, space.low, space.high)
    return space


def space_to_minari(space: Space) -> str:
    """Return the JSON text from which Minari makes the Gymnasium space."""
    return json.dumps(_description(space))


def leaves(text: str, index: str) -> dict[str, str]:
    """Return the paths of a space's parts in a storage.

    Args:
        text: JSON text.
        index: the storage's name for the part ``{}`` of a Tuple.

    Returns:
        Their paths by ours, both below the root; a single one is ``""``.
    """
    return dict(_leaves(json.loads(text), index))


def _leaves(content: Any, index: str) -> Iterator[tuple[str, str]]:
    kind = content["type"]
    if kind not in {"Dict", "Tuple"}:
        yield "", ""
        return
    parts = content["subspaces"]
    for key, part in parts.items() if kind == "Dict" else enumerate(parts):
        name = key if kind == "Dict" else index.format(key)
        for ours, theirs in _leaves(part, index):
            yield f"{key}/{ours}".rstrip("/"), f"{name}/{theirs}".rstrip("/")


def _space(content: Any) -> Space:
    kind = content["type"]
    if kind == "Box":
        shape, dtype = tuple(int(size) for size in content["shape"]), np.dtype(content["dtype"])
        if dtype.kind not in "biuf" or min(shape, default=1) < 1 or math.prod(shape) > _MOST_NUMBERS:
            raise ValueError(f"a Box of shape {shape} and dtype {dtype}")
        return BoxSpace(
            shape, str(dtype), *(_bounds(content[name], shape, dtype) for name in ("low", "high"))
        )
    if kind == "Discrete":
        if int(content["n"]) < 1:
            raise ValueError(f"a Discrete space of {content['n']} elements")
        return DiscreteSpace(int(content["n"]), int(content.get("start", 0)))
    if kind == "MultiBinary":
        size = content["n"]
        shape = tuple(map(int, size)) if isinstance(size, list) else (int(size),)
        if min(shape, default=1) < 1 or math.prod(shape) > _MOST_NUMBERS:
            raise ValueError(f"a MultiBinary space of shape {shape}")
        return _integers(np.full(shape, 2, np.int8), 0)
    if kind == "MultiDiscrete":
        return _integers(np.array(content["nvec"], content["dtype"]), content.get("start", 0))
    if kind == "Dict":
        return DictSpace({str(key): _space(part) for key, part in content["subspaces"].items()})
    if kind == "Tuple":
        return TupleSpace.of(map(_space, content["subspaces"]))
    raise ValueError(f"{kind} spaces cannot be columns of numbers")


def _integers(counts: Array, start: Any) -> BoxSpace:
    if counts.dtype.kind not in "iu" or not counts.size or counts.min() < 1:
        raise ValueError("a space of several choices, some of which there are none of")
    low = np.broadcast_to(np.array(start, counts.dtype), counts.shape)
    return BoxSpace(counts.shape, str(counts.dtype), low, low + counts - 1)


def _bounds(content: Any, shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> Array:
    bounds = np.array(content, dtype)
    if bounds.shape not in {(), shape}:
        raise ValueError(f"bounds of shape {bounds.shape} in a Box of shape {shape}")
    return np.broadcast_to(bounds, shape)


def _description(space: Space) -> dict[str, Any]:
    if isinstance(space, MultiDiscreteSpace):
        counts = space.high.astype(np.int64) - space.low + 1
        choices = {"nvec": counts.tolist(), "start": space.low.tolist()}
        return {"type": "MultiDiscrete", "dtype": space.dtype, **choices}
    if isinstance(space, BoxSpace):
        bounds = {"low": space.low.tolist(), "high": space.high.tolist()}
        return {"type": "Box", "dtype": space.dtype, "shape": list(space.shape), **bounds}
    if isinstance(space, DiscreteSpace):
        return {"type": "Discrete", "dtype": "int64", "start": space.start, "n": space.n}
    if isinstance(space, TupleSpace):
        return {"type": "Tuple", "subspaces": [_description(part) for part in space.spaces.values()]}
    return {"type": "Dict", "subspaces": {key: _description(part) for key, part in space.spaces.items()}}
