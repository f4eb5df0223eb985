"""D4RL's flat HDF5 (Fu et al., 2020, https://arxiv.org/abs/2004.07219)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np

from vinci_offline.convert.format import Exported, ExportOptions, Format, Imported, refuse_dict
from vinci_offline.convert.sources.hdf5 import Hdf5Tree, hdf5_tree
from vinci_offline.convert.sources.new_hdf5 import new_hdf5, put_blocks
from vinci_offline.convert.trajectories import as_pieces
from vinci_offline.data import layout
from vinci_offline.data.assembly.context import ImportContext
from vinci_offline.data.assembly.ends import lengths_of
from vinci_offline.data.assembly.flat import flag_column, flat_ends, one_number
from vinci_offline.data.assembly.lazy import shared
from vinci_offline.data.assembly.logged import KeptRows, Logged, assemble
from vinci_offline.data.assembly.options import ImportOptions
from vinci_offline.data.columns import Column
from vinci_offline.data.dataset import Dataset
from vinci_offline.data.episode_columns import TRUNCATED
from vinci_offline.data.episodes import last_rows
from vinci_offline.errors import DatasetError
from vinci_offline.text import printable
from vinci_offline.types import Array

_REQUIRED = (layout.OBSERVATIONS, layout.ACTIONS, layout.REWARDS, layout.TERMINALS)
_FINAL_ROWS = "final_rows"
_PADDED = "vinci_final_rows"


class D4rlFormat(Format):
    """Columns of one length at the root. ``terminals`` and ``timeouts`` end episodes."""

    name = "d4rl"
    title = "a D4RL flat HDF5 file"
    suffixes = (".hdf5",)

    def recognises(self, path: Path) -> bool:
        """Tell whether D4RL's columns lie at the root, and rewards are one number a row."""
        try:
            with hdf5_tree(path) as tree:
                there = all(tree.has(name) for name in _REQUIRED)
                return there and tree.shape(layout.REWARDS)[1:] in {(), (1,)}
        except DatasetError:
            return False

    def read(self, path: Path, options: ImportOptions) -> Imported:
        """Import; ``timeouts`` and ``next_observations`` may be absent. Rows are read from the file in blocks."""
        self.check_settings(options.settings)
        context = ImportContext(path, options)
        with hdf5_tree(path) as tree:
            columns = _columns(tree, context)
            metadata = tree.scalars("metadata")
            is_padded = bool(tree.attributes("/").get(_PADDED, False))
        terminals = flag_column(columns.pop(layout.TERMINALS), context, layout.TERMINALS)
        timeouts: Array | None = None
        if layout.TIMEOUTS in columns:
            timeouts = flag_column(columns.pop(layout.TIMEOUTS), context, layout.TIMEOUTS)
        if is_padded and timeouts is not None:
            columns, terminals, timeouts = _without_final_rows(columns, terminals, timeouts)
            context.decide("the rows that hold an episode's final observation became next observations")
        ends, table = flat_ends(columns, terminals, timeouts, context)
        attributes = {"metadata": metadata} if metadata else {}
        logged = Logged(columns, lengths_of(ends), terminals[ends], table, attributes)
        return Imported.of(assemble(logged, options.spec, context))

    def write(self, dataset: Dataset, path: Path, options: ExportOptions) -> Exported:
        """Export; ``final_rows=yes`` ends each episode with a row that holds its final observation."""
        self.check_settings(options.settings, (_FINAL_ROWS,))
        refuse_dict(dataset, "D4RL's layout")
        dataset = as_pieces(dataset)
        is_padded = options.settings.get(_FINAL_ROWS, "no") == "yes"
        with new_hdf5(path, overwrite=options.overwrite) as file:
            _write_columns(dataset, file, is_padded)
            file.attrs[_PADDED] = is_padded
        timed_out = int(dataset.episode_columns[TRUNCATED].sum())
        decisions = [f"{len(dataset):,} rows under D4RL's names, next_observations among them"]
        if is_padded:
            decisions = [
                "each episode ends in a row of its final observation, marked as a timeout, which D4RL's loader skips"
            ]
        elif timed_out:
            decisions.append(
                "loaders that take next observations from the following row (d4rl.qlearning_dataset) skip the "
                f"{timed_out} rows that timed out; --set to.{_FINAL_ROWS}=yes writes a row more an episode for them"
            )
        return Exported(
            path, tuple(decisions), ("the environment's spaces and id, the episode table, provenance",)
        )


