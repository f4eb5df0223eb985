"""D4RL's flat HDF5 (Fu et al., 2020, https://arxiv.org/abs/2004.07219), as its tasks and many others' files have it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np

from vinci_offline.convert.format import Exported, Format, Imported, refuse_dict
from vinci_offline.convert.sources.hdf5 import Hdf5Tree, hdf5_tree, new_hdf5, put
from vinci_offline.data import layout
from vinci_offline.data.assembly.flat import flags, flat_ends
from vinci_offline.data.assembly.logged import Logged, assemble
from vinci_offline.data.assembly.options import ImportOptions
from vinci_offline.data.dataset import Dataset
from vinci_offline.data.episode_columns import TRUNCATED
from vinci_offline.data.episodes import last_rows
from vinci_offline.errors import DatasetError
from vinci_offline.types import Array, Columns

_REQUIRED = (layout.OBSERVATIONS, layout.ACTIONS, layout.REWARDS, layout.TERMINALS)
_FINAL_ROWS = "final_rows"
_PADDED = "vinci_final_rows"


class D4rlFormat(Format):
    """Columns of one length at the root, episodes told by ``terminals`` and ``timeouts`` alone."""

    name = "d4rl"
    title = "a D4RL flat HDF5 file"
    suffixes = (".hdf5",)

    def recognises(self, path: Path) -> bool:
        """Whether D4RL's columns lie at the root."""
        try:
            with hdf5_tree(path) as tree:
                return set(_REQUIRED) <= set(tree.names())
        except DatasetError:
            return False

    def read(self, path: Path, options: ImportOptions) -> Imported:
        """Import; ``timeouts`` and ``next_observations`` may be absent."""
        self.check_settings(options.settings)
        decisions: list[str] = []
        with hdf5_tree(path) as tree:
            columns = _columns(tree, decisions)
            metadata = tree.scalars("metadata")
            padded = bool(tree.attributes("/").get(_PADDED, False))
        terminals = flags(columns.pop(layout.TERMINALS), path, layout.TERMINALS)
        timeouts = columns.pop(layout.TIMEOUTS, None)
        if padded and timeouts is not None:
            columns, terminals, timeouts = _without_final_rows(columns, terminals, timeouts)
            decisions.append("the rows that hold an episode's final observation became next observations")
        ends = flat_ends(path, columns, terminals, timeouts, options, decisions)
        lengths = np.diff(np.flatnonzero(ends) + 1, prepend=0)
        logged = Logged(
            columns, lengths, terminals[ends], attributes={"metadata": metadata} if metadata else {}
        )
        return Imported.of(assemble(logged, options.spec, decisions, str(path)))

    def write(
        self,
        dataset: Dataset,
        path: Path,
        *,
        overwrite: bool = False,
        settings: Mapping[str, str] = MappingProxyType({}),
    ) -> Exported:
        """Export; ``final_rows=yes`` ends each episode with a row that holds its final observation."""
        self.check_settings(settings, (_FINAL_ROWS,))
        refuse_dict(dataset, "D4RL's layout")
        padded = settings.get(_FINAL_ROWS, "no") == "yes"
        source = _Padded(dataset) if padded else _Plain(dataset)
        with new_hdf5(path, overwrite=overwrite) as file:
            for column in dataset.columns:
                if not (padded and column == layout.NEXT_OBSERVATIONS):
                    put(file, column, source.column(column))
            file.attrs[_PADDED] = padded
        timed_out = int(dataset.episode_columns[TRUNCATED].sum())
        decisions = [f"{len(dataset):,} rows under D4RL's names, next_observations among them"]
        if padded:
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


class _Plain:
    """Columns as they are."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset

    def column(self, path: str) -> Array:
        return self._dataset.columns[path]


class _Padded:
    """Columns with a row more after each episode: its final observation, nothing done and nothing gained."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        table = dataset.episode_columns
        self._last = last_rows(table)

    def column(self, path: str) -> Array:
        values = self._dataset.columns[path]
        if path == layout.OBSERVATIONS:
            return np.insert(
                values, self._last + 1, self._dataset.columns[layout.NEXT_OBSERVATIONS][self._last], axis=0
            )
        if path == layout.TIMEOUTS:
            # The last true row no longer is the episode's last: the flag moves to the row after it.
            return np.insert(np.zeros_like(values), self._last + 1, True)
        return np.insert(values, self._last + 1, np.zeros((), values.dtype), axis=0)


def _without_final_rows(columns: Columns, terminals: Array, timeouts: Array) -> tuple[Columns, Array, Array]:
    extra = np.flatnonzero(timeouts)
    kept = ~timeouts
    columns = dict(columns)
    columns[layout.NEXT_OBSERVATIONS] = np.concatenate(
        [columns[layout.OBSERVATIONS][1:], columns[layout.OBSERVATIONS][-1:]]
    )
    ended = np.zeros_like(timeouts)
    ended[extra - 1] = True
    return (
        {path: values[kept] for path, values in columns.items()},
        terminals[kept],
        (ended & ~terminals)[kept],
    )


def _columns(tree: Hdf5Tree, decisions: list[str]) -> Columns:
    """The file's columns by path, equally long."""
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
    columns = {name: tree.array(name) for name in (*_REQUIRED, *optional)}
    count = len(columns[layout.REWARDS])
    columns[layout.REWARDS] = columns[layout.REWARDS].reshape(count, -1)
    if columns[layout.REWARDS].shape[1] != 1:
        raise DatasetError(
            f"{tree.path}: rewards have shape {tree.shape(layout.REWARDS)}, one number a row is expected"
        )
    columns[layout.REWARDS] = columns[layout.REWARDS][:, 0]
    for name, values in tree.arrays(layout.INFOS).items() if layout.INFOS in tree.names() else ():
        if len(values) == count:
            columns[f"{layout.INFOS}/{name}"] = values
        else:
            decisions.append(f"infos/{name} was left out: it has {len(values)} rows, not {count}")
    return columns
