"""The inputs of a Keras policy: one observation or one input a key, noise where it samples, and a mask of actions."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from vinci_offline.errors import SpecError, VinciWarning
from vinci_offline.policies.policy import ACTION_MASK, OBSERVATION, Observations
from vinci_offline.spec import BoxSpace, DictSpace, DiscreteSpace, EnvironmentSpec, Space, describe_space
from vinci_offline.types import Array

if TYPE_CHECKING:
    import keras

NOISE = "noise"
"""The name of a sampler's noise input. Its draws are standard normal."""


class KerasInputs:
    """Maps observations, and noise from the lanes' generators, to a model's inputs.

    A model with an input named ``noise`` is a sampler: a function of the observation and of standard normal noise.
    One with an input named ``action_mask``, which is no key of the observations, takes the mask of allowed actions.
    Dict observations go to the inputs named after their keys, and a key without an input is left out. Other
    observations go to the only other input. A subclassed model does not know its inputs: it gets the observations
    as they are.

    Args:
        model: the Keras model.
        spec: the environment.

    Attributes:
        sampler: True where the model takes noise.
        masked: True where the model takes a mask of actions.

    Raises:
        SpecError: the model's inputs do not fit the observations.
    """

    def __init__(self, model: keras.Model, spec: EnvironmentSpec) -> None:
        self._space = spec.observation_space
        parts = self._space.spaces if isinstance(self._space, DictSpace) else {}
        shapes = _input_shapes(model)
        _check_width(model)
        self.sampler = NOISE in shapes and NOISE not in parts
        noise = shapes.pop(NOISE) if self.sampler else ()
        self._noise_shape = tuple(size for size in noise if size is not None)
        if len(self._noise_shape) < len(noise):
            raise SpecError(f"the model {model.name!r} takes noise of shape {noise}: give it a fixed shape")
        self.masked = ACTION_MASK in shapes and ACTION_MASK not in parts
        if self.masked:
            _check_mask(model, shapes.pop(ACTION_MASK), spec)
        self._names = list(shapes)
        self._by_name = self.sampler or self.masked or isinstance(getattr(model, "input", None), Mapping)
        if shapes:
            _check(model, shapes, parts or dict.fromkeys(self._names[:1], self._space), spec)

    def feed(self, observations: Observations, rngs: Sequence[np.random.Generator]) -> Any:
        """Return the model's inputs for a step of all lanes.

        Raises:
            SpecError: the model takes a mask, and there is none beside the observations.
        """
        mask: Array | None = None
        if self.masked:
            observations, mask = _split(observations, dictionary=isinstance(self._space, DictSpace))
        if isinstance(observations, dict):
            named = {key: observations[key] for key in self._names or observations}
        elif self._by_name:
            named = dict.fromkeys(self._names, observations)
        else:
            return observations
        if mask is not None:
            named[ACTION_MASK] = mask
        if self.sampler:
            noise = [rng.standard_normal(self._noise_shape, dtype=np.float32) for rng in rngs]
            named[NOISE] = np.stack(noise)
        return named

    def zeros(self) -> Any:
        """Return an observation of zeros in a batch of one."""
        if isinstance(self._space, DictSpace):
            return {key: _zeros_of(part) for key, part in self._space.spaces.items()}
        return _zeros_of(self._space)


def _split(observations: Observations, *, dictionary: bool) -> tuple[Observations, Array]:
    """Return the observations and the mask beside them."""
    if not isinstance(observations, dict) or ACTION_MASK not in observations:
        raise SpecError(
            f"the policy takes the mask of allowed actions: give it a dict with {ACTION_MASK!r} beside the observation"
        )
    rest = {key: values for key, values in observations.items() if key != ACTION_MASK}
    return rest if dictionary else rest[OBSERVATION], observations[ACTION_MASK]


def _check_mask(model: keras.Model, shape: tuple[int | None, ...], spec: EnvironmentSpec) -> None:
    space = spec.action_space
    if not isinstance(space, DiscreteSpace) or shape != (space.n,):
        raise SpecError(
            f"the model {model.name!r} takes a mask of shape {shape}, but {spec.id or 'the environment'} has actions "
            f"{describe_space(space)}: use a policy made for this environment"
        )


def _input_shapes(model: keras.Model) -> dict[str, tuple[int | None, ...]]:
    """Return the shape of each input by its name; nothing for a model that does not know its inputs."""
    try:
        known = getattr(model, "input", None)
        if not isinstance(known, Mapping):
            known = {tensor.name: tensor for tensor in model.inputs}
        return {str(name): tuple(tensor.shape[1:]) for name, tensor in known.items()}
    except (AttributeError, ValueError, TypeError):
        return {}  # a subclassed model, or one that is not built yet


def _check_width(model: keras.Model) -> None:
    """Warn where a model shifts observations in float64 and the backend computes in float32 alone."""
    from vinci_offline.keras_setup import wide_dtype

    try:
        dtypes = {str(tensor.dtype) for tensor in model.inputs}
    except (AttributeError, ValueError, TypeError):
        return  # a subclassed model, or one that is not built yet
    if "float64" in dtypes and wide_dtype() != "float64":
        warnings.warn(
            f"the model {model.name!r} takes float64 observations, and JAX rounds them to float32: "
            "act with KERAS_BACKEND=tensorflow",
            VinciWarning,
            stacklevel=2,
        )


def _check(
    model: keras.Model,
    shapes: Mapping[str, tuple[int | None, ...]],
    parts: Mapping[str, Space],
    spec: EnvironmentSpec,
) -> None:
    def fits(key: str, part: Space) -> bool:
        wanted = part.shape if isinstance(part, BoxSpace) else ()
        found = shapes[key]
        return len(found) == len(wanted) and all(a in (None, b) for a, b in zip(found, wanted, strict=True))

    if not set(shapes) <= set(parts) or not all(fits(key, parts[key]) for key in shapes):
        shown = ", ".join(f"{name} {shape}".strip() for name, shape in shapes.items())
        raise SpecError(
            f"the model {model.name!r} takes inputs of shape {shown}, but {spec.id or 'the environment'} "
            f"has observations {describe_space(spec.observation_space)}: use a policy made for this environment"
        )


def _zeros_of(space: Any) -> Array:
    return np.zeros((1, *space.shape), space.dtype) if isinstance(space, BoxSpace) else np.zeros(1, np.int64)
