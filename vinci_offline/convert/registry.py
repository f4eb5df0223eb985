"""Finding a format by its name, by a file, or by a file's ending; a format's module is imported at first use."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from vinci_offline.convert.format import Format
from vinci_offline.errors import DatasetError, UsageError

_HOMES: dict[str, str] = {
    "vinci": "vinci:VinciFormat",
    "d3rlpy": "hdf5.d3rlpy:D3rlpyFormat",
    "d4rl": "hdf5.d4rl:D4rlFormat",
    "robomimic": "hdf5.robomimic:RobomimicFormat",
    "minari": "minari.folder:MinariFormat",
    "lerobot": "lerobot.folder:LerobotFormat",
    "rlds": "rlds.folder:RldsFormat",
    "npz": "npz.archive:NpzFormat",
    "parquet": "tables.parquet:ParquetFormat",
    "jsonl": "tables.jsonl:JsonLinesFormat",
    "csv": "tables.csv:CsvFormat",
}
"""Each format as ``module:Class``, in the order of looking: the first that recognises a file has it."""

NAMES = tuple(_HOMES)


def find_format(name: str) -> Format:
    """The format of that name.

    Raises:
        UsageError: there is none.
    """
    if name not in _HOMES:
        raise UsageError(f"unknown format {name!r}; there are: {', '.join(NAMES)}")
    module, _, kind = _HOMES[name].partition(":")
    found: Format = getattr(import_module(f"vinci_offline.convert.{module}"), kind)()
    return found


def recognise(path: Path) -> Format:
    """The format that a file or folder is in.

    Raises:
        DatasetError: it does not exist.
        UsageError: no format recognises it.
    """
    if not path.exists():
        raise DatasetError(f"{path} does not exist")
    for name in NAMES:
        if (found := find_format(name)).recognises(path):
            return found
    raise UsageError(f"{path} looks like none of {', '.join(NAMES)}: say what it is with --from")


def format_for(path: Path) -> Format:
    """The format that a new file's ending asks for.

    Raises:
        UsageError: it asks for none, or for one that cannot be written.
    """
    for name in NAMES:
        found = find_format(name)
        if found.writes and path.name.endswith(found.suffixes):
            return found
    raise UsageError(
        f"{path}: the ending names no format: say what to write with --to, one of {', '.join(NAMES)}"
    )
