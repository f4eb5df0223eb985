"""Policies to save: from raw observations to environment actions, of stock Keras layers only."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from vinci_offline.errors import SpecError
from vinci_offline.keras_setup import load_keras_model
from vinci_offline.networks.action_scaling import scale_tensor, unscale_tensor
from vinci_offline.networks.inputs import NOISE, OBSERVATION, observation_input
from vinci_offline.spec import DiscreteSpace, EnvironmentSpec
from vinci_offline.spec.action_scaling import BoxScaling, box_of
from vinci_offline.types import Tensor

ACTION_MASK = "action_mask"
"""Key of a Dict observation with the mask of allowed actions."""


def policy(spec: EnvironmentSpec, actor: keras.Model) -> keras.Model:
    """Return the deterministic policy of an actor: its action, the mean of its Gaussian, or its most likely action.

    A noisy actor gets zero noise. The policy shares the actor's weights, so training changes it too.

    Returns:
        A model from a raw observation (a dict by key for a Dict space) to ``[B, *shape]`` actions within the bounds,
        float32 or the Box's integer type; for a Discrete space to ``[B]`` int32 in the environment's numbering.
    """
    raw = observation_input(spec.observation_space)
    width = noise_width(actor)
    output = actor(raw) if width is None else actor([raw, _no_noise(raw, width)])
    if isinstance(output, dict) and "logits" in output:
        return keras.Model(raw, _choice(spec, output["logits"], raw), name="policy")
    scaled = output["mean"] if isinstance(output, dict) else output
    return keras.Model(raw, unscale_tensor(BoxScaling(box_of(spec.action_space)), scaled), name="policy")


def sampler(spec: EnvironmentSpec, actor: keras.Model) -> keras.Model:
    """Return the sampling policy of a noisy actor. The caller draws the standard normal noise.

    Returns:
        A model from ``{"observation": raw, "noise": [B, n]}`` to environment actions. For a Dict space the keys of
        the observation stand beside ``noise``.

    Raises:
        SpecError: the actor has no noise input.
    """
    width = noise_width(actor)
    if width is None:
        raise SpecError(f"network {actor.name!r} has no noise input: make it with build.noisy_actor")
    raw = observation_input(spec.observation_space)
    noise = keras.Input(shape=(width,), dtype="float32", name=NOISE)
    inputs = {**(raw if isinstance(raw, dict) else {OBSERVATION: raw}), NOISE: noise}
    actions = unscale_tensor(BoxScaling(box_of(spec.action_space)), actor([raw, noise]))
    return keras.Model(inputs, actions, name="sampler")


def noise_width(actor: keras.Model) -> int | None:
    """Return the width of an actor's noise input; None if it has none."""
    return next((int(x.shape[-1]) for x in actor.inputs if x.name == NOISE), None)


def greedy_policy(spec: EnvironmentSpec, critic: keras.Model) -> keras.Model:
    """Return the policy that takes the action of the greatest mean value of a ``[E, B, n]`` critic."""
    raw = observation_input(spec.observation_space)
    return keras.Model(raw, _choice(spec, ops.mean(critic(raw), axis=0), raw), name="policy")


def stochastic_policy(spec: EnvironmentSpec, actor: keras.Model) -> keras.Model | None:
    """Return the distribution of an actor over environment actions.

    Returns:
        A model from a raw observation to ``{"mean", "log_std"}``, each ``[B, *shape]`` in environment units, or to
        ``{"logits": [B, n]}``. The mean is not clipped: clip the sample. None for a deterministic actor.
    """
    raw = observation_input(spec.observation_space)
    output = actor(raw)
    if not isinstance(output, dict):
        return None
    if "logits" in output:
        return keras.Model(raw, {"logits": output["logits"]}, name="stochastic_policy")
    scaling = BoxScaling(box_of(spec.action_space))
    shape = (-1, *scaling.space.shape)
    # The scale applies to the deviation, the offset does not.
    mean = output["mean"] * scaling.scale + scaling.offset
    log_std = output["log_std"] + np.log(scaling.scale)
    outputs = {"mean": ops.reshape(mean, shape), "log_std": ops.reshape(log_std, shape)}
    return keras.Model(raw, outputs, name="stochastic_policy")


def stored_actor(spec: EnvironmentSpec, name: str, path: str) -> keras.Model:
    """Load a stored policy as a frozen network from a raw observation to a ``[B, A]`` scaled action.

    Raises:
        VinciError: the file is missing or damaged, or Keras' safe mode refuses it.
        SpecError: the policy does not fit the environment.
    """
    stored = load_keras_model(Path(path), use=name)
    scaling = BoxScaling(box_of(spec.action_space))
    raw = observation_input(spec.observation_space)
    try:
        action = stored(raw)
    except (ValueError, TypeError) as error:
        raise SpecError(f"{path} does not take observations of shape {tuple(raw.shape[1:])}") from error
    shape = getattr(action, "shape", (None,))
    if tuple(shape[1:]) != scaling.space.shape:
        raise SpecError(
            f"{path} returns actions of shape {tuple(shape)}, but the environment needs {scaling.space.shape}"
        )
    model = keras.Model(raw, scale_tensor(scaling, action), name=name)
    model.trainable = False
    return model


def _choice(spec: EnvironmentSpec, scores: Tensor, raw: Any) -> Tensor:
    """Return the action of the greatest score. An ``action_mask`` in the observation excludes actions."""
    assert isinstance(spec.action_space, DiscreteSpace)
    if (
        isinstance(raw, dict)
        and ACTION_MASK in raw
        and tuple(raw[ACTION_MASK].shape[1:]) == (spec.action_space.n,)
    ):
        scores = ops.where(raw[ACTION_MASK] > 0, scores, -np.inf)
    return ops.argmax(scores, axis=-1) + spec.action_space.start


def _no_noise(raw: Any, width: int) -> Tensor:
    """Return ``[B, width]`` zeros for a batch of raw observations."""
    first = next(iter(raw.values())) if isinstance(raw, dict) else raw
    one = ops.reshape(ops.zeros_like(first), (-1, max(1, math.prod(first.shape[1:]))))[:, :1]
    return ops.repeat(ops.cast(one, "float32"), width, axis=1)
