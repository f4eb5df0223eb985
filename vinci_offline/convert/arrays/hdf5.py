"""HDF5 files of any layout: transitions under any names, MATLAB's v7.3 files too."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vinci_offline.convert.arrays.reader import SETTINGS, Arrays, read_arrays
from vinci_offline.convert.format import Format, Imported
from vinci_offline.convert.sources.hdf5 import Hdf5Tree, hdf5_tree
from vinci_offline.data.assembly.context import ImportContext
from vinci_offline.data.assembly.lazy import held, whole
from vinci_offline.data.assembly.options import ImportOptions
from vinci_offline.errors import DatasetError
from vinci_offline.text import printable


class Hdf5Format(Format):
    """Arrays of one length, a group an episode, or padded arrays; names tell which is which, or ``--map`` does."""

    name = "hdf5"
    title = "arrays in an HDF5 file"
    writes = False
    maps = True

    def recognises(self, path: Path) -> bool:
        """Tell whether it is an HDF5 file that holds anything."""
        try:
            with hdf5_tree(path) as tree:
                return bool(tree.names())
        except DatasetError:
            return False

    def read(self, path: Path, options: ImportOptions) -> Imported:
        """Import; ``options.columns`` says which array is which.

        ``reward=zero`` says that rewards are zero where there are none, ``actions=N`` that whole numbers are choices of
        a Discrete space of N, ``padding=none`` that every episode of padded arrays is full.
        """
        self.check_settings(options.settings, SETTINGS)
        context = ImportContext(path, options)
        with hdf5_tree(path) as tree:
            names, single, others = _arrays(tree)
            if others:
                shown = ", ".join(map(printable, others[:10])) + (" …" if len(others) > 10 else "")
                context.decide(f"{shown} were left out: only numbers are rows")
            numbers = {path: held(np.array([value])) for path, value in single.items()}
            if any(path.endswith("/block0_values") for path in names) or "table" in map(_last, others):
                raise DatasetError(
                    f"{path} is a pandas HDFStore: read it with pandas.read_hdf, write it with to_parquet, and convert "
                    "that"
                )
            arrays = Arrays(
                {**{name: tree.column(name) for name in names}, **numbers},
                turned=lambda name: tree.column(name, turned=True),
                # From the file that is open: columns of many small arrays would be kept open, each of them.
                whole=lambda name: whole(numbers[name]) if name in numbers else tree.array(name),
            )
            return Imported.of(read_arrays(arrays, context))


def _last(path: str) -> str:
    return path.rpartition("/")[2]


def _arrays(tree: Hdf5Tree) -> tuple[list[str], dict[str, float], list[str]]:
    """Return the paths of the arrays of numbers, single numbers, and the paths of all else."""
    roots = [name for name in tree.names() if not name.startswith("#")]  # MATLAB's own groups begin with #
    paths = [f"{root}/{path}".rstrip("/") for root in roots for path in tree.paths(root)]
    numbers = [path for path in paths if tree.is_numbers(path)]
    groups = dict.fromkeys(path.rpartition("/")[0] for path in paths if tree.is_number(path))
    single = {
        f"{group}/{name}".lstrip("/"): value
        for group in groups
        for name, value in tree.scalars(group or "/").items()
        if not isinstance(value, str)
    }
    return numbers, single, sorted({*paths} - {*numbers} - {*single})
