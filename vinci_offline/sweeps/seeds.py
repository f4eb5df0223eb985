"""Seeds of one run in processes of one thread each, with the folder and the numbers of `train` with ``seeds``."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from vinci_offline.calls import command_line
from vinci_offline.deviation import finite
from vinci_offline.envs.collect.workers import check_workers
from vinci_offline.errors import UsageError, VinciError
from vinci_offline.locks import Locks
from vinci_offline.runs.seeds_directory import SeedsDirectory
from vinci_offline.sweeps.cell import Cell
from vinci_offline.sweeps.display import Display
from vinci_offline.sweeps.local import Pool
from vinci_offline.sweeps.queue import Queue
from vinci_offline.sweeps.work import failure_of
from vinci_offline.training.arguments import check_arguments
from vinci_offline.training.config import TrainingConfig
from vinci_offline.training.named import named
from vinci_offline.training.result import TrainResult
from vinci_offline.training.seeds_record import SeedsRecord

if TYPE_CHECKING:
    from vinci_offline.hooks.hook import Hook


class SeedsOrder(NamedTuple):
    """What the seeds are trained with. The fields are arguments of `train` by their names.

    Attributes:
        output: the folder of the seeds.
        configs: the options of each seed.
        backend: Keras' backend, or None.
    """

    data: Sequence[str]
    agent: str
    settings: Mapping[str, Any]
    networks: str | Path | None
    init: str | Path | None
    env: str | None
    env_kwargs: Mapping[str, Any] | None
    output: Path
    configs: Sequence[TrainingConfig]
    backend: str | None

    def left(self, *, resume: bool) -> list[TrainingConfig]:
        """Return the options of the seeds that are to be trained."""
        record = SeedsRecord(SeedsDirectory(self.output), self.configs)
        return [each for each in self.configs if not (resume and record.finished(each))]

    def train(self, cell: Cell, hooks: Sequence[Hook], claim: Callable[[], None]) -> TrainResult:
        """Train a seed, or go on with it."""
        from vinci_offline.keras_setup import import_keras
        from vinci_offline.training.trainer import default_hooks, open_task

        import_keras(self.backend)
        directory = SeedsDirectory(self.output)
        config = next(each for each in self.configs if each.seed == cell.seed)
        given: dict[str, Any] = {"networks": self.networks, "init": self.init}
        with command_line():
            checked = check_arguments(
                list(self.data),
                self.agent,
                config,
                settings=self.settings,
                env=self.env,
                env_kwargs=self.env_kwargs,
                output=directory.member(cell.seed).path,
                overwrite=True,  # whether it may go on or be replaced is the parent's matter
                **given,
            )
            task, config = open_task(
                checked.datasets,
                checked.agent,
                config,
                env=checked.env,
                env_kwargs=checked.env_kwargs,
                named=named(self.agent, self.env, self.env_kwargs),
                **given,
            )
            with closing(task.source), Locks() as locks:

                def claim_all() -> None:
                    claim()
                    for other in self.configs:
                        if (there := directory.member(other.seed)).exists():
                            task.check_same(there, replace(config, seed=other.seed))
                    locks.take_folder(directory.member(cell.seed).path)
                    task.claim(directory.member(cell.seed), config, resume=True, overwrite=False)

                heard = (*default_hooks(False), *hooks)
                run, info = task.prepare(
                    directory.member(cell.seed), config, claim=claim_all, hooks=heard, resume=True
                )
                return run.execute(info)

    def outcome(self, cell: Cell, result: TrainResult) -> TrainResult:
        """Return the result itself."""
        return result

    def failure(self, error: Exception) -> VinciError:
        """Return the error, and for one of another library its line."""
        return error if isinstance(error, VinciError) else VinciError(failure_of(error))


def train_seeds(order: SeedsOrder, workers: int, *, resume: bool, overwrite: bool) -> TrainResult:
    """Train every seed that is not finished, each in a process. One that diverges does not stop the others.

    Each ends as it would alone. The arguments were checked by `check_arguments`.

    Args:
        order: what the seeds are trained with.
        workers: number of processes.
        resume: go on with the runs in the folder.
        overwrite: replace them.

    Raises:
        VinciError: the options do not fit, or a seed failed. The other seeds are on disk.
    """
    check_workers(max(2, workers))
    directory = SeedsDirectory(order.output)
    record = SeedsRecord(directory, order.configs)
    cells = [_cell(order, config) for config in order.configs]
    to_train = {config.seed for config in order.left(resume=resume)}
    left = [cell for cell in cells if cell.seed in to_train]
    with Locks() as locks:
        claim = _Claim(directory, [cell.seed for cell in cells], locks, resume=resume, overwrite=overwrite)
        finished = [cell.name for cell in cells if cell.seed not in to_train]
        with Display(cells, finished, shown=True, what="seeds") as display:
            listener = _Keeper(display, record, claim)
            try:
                Pool(Queue(left), order, workers, listener, claim).run()
            except KeyboardInterrupt:
                if not claim.made:
                    raise
        return record.conclude(listener.rate * min(workers, len(left)))


def _cell(order: SeedsOrder, config: TrainingConfig) -> Cell:
    name = f"seed-{config.seed}"
    return Cell(name, order.agent, ", ".join(order.data), config.seed, {}, {"steps": config.plan()[-1].stop})


class _Claim:
    """Claim of the folder, made once, when the first worker has checked everything."""

    def __init__(
        self,
        directory: SeedsDirectory,
        seeds: Sequence[int],
        locks: Locks,
        *,
        resume: bool,
        overwrite: bool,
    ) -> None:
        self.made = False
        self._directory, self._seeds, self._locks = directory, seeds, locks
        self._flags = {"resume": resume, "overwrite": overwrite}

    def __call__(self) -> None:
        if self.made:
            return
        self._locks.take_folder(self._directory.path)
        self._directory.claim(self._seeds, **self._flags)
        self.made = True


class _Keeper:
    """Listener that keeps outcomes, and shows the rest."""

    def __init__(self, display: Display, record: SeedsRecord, claim: _Claim) -> None:
        self._display, self._record, self._claim = display, record, claim
        self.at, self.returned, self.note = display.at, display.returned, display.note

    @property
    def rate(self) -> float:
        """Mean steps a second of one seed."""
        outcomes = self._record.outcomes.values()
        rates = [each.steps_per_second for each in outcomes if isinstance(each, TrainResult)]
        known = [rate for rate in rates if math.isfinite(rate)]
        return math.fsum(known) / len(known) if known else math.nan

    def finished(self, cell: Cell, result: TrainResult) -> None:
        """Keep a result."""
        self._record.outcomes[cell.seed] = result
        self._record.save(math.nan)
        self._display.finished(
            cell, {"steps": result.steps, "steps_per_second": finite(result.steps_per_second)}
        )

    def failed(self, cell: Cell, reason: VinciError | str) -> None:
        """Keep an error. One that was found before the folder was claimed, or of wrong usage, is that of all seeds."""
        error = reason if isinstance(reason, VinciError) else VinciError(reason)
        if isinstance(error, UsageError) or not self._claim.made:
            raise error
        self._record.outcomes[cell.seed] = error
        self._display.failed(cell, str(error))
