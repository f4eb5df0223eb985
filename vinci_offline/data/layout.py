"""The file format: names, versions, and the columns of an environment's spaces.

`docs/format.md` describes the format for readers outside the project.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from vinci_offline.errors import SpecError
from vinci_offline.spec import BoxSpace, DictSpace, DiscreteSpace, EnvironmentSpec, Space

FORMAT = "vinci-offline"
VERSION = 1

OBSERVATIONS = "observations"
ACTIONS = "actions"
REWARDS = "rewards"
NEXT_OBSERVATIONS = "next_observations"
TERMINALS = "terminals"
TIMEOUTS = "timeouts"
INFOS = "infos"
EPISODES = "metadata/episodes"
FRAMES = "metadata/frames"
"""The group of frames that two columns share, by the path of their column."""
ACTION_LOG_PROBS = "infos/action_log_probs"
PROPENSITY = "infos/propensity"
"""Probabilities of choices, as logs of bandits call them."""
ACTION_MASKS, NEXT_ACTION_MASKS = f"{INFOS}/action_mask", f"{INFOS}/next_action_mask"
"""The masks of allowed actions of a row's observation, and of its next observation."""

COLUMN_ROOTS = (OBSERVATIONS, ACTIONS, REWARDS, NEXT_OBSERVATIONS, TERMINALS, TIMEOUTS, INFOS)
"""Root-level names that hold columns, in the order in which a dataset lists them."""
REQUIRED_ROOTS = COLUMN_ROOTS[:-1]
"""Every file of this format has these; a D4RL file of others may lack `timeouts`."""

ATTRIBUTE_FORMAT = "format"
ATTRIBUTE_VERSION = "version"
ATTRIBUTE_ENVIRONMENT = "environment"
ATTRIBUTE_HASH = "content_hash"
ATTRIBUTE_CATEGORIES = "categories"
"""Texts that became codes, in the order of their codes, by the frame name of their column."""
RESERVED_ATTRIBUTES = (ATTRIBUTE_FORMAT, ATTRIBUTE_VERSION, ATTRIBUTE_ENVIRONMENT, ATTRIBUTE_HASH)
"""Attributes that describe the file itself; all others tell where the data came from."""

CHUNK_BYTES = 2**20
IMAGE_CHUNK_BYTES = 2**17
"""Chunk size of compressed images. It is small, because reading one row unfolds its whole chunk."""


@dataclass(frozen=True)
class Slot:
    """Shape and dtype that a column must have.

    Attributes:
        shape: the shape of one row.
        dtype: the dtype stored unless float64 is asked for.
        space: the space that the column's rows are elements of; None for rewards and flags.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]
    space: BoxSpace | DiscreteSpace | None = None

    def accepts(self, dtype: np.dtype[np.generic]) -> bool:
        """Return whether a file may hold the column as ``dtype``: flags as integers 0 and 1, floats as any number."""
        return dtype.kind in {"f": "fiu", "b": "biu", "i": "iu", "u": "iu"}[self.dtype.kind]


def spec_slots(spec: EnvironmentSpec) -> dict[str, Slot]:
    """Return every required column of an environment's dataset by its path, in file order.

    Raises:
        SpecError: the spaces cannot be columns: a Dict action space, or a Dict key that is no HDF5 name.
    """
    if isinstance(spec.action_space, DictSpace):
        raise SpecError(
            "Dict action spaces cannot be stored: flatten the actions with an environment wrapper"
        )
    flag = Slot((), np.dtype(np.bool_))
    return {
        **space_slots(OBSERVATIONS, spec.observation_space),
        **space_slots(ACTIONS, spec.action_space),
        REWARDS: Slot((), np.dtype(np.float32)),
        **space_slots(NEXT_OBSERVATIONS, spec.observation_space),
        TERMINALS: flag,
        TIMEOUTS: flag,
    }


def space_slots(root: str, space: Space) -> dict[str, Slot]:
    """Return the columns of one space: ``root`` itself, or ``root/KEY`` for every key of a Dict space.

    Raises:
        SpecError: a Dict space without keys, or with a key that cannot be a name in HDF5.
    """
    if isinstance(space, BoxSpace):
        return {root: Slot(space.shape, stored_dtype(np.dtype(space.dtype)), space)}
    if isinstance(space, DiscreteSpace):
        return {root: Slot((), np.dtype(np.int64), space)}
    if not space.spaces:
        raise SpecError(f"{root}: a Dict space without keys holds nothing that could be stored")
    slots: dict[str, Slot] = {}
    for key, part in space.spaces.items():
        if not is_name(key):
            raise SpecError(f"{root}: the Dict key {key!r} cannot name an HDF5 dataset; rename it")
        slots |= space_slots(f"{root}/{key}", part)
    return slots


def is_name(text: str) -> bool:
    """Return whether ``text`` can be one step of an HDF5 path."""
    return bool(text) and text not in {".", ".."} and "/" not in text and "\0" not in text


def stored_dtype(dtype: np.dtype[np.generic]) -> np.dtype[np.generic]:
    """Return the dtype that stores ``dtype``: wide floats become float32, everything has native byte order."""
    if dtype.kind == "f" and dtype.itemsize > 4:
        return np.dtype(np.float32)
    return dtype.newbyteorder("=")


_MOST_CHANNELS = 16
"""A last axis that is longer is a side of the image, if the first one is not."""


def chunk_rows(shape: tuple[int, ...], dtype: np.dtype[np.generic], chunk_bytes: int = CHUNK_BYTES) -> int:
    """Return how many rows of ``shape`` make about ``chunk_bytes``; at least one."""
    return max(1, chunk_bytes // max(1, math.prod(shape) * dtype.itemsize))


def is_image(shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> bool:
    """Return whether rows are images: bytes with two axes or more."""
    return dtype == np.uint8 and len(shape) >= 2


def frames_first(shape: tuple[int, ...]) -> bool:
    """Return whether an image of this shape has its frames or channels first: ``[4, 84, 84]``."""
    return len(shape) == 3 and shape[-1] > _MOST_CHANNELS and shape[0] <= _MOST_CHANNELS


def column_order(path: str) -> tuple[int, str]:
    """Return a sort key: roots in file order, keys below them by name."""
    return COLUMN_ROOTS.index(path.partition("/")[0]), path