def _write_columns(dataset: Dataset, file: h5py.File, is_padded: bool) -> None:
    """Write the columns in blocks."""
    columns, last = dataset.columns, last_rows(dataset.episode_columns)
    for path in columns:
        shape, dtype = columns.shape(path), columns.dtype(path)
        if not is_padded:
            put_blocks(file, path, shape, dtype, (block for _, block in columns.blocks(path)))
        elif path != layout.NEXT_OBSERVATIONS:
            padded = (shape[0] + len(last), *shape[1:])
            put_blocks(file, path, padded, dtype, _padded(dataset, path, last))


def _padded(dataset: Dataset, path: str, last: Array) -> Iterator[Array]:
    """Yield a column in blocks, with a row more after each episode: its final observation, nothing done and gained.

    Args:
        dataset: the rows.
        path: the column.
        last: ``[E]`` the last row of each episode.
    """
    for first, recorded in dataset.columns.blocks(path):
        block = recorded
        begun, ended = np.searchsorted(last, [first, first + len(block)])
        rows = last[begun:ended]
        values: Array = np.zeros((len(rows), *block.shape[1:]), block.dtype)
        if path == layout.OBSERVATIONS:
            values = dataset.columns.gather(layout.NEXT_OBSERVATIONS, rows)
        elif path == layout.TIMEOUTS:
            # An episode's flag moves to the row that is added.
            block, values = np.zeros_like(block), np.ones(len(rows), np.bool_)
        yield np.insert(block, rows - first + 1, values, axis=0)


def _without_final_rows(
    columns: dict[str, Column], terminals: Array, timeouts: Array
) -> tuple[dict[str, Column], Array, Array]:
    """Take the rows that hold final observations for next observations.

    Returns:
        Columns, terminals and timeouts of the other rows.
    """
    ends = timeouts.copy()
    ends[-1] = True
    lengths = lengths_of(ends)
    is_kept = ~timeouts
    kept = KeptRows(lengths, np.add.reduceat(is_kept, np.cumsum(lengths) - lengths, dtype=np.int64))
    observations = shared(columns[layout.OBSERVATIONS])
    found = {path: kept.of(column) for path, column in columns.items() if path != layout.OBSERVATIONS}
    found[layout.OBSERVATIONS] = kept.of(observations)
    ended = np.append(timeouts[1:], False)
    # The last row of a file that was cut has no row after it: its own observation stands in.
    own = np.zeros(kept.count, np.bool_)
    own[-1:] = is_kept[-1]
    found[layout.NEXT_OBSERVATIONS] = kept.after(observations, own)
    return found, terminals[is_kept], (ended & ~terminals)[is_kept]


def _columns(tree: Hdf5Tree, context: ImportContext) -> dict[str, Column]:
    """Return the file's columns by path, equally long."""
    missing = [name for name in _REQUIRED if name not in tree.names()]
    if missing:
        raise DatasetError(f"{tree.path}: missing {', '.join(missing)}: no D4RL file")
    optional = [name for name in (layout.TIMEOUTS, layout.NEXT_OBSERVATIONS) if tree.has(name)]
    lengths = {name: tree.shape(name)[:1] for name in (*_REQUIRED, *optional)}
    if all(length == (0,) for length in lengths.values()):
        raise DatasetError(
            f"{tree.path} holds no rows: every column has length zero; there is nothing to convert"
        )
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name} {length[0] if length else 'none'}" for name, length in lengths.items())
        raise DatasetError(
            f"{tree.path}: unequal lengths ({listed}): the file is damaged or was never finished"
        )
    columns = {name: tree.column(name) for name in (*_REQUIRED, *optional)}
    columns[layout.REWARDS] = one_number(columns[layout.REWARDS], f"{tree.path}: {layout.REWARDS}")
    count = columns[layout.REWARDS].shape[0]
    kept = {
        path for name in tree.names() if name not in {*columns, "metadata"} for path in _paths(tree, name)
    }
    for path in sorted(kept, key=lambda path: (not path.startswith(f"{layout.INFOS}/"), path)):
        is_info = path.startswith(f"{layout.INFOS}/")
        target = path if is_info else f"{layout.INFOS}/{path}"
        shape = tree.shape(path)
        if not tree.is_numbers(path) or shape[0] != count:
            what = f"it has {shape[0]} rows, not {count}" if shape else "it is a single value"
            what = what if tree.is_numbers(path) or not shape else "it holds no numbers"
            context.decide(f"{printable(path)} was left out: {what}")
        elif target in columns:
            context.decide(f"{printable(path)} was left out: there is {target}")
        else:
            columns[target] = tree.column(path)
            if not is_info:
                context.decide(f"{printable(path)} is no column of D4RL's: it became {printable(target)}")
    return columns


def _paths(tree: Hdf5Tree, name: str) -> list[str]:
    """Return the paths of the arrays at or below a name of the root."""
    return [f"{name}/{path}".rstrip("/") for path in tree.paths(name)]
