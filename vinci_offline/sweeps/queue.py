"""Cells that wait for a worker. Those that differ in their seeds alone go to one worker, which compiled their steps."""

from __future__ import annotations

from collections.abc import Iterable

from vinci_offline.sweeps.cell import Cell


class Queue:
    """Cells in order.

    Args:
        cells: the cells that are to be trained.
    """

    def __init__(self, cells: Iterable[Cell]) -> None:
        self._waiting = list(cells)
        self._begun: set[str] = set()

    def __len__(self) -> int:
        return len(self._waiting)

    def take(self, last: Cell | None = None) -> Cell | None:
        """Take the next cell: one like the worker's last, else one of a group that nobody has begun, else the first.

        Args:
            last: the cell that the worker trained before.
        """
        if not self._waiting:
            return None
        alike = [cell for cell in self._waiting if last is not None and cell.group == last.group]
        fresh = [cell for cell in self._waiting if cell.group not in self._begun]
        cell = (alike or fresh or self._waiting)[0]
        self._waiting.remove(cell)
        self._begun.add(cell.group)
        return cell

    def put_back(self, cell: Cell) -> None:
        """Let a cell be taken next."""
        self._waiting.insert(0, cell)
