"""Comma-separated values: a header, and rows of numbers below it (RFC 4180, https://www.rfc-editor.org/rfc/rfc4180)."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from vinci_offline.budget import limit
from vinci_offline.convert.format import Exported, ExportOptions, Format, Imported
from vinci_offline.convert.sources.text import first_lines, new_text, text_lines
from vinci_offline.convert.tables import dialect
from vinci_offline.convert.tables.cell_lists import ask_choices, list_columns, spread_lists
from vinci_offline.convert.tables.cells import SETTINGS, gathered
from vinci_offline.convert.tables.csv_rows import CsvRows
from vinci_offline.convert.tables.spread import LOST, number_texts, spread_blocks, spread_names
from vinci_offline.data.assembly.aliases import known_names
from vinci_offline.data.assembly.context import ImportContext
from vinci_offline.data.assembly.mapping import choose
from vinci_offline.data.assembly.options import ImportOptions
from vinci_offline.data.assembly.roles import Role, category_names, roles
from vinci_offline.data.assembly.table import from_table
from vinci_offline.data.dataset import Dataset
from vinci_offline.errors import DatasetError, SpecError
from vinci_offline.text import printable

_COLUMNS = 2**16
_RECOGNISED = 50
"""Lines in which a table begins, below its comments."""


class CsvFormat(Format):
    """A file of one row on each line, plain or packed: gzip, bzip2, xz, Zstandard, a zip of one file."""

    name = "csv"
    title = "comma-separated values"
    suffixes = (".csv", ".csv.gz", ".csv.bz2")
    maps = True

    def recognises(self, path: Path) -> bool:
        """Tell whether two lines have equally many cells, more than one, and the first is no JSON."""
        head = first_lines(path, _RECOGNISED)
        if not head and any(ending in path.suffixes for ending in (".csv", ".tsv")):
            head = first_lines(path, _RECOGNISED, "latin-1")  # reading it asks for the encoding
        lines = [line for line in head if line.strip() and not line.startswith("#")]
        return any(_is_table(lines[:2], separator) for separator in ",;\t|")

    def read(self, path: Path, options: ImportOptions) -> Imported:
        """Import; ``options.columns`` says which column is which, the settings how the text is written."""
        self.check_settings(options.settings, (*SETTINGS, *dialect.SETTINGS))
        context = ImportContext(path, options)
        with text_lines(path, context) as lines, _csv_errors(path):
            head = dialect.sample(lines)
            written = dialect.find_dialect(head, context)
            header, first = _header(written.rows(head, context.where), written.separator, context)
            known = list(_first_rows(written.rows(head, context.where), written.separator))[first > 1 :]
            choices = _choices(header, known, written.separator, context)
            lists = list_columns(header, known, _texts(options), choices, context.where)
            names = [entry for name in header for entry in lists.get(name, [name])]
            choice = choose(names, options.columns, context.where)
            kinds = _kinds(header, lists, roles(choice, options.settings))
            numbers = [
                header.index(name) for name, role in kinds.items() if role in {"number", "observed", "step"}
            ]
            cells = (row[place] for row in known if len(row) == len(header) for place in numbers)
            decimal, thousands = dialect.find_decimal(cells, context)
            lines.put_back("".join(head), len(head))
            rows = CsvRows(
                lines, written, first, header, kinds, context.where, None if thousands else decimal
            )
            pieces = spread_lists(rows.pieces(), lists, choices, context.where)
            plain = dialect.plain_numbers(decimal, thousands)
            table = gathered(pieces, choice, context, plain)
        return Imported.of(from_table(table, choice, context))

    def write(self, dataset: Dataset, path: Path, options: ExportOptions) -> Exported:
        """Export the frame of `Dataset.to_pandas`, the vectors of Dict spaces as columns too."""
        self.check_settings(options.settings)
        names = spread_names(dataset, "csv")
        for name in (name for found in names.values() for name in found):
            if name != name.strip() or not name.isprintable():
                raise SpecError(f"a header could not keep the name {printable(name)!r}: choose --to jsonl")
        with new_text(path, overwrite=options.overwrite) as file:
            csv.writer(file, lineterminator="\n").writerow(
                ["episode", "step", *(name for found in names.values() for name in found)]
            )
            for block in spread_blocks(dataset, names):
                cells = [number_texts(values) for values in block.values()]
                file.writelines(f"{','.join(row)}\n" for row in zip(*cells, strict=True))
        return Exported(path, (f"{len(dataset):,} rows, a header above them",), LOST)


def _is_table(lines: list[str], separator: str) -> bool:
    try:
        rows = list(csv.reader(lines, delimiter=separator, strict=True))
    except csv.Error:
        return False
    return len(rows) == 2 and len(rows[0]) == len(rows[1]) > 1 and not rows[0][0].startswith(("{", "["))


def _header(lines: Iterator[str], separator: str, context: ImportContext) -> tuple[list[str], int]:
    """Return the names of the columns, and the line at which the rows begin."""
    reader = csv.reader(lines, delimiter=separator, strict=True)
    row = next((row for row in reader if row), None)
    if not row:
        raise DatasetError(f"{context.where} is empty: a table has a header, and rows below it")
    limit(context.where, "columns", len(row), _COLUMNS)
    if not dialect.has_header(row, context):
        return [f"column_{index}" for index in range(len(row))], 1
    return [name.strip() for name in row], reader.line_num + 1


def _first_rows(lines: Iterable[str], separator: str) -> Iterator[list[str]]:
    with suppress(csv.Error):
        yield from (row for row in csv.reader(lines, delimiter=separator) if row)


def _texts(options: ImportOptions) -> frozenset[str]:
    """Return the columns that the user calls texts."""
    columns = [options.columns.get(name, name) for name in ("episode", "step")]
    return frozenset((*columns, *category_names(options.settings)))


def _choices(
    header: Sequence[str], rows: Iterable[Sequence[str]], separator: str, context: ImportContext
) -> frozenset[str]:
    """Return the columns of an action in which ``3,7`` is two choices, as ``--set actions=N,N`` says.

    Raises:
        UsageError: nothing says so, and commas separate cells too, so that it is hardly a decimal sign.
    """
    actions = {name for name in header if name == context.options.columns.get("action", name)}
    actions = {
        name for name in actions if "action" in context.options.columns or name in known_names("action")
    }
    if "," in (context.setting("actions") or ""):
        return frozenset(actions)
    if separator == "," and context.setting("decimal") is None and context.setting("thousands") is None:
        for name in actions:
            place = header.index(name)
            ask_choices(name, (row[place] for row in rows if len(row) == len(header)), context.where)
    return frozenset()


def _kinds(header: list[str], lists: Mapping[str, list[str]], kinds: Mapping[str, Role]) -> dict[str, Role]:
    """Return the roles of the file's own columns; a list is read as a text, and taken apart."""
    found: dict[str, Role] = {name: "text" for name in lists if not kinds.keys().isdisjoint(lists[name])}
    return {name: role for name, role in kinds.items() if name in header} | found


@contextmanager
def _csv_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except csv.Error as error:
        raise DatasetError(f"{path} is no comma-separated table ({error}): check its quotes") from error
