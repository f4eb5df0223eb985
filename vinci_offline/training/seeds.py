"""Runs of several seeds on the same data: together if the engine can, otherwise one after another."""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from vinci_offline.hooks.hook import Hook, RunInfo
from vinci_offline.interrupts import interrupt_flag
from vinci_offline.locks import Locks
from vinci_offline.runs.seeds_directory import SeedsDirectory
from vinci_offline.training.arguments import check_count
from vinci_offline.training.config import TrainingConfig
from vinci_offline.training.lockstep import Lockstep
from vinci_offline.training.result import TrainResult
from vinci_offline.training.run import Run
from vinci_offline.training.seeds_record import SeedsRecord

if TYPE_CHECKING:
    from vinci_offline.training.task import Task


class Seeds:
    """Runs of one task with the seeds ``config.seed … config.seed + count - 1``.

    Args:
        task: agent and data.
        path: folder of the seeds' run directories.
        config: options of the first seed; the others differ in ``seed`` only.
        count: number of seeds.
        hooks: function from a seed, and True for the seed that may draw on the terminal, to its listeners.
        resume: go on with the runs in ``path``.
        overwrite: replace them.
        locks: receives the locks of the folders.

    Raises:
        UsageError: ``count`` is below one.
    """

    def __init__(
        self,
        task: Task,
        path: Path,
        config: TrainingConfig,
        count: int,
        *,
        hooks: Callable[[int, bool], Sequence[Hook]],
        resume: bool,
        overwrite: bool,
        locks: Locks,
    ) -> None:
        check_count(count)
        self._task = task
        self._directory = SeedsDirectory(path)
        self._configs = [replace(config, seed=config.seed + place) for place in range(count)]
        self._hooks = hooks
        self._resume = resume
        self._overwrite = overwrite
        self._locks = locks
        self._record = SeedsRecord(self._directory, self._configs, task.notes)
        self._claimed = False
        self._steps, self._seconds = 0, 0.0

    def execute(self) -> TrainResult:
        """Train every seed that is not finished. A seed that diverges does not stop the others.

        Raises:
            VinciError: the options do not fit, or a seed failed. The other seeds are on disk.
        """
        record = self._record
        left = [each for each in self._configs if not (self._resume and record.finished(each))]
        if not left:
            self._claim()
        with interrupt_flag() as interrupted:
            while left and not interrupted.is_set():
                batch = [self._prepare(left.pop(0), first=True)]
                while left and batch[0][0].engine.side_by_side:
                    batch.append(self._prepare(left.pop(0), first=False))
                lockstep = Lockstep(batch)
                seeds = [run.config.seed for run, _ in batch]
                record.outcomes.update(zip(seeds, lockstep.execute(interrupted), strict=True))
                self._steps += lockstep.steps
                self._seconds += lockstep.seconds
                record.save(self._rate)
                del batch, lockstep
                gc.collect()  # learners and compiled loops refer to each other; free them before the next batch
        return record.conclude(self._rate)

    @property
    def _rate(self) -> float:
        return self._steps / self._seconds if self._seconds else math.nan

    def _prepare(self, config: TrainingConfig, *, first: bool) -> tuple[Run, RunInfo]:
        directory = self._directory.member(config.seed)
        hooks = self._hooks(config.seed, first)
        return self._task.prepare(directory, config, claim=self._claim, hooks=hooks, resume=True)

    def _claim(self) -> None:
        if self._claimed:
            return
        self._locks.take_folder(self._directory.path)
        seeds = [config.seed for config in self._configs]
        self._directory.claim(seeds, resume=self._resume, overwrite=self._overwrite)
        for config in self._configs:
            self._locks.take_folder(self._directory.member(config.seed).path)
            self._task.claim(self._directory.member(config.seed), config, resume=True, overwrite=False)
        self._claimed = True
