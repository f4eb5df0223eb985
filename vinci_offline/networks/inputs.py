"""What a network is built on: raw Keras inputs by source, and what its first layer sees of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from vinci_offline.errors import SpecError
from vinci_offline.networks.encoders import encode_image
from vinci_offline.spec import BoxSpace, DictSpace, DiscreteSpace, EnvironmentSpec, Space
from vinci_offline.types import Moments, Normalization, Tensor

STD_EPSILON = 1e-3
"""Added to the standard deviation before dividing by it (Fujimoto and Gu, 2021, section 5.1)."""

OBSERVATION, ACTION, GOAL, NOISE = "observation", "action", "goal", "noise"
_KEY = f"{OBSERVATION}/"
_TAKEN = {ACTION, GOAL, NOISE}


@dataclass(frozen=True)
class Source:
    """One argument of a network.

    Attributes:
        raw: the Keras input, or a dict of them for a Dict space.
        prepared: what a user's network sees of it, by the name of its placeholder: normalised, one-hot, pixels in
            [0, 1].
        flat: ``[B, F]``, images encoded: what the default networks see of it.
    """

    raw: Any
    prepared: Mapping[str, Tensor]
    flat: Tensor


class Inputs:
    """Makes the inputs of networks for one environment.

    Args:
        spec: the environment.
        normalization: the moments of its observations.
    """

    def __init__(self, spec: EnvironmentSpec, normalization: Normalization) -> None:
        self._spec = spec
        self._normalization = normalization

    def source(
        self, name: str, network: str, encoder: keras.Model | None = None, image: str = "auto"
    ) -> Source:
        """Make one argument of a network.

        Args:
            name: ``observation``, ``observation/KEY`` (one part of a Dict), ``action`` (scaled, or one-hot), or
                ``goal`` (see `goal_space`).
            network: the network's name, a prefix of its layers' names.
            encoder: a network of the agent's in place of the default preparation of observations and goals.
            image: the encoder of images, as `encode_image` takes it.

        Raises:
            SpecError: the environment has no such argument.
        """
        if name == ACTION:
            return self._action()
        space, moments = self._space(name)
        label = name.rpartition("/")[2]
        raw = observation_input(space, label)
        placeholder = "state" if label == OBSERVATION else label
        if encoder is not None:
            found = encoder(raw)
            return Source(raw, {placeholder: found}, found)
        suffix = "" if label == OBSERVATION else f"_{label}"
        if not isinstance(space, DictSpace):
            prepared = prepare(raw, space, moments, suffix)
            return Source(raw, {placeholder: prepared}, features(prepared, space, network + suffix, image))
        parts = {
            key: prepare(raw[key], part, _moments_of(moments, key), f"{suffix}_{key}")
            for key, part in space.spaces.items()
        }
        flat = [features(parts[key], part, f"{network}_{key}", image) for key, part in space.spaces.items()]
        return Source(raw, parts, ops.concatenate(flat, axis=-1) if len(flat) > 1 else flat[0])

    def _action(self) -> Source:
        space = self._spec.action_space
        raw = keras.Input(shape=(space.dim,), dtype="float32", name=ACTION)
        return Source(raw, {ACTION: raw}, raw)

    def _space(self, name: str) -> tuple[Space, Any]:
        space, moments = self._spec.observation_space, self._normalization
        if name == OBSERVATION:
            return space, moments
        if name == GOAL:
            found = goal_space(space)
            return found, _moments_of(moments, "desired_goal") if isinstance(space, DictSpace) else moments
        key = name.removeprefix(_KEY)
        if isinstance(space, DictSpace) and name.startswith(_KEY) and key in space.spaces:
            return space.spaces[key], _moments_of(moments, key)
        keys = ", ".join(_KEY + key for key in space.spaces) if isinstance(space, DictSpace) else ""
        raise SpecError(
            f"a network is built on {name!r}, which this environment does not have; there are: "
            + ", ".join(filter(None, (OBSERVATION, keys, ACTION, GOAL)))
        )


def _moments_of(moments: Normalization, key: str) -> Moments | None:
    """Return the moments of one key of a Dict space."""
    return moments.get(key) if isinstance(moments, Mapping) else None


def goal_space(space: Space) -> Space:
    """Return the space of goals: ``desired_goal`` of a Dict that has it, otherwise the observations' own space."""
    return space.spaces.get("desired_goal", space) if isinstance(space, DictSpace) else space


def observation_input(space: Space, name: str = OBSERVATION) -> Any:
    """Return the Keras input for raw observations: float32 of a Box's shape, or an int32 for a Discrete space.

    Keras casts whatever the environment hands over (float64, uint8, int64) to the input's dtype.

    Args:
        space: the observation space.
        name: the input's name.

    Returns:
        An input; for a Dict space a dict of inputs by key.
    """
    if isinstance(space, DictSpace):
        return {
            key: observation_input(part, f"{OBSERVATION}_{key}" if key in _TAKEN else key)
            for key, part in space.spaces.items()
        }
    if isinstance(space, DiscreteSpace):
        return keras.Input(shape=(), dtype="int32", name=name)
    assert isinstance(space, BoxSpace)
    return keras.Input(shape=space.shape, dtype="float32", name=name)


def prepare(observation: Tensor, space: Space, moments: Moments | None, suffix: str = "") -> Tensor:
    """Prepare a raw observation for the first layer.

    Args:
        observation: ``[B, *shape]``, or ``[B]`` choices.
        space: a Box or a Discrete space.
        moments: mean and deviation, or None.
        suffix: of the layers' names.

    Returns:
        One-hot choices of a Discrete space, pixels of uint8 in [0, 1], otherwise ``(x - mean) / (std + 1e-3)`` where
        the moments are known.
    """
    if isinstance(space, DiscreteSpace):
        return ops.one_hot(observation - space.start, space.n, dtype="float32")
    assert isinstance(space, BoxSpace)
    if space.dtype == "uint8":
        return keras.layers.Rescaling(1 / 255, name=f"pixels{suffix}")(observation)
    if moments is None:
        return observation
    mean, std = moments
    return keras.layers.Normalization(
        axis=tuple(range(1, 1 + len(space.shape))),
        mean=np.asarray(mean, np.float32).reshape(space.shape),
        variance=np.square(np.asarray(std, np.float64) + STD_EPSILON).astype(np.float32).reshape(space.shape),
        dtype="float32",
        name=f"normalize{suffix}",
    )(observation)


def features(prepared: Tensor, space: Space, name: str, image: str = "auto") -> Tensor:
    """Return a prepared observation as ``[B, F]``: an image through an encoder, anything else flat.

    Args:
        prepared: what `prepare` returns.
        space: its space.
        name: prefix of the encoder's layers.
        image: the kind of encoder, as `encode_image` takes it.
    """
    if isinstance(space, BoxSpace) and space.dtype == "uint8" and len(space.shape) >= 2:
        return encode_image(prepared, name, image)
    return prepared if len(prepared.shape) == 2 else ops.reshape(prepared, (-1, space.dim))
