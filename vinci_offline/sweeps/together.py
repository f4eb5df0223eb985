"""Cells of one compiled call: seeds and numbers of the agent are inputs of a loop that ``vmap`` maps over learners."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from vinci_offline.agents.agent import Agent
from vinci_offline.agents.registry import agent_class
from vinci_offline.calls import command_line
from vinci_offline.errors import UsageError, VinciError
from vinci_offline.interrupts import interrupt_flag
from vinci_offline.keras_setup import import_keras
from vinci_offline.locks import Locks
from vinci_offline.runs.run_directory import RunDirectory
from vinci_offline.sweeps.cell import Cell
from vinci_offline.sweeps.listening import Reporter
from vinci_offline.sweeps.local import Listener
from vinci_offline.sweeps.work import Order, failure_of, outcome_of
from vinci_offline.training.arguments import check_arguments
from vinci_offline.training.config import TrainingConfig
from vinci_offline.training.named import named
from vinci_offline.training.trainer import default_hooks, open_task

if TYPE_CHECKING:
    from vinci_offline.hooks.hook import RunInfo
    from vinci_offline.training.run import Run

    Prepared: TypeAlias = tuple[Cell, Run, RunInfo]

_MOST = 64
"""Most cells of one call."""


def train_together(cells: Sequence[Cell], order: Order, listener: Listener) -> None:
    """Train cells in this process, as many in one compiled call as differ in seeds and in numbers of their agents.

    Numbers with which networks are made, and those at which a loss looks while it is traced, are no inputs of a loop:
    cells that differ in them are trained after one another. So are options of a run.

    Raises:
        UsageError: the backend has no ``vmap`` over learners.
        KeyboardInterrupt: the sweep was interrupted. The runs are saved.
    """
    import_keras()
    import keras

    if keras.backend.backend() != "jax":
        raise UsageError("--parallel vmap needs JAX: set KERAS_BACKEND=jax, or take --parallel processes")
    with interrupt_flag() as interrupted, command_line() if order.told_in_shell else nullcontext():
        for batch in batches(cells, lambda cell: (cell.agent, cell.dataset, cell.options, _others(cell))):
            if interrupted.is_set():
                break
            try:
                _Batch(batch, order, listener).train(interrupted)
            except Exception as error:
                if not isinstance(error, VinciError):
                    raise
                for cell in batch:
                    listener.failed(cell, failure_of(error))
            gc.collect()  # learners and compiled loops refer to each other; free them before the next batch
    if interrupted.is_set():
        raise KeyboardInterrupt


def batches(cells: Iterable[Cell], key: Callable[[Cell], Any]) -> list[list[Cell]]:
    """Group cells whose keys are equal, at most 64 in a group, in their order."""
    found: dict[str, list[Cell]] = {}
    for cell in cells:
        found.setdefault(json.dumps(key(cell), sort_keys=True, default=str), []).append(cell)
    return [each[n : n + _MOST] for each in found.values() for n in range(0, len(each), _MOST)]


def _others(cell: Cell) -> dict[str, Any]:
    """Return the settings of a cell that are no numbers with a fraction."""
    return {name: value for name, value in cell.settings.items() if not isinstance(value, float)}


class _Batch:
    """Cells that differ in seeds and numbers alone."""

    def __init__(self, cells: Sequence[Cell], order: Order, listener: Listener) -> None:
        self._cells, self._order, self._listener = cells, order, listener

    def train(self, interrupted: Any) -> None:
        """Train the cells, together where their learners allow it."""
        from vinci_offline.training.lockstep import Lockstep

        first, order = self._cells[0], self._order
        checked = check_arguments(
            first.dataset,
            first.agent,
            TrainingConfig(**first.options),
            settings=first.settings,
            networks=order.networks,
            env=order.env,
            env_kwargs=order.env_kwargs,
            output=Path(order.folder, first.name),
            resume=True,
        )
        self._task, self._config = open_task(
            checked.datasets,
            checked.agent,
            TrainingConfig(**first.options),
            networks=order.networks,
            init=None,
            env=checked.env,
            env_kwargs=checked.env_kwargs,
            named=named(first.agent, order.env, order.env_kwargs),
        )
        with closing(self._task.source), Locks() as locks:
            prepared = [(cell, *self._prepare(cell, locks)) for cell in self._cells]
            for part in self._parts(prepared):
                outcomes = Lockstep([(run, info) for _, run, info in part]).execute(interrupted)
                for (cell, _, _), outcome in zip(part, outcomes, strict=True):
                    self._tell(cell, outcome)

    def _parts(self, prepared: Sequence[Prepared]) -> list[list[Prepared]]:
        """Divide runs into those that one compiled call can hold."""
        from vinci_offline.training.varied import can_share

        fixed = self._fixed(prepared[0][1])
        parts: list[list[Prepared]] = []
        for each in prepared:
            values = [getattr(each[1].learner.agent, name) for name in fixed]
            for part in parts:
                learner = part[0][1].learner
                same = values == [getattr(learner.agent, name) for name in fixed]
                if same and can_share(learner, each[1].learner):
                    part.append(each)
                    break
            else:
                parts.append([each])
        return parts

    def _fixed(self, run: Run) -> list[str]:
        """Return the numbers in which the cells differ and that cannot be inputs of a loop."""
        from vinci_offline.training.starting import make_learner
        from vinci_offline.training.varied import varied_settings, watched

        names = varied_settings([_agent(cell) for cell in self._cells])
        if not names:
            return []
        task = self._task
        with watched(run.learner.agent) as (agent, read):
            make_learner(
                agent,
                task.spec,
                task.normalization,
                task.networks,
                self._config,
                task.units,
                masked=task.masked,
            )
        engine = run.engine
        return [name for name in names if name in read or not engine.varies(name)]

    def _prepare(self, cell: Cell, locks: Locks) -> tuple[Run, RunInfo]:
        directory = RunDirectory(Path(self._order.folder, cell.name))
        config = replace(self._config, seed=cell.seed)
        task = replace(self._task, agent=_agent(cell))

        def claim() -> None:
            locks.take_folder(directory.path)
            task.claim(directory, config, resume=True, overwrite=False)

        def heard(kind: str, step: int, value: float | None) -> None:
            if kind == "return" and value is not None:
                self._listener.returned(cell, value)
            elif kind == "step":
                self._listener.at(cell, step, value)

        hooks = (*default_hooks(False), Reporter(heard))
        return task.prepare(directory, config, claim=claim, hooks=hooks, resume=True)

    def _tell(self, cell: Cell, outcome: Any) -> None:
        if isinstance(outcome, VinciError):
            self._listener.failed(cell, failure_of(outcome))
        elif not outcome.interrupted:
            self._listener.finished(cell, outcome_of(cell, outcome))


def _agent(cell: Cell) -> Agent:
    return agent_class(cell.agent).from_settings(cell.settings)
