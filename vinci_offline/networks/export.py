"""Policies as files: raw observation in, environment action out, stock Keras layers and operations only."""

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
"""The key of a Dict observation that says which choices are allowed."""


def policy(spec: EnvironmentSpec, actor: keras.Model) -> keras.Model:
    """Return the deterministic policy of an actor: its action, its Gaussian's mean, or its most likely choice.

    An actor that takes noise acts with noise zero. The policy shares the actor's weights: made before training, it
    acts as trained.

    Returns:
        Raw observation (of a Dict space a dict by key) to ``[B, *shape]`` float32 within the bounds (integers where
        the Box holds integers), or to ``[B]`` int32 choices as the environment counts them.
    """
    raw = observation_input(spec.observation_space)
    width = noise_width(actor)
    output = actor(raw) if width is None else actor([raw, _no_noise(raw, width)])
    if isinstance(output, dict) and "logits" in output:
        return keras.Model(raw, _choice(spec, output["logits"], raw), name="policy")
    scaled = output["mean"] if isinstance(output, dict) else output
    return keras.Model(raw, unscale_tensor(BoxScaling(box_of(spec.action_space)), scaled), name="policy")


def sampler(spec: EnvironmentSpec, actor: keras.Model) -> keras.Model:
    """Return the sampling policy of an actor that takes noise.

    Returns:
        ``{"observation": raw, "noise": [B, n]}`` (for a Dict space the observation's keys beside ``noise``) to
        environment actions; the noise is standard normal, and whoever acts draws it.

    Raises:
        SpecError: the actor takes no noise.
    """
    width = noise_width(actor)
    if width is None:
        raise SpecError(f"network {actor.name!r} takes no noise: make it with build.noisy_actor")
    raw = observation_input(spec.observation_space)
    noise = keras.Input(shape=(width,), dtype="float32", name=NOISE)
    inputs = {**(raw if isinstance(raw, dict) else {OBSERVATION: raw}), NOISE: noise}
    actions = unscale_tensor(BoxScaling(box_of(spec.action_space)), actor([raw, noise]))
    return keras.Model(inputs, actions, name="sampler")


def noise_width(actor: keras.Model) -> int | None:
    """Return the width of the noise that an actor takes; None where it takes none."""
    return next((int(x.shape[-1]) for x in actor.inputs if x.name == NOISE), None)


def greedy_policy(spec: EnvironmentSpec, critic: keras.Model) -> keras.Model:
    """Return the policy that takes the choice of the greatest mean value of a ``[E, B, n]`` critic."""
    raw = observation_input(spec.observation_space)
    return keras.Model(raw, _choice(spec, ops.mean(critic(raw), axis=0), raw), name="policy")


def stochastic_policy(spec: EnvironmentSpec, actor: keras.Model) -> keras.Model | None:
    """Return the distribution of an actor over environment actions.

    Returns:
        Raw observation to ``{"mean", "log_std"}``, each ``[B, *shape]`` in the environment's units and not
        clipped (whoever samples clips the sample), or to ``{"logits": [B, n]}``; None for a deterministic
        actor.
    """
    raw = observation_input(spec.observation_space)
    output = actor(raw)
    if not isinstance(output, dict):
        return None
    if "logits" in output:
        return keras.Model(raw, {"logits": output["logits"]}, name="stochastic_policy")
    scaling = BoxScaling(box_of(spec.action_space))
    shape = (-1, *scaling.space.shape)
    # A deviation is stretched by the scale and never moved by the offset.
    mean = output["mean"] * scaling.scale + scaling.offset
    log_std = output["log_std"] + np.log(scaling.scale)
    outputs = {"mean": ops.reshape(mean, shape), "log_std": ops.reshape(log_std, shape)}
    return keras.Model(raw, outputs, name="stochastic_policy")


def stored_actor(spec: EnvironmentSpec, name: str, path: str) -> keras.Model:
    """Load a stored policy as a frozen network for losses: raw observation to ``[B, A]`` scaled action.

    Raises:
        VinciError: the file is missing or damaged, or Keras' safe mode refuses it.
        SpecError: it does not fit the environment.
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
            f"{path} returns {tuple(shape)}, and the environment's actions are {scaling.space.shape}"
        )
    model = keras.Model(raw, scale_tensor(scaling, action), name=name)
    model.trainable = False
    return model


def _choice(spec: EnvironmentSpec, scores: Tensor, raw: Any) -> Tensor:
    """Take the choice of the greatest score, among those that the observation's ``action_mask`` allows."""
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
