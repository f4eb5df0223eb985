"""Tables of results: framed on a terminal, plain columns in a pipe."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from vinci_offline.text import one_line

_PIPE_WIDTH = 10_000
"""Width in a pipe: wide enough that no line folds."""


def show_table(
    rows: Iterable[Sequence[str]], header: Sequence[str] = (), numbers_from: int | None = None
) -> None:
    """Print a table to standard output. Cells are printed as they are, without markup.

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
    for index in range(len(header) or max(map(len, listed), default=0)):
        number = numbers_from is not None and index >= numbers_from
        table.add_column(
            one_line(header[index]) if header else "",
            justify="right" if number else "left",
            style="bold" if index == 0 else "",
            overflow="fold",
        )
    for row in listed:
        table.add_row(*row)
    with out.capture() as captured:
        out.print(table)
    for line in captured.get().splitlines():
        print(line.rstrip())
