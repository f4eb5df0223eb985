"""Tables of results: framed on a terminal, plain columns in a pipe."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.cells import cell_len

from vinci_offline.text import one_line

_PIPE_WIDTH = 10_000
"""Width in a pipe: wide enough that no line folds."""
_LONGEST_NAME = 32
"""Words up to this width are never split; hashes and paths are longer."""


def show_table(
    rows: Iterable[Sequence[str]], header: Sequence[str] = (), numbers_from: int | None = None
) -> None:
    """Print a table to standard output. Cells are printed as they are, without markup; names are not split.

    Args:
        rows: cells, equally many in each row.
        header: titles of the columns; without them the first column is a label.
        numbers_from: index of the first column of numbers; these columns align right.
    """
    from rich.box import ROUNDED
    from rich.console import Console
    from rich.table import Table

    out = Console(highlight=False, markup=False, emoji=False)
    if not out.is_terminal:
        out = Console(highlight=False, markup=False, emoji=False, width=_PIPE_WIDTH)
    table = Table(
        box=ROUNDED if out.is_terminal else None, show_header=bool(header), pad_edge=out.is_terminal
    )
    listed = [[one_line(cell) for cell in row] for row in rows]
    titles = [one_line(cell) for cell in header]
    borders = 3 if out.is_terminal else 2
    widths = _widths([titles, *listed] if header else listed, out.width - 1, borders)
    for index, width in enumerate(widths):
        number = numbers_from is not None and index >= numbers_from
        table.add_column(
            titles[index] if header else "",
            justify="right" if number else "left",
            style="bold" if index == 0 else "",
            overflow="fold",
            width=width,
        )
    for row in listed:
        table.add_row(*row)
    with out.capture() as captured:
        out.print(table)
    for line in captured.get().splitlines():
        print(line.rstrip())


def _widths(lines: Sequence[Sequence[str]], room: int, borders: int) -> list[int]:
    """Return the width of each column: as wide as its cells, and where there is no room, no narrower than its words.

    Args:
        lines: cells of all rows, the header among them.
        room: width of the whole table.
        borders: width of what each column adds to its cells.
    """
    columns = list(zip(*lines, strict=True))
    widths = [max(map(cell_len, column), default=0) for column in columns]
    least = [
        max(
            (n for cell in column for word in cell.split() if (n := cell_len(word)) <= _LONGEST_NAME),
            default=1,
        )
        for column in columns
    ]
    room -= borders * len(columns)
    if sum(least) > room:
        least = [1] * len(columns)  # words must be split
    while sum(widths) > room and any(width > few for width, few in zip(widths, least, strict=True)):
        widest = max(range(len(widths)), key=lambda index: (widths[index] > least[index], widths[index]))
        widths[widest] -= 1
    return widths
