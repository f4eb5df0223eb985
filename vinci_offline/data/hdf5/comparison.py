"""Compare a file that was just written with what was meant, before it gets its name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from vinci_offline.data.columns import LazyColumns
from vinci_offline.data.digest import hash_of, table_hash
from vinci_offline.data.hdf5.inspect import inspect
from vinci_offline.data.hdf5.stored import stored_columns
from vinci_offline.errors import DatasetError, VinciError
from vinci_offline.types import Columns


def refuse_other_content(
    path: Path, columns_hash: str, episodes: Columns, attributes: Mapping[str, Any]
) -> None:
    """Read a new file as any reader would, and compare it.

    Args:
        path: the file.
        columns_hash: the hash of its columns, computed from the rows that the writer was given.
        episodes: its episode table.
        attributes: its attributes besides the format's own.

    Raises:
        VinciError: it holds something else.
    """
    try:
        different = next(_differences(path, columns_hash, episodes, attributes), None)
    except DatasetError as error:
        different = str(error)
    if different is not None:
        raise VinciError(
            f"what was read back is not what was written ({different}): the disk or its driver fails; write elsewhere"
        )


def is_as_written(path: Path) -> bool:
    """Return whether the columns and the episode table of a file have the hashes that it stores."""
    structure = inspect(path)
    if structure.problems or structure.table_hash not in {None, table_hash(structure.episodes)}:
        return False
    return hash_of(LazyColumns(stored_columns(structure))) == structure.content_hash


def _differences(
    path: Path, columns_hash: str, episodes: Columns, attributes: Mapping[str, Any]
) -> Iterator[str]:
    structure = inspect(path)
    if structure.content_hash != columns_hash:
        yield "the stored hash differs"
    if hash_of(LazyColumns(stored_columns(structure))) != columns_hash:
        yield "the columns differ"
    wanted = table_hash(episodes) if episodes else None
    if wanted != structure.table_hash or (episodes and table_hash(structure.episodes) != wanted):
        yield "the episode table differs"
    if {name: structure.attributes.get(name) for name in attributes} != attributes:
        yield "the attributes differ"
