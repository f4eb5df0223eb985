"""The cross-entropy method: a maximum over continuous actions without a gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keras import ops

from vinci_offline.functional.policies import repeat_rows
from vinci_offline.functional.shapes import check_shapes
from vinci_offline.functional.targets import clip_action
from vinci_offline.types import ActionBounds, Tensor


def cross_entropy_method(
    value: Callable[[Any, Tensor], Tensor],
    observation: Any,
    noise: Tensor,
    elites: int,
    bounds: ActionBounds | None = None,
) -> Tensor:
    """Return the best action that the cross-entropy method finds for each observation.

    Rubinstein and Kroese (2004); as in QT-Opt (Kalashnikov et al., 2018, https://arxiv.org/abs/1806.10293). K actions
    are drawn from a Gaussian, which is then fitted to the best of them, and so on. The first one has mean 0 and
    deviation 1 in scaled units. Draws are clipped to the bounds. The result is the best action of the last draw.

    Args:
        value: function of observations and of ``[B * K, A]`` scaled actions to ``[B * K]`` values.
        observation: ``[B, ...]``, or a dict by key.
        noise: ``[B, T, K, A]`` standard normal draws of T rounds.
        elites: number of the best actions that the next Gaussian is fitted to.
        bounds: bounds of scaled actions, such as ``nets.bounds``; None if all are -1 and 1.

    Returns:
        ``[B, A]``.

    Raises:
        SpecError: a shape differs from these.
    """
    check_shapes("noise B T K A", noise=noise)
    _, rounds, samples, dim = noise.shape
    repeated = repeat_rows(observation, samples)

    def best_of(actions: Tensor, count: int) -> Tensor:
        flat = ops.reshape(actions, (-1, dim))
        _, places = ops.top_k(ops.reshape(value(repeated, flat), (-1, samples)), count)
        # Compilers handle this product better than a gather.
        return ops.matmul(ops.one_hot(places, samples, dtype="float32"), actions)  # [B, count, A]

    def drawn(center: Tensor, deviation: Tensor, number: int) -> Tensor:
        raw = center[:, None] + deviation[:, None] * noise[:, number]
        return ops.reshape(clip_action(ops.reshape(raw, (-1, dim)), bounds), (-1, samples, dim))

    center = ops.zeros_like(noise[:, 0, 0])
    deviation = ops.ones_like(center)
    for number in range(rounds - 1):
        chosen = best_of(drawn(center, deviation, number), elites)
        center, deviation = ops.mean(chosen, axis=1), ops.std(chosen, axis=1)
    return best_of(drawn(center, deviation, rounds - 1), 1)[:, 0]
