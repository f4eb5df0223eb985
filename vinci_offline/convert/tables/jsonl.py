"""JSON Lines (https://jsonlines.org): an object on each line. Its numbers may lie in objects and lists."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from functools import cache, partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from vinci_offline.budget import trusted
from vinci_offline.convert.format import Exported, ExportOptions, Format, Imported
from vinci_offline.convert.sources.text import first_lines, new_text, text_lines
from vinci_offline.convert.tables.cells import SETTINGS, Piece, gathered, numbers
from vinci_offline.convert.tables.episode_lines import (
    ROWS,
    depth,
    holds_episodes,
    numbers_of,
    read_episodes,
    spread,
)
from vinci_offline.convert.tables.spread import LOST, number_texts, spread_blocks, spread_names
from vinci_offline.convert.unread import is_rllib
from vinci_offline.data.assembly.context import ImportContext
from vinci_offline.data.assembly.mapping import choose, wanted
from vinci_offline.data.assembly.options import ImportOptions
from vinci_offline.data.assembly.parts import Parts
from vinci_offline.data.assembly.table import from_table
from vinci_offline.data.dataset import Dataset
from vinci_offline.errors import DatasetError
from vinci_offline.text import printable
from vinci_offline.types import Array

_ROWS = 2**12
_CHARACTERS = 2**22
_COLUMNS = 2**16
_BEYOND = re.compile(r"\d[eE]\+?\d{3}|\d{300}")
"""A number that may be beyond float64. Smaller ones than 1e100 are not infinite in any column."""
_NON_FINITE = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
_TRUTH = {"True": "true", "False": "false"}


class JsonLinesFormat(Format):
    """A file of one row on each line, plain or packed.

    Parts of objects and lists are the columns ``NAME/KEY`` and ``NAME_0 …``.
    """

    name = "jsonl"
    title = "JSON Lines"
    suffixes = (".jsonl", ".jsonl.gz", ".jsonl.bz2", ".ndjson")
    maps = True

    def recognises(self, path: Path) -> bool:
        """Tell whether the first line is an object, and no batch of RLlib's."""
        try:
            first = _object((first_lines(path, 1) or [""])[0])
            return bool(first) and not is_rllib(first)
        except (ValueError, RecursionError):
            return False

    def read(self, path: Path, options: ImportOptions) -> Imported:
        """Import; ``options.columns`` says which column is which."""
        self.check_settings(options.settings, (*SETTINGS, ROWS, "encoding"))
        context, is_wanted = ImportContext(path, options), cache(wanted(options.columns))
        with text_lines(path, encoding=context.setting("encoding")) as lines:
            if _are_episodes(lines, context):
                return Imported.of(_episodes(path, context))
        # Twice: which columns there are is known after the last line alone.
        with text_lines(path, encoding=context.setting("encoding")) as lines:
            names = _columns(lines, is_wanted, context.where)
        choice = choose(names, options.columns, context.where)
        with text_lines(path, context) as lines:
            table = gathered(_pieces(lines, is_wanted, context.where), choice, context)
        return Imported.of(from_table(table, choice, context))

    def write(self, dataset: Dataset, path: Path, options: ExportOptions) -> Exported:
        """Export the frame of `Dataset.to_pandas`, a row an object; infinite values and NaN as Python writes them."""
        self.check_settings(options.settings)
        names = spread_names(dataset, "jsonl")
        with new_text(path, overwrite=options.overwrite) as file:
            for block in spread_blocks(dataset, names):
                keys = (json.dumps(name).replace("%", "%%") for name in block)
                row = f"{{{', '.join(f'{key}: %s' for key in keys)}}}\n"
                cells = [_json_texts(values) for values in block.values()]
                file.writelines(row % each for each in zip(*cells, strict=True))
        return Exported(path, (f"{len(dataset):,} rows, an object each",), LOST)


def _are_episodes(lines: Iterator[str], context: ImportContext) -> bool:
    """Tell by the first line whether each line is an episode."""
    first = next((line for line in lines if line.strip()), "{}")
    try:
        leaves = dict(spread(_object(first)))
    except (ValueError, RecursionError):
        return False
    return holds_episodes({name: depth(value) for name, value in leaves.items()}, context)


def _episodes(path: Path, context: ImportContext) -> Parts:
    """Return the parts of a dataset of which each line is an episode."""
    names: dict[str, None] = {}
    with text_lines(path, encoding=context.setting("encoding")) as lines:
        for line in lines:
            try:
                names.update(dict.fromkeys(name for name, _ in spread(_object(line))))
            except (ValueError, RecursionError):
                continue  # told as the line is read for its numbers
    with text_lines(path, context) as lines:
        filled = ((number, line) for number, line in enumerate(lines, start=1) if line.strip())
        episodes = (
            (f"line {number}", partial(_arrays, line, number, context.where)) for number, line in filled
        )
        return read_episodes(list(names), episodes, context)


