"""Run a sweep: train every cell that is not finished, and compare them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vinci_offline.calls import from_python, in_command_line
from vinci_offline.errors import UsageError
from vinci_offline.keras_setup import check_backend
from vinci_offline.locks import Locks, refuse_used_folder
from vinci_offline.runs.sweep_directory import SweepDirectory
from vinci_offline.sweeps.cell import Cell
from vinci_offline.sweeps.checks import check_extends, check_fit, check_same_data, draws_of
from vinci_offline.sweeps.display import Display
from vinci_offline.sweeps.local import Listener, Pool
from vinci_offline.sweeps.machine import default_workers, prefers_vmap
from vinci_offline.sweeps.queue import Queue
from vinci_offline.sweeps.search import Search
from vinci_offline.sweeps.spec import SweepSpec, read_spec
from vinci_offline.sweeps.work import Order
from vinci_offline.text import did_you_mean

if TYPE_CHECKING:
    from vinci_offline.evaluation.comparison import Duel, Group

ENGINES = ("local", "ray")
PARALLEL = ("auto", "processes", "vmap")


@dataclass(frozen=True)
class SweepResult:
    """Outcome of a sweep.

    Attributes:
        path: the sweep's directory; None where only cells were asked for.
        cells: all cells.
        results: steps, speed and final metrics of each finished cell, by its name.
        failures: one line on each cell that failed, by its name.
        groups: cells that differ in their seeds alone, the best of each task first; none without evaluations.
        duels: the two best groups of each task.
        to_come: numbers of cells, and of their steps, that are drawn when others have ended.
    """

    path: Path | None
    cells: tuple[Cell, ...]
    results: Mapping[str, Mapping[str, Any]]
    failures: Mapping[str, str] = field(default_factory=dict)
    groups: Sequence[Group] = ()
    duels: Sequence[Duel] = ()
    to_come: tuple[int, int] = (0, 0)

    def __repr__(self) -> str:
        told = f"{len(self.cells)} cells, {len(self.results)} finished"
        return f"<SweepResult {self.path}: {told}{f', {len(self.failures)} failed' if self.failures else ''}>"

    @property
    def steps_left(self) -> int:
        """Gradient steps of the cells that are not finished, those that are still to be drawn among them."""
        known = sum(cell.steps for cell in self.cells if cell.name not in self.results)
        return known + self.to_come[1]

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object that ``--json`` prints."""
        path = None if self.path is None else SweepDirectory(self.path)
        cells = [
            {
                **cell.to_json(),
                "run": None if path is None else str(path.cell(cell.name).path),
                "state": "finished"
                if cell.name in self.results
                else "failed"
                if cell.name in self.failures
                else "unfinished",
                "error": self.failures.get(cell.name),
                "result": self.results.get(cell.name),
            }
            for cell in self.cells
        ]
        return {
            "sweep": None if self.path is None else str(self.path),
            "cells": cells,
            "cells_to_come": self.to_come[0],
            "steps_left": self.steps_left,
            "groups": [each.to_json() for each in self.groups],
            "duels": [each.to_json() for each in self.duels],
        }


@from_python
def sweep(
    spec: str | Path | Mapping[str, Any] | SweepSpec,
    output: str | Path | None = None,
    *,
    engine: str = "local",
    workers: int | None = None,
    parallel: str = "auto",
    resume: bool = False,
    overwrite: bool = False,
    dry_run: bool = False,
    progress: bool = True,
) -> SweepResult:
    """Train every cell of a sweep: agents x datasets x seeds x settings.

    Args:
        spec: a SPEC file (YAML or TOML) or its content: ``agents``, ``datasets``, ``seeds``, ``steps``, ``set`` and
            other options of `train`.
        output: the sweep's directory. It holds ``sweep.json``, and ``cells/NAME``, a run directory for each cell.
        engine: ``local`` trains in processes of this machine, ``ray`` in the workers of a Ray cluster.
        workers: number of processes, of one thread each; by default one for each core.
        parallel: ``processes``, or ``vmap``: on JAX one compiled call in this process for all cells that differ in
            seeds and in numbers of their agents. ``auto`` takes ``vmap`` on JAX with a GPU, ``processes`` elsewhere.
        resume: go on with the sweep in ``output``; its spec may have more cells and more steps than before.
        overwrite: replace the sweep in ``output``.
        dry_run: check everything and return the cells; train nothing.
        progress: show bars where standard error is a terminal, elsewhere lines.

    Returns:
        The cells with their results, and the comparison of agents and settings over seeds. A cell that fails is in
        ``failures``; the others are trained all the same.

    Raises:
        VinciError: the spec, the data or the directory are not valid.
    """
    _check_options(engine, workers, parallel)
    if resume and overwrite:
        raise UsageError("--resume goes on with a sweep and --overwrite starts it anew: give one of them")
    if output is None and not dry_run:
        raise UsageError("a sweep needs a directory: name one with -o DIR")
    check_backend()
    read = read_spec(spec)
    directory = None if output is None else SweepDirectory(Path(output))
    if directory is not None and not dry_run:
        refuse_used_folder(directory.path)
        directory.check_claim(resume=resume, overwrite=overwrite)
    going_on = directory is not None and directory.exists() and not overwrite
    search = Search(read, draws_of(directory, read) if directory is not None and going_on else ())
    if directory is not None and going_on:
        check_extends(directory, search.cells)
    datasets = check_fit(read, search.cells, directory if going_on else None)
    if directory is not None and going_on:
        check_same_data(directory, search.cells, datasets)
    if directory is None or dry_run:
        results = _results(directory, search.cells) if directory is not None and going_on else {}
        path = None if directory is None else directory.path
        return SweepResult(path, search.cells, results, to_come=(search.cells_to_come, search.steps_to_come))
    with Locks() as locks:
        locks.take_folder(directory.path)
        if directory.exists() and resume:
            search = Search(read, draws_of(directory, read))
            check_extends(directory, search.cells)
        directory.claim({**search.content(), "failures": {}}, resume=resume, overwrite=overwrite)
        failures = _train(read, search, directory, engine, workers, parallel, progress)
        directory.save({**search.content(), "failures": failures})
    return _concluded(directory, search.cells, failures)


