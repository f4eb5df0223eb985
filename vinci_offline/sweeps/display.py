"""Progress of a sweep: a bar of all steps and one of each cell in training, or lines where there is no terminal."""

from __future__ import annotations

import math
from collections.abc import Iterable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from vinci_offline import progress
from vinci_offline.sweeps.cell import Cell
from vinci_offline.text import markup

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_WIDEST = 44


class Display:
    """Progress on standard error, as a context.

    Args:
        cells: all cells.
        finished: names of the cells that were finished before.
        shown: False shows nothing.
        what: what cells are called.
    """

    def __init__(
        self, cells: Iterable[Cell], finished: Iterable[str], shown: bool, what: str = "cells"
    ) -> None:
        self._what = what
        self._cells, done = list(cells), set(finished)
        self._shown = shown
        self._steps = {cell.name: cell.steps if cell.name in done else 0 for cell in self._cells}
        self._ended = len(done)
        self._to_come = 0, 0
        self._rates: dict[str, float] = {}
        self._returns: dict[str, float] = {}
        self._told: set[str] = set()
        self._bar: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Display:
        if not self._shown:
            return self
        self._stack.enter_context(progress.never_silent())
        console = progress.live_console()
        if console is not None:
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=12),
                MofNCompleteColumn(),
                TextColumn("[cyan]{task.fields[speed]}"),
                TimeRemainingColumn(compact=True),
                console=console,
            )
            self._stack.enter_context(self._bar)
            self._stack.enter_context(progress.shown_bar())
            self._all = self._bar.add_task("", total=self._all_steps, speed="")
        self._show_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def _all_steps(self) -> int:
        return sum(cell.steps for cell in self._cells) + self._to_come[1]

    @property
    def _all_cells(self) -> int:
        return len(self._cells) + self._to_come[0]

    def expect(self, cells: Iterable[Cell], more: int, steps: int) -> None:
        """Learn of new cells, and of how many are still to come, with how many steps."""
        self._cells, self._to_come = list(cells), (more, steps)
        for cell in self._cells:
            self._steps.setdefault(cell.name, 0)
        self._show_all()

    def at(self, cell: Cell, step: int, rate: float | None) -> None:
        """Show a cell's step, and its steps a second."""
        self._steps[cell.name] = step
        if rate is not None and math.isfinite(rate):
            self._rates[cell.name] = rate
        progress.doing(self._summary())
        if self._bar is not None:
            if cell.name not in self._tasks:
                self._tasks[cell.name] = self._bar.add_task(
                    markup(_cut(cell.name)), total=cell.steps, completed=step, speed="starting"
                )
            speed = f"{rate:,.0f}/s" if rate else ""
            self._bar.update(self._tasks[cell.name], completed=step, speed=speed)
            self._show_all()
        elif self._shown:
            progress.line_if_due(self._summary())

    def returned(self, cell: Cell, value: float) -> None:
        """Remember the mean return of an evaluation."""
        self._returns[cell.name] = value

    def finished(self, cell: Cell, result: dict[str, Any]) -> None:
        """Say what came of a cell."""
        self._steps[cell.name] = cell.steps
        told = f"{result['steps']:,} steps"
        if result["steps_per_second"]:
            told += f" at {result['steps_per_second']:,.0f} a second"
        if cell.name in self._returns:
            told += f", return {self._returns[cell.name]:.2f}"
        self._end(cell, told)

    def failed(self, cell: Cell, reason: str) -> None:
        """Say what ended a cell."""
        self._end(cell, f"failed: {reason}")

    def note(self, text: str) -> None:
        """Show a line, once."""
        if text not in self._told:
            self._say(text)
        self._told.add(text)

    def _end(self, cell: Cell, told: str) -> None:
        self._ended += 1
        self._rates.pop(cell.name, None)
        self._say(f"{self._ended} of {self._all_cells}: {cell.name}: {told}")
        if self._bar is not None and (task := self._tasks.pop(cell.name, None)) is not None:
            self._bar.remove_task(task)
        self._show_all()

    def _show_all(self) -> None:
        if self._bar is not None:
            self._bar.update(
                self._all,
                completed=sum(self._steps.values()),
                total=self._all_steps,
                description=f"[bold]{self._ended} of {self._all_cells} {self._what}",
                speed=f"{sum(self._rates.values()):,.0f}/s" if self._rates else "",
            )

    def _summary(self) -> str:
        return (
            f"{self._ended} of {self._all_cells} {self._what}, "
            f"{sum(self._steps.values()):,} of {self._all_steps:,} steps"
            + (f", {sum(self._rates.values()):,.0f} steps a second together" if self._rates else "")
        )

    def _say(self, text: str) -> None:
        if self._bar is not None:
            self._bar.console.print(markup(text), highlight=False)
        elif self._shown:
            progress.line(text)


def _cut(name: str) -> str:
    return name if len(name) <= _WIDEST else f"{name[: _WIDEST - 19]}…{name[-18:]}"
