"""Read a dataset of any format, and write one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from vinci_offline.calls import from_python, speaking_python, told
from vinci_offline.convert.format import Exported, ExportOptions, Imported
from vinci_offline.convert.registry import find_format, format_for, recognise
from vinci_offline.data.assembly.options import ImportOptions
from vinci_offline.data.dataset import Dataset
from vinci_offline.data.episode_columns import FRAGMENT
from vinci_offline.data.hdf5.opening import files_kept_open
from vinci_offline.data.layout import ATTRIBUTE_CATEGORIES
from vinci_offline.data.shipped import resolve
from vinci_offline.errors import UsageError
from vinci_offline.inputs import check_folder, check_regular
from vinci_offline.text import printable


@from_python
def read(
    source: str | os.PathLike[str], *, kind: str | None = None, options: ImportOptions | None = None
) -> Imported:
    """Import a file or folder of any format that docs/converting.md lists.

    Args:
        source: the file or folder, or a shipped dataset's name.
        kind: the format's name; recognised by the content where it is None.
        options: what the source cannot tell by itself.

    Raises:
        DatasetError: the source is missing, damaged, or no transition dataset.
        UsageError: it is ambiguous, and an option must say what is meant.
        SpecError: the spaces of ``options.spec`` are not the source's.
    """
    path, options = resolve(source), options or ImportOptions()
    found = recognise(path) if kind is None else find_format(kind)
    if options.columns and not found.maps:
        arrays = find_format("hdf5")
        if not arrays.recognises(path):
            raise UsageError(
                f"{path} is {found.title}, whose names are its own: leave --map out; it is for tables and arrays"
            )
        if kind is not None:
            raise UsageError(
                f"{found.title} has names of its own: say --from hdf5 with --map, or leave --map out"
            )
        found = arrays
    check_regular(path)
    if path.is_dir():
        check_folder(path)
    with speaking_python(ImportOptions), files_kept_open():
        imported = found.read(path, options)
        return replace(imported, decisions=tuple(told(imported.decisions, ImportOptions)))


@from_python
def write(
    dataset: Dataset,
    destination: str | os.PathLike[str],
    *,
    kind: str | None = None,
    settings: Mapping[str, str] = MappingProxyType({}),
    overwrite: bool = False,
) -> Exported:
    """Export a dataset to a file or folder of any format that can be written.

    Args:
        dataset: the rows.
        destination: where to.
        kind: the format's name; chosen by the destination's ending where it is None.
        settings: what the format asks for.
        overwrite: replace what is there.

    Raises:
        UsageError: the destination exists, no format has that ending, or the format has no such setting.
        SpecError: the format cannot hold such spaces.
        VinciError: the disk is full or fails.
    """
    path = Path(destination)
    found = format_for(path) if kind is None else find_format(kind)
    with files_kept_open():  # a block of each column of an HDF5 source after the other, from one open file
        exported = found.write(dataset, path, ExportOptions(overwrite, settings))
        fragments = 0 if found.keeps_fragments else int(dataset.episode_columns[FRAGMENT].sum())
    lost = list(exported.lost)
    if fragments:
        what = "1 episode is a fragment" if fragments == 1 else f"{fragments:,} episodes are fragments"
        lost.append(f"that {what}: taken for whole by readers")
    codes = dataset.attributes.get(ATTRIBUTE_CATEGORIES)
    if isinstance(codes, Mapping) and not found.keeps_attributes:
        names = ", ".join(printable(str(name)) for name in codes)
        lost.append(f"the texts of categories ({names}); their codes are the same")
    return replace(exported, lost=tuple(lost))