def _check_options(engine: str, workers: int | None, parallel: str) -> None:
    """Refuse options that say how to train and are not valid.

    Raises:
        UsageError: there is one.
    """
    if engine not in ENGINES:
        raise UsageError(f"--engine must be local or ray, not {engine!r}{did_you_mean(engine, ENGINES)}")
    if parallel not in PARALLEL:
        near = did_you_mean(parallel, PARALLEL)
        raise UsageError(f"--parallel must be auto, processes or vmap, not {parallel!r}{near}")
    if engine == "ray" and parallel == "vmap":
        raise UsageError("--engine ray trains one cell in each worker: leave --parallel vmap out")
    if workers is not None and workers < 1:
        raise UsageError(f"--workers must be at least 1, not {workers}")


def _train(
    spec: SweepSpec,
    search: Search,
    directory: SweepDirectory,
    engine: str,
    workers: int | None,
    parallel: str,
    progress: bool,
) -> dict[str, str]:
    """Train the cells that are not finished, round after round; return what failed."""
    order = Order(str(directory.path / "cells"), spec.env, spec.env_kwargs, spec.networks, in_command_line())
    failures: dict[str, str] = {}
    results = _results(directory, search.cells)
    if len(results) == len(search.cells) and not search.cells_to_come:
        return failures
    with Display(search.cells, results, progress) as display:
        while True:
            display.expect(search.cells, search.cells_to_come, search.steps_to_come)
            left = [cell for cell in search.cells if cell.name not in {*results, *failures}]
            if left:
                listener = _Keeper(display, directory, failures)
                _train_cells(left, order, listener, engine, workers, parallel)
            results = _results(directory, search.cells)
            if not search.go_on(results):
                return failures
            # From here on the draws are kept: they are not made again after a kill.
            directory.save({**search.content(), "failures": failures})


def _train_cells(
    cells: Sequence[Cell],
    order: Order,
    listener: Listener,
    engine: str,
    workers: int | None,
    parallel: str,
) -> None:
    count = min(workers or default_workers(len(cells)), len(cells))
    if engine == "ray":
        from vinci_offline.sweeps.on_ray import train_on_ray

        train_on_ray(Queue(cells), order, count, listener)
    elif parallel == "vmap" or (parallel == "auto" and prefers_vmap()):
        from vinci_offline.sweeps.together import train_together

        train_together(cells, order, listener)
    else:
        from vinci_offline.envs.collect.workers import check_workers

        check_workers(max(2, workers or count))
        Pool(Queue(cells), order, count, listener).run()


class _Keeper:
    """Listener that keeps results in the directory, and shows the rest."""

    def __init__(self, display: Display, directory: SweepDirectory, failures: dict[str, str]) -> None:
        self._display, self._directory, self._failures = display, directory, failures
        self.at, self.returned, self.note = display.at, display.returned, display.note

    def finished(self, cell: Cell, result: dict[str, Any]) -> None:
        """Write the result of a cell."""
        self._directory.finish(cell.name, result)
        self._display.finished(cell, result)

    def failed(self, cell: Cell, reason: str) -> None:
        """Note what ended a cell."""
        self._failures[cell.name] = reason
        self._display.failed(cell, reason)


def _results(directory: SweepDirectory, cells: Sequence[Cell]) -> dict[str, dict[str, Any]]:
    found = {cell.name: directory.result(cell.name, cell.steps) for cell in cells}
    return {name: result for name, result in found.items() if result is not None}


def _concluded(
    directory: SweepDirectory, cells: tuple[Cell, ...], failures: Mapping[str, str]
) -> SweepResult:
    results = _results(directory, cells)
    groups: list[Group] = []
    duels: list[Duel] = []
    evaluated = [
        cell.name for cell in cells if cell.name in results and cell.options.get("eval_every") is not None
    ]
    if evaluated:
        from vinci_offline.evaluation.comparison import compare

        groups, duels = compare([directory.cell(name).path for name in evaluated])
    return SweepResult(directory.path, cells, results, failures, groups, duels)
