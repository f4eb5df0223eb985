"""The transition dataset: an immutable view of rows, episodes, and where they come from."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cache, cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vinci_offline.calls import from_python, told
from vinci_offline.data import episodes as episode_tables
from vinci_offline.data import layout
from vinci_offline.data.columns import LazyColumns, chained, in_memory, non_finite_error
from vinci_offline.data.digest import hash_of
from vinci_offline.data.episode_columns import LENGTH, START
from vinci_offline.data.hdf5.inspect import inspect
from vinci_offline.data.hdf5.stored import agree, refuse, stored_columns, stored_table
from vinci_offline.data.indexing import chosen_indices, episode_rows, rows_within
from vinci_offline.data.inference import infer_spec
from vinci_offline.data.joining import check_codes, joined_spec, shared_attributes
from vinci_offline.data.piece_ends import with_marked_ends
from vinci_offline.data.schema import stored_arrays
from vinci_offline.data.shipped import resolve
from vinci_offline.errors import DatasetError, UsageError
from vinci_offline.spec import EnvironmentSpec
from vinci_offline.text import counted, text_of
from vinci_offline.types import Array, Columns

if TYPE_CHECKING:
    from pandas import DataFrame

    from vinci_offline.data.assembly.options import Ends, ImportOptions
    from vinci_offline.data.hdf5.filters import Compression
    from vinci_offline.data.hdf5.writer import FrameStorage


class Dataset:
    """Rows of ``(s, a, r, s', terminated, truncated)``, from a file or from memory. It is immutable.

    A column is read at its first access, in one read; the file is open only meanwhile. Selecting rows or episodes and
    concatenating make views, which read nothing.

    Make one with `open`, `from_columns`, `from_pandas` or `concatenate`.

    Attributes:
        columns: read-only arrays by path (``observations``, ``infos/action_log_probs`` …), rows first.
        spec: the environment.
        path: the file, or None where the rows are not those of one file.
    """

    def __init__(
        self,
        columns: LazyColumns,
        spec: EnvironmentSpec,
        *,
        table: Callable[[], Columns],
        attributes: Mapping[str, Any] | None = None,
        parents: Sequence[Dataset] = (),
        path: Path | None = None,
        stored_hash: str | None = None,
    ) -> None:
        self.columns = columns
        self.spec = spec
        self.path = path
        self._table = table
        self._attributes = dict(attributes or {})
        self._parents = tuple(parents)
        self._stored_hash = stored_hash

    @classmethod
    @from_python
    def open(cls, path: str | os.PathLike[str], spec: EnvironmentSpec | None = None) -> Dataset:
        """Open a file, or a shipped dataset by its name. Check its structure; read no column.

        A flat D4RL file of others opens as well. If neither the file nor ``spec`` tells the environment, Box spaces
        of the columns' shapes are inferred: observations without bounds; actions in [-1, 1] if all of them lie inside
        (this reads the actions), otherwise without bounds. Without a ``timeouts`` column no row is a timeout.

        Args:
            path: an HDF5 file, or a name that `vinci-offline datasets` lists.
            spec: the environment, for a file that does not tell it.

        Raises:
            DatasetError: the file is missing, damaged, no transition dataset, or of a newer format; or its actions are
                Discrete and neither the file nor ``spec`` says how many there are.
            SpecError: the spaces of ``spec`` are not those of the file.
        """
        structure = inspect(resolve(path))
        refuse(structure.path, structure.problems)
        columns = LazyColumns(stored_columns(structure))
        try:
            spec = agree(structure, spec) or infer_spec(columns)
        except DatasetError as error:
            raise DatasetError(f"{structure.path}: {error}") from error
        return cls(
            columns,
            spec,
            table=partial(stored_table, structure, columns),
            attributes=structure.attributes,
            path=structure.path,
            stored_hash=structure.content_hash,
        )

    @classmethod
    @from_python
    def from_columns(
        cls,
        columns: Mapping[str, Array],
        spec: EnvironmentSpec,
        episodes: Mapping[str, Array] | DataFrame | None = None,
        attributes: Mapping[str, Any] | None = None,
        *,
        float64: bool = False,
    ) -> Dataset:
        """Make a dataset of arrays. Arrays that have the stored dtype are not copied.

        Args:
            columns: the columns that `vinci_offline.data.layout.spec_slots` names for ``spec``, and any ``infos/…``.
            spec: the environment.
            episodes: ``length`` of each episode, in row order, and other facts of it (``seed`` …);
                None derives them from the flags. Without ``fragment``, an episode that no flag ends is a fragment.
            attributes: where the data comes from; text, numbers, lists, dicts.
            float64: keep floating-point columns as they are given; otherwise float64 becomes float32.

        Raises:
            DatasetError: columns are missing, unequal, empty, or not of the spaces' shapes.
        """
        stored = in_memory(stored_arrays(columns, spec, float64=float64))
        given = None if episodes is None else {str(name): np.asarray(each) for name, each in episodes.items()}
        # At once, so that a wrong table is refused where it is given.
        table = None if given is None else episode_tables.complete(stored, given)
        return cls(
            stored,
            spec,
            table=lambda: episode_tables.derive(stored) if table is None else table,
            attributes=attributes,
        )

    @classmethod
    @from_python
    def from_pandas(
        cls,
        frame: DataFrame,
        spec: EnvironmentSpec | None = None,
        *,
        columns: Mapping[str, str | Sequence[str]] | None = None,
        ends: Ends | None = None,
        settings: Mapping[str, Any] | None = None,
        attributes: Mapping[str, Any] | None = None,
        float64: bool = True,
    ) -> Dataset:
        """Make a dataset of a frame that is laid out as by `to_pandas`, whose inverse this is.

        ``episode``, ``step`` and ``timeout`` may be absent. Columns of other names become ``infos/…``. Without
        ``step``, rows of one episode are put together, in their order.

        Args:
            frame: one row a transition; rows of an episode follow each other in the order of ``step``. Where
                they do not (a shuffled or filtered frame), each consecutive piece is an episode of its own.
            spec: the environment; None infers it as in `open`.
            columns: the frame's own names by those of `to_pandas`, for a frame of any layout: ``{"reward":
                "click", "observation": ["age", "user_*"], "propensity": "pscore"}``. Rows are then sorted by
                ``episode`` and ``step``, missing columns are filled in as docs/converting.md says, and the attribute
                ``conversion`` lists decisions and dropped rows.
            ends: the meaning of an episode's end (``terminal`` or ``timeout``) if ``columns`` do not tell it.
            settings: with ``columns``, what ``--set`` of ``convert`` says of a table: ``{"step": "order", "action_low":
                0, "action_high": [5, 2]}``.
            attributes: where the data comes from.
            float64: keep float64 columns; otherwise they become float32.

        Raises:
            DatasetError: a column is missing, holds no numbers, or does not fit the spaces; or a row lacks its episode,
                step, flag or action.
            UsageError: neither ``columns`` nor ``ends`` tell how episodes ended, or a setting must be said.
        """
        from vinci_offline.data.assembly.options import ImportOptions
        from vinci_offline.data.dataframe import from_frame

        if not hasattr(frame, "columns"):
            raise UsageError(
                f"frame must be a DataFrame of pandas, not a value of type {type(frame).__name__}"
            )
        if columns is not None or settings or ends is not None:
            told = {name: text_of(value) for name, value in (columns or {}).items()}
            said = {name: text_of(value) for name, value in (settings or {}).items()}
            options = ImportOptions(spec, ends, columns=told, settings=said)
            return _mapped(frame, options, attributes or {}, float64=float64)
        arrays, pieces = from_frame(frame)
        spec = spec or infer_spec(in_memory(arrays))
        made = cls.from_columns(arrays, spec, attributes=attributes, float64=float64)
        if pieces is not None:
            made._table = partial(episode_tables.derive, made.columns, *pieces)
        return made

    @classmethod
    @from_python
    def concatenate(cls, datasets: Iterable[Dataset]) -> Dataset:
        """Return the rows of several datasets, one after the other.

        Attributes that all share are kept, and ``parents`` lists the datasets' hashes. ``infos/…`` that not all have in
        the same shape are left out.

        Raises:
            SpecError: their spaces differ, or codes of their categories stand for other texts.
            DatasetError: no dataset was given.
        """
        parts = list(datasets)
        if not parts:
            raise DatasetError("concatenate: no datasets were given")
        names = [
            str(part.path or (f"dataset {index}" if index else "the first dataset"))
            for index, part in enumerate(parts)
        ]
        spec = joined_spec([part.spec for part in parts], names)
        check_codes([part._attributes for part in parts], names)
        if len(parts) == 1:
            return parts[0]
        return cls(
            chained([part.columns for part in parts]),
            spec,
            table=lambda: episode_tables.chained([part.episode_columns for part in parts]),
            attributes=shared_attributes([part._attributes for part in parts]),
            parents=parts,
        )

    def __len__(self) -> int:
        """Return the number of rows."""
        return self.columns.shape(layout.REWARDS)[0]

    def __eq__(self, other: object) -> bool:
        """Return whether the specs and the columns' contents are equal; NaN equals NaN."""
        if not isinstance(other, Dataset):
            return NotImplemented
        if self.spec != other.spec or set(self.columns) != set(other.columns):
            return False
        return all(_equal(self.columns[path], other.columns[path]) for path in self.columns)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        source = self.path or "in memory"
        return (
            f"<Dataset {source}: {counted(len(self), 'row')} of {self.spec.id or 'an unnamed environment'}>"
        )

    @cached_property
    def episode_columns(self) -> Mapping[str, Array]:
        """The episode table as arrays by name, without pandas; see `episodes`."""
        return self._table()

    @property
    def episodes(self) -> DataFrame:
        """One row an episode: ``start, length, return, terminated, truncated, fragment``, and ``seed`` … if known.

        It is derived from the flags where the file has no table. A piece of an episode that `rows` cut out is an
        episode of its own. It is a ``fragment`` if rows of the episode are missing, as is an episode that the end of
        the recording cut or that no flag ends. The ``return`` of a fragment is NaN: ``nlargest(10, "return")``,
        ``mean()`` and plots leave it out.

        Raises:
            DatasetError: the stored table does not describe the rows.
        """
        return episode_tables.frame(self.episode_columns)

    @cached_property
    def attributes(self) -> Mapping[str, Any]:
        """Origin of the data: policy, noise, seed, versions; ``parents`` lists the hashes of its sources."""
        if not self._parents:
            return dict(self._attributes)
        return {**self._attributes, "parents": [parent.hash for parent in self._parents]}

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the columns' contents: as stored in the file, or else computed."""
        return self._stored_hash or self.compute_hash()

    def compute_hash(self) -> str:
        """Compute the SHA-256 of the columns as they are now. Reads every column in blocks."""
        return hash_of(self.columns)

    def select_episodes(self, episodes: slice | Sequence[int] | Array) -> Dataset:
        """Return a view of some episodes, in the order given. A slice shares memory.

        Args:
            episodes: a slice, indices (negative ones count from the end), or a mask over the episode table.

        Raises:
            DatasetError: an index is out of range, or nothing is left.
        """
        table = self.episode_columns
        chosen = chosen_indices(episodes, len(table[START]), "episode")
        start, length = table[START][chosen], table[LENGTH][chosen]
        selected = {name: values[chosen] for name, values in table.items()}
        selected[START] = episode_tables.starts(length)
        return self._view(self.columns.view(episode_rows(start, length)), lambda: selected)

    def rows(self, indices: slice | Sequence[int] | Array) -> Dataset:
        """Return a view of some rows, in the order given. A slice shares memory.

        A piece of an episode becomes an episode of its own, with its own length and flags: its last row is a timeout
        unless it is a terminal. It is a fragment if it lacks rows of the whole one, whose other facts it keeps
        (``seed``, ``policy`` …).

        Args:
            indices: a slice, row numbers (negative ones count from the end), or a mask over the rows.

        Raises:
            DatasetError: an index is out of range, or nothing is left.
        """
        chosen = chosen_indices(indices, len(self), "row")
        rows: slice | Array = chosen
        if isinstance(indices, slice) and indices.step in {None, 1}:
            rows = slice(int(chosen[0]), int(chosen[-1]) + 1)

        @cache
        def last_rows() -> Array:
            if isinstance(rows, slice):
                ends = rows_within(episode_tables.last_rows(self.episode_columns), rows.start, rows.stop)
            else:
                numbers = episode_tables.episodes_of(self.episode_columns, chosen)
                ends = np.flatnonzero((np.diff(chosen) != 1) | (np.diff(numbers) != 0))
            return np.union1d(ends, len(chosen) - 1)

        def table() -> Columns:
            pieces = episode_tables.derive(columns, last_rows()[:-1] + 1)
            numbers = episode_tables.episodes_of(self.episode_columns, chosen[pieces[START]])
            return episode_tables.inherit(pieces, self.episode_columns, numbers)

        columns = with_marked_ends(self.columns.view(rows), last_rows)
        return self._view(columns, table)

    def with_attributes(self, attributes: Mapping[str, Any]) -> Dataset:
        """Return a view of all rows with further attributes.

        Args:
            attributes: text, numbers, lists, dicts by name; they replace attributes of the same name. ``parents``
                replaces the hashes of the sources.
        """
        return Dataset(
            self.columns,
            self.spec,
            table=lambda: dict(self.episode_columns),
            attributes={**self._attributes, **attributes},
            parents=() if "parents" in attributes else self._parents,
            path=self.path,
            stored_hash=self._stored_hash,
        )

    @from_python
    def to_pandas(self, columns: Sequence[str] | None = None) -> DataFrame:
        """Return a frame of one row a transition.

        Its columns are ``episode, step, observation_0 …, action_0 …, reward, next_observation_0 …, terminal, timeout``
        and each ``infos`` key. Dtypes are those on disk. Rows that are not flat vectors (images) are one object column.

        Args:
            columns: paths of the columns to include; None includes all.

        Raises:
            DatasetError: there is no such column.
        """
        from vinci_offline.data.dataframe import to_frame

        return to_frame(self.columns, self.episode_columns, columns)

    @from_python
    def save(
        self,
        path: str | os.PathLike[str],
        *,
        compress: Compression = "auto",
        frames: FrameStorage = "auto",
        overwrite: bool = False,
    ) -> Dataset:
        """Write the rows of this view to a file in blocks, and return the file's dataset.

        The last row of each episode of the table is written as a timeout, unless it is a terminal: see
        `vinci_offline.data.piece_ends`.

        Args:
            path: the file.
            compress: see `vinci_offline.data.hdf5.writer.DatasetWriter`.
            frames: whether frames that two columns share are stored once; see there.
            overwrite: replace an existing file.

        Raises:
            UsageError: the file exists and ``overwrite`` is not set.
            VinciError: the disk is full or fails.
        """
        from vinci_offline.data.hdf5.writer import DatasetWriter

        with DatasetWriter(
            path,
            self.spec,
            attributes=self.attributes,
            compress=compress,
            frames=frames,
            float64=True,
            overwrite=overwrite,
        ) as writer:
            writer.append_all(self.columns, self.episode_columns)
        return Dataset.open(path, spec=self.spec)

    def check_finite(self, paths: Collection[str] | None = None) -> None:
        """Make sure that no floating-point column holds NaN or an infinite value. Reads in blocks.

        Args:
            paths: the columns to look at; None for all.

        Raises:
            DatasetError: it names the column, the first such row, and how many there are.
        """
        for path in self.columns if paths is None else filter(paths.__contains__, self.columns):
            if (found := self.columns.non_finite(path)) is not None:
                raise non_finite_error(str(self.path or "the dataset"), path, *found)

    def _view(self, columns: LazyColumns, table: Callable[[], Columns]) -> Dataset:
        return Dataset(columns, self.spec, table=table, attributes=self._attributes, parents=(self,))


@from_python
def read_pandas(path: str | os.PathLike[str], columns: Sequence[str] | None = None) -> DataFrame:
    """Read the transitions of a file as a frame: `Dataset.open` and `Dataset.to_pandas` in one call.

    Raises:
        DatasetError: the file is missing, damaged, or no transition dataset.
    """
    return Dataset.open(path).to_pandas(columns)


def _equal(one: Array, other: Array) -> bool:
    if one.dtype != other.dtype:
        return False
    return np.array_equal(one, other, equal_nan=one.dtype.kind == "f")


def _mapped(
    frame: DataFrame, options: ImportOptions, attributes: Mapping[str, Any], *, float64: bool
) -> Dataset:
    from vinci_offline.data.assembly.frame import from_mapped_frame

    parts = from_mapped_frame(frame, options, float64=float64)
    conversion = {"decisions": told(parts.decisions, Dataset.from_pandas), "dropped": dict(parts.dropped)}
    return Dataset(
        parts.columns,
        parts.spec,
        table=lambda: parts.episodes,
        attributes={**parts.attributes, "conversion": conversion, **attributes},
    )
