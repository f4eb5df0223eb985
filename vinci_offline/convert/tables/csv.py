"""Comma-separated values: a header, and rows of numbers below it (RFC 4180, https://www.rfc-editor.org/rfc/rfc4180)."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from vinci_offline.budget import limit
from vinci_offline.convert.format import Exported, ExportOptions, Format, Imported
from vinci_offline.convert.sources.text import first_lines, new_text, text_lines
from vinci_offline.convert.tables.cells import SETTINGS, gathered
from vinci_offline.convert.tables.csv_rows import CsvRows
from vinci_offline.convert.tables.spread import LOST, number_texts, spread_blocks, spread_names
from vinci_offline.data.assembly.context import ImportContext
from vinci_offline.data.assembly.mapping import choose
from vinci_offline.data.assembly.options import ImportOptions
from vinci_offline.data.assembly.roles import roles
from vinci_offline.data.assembly.table import from_table
from vinci_offline.data.dataset import Dataset
from vinci_offline.data.problem import printable
from vinci_offline.errors import DatasetError, SpecError, UsageError

_COLUMNS = 2**16


class CsvFormat(Format):
    """A file of one row on each line, plain or as ``.gz`` or ``.bz2``."""

    name = "csv"
    title = "comma-separated values"
    suffixes = (".csv", ".csv.gz", ".csv.bz2")
    maps = True

    def recognises(self, path: Path) -> bool:
        """Tell whether two lines have equally many cells, more than one, and the first is no JSON."""
        try:
            rows = list(csv.reader(first_lines(path, 2), strict=True))
        except csv.Error:
            return False
        return len(rows) == 2 and len(rows[0]) == len(rows[1]) > 1 and not rows[0][0].startswith(("{", "["))

    def read(self, path: Path, options: ImportOptions) -> Imported:
        """Import; ``options.columns`` says which column is which, ``delimiter`` what separates cells."""
        self.check_settings(options.settings, (*SETTINGS, "delimiter"))
        context = ImportContext(path, options)
        delimiter = _delimiter(options.settings)
        with text_lines(path, context) as lines, _csv_errors(path):
            reader = csv.reader(lines, delimiter=delimiter, strict=True)
            header = [name.strip() for name in next(reader, [])]
            if not header:
                raise DatasetError(f"{path} is empty: a table has a header, and rows below it")
            limit(context.where, "columns", len(header), _COLUMNS)
            choice = choose(header, options.columns, context.where)
            kinds = roles(choice, options.settings)
            rows = CsvRows(lines, reader.line_num + 1, header, kinds, delimiter, context.where)
            table = gathered(rows.pieces(), choice, context)
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


def _delimiter(settings: Mapping[str, str]) -> str:
    text = settings.get("delimiter", ",")
    found = "\t" if text == "tab" else text
    if len(found) != 1 or found in '"\r\n':
        raise UsageError(f"--set delimiter={text}: give one character, or tab")
    return found


@contextmanager
def _csv_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except csv.Error as error:
        raise DatasetError(f"{path} is no comma-separated table ({error}): check its quotes") from error
