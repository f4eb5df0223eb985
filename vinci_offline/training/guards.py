"""Guard against divergence: find the first step that makes a metric or a parameter NaN or infinite."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vinci_offline.training.engines.engine import Engine
from vinci_offline.training.learner import BoundUpdate, Learner
from vinci_offline.types import Array

State = Mapping[str, Array]

_VARIABLES = ("networks/", "averages/", "optimizers/")
_ROWS_TOLD = 5
_ROWS_WEIGHED = 1024


@dataclass(frozen=True)
class Divergence:
    """First step after which a number is not finite.

    Attributes:
        step: the global step.
        update: name of the update that failed; None if only a metric that belongs to no update is not finite.
        names: metrics and variables that are not finite; only those of ``update`` if it is known.
        rows: dataset rows of the step's batch, the greatest loss first.
        losses: the loss of each of ``rows`` alone.
    """

    step: int
    update: str | None
    names: tuple[str, ...]
    rows: tuple[int, ...]
    losses: tuple[float, ...]

    def __str__(self) -> str:
        """Describe the divergence in one line."""
        update = "" if self.update is None else f" in the update of {self.update!r}"
        metrics = [name for name in self.names if not name.startswith(_VARIABLES)]
        # Name the network only: the index of a variable tells a reader nothing.
        nets = dict.fromkeys("/".join(n.split("/")[:2]) for n in self.names if n.startswith(_VARIABLES))
        told = zip(self.rows, self.losses, strict=True)
        rows = ", ".join(f"{row} (loss {loss:.3g})" for row, loss in told)
        return (
            f"at step {self.step}{update}: {', '.join([*metrics, *nets])} not finite; "
            f"the dataset rows of its batch with the greatest loss are {rows}"
        )


class FiniteGuard:
    """Check of each chunk's metrics and parameters.

    The guard keeps a copy of the last finite state in host memory. If a chunk ends with a number that is not finite,
    the guard repeats it by bisection to find the step. Draws are keyed by the step, so the repetition is exact; it
    costs at most one chunk more.

    Args:
        learner: the learner in its initial, finite state.
        engine: the engine that steps it.
        rows: the dataset row of each training row; None if they are equal.
    """

    def __init__(self, learner: Learner, engine: Engine, rows: Array | None = None) -> None:
        self._learner = learner
        self._engine = engine
        self._rows = rows
        self._sound = learner.state()

    def check(
        self, updates: Sequence[BoundUpdate], start: int, count: int, metrics: Mapping[str, float]
    ) -> Divergence | None:
        """Check the metrics and the state after steps ``start + 1 … start + count``.

        Returns:
            None if all are finite. Otherwise the divergence; the learner is then back in the state before that step.
        """
        state = self._learner.state()
        names = _not_finite(metrics, state)
        if not names:
            self._sound = state
            return None
        return self._find(updates, start, count, names)

    def _find(
        self, updates: Sequence[BoundUpdate], start: int, count: int, names: tuple[str, ...]
    ) -> Divergence:
        low, high = start, start + count
        while high - low > 1:
            middle = (low + high) // 2
            found, state = self._take(updates, low, middle)
            if found:
                high = middle
            else:
                low, self._sound = middle, state
        found, _ = self._take(updates, low, high)
        # If the device's sums are not reproducible, the repeated step may be finite: keep the chunk's names.
        names = found or names
        self._learner.restore(self._sound)
        culprit = next((bound for bound in updates if any(_concerns(bound, name) for name in names)), None)
        if culprit is None:
            return Divergence(high, None, names, *self._weigh(updates, high))
        # Later updates of the same step only pass the fault on: leave them out.
        own = tuple(name for name in names if _concerns(culprit, name))
        return Divergence(high, culprit.update.name, own, *self._weigh([culprit], high))

    def _take(
        self, updates: Sequence[BoundUpdate], low: int, high: int
    ) -> tuple[tuple[str, ...], dict[str, Array]]:
        """Repeat steps ``low + 1 … high`` from the last finite state; return bad names and the state."""
        self._learner.restore(self._sound)
        metrics = self._engine.run(updates, low, high - low)
        state = self._learner.state()
        return _not_finite(metrics, state), state

    def _weigh(self, updates: Sequence[BoundUpdate], step: int) -> tuple[tuple[int, ...], tuple[float, ...]]:
        """Return rows of a step's batch and the loss of each before the step, the greatest or not finite first."""
        drawn, pool_rows = self._engine.drawn(step)
        rows, places = np.unique(drawn, return_index=True)
        losses = [
            sum(self._engine.losses(updates, [pool_rows[place : place + 1]], step=step).values())
            for place in places[:_ROWS_WEIGHED].tolist()
        ]
        size = np.nan_to_num(np.abs(losses), nan=np.inf)
        order = np.argsort(-size, kind="stable")[:_ROWS_TOLD]
        told = rows[order] if self._rows is None else self._rows[rows[order]]
        return tuple(told.tolist()), tuple(losses[i] for i in order)


def _not_finite(metrics: Mapping[str, float], state: State) -> tuple[str, ...]:
    """Return the names of metrics, then of variables, that hold NaN or infinite values."""
    wrong = [name for name, value in metrics.items() if not math.isfinite(value)]
    wrong += [name for name, value in state.items() if not np.isfinite(value).all()]
    return tuple(wrong)


def _concerns(bound: BoundUpdate, name: str) -> bool:
    kind, _, rest = name.partition("/")
    of = rest.partition("/")[0]
    if kind in ("loss", "gradient_norm", "optimizers"):
        return of == bound.update.name
    if kind == "averages":
        return of in bound.update.networks
    return kind == "networks" and of in {*bound.update.networks, *(t.name for t in bound.update.targets)}
