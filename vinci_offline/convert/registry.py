"""Formats by name, by a file's content, or by its ending.

Other packages add formats through the entry point group ``vinci_offline.formats``: a name, and a `Format` subclass. A
module is imported when its format is asked for. Those of other packages are imported by name, or when no format of this
package fits.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from vinci_offline.convert.format import Format
from vinci_offline.convert.unread import described, unread
from vinci_offline.errors import DatasetError, UsageError
from vinci_offline.inputs import check_regular
from vinci_offline.loading import load_all_registered, load_registered, registered
from vinci_offline.text import did_you_mean

GROUP = "vinci_offline.formats"

_HOMES: dict[str, str] = {
    "vinci": "vinci:VinciFormat",
    "d3rlpy": "hdf5.d3rlpy:D3rlpyFormat",
    "d4rl": "hdf5.d4rl:D4rlFormat",
    "robomimic": "hdf5.robomimic:RobomimicFormat",
    "hdf5": "arrays.hdf5:Hdf5Format",
    "minari": "minari.folder:MinariFormat",
    "lerobot": "lerobot.folder:LerobotFormat",
    "rlds": "rlds.folder:RldsFormat",
    "npz": "npz.archive:NpzFormat",
    "parquet": "tables.parquet:ParquetFormat",
    "jsonl": "tables.jsonl:JsonLinesFormat",
    "csv": "tables.csv:CsvFormat",
}
"""Each format as ``module:Class``, in the order in which files are tried: the first that recognises one has it."""

NAMES = tuple(_HOMES)
"""The formats of this package."""


def find_format(name: str) -> Format:
    """Return the format of that name.

    Raises:
        UsageError: there is none, or the package that registers it is broken.
    """
    if name in _HOMES:
        return _built_in(name)
    others = registered(GROUP, NAMES)
    if name not in others:
        names = (*NAMES, *others)
        raise UsageError(f"unknown format {name!r}; there are: {', '.join(names)}{did_you_mean(name, names)}")
    return _named(load_registered(others[name], Format), name)


def recognise(path: Path) -> Format:
    """Return the format of a file or folder.

    Raises:
        DatasetError: it does not exist.
        UsageError: no format recognises it; the message says what it is, if that is known, and what to do.
    """
    if not path.exists():
        raise DatasetError(f"{path} does not exist")
    check_regular(path)
    for found in _formats():
        if found.recognises(path):
            return found
    if (known := unread(path)) is not None:
        raise UsageError(f"{path} is {known.what}, which is not read: {known.advice}")
    raise UsageError(
        f"{path} {described(path)}: the formats are {_listed()}; if it is one of them, say --from"
    )


def format_for(path: Path) -> Format:
    """Return the format that a new file's ending asks for.

    Raises:
        UsageError: it asks for none, or for one that cannot be written.
    """
    for found in _formats():
        if found.writes and path.name.endswith(found.suffixes):
            return found
    raise UsageError(f"{path}: the ending names no format: say what to write with --to, one of {_listed()}")


def _formats() -> Iterator[Format]:
    """Yield the formats in the order in which they are tried; other packages come last."""
    yield from map(_built_in, NAMES)
    for name, kind in load_all_registered(GROUP, NAMES, Format).items():
        yield _named(kind, name)


def _built_in(name: str) -> Format:
    module, _, kind = _HOMES[name].partition(":")
    found: Format = getattr(import_module(f"vinci_offline.convert.{module}"), kind)()
    return found


def _named(kind: type[Format], name: str) -> Format:
    """Make a format of another package; it is called as it is registered."""
    kind.name = name
    return kind()


def _listed() -> str:
    return ", ".join((*NAMES, *registered(GROUP, NAMES)))
