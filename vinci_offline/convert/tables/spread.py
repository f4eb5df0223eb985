"""A dataset as columns of single numbers, named as in its frame."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from vinci_offline.convert.trajectories import as_pieces
from vinci_offline.data.dataframe import frame_name, groups
from vinci_offline.data.dataset import Dataset
from vinci_offline.data.episode_columns import START
from vinci_offline.errors import SpecError
from vinci_offline.types import Array, Columns

LOST = ("the environment's spaces and id, dtypes, what else is known of episodes, provenance",)


def spread_names(dataset: Dataset, what: str) -> dict[str, list[str]]:
    """Return the table's columns for each of the dataset's: one, or one for every entry of a vector.

    Args:
        dataset: the rows.
        what: the format, for messages.

    Raises:
        SpecError: rows are no numbers or vectors, or could not be told apart by their names.
    """
    names: dict[str, list[str]] = {}
    for path in dataset.columns:
        shape = dataset.columns.shape(path)[1:]
        if len(shape) > 1 or shape == (0,):
            raise SpecError(
                f"{what} holds numbers and vectors, and rows of {path} have shape {list(shape)}: "
                "choose --to vinci, d3rlpy, robomimic or minari"
            )
        name = frame_name(path, (1,) if shape else ())
        names[path] = [f"{name}_{index}" for index in range(shape[0])] if shape else [name]
    every = ["episode", "step", *(name for found in names.values() for name in found)]
    read = (
        {path: found for path, found, _ in groups(every, deep=True)} if len(set(every)) == len(every) else {}
    )
    if unlike := [path for path in names if read.get(path) != names[path]]:
        raise SpecError(
            f"{what} could not tell {unlike[0]} from another column or an entry of a vector by its name: "
            "choose --to vinci"
        )
    return names


def spread_blocks(dataset: Dataset, names: dict[str, list[str]]) -> Iterator[Columns]:
    """Yield the rows in blocks, ``[B]`` by the table's name, ``episode`` and ``step`` first; memory stays bounded."""
    dataset = as_pieces(dataset)
    start = dataset.episode_columns[START]
    for first, block in dataset.columns.together(list(names)):
        rows = np.arange(first, first + len(next(iter(block.values()))))
        episode = np.searchsorted(start, rows, "right") - 1
        columns: Columns = {"episode": episode, "step": rows - start[episode]}
        for path, found in names.items():
            flat = block[path].reshape(len(rows), -1)
            columns |= {name: flat[:, index] for index, name in enumerate(found)}
        yield columns


def number_texts(values: Array) -> list[str]:
    """Return ``[B]`` numbers as the shortest texts that read back as the same numbers."""
    if values.dtype.kind != "f" or values.dtype.itemsize > 4:
        return list(map(str, values.tolist()))
    texts = values.astype(np.str_)
    with np.errstate(over="ignore"):
        rounded = texts.astype(np.float64).astype(values.dtype)
    # Reading rounds twice, to float64 and from there: where that is not the same, all digits are written.
    unlike = np.flatnonzero((rounded != values) & ~np.isnan(values))
    found: list[str] = texts.tolist()
    for index in unlike:
        found[index] = str(float(values[index]))
    return found
