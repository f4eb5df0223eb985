"""Shards: fixed groups of consecutive episodes, recorded independently and published whole.

What shard k holds follows from the collection's configuration alone. So any number of workers records the
same data, and a collection that was killed goes on where its last finished shard ended.
"""

from __future__ import annotations

import json
import math
import re
import shutil
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vinci_offline.data import layout
from vinci_offline.errors import UsageError, VinciError
from vinci_offline.files import publish_text, published
from vinci_offline.spec import EnvironmentSpec
from vinci_offline.types import Columns

_MAX_BYTES = 256 * 2**20
"""What a shard may take in memory."""
_MAX_DOUBLINGS = 4
_STATE_ROWS = 8192
"""Rows of a random-state shard."""
_LENGTHS = "lengths"
_CONFIGURATION = "collection.json"


@dataclass(frozen=True)
class Plan:
    """Which episodes (or rows, for random states) each shard holds.

    Attributes:
        steps: the rows to record, or None.
        episodes: the episodes to record, or None.
        lanes: environments stepped side by side.
        first_size: the size of the first shard.
        doublings: how often sizes double before they stay the same. Small shards first, so that a short
            collection wastes little and a long one publishes seldom.
    """

    steps: int | None
    episodes: int | None
    lanes: int
    first_size: int
    doublings: int

    @classmethod
    def of_episodes(
        cls, spec: EnvironmentSpec, *, steps: int | None, episodes: int | None, lanes: int, sequential: bool
    ) -> Plan:
        """The plan of an episodic collection.

        With a number of steps, no more lanes than whole episodes fit into them: the rest would be thrown
        away. Where shards are ``sequential``, as each depends on those before it, all have the same size.
        """
        limit = spec.max_episode_steps
        if steps is not None:
            lanes = min(lanes, math.ceil(steps / limit)) if limit else 1
        elif episodes is not None:
            lanes = min(lanes, episodes)
        fitting = _MAX_BYTES // (row_bytes(spec) * (limit or 1000) * lanes)
        doublings = min(_MAX_DOUBLINGS, max(0, int(math.log2(max(1, fitting)))))
        return cls(steps, episodes, lanes, lanes, 0 if sequential else doublings)

    @classmethod
    def of_states(cls, steps: int) -> Plan:
        """The plan of a random-state collection."""
        return cls(steps, None, 1, _STATE_ROWS, 0)

    def shard(self, index: int) -> range | None:
        """The episodes (rows, for random states) of a shard; None past the last."""
        grown = min(index, self.doublings)
        first = self.first_size * (2**grown - 1 + (index - grown) * 2**self.doublings)
        count = self.first_size * 2**grown
        if self.episodes is not None:
            if first >= self.episodes:
                return None
            count = min(count, self.episodes - first)
        return range(first, first + count)


def row_bytes(spec: EnvironmentSpec) -> int:
    """The size of one row in memory."""
    slots = layout.spec_slots(spec).values()
    return sum(math.prod(slot.shape) * slot.dtype.itemsize for slot in slots)


class ShardFolder:
    """The folder beside the output in which finished shards wait to be joined.

    Args:
        output: the dataset that they will become.
    """

    def __init__(self, output: Path) -> None:
        self.path = output.with_name(f"{output.name}.shards")

    def open(self, configuration: Mapping[str, Any], *, resume: bool, overwrite: bool) -> None:
        """Make the folder, or go on with the one that an interrupted collection left.

        Raises:
            UsageError: there is one and it was not said what to do with it, or its configuration differs.
        """
        if self.path.exists() and overwrite:
            self.remove()
        stored = self.path / _CONFIGURATION
        if self.path.exists() and any(self.path.glob("shard-*.npz")):
            if not resume:
                raise UsageError(
                    f"{self.path} holds an interrupted collection: go on with --resume, "
                    "or start again with --overwrite"
                )
            if stored.is_file():
                refuse_difference(json.loads(stored.read_text(encoding="utf-8")), configuration, self.path)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            publish_text(stored, json.dumps(configuration, indent=1))
        except OSError as error:
            raise VinciError(
                f"{self.path} cannot be written ({error.strerror}): choose another output"
            ) from error

    def finished(self) -> dict[int, int]:
        """The rows of each finished shard; one that cannot be read is left out, and recorded again."""
        rows: dict[int, int] = {}
        for path in self.path.iterdir():
            match = re.fullmatch(r"shard-(\d+)\.npz", path.name)
            if match is None:
                continue
            try:
                with zipfile.ZipFile(path) as archive:
                    if archive.testzip() is None:
                        rows[int(match[1])] = len(self.read(int(match[1]))[layout.REWARDS])
            except (zipfile.BadZipFile, OSError, ValueError, KeyError):
                path.unlink()
        return rows

    def publish(self, index: int, columns: Columns, lengths: list[int]) -> int:
        """Write a finished shard, under its name only once it is whole. Returns its rows."""
        with published(self._shard(index)) as temporary:
            np.savez(temporary, allow_pickle=False, **{_LENGTHS: np.asarray(lengths, np.int64), **columns})
        return len(columns[layout.REWARDS])

    def read(self, index: int) -> Columns:
        """A shard's columns."""
        with np.load(self._shard(index), allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files if name != _LENGTHS}

    def read_one(self, index: int, name: str) -> Any:
        """One column of a shard."""
        with np.load(self._shard(index), allow_pickle=False) as archive:
            return archive[name]

    def lengths(self, index: int) -> list[int]:
        """The lengths of a shard's episodes, in order."""
        return [int(length) for length in self.read_one(index, _LENGTHS)]

    def remove(self) -> None:
        """Delete the folder, if it is one of ours."""
        if self.path.is_dir() and any(self.path.iterdir()) and not (self.path / _CONFIGURATION).is_file():
            raise UsageError(f"{self.path} is not a folder of shards: move it away")
        shutil.rmtree(self.path)

    def _shard(self, index: int) -> Path:
        return self.path / f"shard-{index:06d}.npz"


def refuse_difference(stored: Mapping[str, Any], wanted: Mapping[str, Any], where: Path) -> None:
    """Raise a UsageError that names what differs between two configurations; nothing where they are equal."""
    # Through JSON and back, as the stored one went: tuples become lists.
    wanted = json.loads(json.dumps(wanted))
    different = [key for key in {**stored, **wanted} if stored.get(key) != wanted.get(key)]
    if different:
        changes = "; ".join(f"{key} was {stored.get(key)!r}, now {wanted.get(key)!r}" for key in different)
        raise UsageError(
            f"{where} was recorded with another configuration ({changes}): "
            "give the same options, or start again with --overwrite"
        )
