"""Policies as files: raw observation in, environment action out, stock Keras layers and operations only."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
from keras import ops

from vinci_offline.errors import SpecError
from vinci_offline.keras_setup import load_keras_model
from vinci_offline.networks.action_scaling import scale_tensor, unscale_tensor
from vinci_offline.networks.layers import observation_input
from vinci_offline.spec import DiscreteSpace, EnvironmentSpec
from vinci_offline.spec.action_scaling import BoxScaling, box_of
from vinci_offline.types import Tensor


def policy(spec: EnvironmentSpec, actor: keras.Model) -> keras.Model:
    """The deterministic policy of an actor: its action, its Gaussian's mean, or its most likely choice.

    It shares the actor's weights, so one made before training acts as trained.

    Returns:
        Raw observation to ``[B, *shape]`` float32 within the bounds (integers where the Box holds integers),
        or to ``[B]`` int32 choices as the environment counts them.
    """
    raw = observation_input(spec.observation_space)
    output = actor(raw)
    if isinstance(output, dict) and "logits" in output:
        return keras.Model(raw, _choice(spec, output["logits"]), name="policy")
    scaled = output["mean"] if isinstance(output, dict) else output
    return keras.Model(raw, unscale_tensor(BoxScaling(box_of(spec.action_space)), scaled), name="policy")


def greedy_policy(spec: EnvironmentSpec, critic: keras.Model) -> keras.Model:
    """The policy that takes the choice of the greatest mean value of a ``[E, B, n]`` critic."""
    raw = observation_input(spec.observation_space)
    return keras.Model(raw, _choice(spec, ops.mean(critic(raw), axis=0)), name="policy")


def stochastic_policy(spec: EnvironmentSpec, actor: keras.Model) -> keras.Model | None:
    """The distribution of an actor over environment actions.

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


def _choice(spec: EnvironmentSpec, scores: Tensor) -> Tensor:
    assert isinstance(spec.action_space, DiscreteSpace)
    return ops.argmax(scores, axis=-1) + spec.action_space.start
