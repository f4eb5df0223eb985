"""Metrics that every engine adds to an update's own, and their means over a chunk of steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras import ops

from vinci_offline.training.learner import BoundUpdate
from vinci_offline.types import Tensor

_NORM_EVERY = 16  # runs of an update


def own_metrics(bound: BoundUpdate) -> list[str]:
    """Return the names of the engine's metrics of an update: loss, gradient norm, and a scheduled learning rate."""
    kinds = ("loss", "gradient_norm", *(("learning_rate",) if bound.scheduled else ()))
    return [f"{kind}/{bound.update.name}" for kind in kinds]


def norm_period(bound: BoundUpdate) -> int:
    """Return the period of the gradient norm in steps. It costs 5% of a step, so only a reset takes it at each run."""
    return bound.update.every * (_NORM_EVERY if bound.update.reset_below is None else 1)


def global_norm(gradients: Sequence[Tensor]) -> Tensor:
    """Return the Euclidean norm of all gradients together."""
    return ops.sqrt(sum(ops.sum(ops.square(gradient)) for gradient in gradients))


def mean_metrics(
    updates: Sequence[BoundUpdate],
    names: Sequence[Sequence[str]],
    totals: Sequence[Any],
    start: int,
    count: int,
) -> dict[str, float]:
    """Divide each metric's sum by the number of steps that computed it; leave out metrics of no step."""
    found: dict[str, float] = {}
    for bound, update_names, total in zip(updates, names, totals, strict=True):
        for name, sum_ in zip(update_names, total.tolist(), strict=True):
            period = (
                norm_period(bound) if name == f"gradient_norm/{bound.update.name}" else bound.update.every
            )
            if taken := (start + count) // period - start // period:
                found[name] = sum_ / taken
    return found