def _arrays(line: str, number: int, where: str) -> dict[str, Array]:
    try:
        return numbers_of(spread(_object(line)))
    except (ValueError, RecursionError) as error:
        reason = printable(" ".join(str(error).split()))[:100]
        raise DatasetError(f"{where}: line {number} is no JSON object ({reason})") from None


def _columns(lines: Iterator[str], is_wanted: Callable[[str], bool], where: str) -> list[str]:
    """Return the names of all columns, in the order in which they come."""
    names: dict[str, None] = {}
    for number, line in enumerate(lines, start=1):
        if line.strip():
            names.update(dict.fromkeys(_row(line, number, is_wanted, where)))
            if len(names) > _COLUMNS:
                raise DatasetError(f"{where}: line {number}: more than {_COLUMNS:,} different names")
    return list(names)


def _pieces(lines: Iterator[str], is_wanted: Callable[[str], bool], where: str) -> Iterator[Piece]:
    """Yield the columns in pieces, all as arrays but those with texts or nothing in some row."""
    filled = ((number, line) for number, line in enumerate(lines, start=1) if line.strip())
    while piece := _piece(filled):
        rows = [_row(line, number, is_wanted, where) for number, line in piece]
        names = dict.fromkeys(name for row in rows for name in row)
        columns = {name: _compact([row.get(name) for row in rows]) for name in names}
        _refuse_beyond_float64(columns, piece, where)
        yield columns, [number for number, _ in piece]


def _piece(lines: Iterator[tuple[int, str]]) -> list[tuple[int, str]]:
    """Return the next lines, few if they are long."""
    found, characters = [], 0
    for number, line in islice(lines, _ROWS):
        found.append((number, line))
        characters += len(line)
        if characters > _CHARACTERS:
            break
    return found


def _refuse_beyond_float64(
    columns: dict[str, Array | list[object]], piece: list[tuple[int, str]], where: str
) -> None:
    """Refuse numbers such as 1e999, of which JSON's reader makes an infinity; ``Infinity`` itself is one.

    Raises:
        DatasetError: there is one; it names the line.
    """
    for values in columns.values():
        if isinstance(values, np.ndarray) and values.dtype.kind == "f":
            for row in np.flatnonzero(np.isinf(values)):
                number, line = piece[row]
                if _BEYOND.search(line):
                    raise DatasetError(
                        f"{where}: line {number} has a number that no column of 64 bits holds: write Infinity if that "
                        "is meant"
                    )


def _row(line: str, number: int, is_wanted: Callable[[str], bool], where: str) -> dict[str, object]:
    found: dict[str, object] = {}
    try:
        _spread("", _object(line), is_wanted, found)
    except (ValueError, RecursionError) as error:
        reason = printable(" ".join(str(error).split()))[:100]
        raise DatasetError(f"{where}: line {number} is no JSON object that a row can be ({reason})") from None
    return found


def _object(line: str) -> dict[str, Any]:
    content = json.loads(line)
    if not isinstance(content, dict):
        raise ValueError(f"it is a {type(content).__name__}")  # noqa: TRY004 (the text is wrong, not a type)
    return content


def _spread(name: str, value: object, is_wanted: Callable[[str], bool], into: dict[str, object]) -> None:
    if isinstance(value, dict):
        for key, part in value.items():
            _spread(f"{name}/{key}" if name else key, part, is_wanted, into)
    elif isinstance(value, list):
        for index, part in enumerate(value):
            _spread(f"{name}_{index}", part, is_wanted, into)
    elif len(into) >= _COLUMNS and not trusted():
        raise ValueError(f"more than {_COLUMNS:,} different names")
    elif name in into:
        raise ValueError(f"{name} comes twice")
    elif is_wanted(name):
        into[name] = value


def _compact(cells: list[object]) -> Array | list[object]:
    if not {bool, int, float}.issuperset(map(type, cells)):
        return cells
    try:
        return numbers(cells)
    except (ValueError, OverflowError):
        return cells


def _json_texts(values: Array) -> list[str]:
    texts = number_texts(values)
    if values.dtype.kind == "b":
        return [_TRUTH[text] for text in texts]
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        return [_NON_FINITE.get(text, text) for text in texts]
    return texts
