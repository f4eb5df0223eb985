"""Inputs of networks: raw Keras inputs, and their preparation for the first layer."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from vinci_offline.errors import SpecError
from vinci_offline.keras_setup import wide_dtype
from vinci_offline.networks.encoders import encode_image
from vinci_offline.spec import BoxSpace, DictSpace, DiscreteSpace, EnvironmentSpec, Space
from vinci_offline.spec.units import STD_EPSILON, Units, check_choices
from vinci_offline.types import FloatArray, Moments, Normalization, Tensor

OBSERVATION, ACTION, GOAL, NOISE = "observation", "action", "goal", "noise"
DESIRED_GOAL = "desired_goal"
"""The key of the goal in a Dict of observations, as Gymnasium-Robotics names it."""
_KEY = f"{OBSERVATION}/"
_TAKEN = {ACTION, GOAL, NOISE}


@dataclass(frozen=True)
class Source:
    """One input of a network.

    Attributes:
        raw: Keras input, or a dict of inputs for a Dict space.
        prepared: input of a user network, by placeholder name: normalised, one-hot, or pixels in [0, 1].
        flat: input of a default network: ``[B, F]``, with images encoded.
    """

    raw: Any
    prepared: Mapping[str, Tensor]
    flat: Tensor


class Inputs:
    """Maker of network inputs for one environment.

    Args:
        spec: environment.
        normalization: moments of its observations.
        units: offsets that are already subtracted from the observations.
    """

    def __init__(
        self, spec: EnvironmentSpec, normalization: Normalization, units: Units | None = None
    ) -> None:
        self._spec = spec
        self._normalization = _shifted(normalization, {} if units is None else units.offsets)

    def source(
        self, name: str, network: str, encoder: keras.Model | None = None, image: str = "auto"
    ) -> Source:
        """Make one input of a network.

        Args:
            name: ``observation``, ``observation/KEY`` (one key of a Dict), ``action`` (scaled, or one-hot), or
                ``goal`` (see `goal_space`).
            network: name of the network, a prefix of its layer names.
            encoder: a network that replaces the default preparation.
            image: kind of image encoder, as in `encode_image`.

        Raises:
            SpecError: the environment has no such input.
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
            return found, _moments_of(moments, DESIRED_GOAL) if isinstance(space, DictSpace) else moments
        key = name.removeprefix(_KEY)
        if isinstance(space, DictSpace) and name.startswith(_KEY) and key in space.spaces:
            return space.spaces[key], _moments_of(moments, key)
        keys = ", ".join(_KEY + key for key in space.spaces) if isinstance(space, DictSpace) else ""
        raise SpecError(
            f"a network asks for the input {name!r}, but this environment has: "
            + ", ".join(filter(None, (OBSERVATION, keys, ACTION, GOAL)))
        )


def _shifted(normalization: Normalization, offsets: Mapping[str, FloatArray]) -> Normalization:
    """Return the moments of observations after their offsets are subtracted."""
    if normalization is None or not offsets:
        return normalization
    if isinstance(normalization, Mapping):
        return {
            key: (mean - offsets[key], std) if key in offsets else (mean, std)
            for key, (mean, std) in normalization.items()
        }
    mean, std = normalization
    return mean - offsets[""], std


def _moments_of(moments: Normalization, key: str) -> Moments | None:
    """Return the moments of one key of a Dict space."""
    return moments.get(key) if isinstance(moments, Mapping) else None


def goal_space(space: Space) -> Space:
    """Return the space of goals: ``desired_goal`` of a Dict, or the observation space if there is none."""
    return space.spaces.get(DESIRED_GOAL, space) if isinstance(space, DictSpace) else space


def observation_input(space: Space, name: str = OBSERVATION, wide: Collection[str] = ()) -> Any:
    """Return the Keras input for observations: float32 for a Box, int32 for a Discrete space.

    Keras casts the environment's values (float64, uint8, int64) to the dtype of the input.

    Args:
        space: observation space.
        name: name of the input.
        wide: keys of a Dict that are float64 (on a backend that has it); an empty key for another space.

    Returns:
        An input, or a dict of inputs by key for a Dict space.
    """
    if isinstance(space, DictSpace):
        return {
            key: observation_input(
                part, f"{OBSERVATION}_{key}" if key in _TAKEN else key, ("",) if key in wide else ()
            )
            for key, part in space.spaces.items()
        }
    if isinstance(space, DiscreteSpace):
        check_choices(space)
        return keras.Input(shape=(), dtype="int32", name=name)
    assert isinstance(space, BoxSpace)
    return keras.Input(shape=space.shape, dtype=wide_dtype() if "" in wide else "float32", name=name)


def shape_kept(raw: Any) -> Any:
    """Return raw observations unchanged; in a file too, others than ``[B, *shape]`` are an error.

    Keras takes ``[B, 1]`` for ``[B, 3]``, and `Normalization` broadcasts it.
    """
    if isinstance(raw, dict):
        return {key: shape_kept(part) for key, part in raw.items()}
    shape = tuple(raw.shape[1:])
    return keras.layers.Reshape(shape, dtype=raw.dtype)(raw) if shape else raw


def prepare(observation: Tensor, space: Space, moments: Moments | None, suffix: str = "") -> Tensor:
    """Prepare a raw observation for the first layer.

    Args:
        observation: ``[B, *shape]`` for a Box, ``[B]`` for a Discrete space.
        space: Box or Discrete space.
        moments: mean and deviation; None does not normalise.
        suffix: suffix of layer names.

    Returns:
        A one-hot vector for a Discrete space, pixels in [0, 1] for uint8, otherwise ``(x - mean) / (std + 1e-3)``.
    """
    if isinstance(space, DiscreteSpace):
        return ops.one_hot(observation - space.start, space.n, dtype="float32")
    assert isinstance(space, BoxSpace)
    if space.dtype == "uint8":
        return keras.layers.Rescaling(1 / 255, name=f"pixels{suffix}")(observation)
    if moments is None:
        return observation
    mean, std = moments
    variance = np.square(np.asarray(std, np.float64) + STD_EPSILON)
    if (variance > np.finfo(np.float32).max).any():
        raise SpecError(
            f"observations{suffix.replace('_', '/', 1)} deviate by {np.max(std):.3g}, and float32 holds no square of "
            "it: rescale the observation"
        )
    return keras.layers.Normalization(
        axis=tuple(range(1, 1 + len(space.shape))),
        mean=np.asarray(mean, np.float32).reshape(space.shape),
        variance=variance.astype(np.float32).reshape(space.shape),
        dtype="float32",
        name=f"normalize{suffix}",
    )(observation)


def features(prepared: Tensor, space: Space, name: str, image: str = "auto") -> Tensor:
    """Return a prepared observation as ``[B, F]``. Encode an image, flatten anything else.

    Args:
        prepared: result of `prepare`.
        space: space of the observation.
        name: prefix of layer names.
        image: kind of image encoder, as in `encode_image`.
    """
    if isinstance(space, BoxSpace) and space.dtype == "uint8" and len(space.shape) >= 2:
        return encode_image(prepared, name, image)
    return prepared if len(prepared.shape) == 2 else ops.reshape(prepared, (-1, space.dim))
