"""Keras models as policies."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from vinci_offline.errors import SpecError, UsageError
from vinci_offline.policies.policy import Decision, Observations, Policy, to_actions
from vinci_offline.policies.sampling import sample_categorical, sample_gaussian
from vinci_offline.spec import (
    BoxSpace,
    DictSpace,
    DiscreteSpace,
    EnvironmentSpec,
    describe_space,
    is_countable,
)
from vinci_offline.types import Array

if TYPE_CHECKING:
    import keras


class KerasPolicy(Policy):
    """A Keras model acting for all lanes with one compiled call a step.

    The model maps raw observations ``[B, ...]`` to one of

    - environment actions: ``[B, A]`` for a Box, ``[B]`` integers for Discrete;
    - ``[B, n]`` scores for Discrete, of which the largest is taken;
    - ``{"mean", "log_std"}``, each ``[B, A]``: a Gaussian in the environment's units, clipped to the bounds;
    - ``{"logits"}`` ``[B, n]``: a categorical distribution.

    Acting deterministically takes a distribution's mean or its most likely choice. A Discrete choice then has
    log probability 0; a continuous one has no density.

    Args:
        model: the Keras model.
        spec: the environment.
        stochastic: sample from the model's distribution, and say the density of what was drawn.

    Raises:
        SpecError: the model's inputs or outputs do not fit the environment.
        UsageError: ``stochastic`` for a model without a distribution.
    """

    def __init__(self, model: keras.Model, spec: EnvironmentSpec, *, stochastic: bool = False) -> None:
        self.deterministic = not stochastic
        self._model = model
        self._space = spec.action_space
        _check_inputs(model, spec)
        self._distribution = _check_output(_output(model, spec), spec)
        if stochastic and not self._distribution:
            raise UsageError(
                f"the model {model.name!r} gives actions, not a distribution, so it cannot be sampled: "
                'use a model that returns {"mean", "log_std"} or {"logits"}, or leave sampling out'
            )

    def act(self, observations: Observations, rngs: Sequence[np.random.Generator]) -> Decision:
        """Choose actions for all lanes."""
        output = self._model.predict_on_batch(observations)
        if isinstance(self._space, BoxSpace):
            return self._act_box(self._space, output, rngs)
        assert isinstance(self._space, DiscreteSpace)
        return self._act_discrete(self._space, output, rngs)

    def _act_box(self, space: BoxSpace, output: Any, rngs: Sequence[np.random.Generator]) -> Decision:
        if self.deterministic:
            actions = to_actions(output["mean"] if self._distribution else output, space)
            return Decision(actions, np.zeros(len(rngs)) if is_countable(space) else None)
        std = np.exp(np.asarray(output["log_std"], np.float64))
        return sample_gaussian(output["mean"], std, space, rngs)

    def _act_discrete(
        self, space: DiscreteSpace, output: Any, rngs: Sequence[np.random.Generator]
    ) -> Decision:
        lanes = len(rngs)
        scores = output["logits"] if self._distribution else output
        if not self.deterministic:
            return sample_categorical(scores, space, rngs)
        scores = np.asarray(scores)
        if scores.ndim == 1 or scores.shape[1] != space.n:
            return Decision(to_actions(scores, space), np.zeros(lanes))
        return Decision(scores.argmax(axis=1) + space.start, np.zeros(lanes))


def _output(model: keras.Model, spec: EnvironmentSpec) -> Any:
    """A model's output, symbolic where it knows it, else of one observation of zeros."""
    import keras

    try:
        return model.outputs[0] if isinstance(model, keras.Sequential) else model.output
    except AttributeError:
        pass  # a subclassed model says what it gives only when it is called
    space = spec.observation_space
    if isinstance(space, DictSpace):
        return model.predict_on_batch({key: _zeros_of(part) for key, part in space.spaces.items()})
    return model.predict_on_batch(_zeros_of(space))


def _zeros_of(space: Any) -> Array:
    return np.zeros((1, *space.shape), space.dtype) if isinstance(space, BoxSpace) else np.zeros(1, np.int64)


def _check_inputs(model: keras.Model, spec: EnvironmentSpec) -> None:
    """Compare the shapes of a functional or Sequential model's inputs with the observation space."""
    try:
        found = [tuple(tensor.shape[1:]) for tensor in model.inputs]
    except (AttributeError, ValueError, TypeError):
        return  # a subclassed model, or one not built yet
    space = spec.observation_space
    spaces = list(space.spaces.values()) if isinstance(space, DictSpace) else [space]
    wanted = [part.shape if isinstance(part, BoxSpace) else () for part in spaces]
    fits = len(found) == len(wanted) and all(
        len(one) == len(two) and all(a in (None, b) for a, b in zip(one, two, strict=True))
        for one, two in zip(sorted(found, key=str), sorted(wanted, key=str), strict=True)
    )
    if not fits:
        raise SpecError(
            f"the model {model.name!r} takes inputs of shape {found}, but {spec.id or 'the environment'} "
            f"has observations {describe_space(space)}: use a policy made for this environment"
        )


def _check_output(output: Any, spec: EnvironmentSpec) -> bool:
    """Whether a model's output is a distribution, once it is known to fit the action space."""
    space = spec.action_space
    names = set(output) if isinstance(output, Mapping) else set()
    if isinstance(space, BoxSpace):
        wanted, sizes = {"mean", "log_std"}, {space.dim}
    else:
        assert isinstance(space, DiscreteSpace)
        wanted, sizes = {"logits"}, {space.n}
    distribution = wanted <= names
    parts = [output[name] for name in wanted] if distribution else [] if names else [output]
    if not distribution and isinstance(space, DiscreteSpace):
        sizes |= {1}
    shapes = [tuple(part.shape[1:]) for part in parts]
    if distribution and isinstance(space, BoxSpace) and is_countable(space):
        raise SpecError(
            f"the model's output is a Gaussian and the actions of {spec.id or 'the environment'} are whole numbers, "
            f"{describe_space(space)}: use a model that returns actions"
        )
    if not shapes or any(None not in shape and math.prod(shape) not in sizes for shape in shapes):
        shown = {name: tuple(part.shape[1:]) for name, part in output.items()} if names else shapes[0]
        raise SpecError(
            f"the model's output {shown} does not fit the actions of {spec.id or 'the environment'}, "
            f"{describe_space(space)}: use a policy made for this environment"
        )
    return distribution
