"""Policies to save: from raw observations to environment actions, of stock Keras layers only."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from vinci_offline.errors import SpecError
from vinci_offline.functional.masks import masked as masked_choices
from vinci_offline.functional.policies import repeat_rows
from vinci_offline.keras_setup import wide_dtype
from vinci_offline.networks.action_scaling import squash_tensor, unscale_tensor
from vinci_offline.networks.inputs import (
    DESIRED_GOAL,
    GOAL,
    NOISE,
    OBSERVATION,
    observation_input,
    shape_kept,
)
from vinci_offline.spec import DiscreteSpace, EnvironmentSpec
from vinci_offline.spec.action_scaling import BoxScaling, box_of
from vinci_offline.spec.units import Units
from vinci_offline.types import FloatArray, Tensor

ACTION_MASK = "action_mask"
"""Input, or key of a Dict observation, with the mask of allowed actions."""


def policy(units: Units, actor: keras.Model, *, masked: bool = False) -> keras.Model:
    """Return the deterministic policy of an actor: its action, its mean, or its most likely action.

    A noisy actor gets zero noise. The policy shares the actor's weights, so training changes it too.

    Args:
        units: units of observations and actions.
        actor: a network.
        masked: Discrete actions: the policy takes the mask of allowed actions, ``[B, n]``, besides: its inputs are
            ``{"observation", "action_mask"}``. Where observations are a Dict their keys stand beside ``action_mask``.
            A mask that the observation itself holds is always obeyed.

    Returns:
        A model from a raw observation (a dict by key for a Dict space) to ``[B, *shape]`` actions within the bounds,
        float32 (float64 where an action's offset needs it) or the Box's integer type; for a Discrete space to ``[B]``
        int32 in the environment's numbering.
    """
    raw = _raw_input(units)
    width = noise_width(actor)
    inputs, mask = _with_mask(units, raw, masked)
    output = _apply(actor, _shifted(units, raw), None if width is None else zero_noise(raw, width), mask)
    if isinstance(output, dict) and "logits" in output:
        return keras.Model(inputs, _choice(units.spec, output["logits"], mask), name="policy")
    if isinstance(output, dict) and "low" in output:
        output = 0.5 * (output["low"] + output["high"])
    elif isinstance(output, dict):
        squashed = "location" in output
        output = squash_tensor(box_scaling(units), output["location"]) if squashed else output["mean"]
    return keras.Model(raw, unscale_tensor(box_scaling(units), output), name="policy")


def sampler(units: Units, actor: keras.Model) -> keras.Model:
    """Return the sampling policy of a noisy actor or a squashed Gaussian. The caller draws the standard normal noise.

    Returns:
        A model from ``{"observation": raw, "noise": [B, n]}`` to environment actions. For a Dict space the keys of
        the observation stand beside ``noise``.

    Raises:
        SpecError: the actor takes no noise, and is not a squashed Gaussian.
    """
    squashed = isinstance(actor.output, dict) and "location" in actor.output
    width = box_scaling(units).space.dim if squashed else noise_width(actor)
    if width is None:
        raise SpecError(
            f"network {actor.name!r} has no noise input: make it with build.noisy_actor or "
            "build.squashed_gaussian_actor"
        )
    raw = _raw_input(units)
    noise = keras.Input(shape=(width,), dtype="float32", name=NOISE)
    inputs = {**(raw if isinstance(raw, dict) else {OBSERVATION: raw}), NOISE: noise}
    scaled = _apply(actor, _shifted(units, raw), noise)
    if squashed:
        scaled = squash_tensor(box_scaling(units), scaled["location"] + ops.exp(scaled["log_std"]) * noise)
    return keras.Model(inputs, unscale_tensor(box_scaling(units), scaled), name="sampler")


def noise_width(actor: keras.Model) -> int | None:
    """Return the width of an actor's noise input; None if it has none."""
    return next((int(x.shape[-1]) for x in actor.inputs if x.name == NOISE), None)


def policy_of(units: Units, act: Callable[[Any], Tensor], *, masked: bool = False) -> keras.Model:
    """Return the deterministic policy of a function from an observation to a ``[B, A]`` scaled action.

    For Discrete actions the function returns ``[B, n]`` scores, and the policy takes the greatest; see `policy` for
    ``masked``.
    """
    raw = _raw_input(units)
    output = act(_shifted(units, raw))
    if isinstance(units.spec.action_space, DiscreteSpace):
        inputs, mask = _with_mask(units, raw, masked)
        return keras.Model(inputs, _choice(units.spec, output, mask), name="policy")
    return keras.Model(raw, unscale_tensor(box_scaling(units), output), name="policy")


def policy_of_draws(
    units: Units, act: Callable[[Any, Tensor], Tensor], width: int, *, sampling: bool
) -> keras.Model:
    """Return the policy of a function from an observation and standard normal noise to a ``[B, A]`` scaled action.

    Args:
        units: units of observations and actions.
        act: the function.
        width: width of the noise.
        sampling: take the noise, ``[B, width]``, as an input; otherwise the same draws serve all rows.
    """
    raw = _raw_input(units)
    inputs, noise = raw, zero_noise(raw, width)
    if sampling:
        noise = keras.Input(shape=(width,), dtype="float32", name=NOISE)
        inputs = {**(raw if isinstance(raw, dict) else {OBSERVATION: raw}), NOISE: noise}
    else:
        noise = noise + np.random.default_rng(0).standard_normal((1, width)).astype(np.float32)
    action = act(_shifted(units, raw), noise)
    name = "sampler" if sampling else "policy"
    return keras.Model(inputs, unscale_tensor(box_scaling(units), action), name=name)


def best_of(
    units: Units,
    draw: Callable[[Any, Tensor], Tensor],
    critic: keras.Model,
    width: int,
    samples: int,
    *,
    sampling: bool,
) -> keras.Model:
    """Return the policy that draws ``samples`` actions and takes the one of the greatest value, by the first critic.

    Args:
        units: units of observations and actions.
        draw: function of an observation and of ``[B, width]`` noise to ``[B, A]`` scaled actions.
        critic: ``[observation, action]`` to ``[E, B]``.
        width: width of the noise of one action.
        samples: number of actions.
        sampling: take the noise, ``[B, samples * width]``, as an input; otherwise the same draws serve all rows.
    """
    dim = box_scaling(units).space.dim

    def act(seen: Any, noise: Tensor) -> Tensor:
        observation = repeat_rows(seen, samples)
        actions = draw(observation, ops.reshape(noise, (-1, width)))
        values = ops.reshape(critic([observation, actions])[0], (-1, samples))
        _, best = ops.top_k(values, 1)
        chosen = ops.one_hot(best[:, 0], samples, dtype="float32")[:, :, None]
        action: Tensor = ops.sum(chosen * ops.reshape(actions, (-1, samples, dim)), axis=1)
        return action

    return policy_of_draws(units, act, samples * width, sampling=sampling)


def greedy_policy(units: Units, critic: keras.Model, *, masked: bool = False) -> keras.Model:
    """Return the policy that takes the action of the greatest mean value of a ``[E, B, n]`` critic.

    See `policy` for ``masked``.
    """
    raw = _raw_input(units)
    values = ops.mean(_apply(critic, _shifted(units, raw)), axis=0)
    inputs, mask = _with_mask(units, raw, masked)
    return keras.Model(inputs, _choice(units.spec, values, mask), name="policy")


def stochastic_policy(units: Units, actor: keras.Model, *, masked: bool = False) -> keras.Model | None:
    """Return the distribution of an actor over environment actions.

    Returns:
        A model from a raw observation to ``{"mean", "log_std"}``, each ``[B, *shape]`` in environment units, or to
        ``{"logits": [B, n]}``. The mean is not clipped: clip the sample. None for a deterministic actor, for a
        uniform one, and for those that have a `sampler`. In the logits, actions that a mask excludes have
        `functional.masks.EXCLUDED`; see `policy` for ``masked``.
    """
    if noise_width(actor) is not None:
        return None
    raw = _raw_input(units)
    inputs, mask = _with_mask(units, raw, masked)
    output = _apply(actor, _shifted(units, raw), None, mask)
    if not isinstance(output, dict) or "location" in output or "low" in output:
        return None
    if "logits" in output:
        return keras.Model(inputs, masked_choices(output, mask), name="stochastic_policy")
    scaling = box_scaling(units)
    shape = (-1, *scaling.space.shape)
    # The scale applies to the deviation, the offset does not.
    if scaling.wide:
        mean = ops.cast(output["mean"], wide_dtype()) * scaling.scale + scaling.exact_offset.astype(
            wide_dtype()
        )
    else:
        mean = output["mean"] * scaling.scale + scaling.offset
    log_std = output["log_std"] + np.log(scaling.scale)
    outputs = {"mean": ops.reshape(mean, shape), "log_std": ops.reshape(log_std, shape)}
    return keras.Model(raw, outputs, name="stochastic_policy")


def _raw_input(units: Units) -> Any:
    """Return the Keras input for raw observations: float64 where offsets are subtracted, so that no digit is lost."""
    return observation_input(units.spec.observation_space, wide=units.offsets)


def _shifted(units: Units, raw: Any) -> Any:
    """Return raw observations as the network takes them: of the right shape, in float32, their offsets subtracted."""
    return moved_observations(
        units,
        shape_kept(raw),
        lambda values, offset: ops.cast(values - offset.astype(wide_dtype()), "float32"),
    )


def moved_observations(units: Units, observation: Any, move: Callable[[Tensor, FloatArray], Tensor]) -> Any:
    """Return observations of which ``move`` has moved each part that has an offset."""
    if isinstance(observation, dict):
        moved = {key: move(observation[key], offset) for key, offset in units.offsets.items()}
        return {**observation, **moved}
    return move(observation, units.offsets[""]) if units.offsets else observation


def box_scaling(units: Units) -> BoxScaling:
    """Return the scaling of continuous actions; refuse others."""
    box_of(units.spec.action_space)  # refuses others
    assert units.actions is not None
    return units.actions


def _apply(network: keras.Model, raw: Any, noise: Tensor | None = None, mask: Tensor | None = None) -> Any:
    """Call a network with a raw observation: the whole of it, or the parts of a Dict that it is built on.

    Args:
        network: an actor, or a critic of choices.
        raw: the observation's Keras input, or a dict of them by key.
        noise: the noise that the network takes besides.
        mask: the mask of choices, for a network that takes it besides.

    Raises:
        SpecError: the network is built on something that the observation does not hold.
    """
    given = network.input if isinstance(network.input, list | tuple) else [network.input]
    beside = {name: each for name, each in ((NOISE, noise), (ACTION_MASK, mask)) if each is not None}
    arguments = [_argument(network.name, each, raw, beside) for each in given]
    return network(arguments[0] if len(arguments) == 1 else arguments)


def _argument(network: str, wanted: Any, raw: Any, beside: Mapping[str, Tensor]) -> Any:
    """Return the argument that goes to one input of a network."""
    if isinstance(wanted, dict):
        return raw
    if wanted.name in beside:
        return beside[wanted.name]
    if not isinstance(raw, dict):
        if wanted.name != GOAL:
            return raw
    elif wanted.name in raw:
        return raw[wanted.name]
    elif wanted.name == GOAL and DESIRED_GOAL in raw:
        return raw[DESIRED_GOAL]
    raise SpecError(
        f"network {network!r} takes {wanted.name!r}, which the environment's observations do not hold: "
        "a policy sees observations alone"
    )


def _choice(spec: EnvironmentSpec, scores: Tensor, mask: Tensor | None) -> Tensor:
    """Return the allowed action of the greatest score."""
    assert isinstance(spec.action_space, DiscreteSpace)
    # The first of the best, as argmax. Keras writes argmax with operations on bits, which TFLite does not have.
    _, best = ops.top_k(masked_choices(scores, mask), 1)
    return best[:, 0] + spec.action_space.start


def observed_mask(units: Units, raw: Any) -> Tensor | None:
    """Return the mask of Discrete actions that a raw observation holds; None without one."""
    mask = raw.get(ACTION_MASK) if isinstance(raw, dict) else None
    space = units.spec.action_space
    fits = isinstance(space, DiscreteSpace) and mask is not None and tuple(mask.shape[1:]) == (space.n,)
    return mask if fits else None


def _with_mask(units: Units, raw: Any, masked: bool) -> tuple[Any, Tensor | None]:
    """Return a model's inputs and the mask among them, if any: of the observation, or an input of its own."""
    space = units.spec.action_space
    if not (masked and isinstance(space, DiscreteSpace)):
        return raw, observed_mask(units, raw)
    mask = keras.Input(shape=(space.n,), dtype="float32", name=ACTION_MASK)
    return {**(raw if isinstance(raw, dict) else {OBSERVATION: raw}), ACTION_MASK: mask}, shape_kept(mask)


def zero_noise(raw: Any, width: int) -> Tensor:
    """Return ``[B, width]`` zeros for a batch of raw observations."""
    first = next(iter(raw.values())) if isinstance(raw, dict) else raw
    one = ops.reshape(ops.zeros_like(first), (-1, max(1, math.prod(first.shape[1:]))))[:, :1]
    return ops.repeat(ops.cast(one, "float32"), width, axis=1)
