"""Choices that are excluded from maxima, sums and expectations: by an action mask, or by a rule of an algorithm."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from keras import ops

from vinci_offline.functional.shapes import check_shapes
from vinci_offline.types import Tensor

EXCLUDED = -1e30
"""Value and logit of an excluded choice: below all others, and finite even where losses multiply it."""


def masked(scores: Any, allowed: Tensor | None, *, recorded: Tensor | None = None) -> Any:
    """Return values or logits of choices in which excluded choices have `EXCLUDED`.

    An excluded choice is never the greatest, its probability is 0, and it adds nothing to a sum of exponentials.

    Args:
        scores: ``[B, n]``; ``[E, B, n]`` of an ensemble; or the output ``{"logits"}`` of an actor.
        allowed: ``[B, n]``, greater than zero where a choice is allowed, such as ``batch.get("action_mask")``; None
            allows all, and returns ``scores`` as they are.
        recorded: ``[B]`` recorded choices, which are allowed besides: they were taken, whatever the mask says.

    Raises:
        SpecError: a shape differs from these.
    """
    if allowed is None:
        return scores
    if isinstance(scores, Mapping):
        return {**scores, "logits": masked(scores["logits"], allowed, recorded=recorded)}
    ensemble = "E " if len(scores.shape) == 3 else ""
    check_shapes(f"scores {ensemble}B n, allowed B n", scores=scores, allowed=allowed)
    allowed = ops.greater(allowed, 0)
    if recorded is not None:
        allowed = ops.logical_or(allowed, ops.one_hot(recorded, scores.shape[-1], dtype="bool"))
    return ops.where(allowed, scores, EXCLUDED)
