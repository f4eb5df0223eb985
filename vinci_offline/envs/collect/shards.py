"""Shards: fixed groups of consecutive episodes, recorded independently and published whole.

The configuration alone decides the content of shard k. So any number of workers records the same data, and a killed
collection goes on with the shards that are missing.
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
from vinci_offline.files import make_folder, publish_text, published
from vinci_offline.recorded import RecordedFile, recorded
from vinci_offline.spec import EnvironmentSpec
from vinci_offline.types import Columns

_MAX_BYTES = 256 * 2**20
"""Most memory of a shard."""
_MAX_DOUBLINGS = 4
_STATE_ROWS = 8192
"""Rows of a random-state shard."""
_LENGTHS = "lengths"
_CONFIGURATION = "collection.json"


@dataclass(frozen=True)
class Plan:
    """Division of a collection into shards of episodes, or of rows for random states.

    Attributes:
        steps: the rows to record, or None.
        episodes: the episodes to record, or None.
        lanes: environments stepped together.
        first_size: the size of the first shard.
        doublings: how often the size doubles before it stays. Small shards come first: a short collection wastes
            little, and a long one publishes seldom.
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
        """Plan a collection of episodes.

        With ``steps``, the lanes are no more than the whole episodes that fit, because the rest would be thrown away.

        Args:
            spec: the environment.
            steps: the rows to record, or None.
            episodes: the episodes to record, or None.
            lanes: the most environments stepped together.
            sequential: each shard depends on those before it. Then all have the same size.
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
        """Plan a random-state collection."""
        return cls(steps, None, 1, _STATE_ROWS, 0)

    def shard(self, index: int) -> range | None:
        """Return the episodes of a shard (rows, for random states); None past the last shard."""
        grown = min(index, self.doublings)
        first = self.first_size * (2**grown - 1 + (index - grown) * 2**self.doublings)
        count = self.first_size * 2**grown
        if self.episodes is not None:
            if first >= self.episodes:
                return None
            count = min(count, self.episodes - first)
        return range(first, first + count)


def row_bytes(spec: EnvironmentSpec) -> int:
    """Return the size of one row in memory."""
    slots = layout.spec_slots(spec).values()
    return sum(math.prod(slot.shape) * slot.dtype.itemsize for slot in slots)


class ShardFolder:
    """The folder of finished shards beside the output.

    Args:
        output: the dataset that the shards will become.
    """

    def __init__(self, output: Path) -> None:
        self.path = output.with_name(f"{output.name}.shards")

    def open(self, configuration: Mapping[str, Any], *, resume: bool, overwrite: bool) -> None:
        """Make the folder, or take over the folder of an interrupted collection.

        Raises:
            UsageError: there is one and neither flag is set, or its configuration differs.
            VinciError: the folder cannot be written.
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
                refuse_difference(_read_configuration(stored), configuration, self.path)
        try:
            make_folder(self.path)
            publish_text(stored, json.dumps(configuration, indent=1))
        except OSError as error:
            raise VinciError(
                f"{self.path} cannot be written ({error.strerror}): choose another output"
            ) from error

    def finished(self) -> dict[int, int]:
        """Return the rows of each finished shard. Delete shards that cannot be read: they are recorded again."""
        rows: dict[int, int] = {}
        for path in self.path.iterdir():
            match = re.fullmatch(r"shard-(\d+)\.npz", path.name)
            if match is None:
                continue
            try:
                with zipfile.ZipFile(path) as archive:
                    if archive.testzip() is None:
                        rows[int(match[1])] = len(self.read(int(match[1]))[layout.REWARDS])
            except Exception:  # noqa: BLE001 - damage raises errors of any kind
                path.unlink()
        return rows

    def publish(self, index: int, columns: Columns, lengths: list[int]) -> int:
        """Publish a finished shard whole. Return the number of its rows."""
        with published(self._shard(index)) as temporary, recorded(RecordedFile(temporary)) as file:
            np.savez(file, allow_pickle=False, **{_LENGTHS: np.asarray(lengths, np.int64), **columns})
        return len(columns[layout.REWARDS])

    def read(self, index: int) -> Columns:
        """Read a shard's columns."""
        with np.load(self._shard(index), allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files if name != _LENGTHS}

    def read_one(self, index: int, name: str) -> Any:
        """Read one column of a shard."""
        with np.load(self._shard(index), allow_pickle=False) as archive:
            return archive[name]

    def lengths(self, index: int) -> list[int]:
        """Read the lengths of a shard's episodes in order."""
        return [int(length) for length in self.read_one(index, _LENGTHS)]

    def remove(self) -> None:
        """Delete the folder. Raise a UsageError where it does not look like a folder of shards."""
        if self.path.is_dir() and any(self.path.iterdir()) and not (self.path / _CONFIGURATION).is_file():
            raise UsageError(f"{self.path} is not a folder of shards: move it away")
        shutil.rmtree(self.path)

    def _shard(self, index: int) -> Path:
        return self.path / f"shard-{index:06d}.npz"


def _read_configuration(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(content, dict):
            return content
        reason = "it is no JSON object"
    except Exception as error:  # noqa: BLE001 - damage raises errors of any kind
        reason = " ".join(str(error).split())[:200]
    raise UsageError(f"{path} is damaged ({reason}): start again with --overwrite")


def refuse_difference(stored: Mapping[str, Any], wanted: Mapping[str, Any], where: Path) -> None:
    """Raise a UsageError that names the differences of two configurations, if there are any."""
    # The stored one went through JSON, which turns tuples into lists.
    wanted = json.loads(json.dumps(wanted))
    different = [key for key in {**stored, **wanted} if stored.get(key) != wanted.get(key)]
    if different:
        changes = "; ".join(f"{key} was {stored.get(key)!r}, now {wanted.get(key)!r}" for key in different)
        raise UsageError(
            f"{where} was recorded with another configuration ({changes}): "
            "give the same options, or start again with --overwrite"
        )
