"""A run: chunks of compiled steps, and between them logging, evaluation and checkpoints."""

from __future__ import annotations

import itertools
import math
import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from vinci_offline.envs.evaluator import Evaluation, evaluate
from vinci_offline.envs.scores import recorded_reference
from vinci_offline.errors import ResumableError, VinciError
from vinci_offline.hooks.hook import Hook, RunInfo
from vinci_offline.interrupts import interrupt_flag
from vinci_offline.loading import describe
from vinci_offline.runs.checkpoint import Checkpoint, latest_checkpoint, save_checkpoint
from vinci_offline.runs.run_directory import RunDirectory
from vinci_offline.training.config import TrainingConfig
from vinci_offline.training.engines.engine import Engine
from vinci_offline.training.guards import FiniteGuard
from vinci_offline.training.held_out import HeldOut, deciding_loss
from vinci_offline.training.initial_value import States, initial_value
from vinci_offline.training.learner import BoundUpdate, Learner
from vinci_offline.training.phases import Phase
from vinci_offline.training.result import TrainResult
from vinci_offline.training.standing import Standing
from vinci_offline.types import Array


@dataclass(frozen=True)
class Chunk:
    """Request for the ``count`` steps after ``start`` with these updates. With a count of 0 they are only compiled."""

    updates: tuple[BoundUpdate, ...]
    start: int
    count: int


Taken: TypeAlias = tuple[dict[str, float], float]
"""A chunk's mean metrics, and its time in seconds."""


