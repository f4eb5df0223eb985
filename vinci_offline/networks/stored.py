"""Policies of files, and the random one, as frozen networks that losses can ask for actions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from vinci_offline.data.layout import ACTION_MASKS
from vinci_offline.errors import SpecError
from vinci_offline.functional.masks import EXCLUDED, masked
from vinci_offline.keras_setup import load_keras_model, wide_dtype
from vinci_offline.networks.action_scaling import scale_tensor
from vinci_offline.networks.export import (
    ACTION_MASK,
    box_scaling,
    moved_observations,
    observed_mask,
    zero_noise,
)
from vinci_offline.networks.inputs import NOISE, observation_input
from vinci_offline.spec import DictSpace, DiscreteSpace, describe_space
from vinci_offline.spec.units import Units
from vinci_offline.types import Tensor


def stored_actor(units: Units, name: str, path: str) -> keras.Model:
    """Load a stored policy as a frozen network from a raw observation to a ``[B, A]`` scaled action.

    Raises:
        VinciError: the file is missing or damaged, or Keras' safe mode refuses it.
        SpecError: the policy does not fit the environment.
    """
    box_scaling(units)  # refuses others
    model = stored_policy(units, name, path, stochastic=False)
    if isinstance(model.input, list):
        raise SpecError(f"{path} draws its actions: give the policy.keras of the same run")
    return model


def stored_policy(
    units: Units, name: str, path: str, *, stochastic: bool = True, masked: bool = False
) -> keras.Model:
    """Load a stored policy as a frozen network with the output of an actor.

    Args:
        units: units of observations and actions.
        name: name of the network.
        path: a ``.keras`` file as `vinci_offline.policies.keras_policy.KerasPolicy` takes it.
        stochastic: keep the distribution of a file that has one; otherwise its mean or its most likely choice.
        masked: the data tell which choices are allowed, for a policy that takes their mask beside the observation.

    Returns:
        A model from a raw observation, from ``[observation, noise]`` for a sampler, or from ``[observation,
        action_mask]`` for a policy with masks, to a ``[B, A]`` scaled action, to ``{"mean", "log_std"}`` in scaled
        units, or to ``{"logits"}``. Those of a deterministic policy leave one choice alone.

    Raises:
        VinciError: the file is missing or damaged, or Keras' safe mode refuses it.
        SpecError: the policy does not fit the environment, or needs masks that the data do not have.
    """
    loaded = load_keras_model(Path(path), use=name)
    raw = observation_input(units.spec.observation_space)
    noise, mask = _noise_input(loaded, units), _mask_input(loaded, units, path, masked)
    beside = [each for each in (noise, mask) if each is not None]
    try:
        output = loaded(_arguments(loaded, _unshifted(units, raw), beside))
    except (ValueError, TypeError, KeyError) as error:
        raise SpecError(
            f"{path} does not take the observations {describe_space(units.spec.observation_space)}"
        ) from error
    output = output[0] if isinstance(output, list | tuple) and len(output) == 1 else output
    make = _choices if isinstance(units.spec.action_space, DiscreteSpace) else _actions
    model = keras.Model([raw, *beside] if beside else raw, make(units, output, path, stochastic), name=name)
    model.trainable = False
    return model


def random_policy(units: Units, name: str) -> keras.Model:
    """Return the uniform policy as a network without weights, to ``{"low", "high"}`` or ``{"logits"}``.

    An ``action_mask`` in the observation excludes choices.

    Raises:
        SpecError: the actions have no bounds, or are whole numbers.
    """
    raw, space = observation_input(units.spec.observation_space), units.spec.action_space
    if isinstance(space, DiscreteSpace):
        logits = masked(zero_noise(raw, space.n), observed_mask(units, raw))
        return keras.Model(raw, {"logits": logits}, name=name)
    scaling = box_scaling(units)
    low, high = scaling.bounds
    if scaling.integer or not (scaling.space.has_low & scaling.space.has_high).all():
        raise SpecError(
            f"the random policy is uniform between bounds, and the actions are {describe_space(space)}: name the "
            "policy's run directory or .keras file"
        )
    zero = zero_noise(raw, scaling.space.dim)
    return keras.Model(raw, {"low": zero + low, "high": zero + high}, name=name)


def _noise_input(model: keras.Model, units: Units) -> Tensor | None:
    """Return the noise that a sampler takes; None for other policies."""
    space = units.spec.observation_space
    if isinstance(space, DictSpace) and NOISE in space.spaces:
        return None
    given = getattr(model, "inputs", None) or []
    width = next((int(each.shape[-1]) for each in given if each.name == NOISE), None)
    return None if width is None else keras.Input(shape=(width,), dtype="float32", name=NOISE)


def _mask_input(model: keras.Model, units: Units, path: str, masked: bool) -> Tensor | None:
    """Return the mask that a policy takes beside the observation; None for other policies.

    Raises:
        SpecError: it takes one, and the data have none.
    """
    space, actions = units.spec.observation_space, units.spec.action_space
    observed = isinstance(space, DictSpace) and ACTION_MASK in space.spaces
    taken = any(each.name == ACTION_MASK for each in getattr(model, "inputs", None) or [])
    if observed or not taken or not isinstance(actions, DiscreteSpace):
        return None
    if not masked:
        raise SpecError(
            f"{path} takes a mask of actions beside the observation, and the data have no {ACTION_MASKS}; collect "
            "records it with --record-infos action_mask"
        )
    return keras.Input(shape=(actions.n,), dtype="float32", name=ACTION_MASK)


def _arguments(model: keras.Model, observation: Any, beside: Sequence[Any]) -> Any:
    """Return a model's inputs by the names that it has for them.

    Args:
        model: a stored policy.
        observation: the observation, or a dict by key.
        beside: what it takes besides, by name: noise, a mask.
    """
    others = {each.name: each for each in beside}

    def argument(name: str) -> Any:
        if name in others:
            return others[name]
        return observation[name] if isinstance(observation, dict) else observation

    given = getattr(model, "input", None)
    if isinstance(given, Mapping):
        return {name: argument(name) for name in given}
    if isinstance(given, list | tuple):
        return [argument(each.name) for each in given]
    return observation if given is None or not isinstance(observation, dict) else argument(given.name)


def _actions(units: Units, output: Any, path: str, stochastic: bool) -> Any:
    """Return the output of a policy of continuous actions in scaled units."""
    scaling = box_scaling(units)
    distribution = isinstance(output, Mapping) and {"mean", "log_std"} <= set(output)
    mean = output["mean"] if distribution else output
    shape = () if isinstance(mean, Mapping | list) else tuple(mean.shape)
    if shape[1:] != scaling.space.shape:
        raise SpecError(
            f"{path} returns actions of shape {shape}, but the environment needs {scaling.space.shape}"
        )
    if not (distribution and stochastic):
        return scale_tensor(scaling, mean)
    log_std = ops.reshape(output["log_std"], (-1, scaling.space.dim))
    return {"mean": scale_tensor(scaling, mean), "log_std": log_std - np.log(scaling.scale)}


def _choices(units: Units, output: Any, path: str, stochastic: bool) -> Any:
    """Return the output of a policy of choices as logits."""
    space = units.spec.action_space
    assert isinstance(space, DiscreteSpace)
    distribution = isinstance(output, Mapping) and "logits" in output
    scores = output["logits"] if distribution else output
    shape = () if isinstance(scores, Mapping | list) else tuple(scores.shape)
    if len(shape) == 2 and shape[1] == space.n:
        if distribution and stochastic:
            return {"logits": ops.cast(scores, "float32")}
        chosen = ops.top_k(scores, 1)[1][:, 0]
    elif shape in ((None,), (None, 1)):
        chosen = ops.reshape(ops.cast(scores, "int32"), (-1,)) - space.start
    else:
        raise SpecError(
            f"{path} returns {shape or 'something else'}, but the environment needs {describe_space(space)}"
        )
    return {"logits": ops.where(ops.one_hot(chosen, space.n) > 0, 0.0, EXCLUDED)}


def _unshifted(units: Units, observation: Any) -> Any:
    """Return the raw observations of what a network takes."""
    wide = wide_dtype()
    return moved_observations(
        units, observation, lambda values, offset: ops.cast(values, wide) + offset.astype(wide)
    )