class Run:
    """Training of one learner, from its last checkpoint to the end of its phases.

    Args:
        directory: the folder of checkpoints and networks.
        learner: the learner to train.
        engine: the engine that steps it.
        config: the options of the run.
        env: the environment of evaluations, or None.
        env_kwargs: its keyword arguments.
        hooks: the listeners.
        trained: earlier training steps of each role.
        held_out: losses on held-out transitions, or None.
        rows: the dataset row of each training row; None if they are equal.
        first: the first states of whole episodes, for an agent that evaluates a policy; None for others.
        factor: the factor of the rewards.
        notes: what to know of a finished run, from the training steps of each role.

    Attributes:
        evaluation_due: True if the evaluation of the present step is still to come.
    """

    def __init__(
        self,
        directory: RunDirectory,
        learner: Learner,
        engine: Engine,
        *,
        config: TrainingConfig,
        env: Any,
        env_kwargs: Mapping[str, Any],
        hooks: Sequence[Hook],
        trained: Mapping[str, int],
        held_out: HeldOut | None = None,
        rows: Array | None = None,
        first: States | None = None,
        factor: float = 1.0,
        notes: Callable[[Mapping[str, int]], tuple[str, ...]] = lambda _: (),
    ) -> None:
        self.directory = directory
        self.learner = learner
        self.engine = engine
        self.config = config
        self.phases = config.plan()
        self.step = 0
        self.evaluation_due = False
        self._models_step: int | None = None
        self._checkpoint_of: tuple[int, bool] | None = None
        self._env = env
        self._env_kwargs = env_kwargs
        self._hooks = hooks
        self._trained = dict(trained)
        self._held_out = held_out
        self._rows = rows
        self._first = first
        self._factor = factor
        self._notes_after = notes
        self._standings = {"return": Standing(), "validation": Standing()}
        self._metrics: dict[str, float] = {}
        self._seconds = 0.0
        self._timed_steps = 0
        self._compile_seconds = 0.0

    def resume(self) -> None:
        """Restore the last checkpoint that fits the learner, if there is one.

        Raises:
            VinciError: there are checkpoints, and none can be used.
        """
        checkpoint = latest_checkpoint(self.directory.checkpoints, self.learner.layouts())
        if checkpoint is not None:
            self.learner.restore(checkpoint.state)
            self.step = checkpoint.step
            self._trained = dict(checkpoint.trained)
            self.evaluation_due = checkpoint.evaluation_due and self.config.eval_every is not None
            for name, standing in self._standings.items():
                standing.restore(checkpoint.standings.get(name))

    def execute(self, info: RunInfo) -> TrainResult:
        """Take all remaining steps.

        Raises:
            VinciError: a metric or a parameter is NaN or infinite; the last checkpoint is from before that.
        """
        with interrupt_flag() as interrupted, closing(self.stepping(info, interrupted)) as stepping:
            try:
                chunk = next(stepping)
                while True:
                    began = time.perf_counter()
                    metrics = self.engine.run(chunk.updates, chunk.start, chunk.count)
                    chunk = stepping.send((metrics, time.perf_counter() - began))
            except StopIteration as done:
                result: TrainResult = done.value
                return result

    def stepping(self, info: RunInfo, interrupted: threading.Event) -> Generator[Chunk, Taken, TrainResult]:
        """Yield requests for chunks and receive their metrics. So one caller can step several runs together.

        Args:
            info: information for the hooks.
            interrupted: when set, the run saves and ends before its next chunk.
        """
        self._guard = FiniteGuard(self.learner, self.engine, self._rows)
        for hook in self._hooks:
            hook.start(info)
        try:
            if self.evaluation_due:
                self._evaluate()
            for phase in self.phases:
                if self.step < phase.stop and not interrupted.is_set() and not self._out_of_patience:
                    yield from self._stepping(phase, interrupted)
            self._save()
            if "value/initial" not in self._metrics:  # no step was left to take
                self._metrics |= self._value()
            done, stopped = self.step == self.phases[-1].stop, self._out_of_patience
            notes = self._notes_after(self._trained) if done or stopped else ()
            for note, hook in itertools.product(notes, self._hooks):
                hook.note(self.step, note)
        finally:
            for hook in self._hooks:
                hook.finish(self.step)
        rate = self._timed_steps / self._seconds if self._seconds else math.nan
        roles = dict.fromkeys(bound.update.role for bound in self.learner.updates)  # a DQN has no actor
        return TrainResult(
            self.directory.path,
            self.step,
            rate,
            self._metrics,
            interrupted=not done and not stopped,
            compiler=str(info.config["compiler"]),
            compile_seconds=self._compile_seconds,
            stopped_early=stopped and not done,
            best_step=self._deciding.step if self._deciding.score is not None else None,
            untrained=tuple(role for role in roles if not self._trained.get(role)),
            notes=notes,
        )

    @property
    def _deciding(self) -> Standing:
        """Standing that decides which state is the best."""
        return self._standings["return" if self.config.eval_every else "validation"]

    @property
    def _out_of_patience(self) -> bool:
        patience = self.config.patience
        return patience is not None and self._standings["validation"].since >= patience

    def _stepping(self, phase: Phase, interrupted: threading.Event) -> Generator[Chunk, Taken, None]:
        updates = self.learner.select(phase.role)
        for hook in self._hooks:
            hook.compiling(self.step)
        # Compile first, so that the first chunk's rate counts steps alone.
        _, seconds = yield Chunk(updates, self.step, 0)
        self._compile_seconds += seconds
        compiled = {"compile_seconds": seconds}
        while self.step < phase.stop and not interrupted.is_set() and not self._out_of_patience:
            count = self._next_stop(phase) - self.step
            metrics, elapsed = yield Chunk(updates, self.step, count)
            self._check_finite(updates, count, metrics)
            self.step += count
            self._seconds += elapsed
            self._timed_steps += count
            for role in {bound.update.role for bound in updates}:
                self._trained[role] = self._trained.get(role, 0) + count
            told = {**metrics, **compiled, "steps_per_second": count / elapsed}
            self._tell({**told, **self._validate(updates), **self._value()})
            compiled = {}

    def _next_stop(self, phase: Phase) -> int:
        """Return the next step with a log row, a checkpoint or an evaluation, or the end of the phase."""
        periods = (self.config.log_every, self.config.checkpoint_every, self.config.eval_every)
        return min(phase.stop, *((self.step // period + 1) * period for period in periods if period))

    def _tell(self, metrics: Mapping[str, float]) -> None:
        self._metrics.update(metrics)
        for hook in self._hooks:
            hook.metrics(self.step, metrics)
        last = self.step == self.phases[-1].stop or self._out_of_patience
        if self._out_of_patience:
            self._note_early_stop()
        if self.config.eval_every and (last or self.step % self.config.eval_every == 0):
            # An environment is others' code: what it may break is saved first.
            self.evaluation_due = True
            self._save()
            self._evaluate()
            if not last:
                self._save()  # with the score
        elif self.step % self.config.checkpoint_every == 0 and not last:
            self._save()

    def _validate(self, updates: Sequence[BoundUpdate]) -> dict[str, float]:
        """Return the held-out losses if they are due, otherwise an empty dict."""
        last = self.step == self.phases[-1].stop
        if self._held_out is None or (self.step % self.config.log_every and not last):
            return {}
        losses = self._held_out.losses(updates, self.step)
        # Losses of different roles are not comparable: only the plan's last phase decides.
        if self.step > self.phases[-1].start:
            self._offer("validation", -deciding_loss(updates, losses))
        return losses

    def _value(self) -> dict[str, float]:
        """Return the policy's value if it is due, of an agent that evaluates one; otherwise an empty dict."""
        due = self.step % self.config.log_every == 0 or self.step == self.phases[-1].stop
        if self._first is None or not due:
            return {}
        agent, nets, seed = self.learner.agent, self.learner.nets, self.config.seed
        found = initial_value(agent, nets, self._first, seed, factor=self._factor)
        return {} if found is None else found.metrics()

    def _offer(self, name: str, score: float) -> None:
        standing = self._standings[name]
        if standing.offer(self.step, score) and standing is self._deciding:
            self.directory.save_best(self.learner.policies, self.learner.nets.models(), self._checkpoint())

    def _note_early_stop(self) -> None:
        standing = self._standings["validation"]
        for hook in self._hooks:
            hook.note(
                self.step,
                f"stopped early: the held-out loss has not been less than at step {standing.step:,} "
                f"({standing.since} log rows)",
            )

    def _evaluate(self) -> None:
        evaluation = self._evaluation()
        self._metrics["return/mean"] = evaluation.return_mean
        for hook in self._hooks:
            hook.evaluation(self.step, evaluation)
        self.evaluation_due = False
        self._offer("return", evaluation.return_mean)

    def _evaluation(self) -> Evaluation:
        try:
            found = evaluate(
                self.learner.policy,
                self._env,
                env_kwargs=self._env_kwargs,
                episodes=self.config.eval_episodes,
                seed=self.config.seed,
                selection=True,
            )
        except Exception as error:
            reason = str(error) if isinstance(error, VinciError) else describe(error)
            raise ResumableError(
                f"evaluation at step {self.step:,}: {reason}. The run is saved in {self.directory.path}"
            ) from error
        kept = recorded_reference(self.directory.dataset()) if self.directory.has_dataset() else None
        return replace(found, recorded_reference=kept)

    def _save(self) -> None:
        """Write the networks and a checkpoint, unless they are on disk."""
        if self._models_step != self.step:
            # Networks first: a checkpoint promises that the networks of its step are on disk.
            self.directory.save_models(self.learner.policies, self.learner.nets.models())
            self._models_step = self.step
        if self._checkpoint_of != (self.step, self.evaluation_due):
            save_checkpoint(self.directory.checkpoints, self._checkpoint())
            self._checkpoint_of = (self.step, self.evaluation_due)

    def _checkpoint(self) -> Checkpoint:
        standings = {name: standing.to_json() for name, standing in self._standings.items()}
        state = self.learner.state()
        return Checkpoint(self.step, dict(self._trained), state, standings, self.evaluation_due)

    def _check_finite(self, updates: Sequence[BoundUpdate], count: int, metrics: Mapping[str, float]) -> None:
        found = self._guard.check(updates, self.step, count, metrics)
        if found is None:
            return
        kept = latest_checkpoint(self.directory.checkpoints)
        raise VinciError(
            f"training diverged {found}. "
            + (f"The checkpoint of step {kept.step} is kept" if kept else "There was no checkpoint yet")
            + f" in {self.directory.path}; try a lower learning rate, or smaller rewards"
        )
