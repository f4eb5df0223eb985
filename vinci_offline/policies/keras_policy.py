"""Policies from Keras models: deterministic, with a distribution, or samplers that take noise."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from vinci_offline.errors import SpecError, UsageError
from vinci_offline.keras_setup import check_process
from vinci_offline.policies.actions import to_actions, to_choices
from vinci_offline.policies.densities import clipped_gaussian_log_prob, log_softmax
from vinci_offline.policies.keras_inputs import KerasInputs
from vinci_offline.policies.numpy_network import NumpyNetwork, numpy_network
from vinci_offline.policies.policy import Decision, Observations, Policy
from vinci_offline.policies.sampling import sample_categorical, sample_gaussian
from vinci_offline.spec import (
    BoxSpace,
    DiscreteSpace,
    EnvironmentSpec,
    describe_space,
    is_countable,
)
from vinci_offline.types import Array, FloatArray

if TYPE_CHECKING:
    import keras


class KerasPolicy(Policy):
    """A Keras model that acts for all lanes with one call a step. It keeps the weights that the model has now.

    The model maps raw observations ``[B, ...]``, or one input a key of Dict observations, to one of

    - environment actions: ``[B, A]`` for a Box, ``[B]`` integers for Discrete;
    - ``[B, n]`` scores for Discrete, of which the largest is taken;
    - ``{"mean", "log_std"}``, each ``[B, A]``: a Gaussian in the environment's units, clipped to the bounds;
    - ``{"logits"}`` ``[B, n]``: a categorical distribution.

    Without ``stochastic`` the policy takes a distribution's mean or its most likely choice. A Discrete choice then
    has log probability 0; a continuous action has no density.

    A model with a further input ``action_mask``, ``[B, n]`` for Discrete, obeys a mask of allowed actions, which an
    environment gives as ``info["action_mask"]``.

    A model with a further input ``noise`` is a sampler: each lane's generator draws that input, so a lane's actions
    repeat. It always samples, and its actions have no known density.

    Args:
        model: the Keras model.
        spec: the environment.
        stochastic: sample from the model's distribution, and record the density of the samples.

    Raises:
        SpecError: the model's inputs or outputs do not fit the environment.
        UsageError: ``stochastic`` for a model without a distribution; or Keras hangs in this process, which was forked.
    """

    def __init__(self, model: keras.Model, spec: EnvironmentSpec, *, stochastic: bool = False) -> None:
        check_process()
        self._space = spec.action_space
        self._inputs = KerasInputs(model, spec)
        self.takes_masks = self._inputs.masked
        self._distribution = _check_output(_output(model, self._inputs), spec)
        self._samples = stochastic and self._distribution
        self.deterministic = not (stochastic or self._inputs.sampler)
        self._function: Callable[[Any], Any] = numpy_network(model) or model.predict_on_batch
        if stochastic and not (self._distribution or self._inputs.sampler):
            raise UsageError(
                f"the model {model.name!r} gives actions, not a distribution, so it cannot be sampled: "
                'use a model that returns {"mean", "log_std"} or {"logits"}, or that has an input "noise"; '
                "or leave sampling out"
            )

    @property
    def portable(self) -> bool:
        """True where the policy can be sent to a process that has no Keras."""
        return isinstance(self._function, NumpyNetwork)

    def act(self, observations: Observations, rngs: Sequence[np.random.Generator]) -> Decision:
        """Choose actions for all lanes."""
        output = _only(self._function(self._inputs.feed(observations, rngs)))
        if isinstance(self._space, BoxSpace):
            return self._act_box(self._space, output, rngs)
        assert isinstance(self._space, DiscreteSpace)
        return self._act_discrete(self._space, output, rngs)

    def log_probs_of(self, observations: Observations, actions: Array) -> FloatArray | None:
        """Return the log density of given actions; None for samplers, and for continuous actions without one."""
        space, count = self._space, len(actions)
        if self._inputs.sampler or (
            isinstance(space, BoxSpace) and not (self._samples or is_countable(space))
        ):
            return None
        if not self._samples:
            unused = [np.random.default_rng(0)] * count  # a deterministic policy draws nothing
            same = self.act(observations, unused).actions == actions
            certain: FloatArray = np.where(same.reshape(count, -1).all(axis=1), 0.0, -np.inf)
            return certain
        output = _only(self._function(self._inputs.feed(observations, ())))
        if isinstance(space, DiscreteSpace):
            chosen: FloatArray = log_softmax(output["logits"])[np.arange(count), actions - space.start]
            return chosen
        assert isinstance(space, BoxSpace)
        shape = (count, *space.shape)
        mean, log_std = (np.asarray(output[name], np.float64).reshape(shape) for name in ("mean", "log_std"))
        return clipped_gaussian_log_prob(actions, mean, np.exp(log_std), space.low, space.high)

    def parameters_of(self, observations: Observations) -> dict[str, FloatArray]:
        """Return the parameters of the distribution at each observation: ``mean`` and ``log_std``, or ``logits``.

        Raises:
            UsageError: the model has no distribution.
        """
        if not self._distribution:
            raise UsageError(
                "the policy has no distribution: give one that was trained with a stochastic actor"
            )
        output = _only(self._function(self._inputs.feed(observations, ())))
        return {name: np.asarray(values, np.float64) for name, values in output.items()}

    def _act_box(self, space: BoxSpace, output: Any, rngs: Sequence[np.random.Generator]) -> Decision:
        if self._samples:
            std = np.exp(np.asarray(output["log_std"], np.float64))
            return sample_gaussian(output["mean"], std, space, rngs)
        actions = to_actions(output["mean"] if self._distribution else output, space, len(rngs))
        return Decision(actions, self._certain(len(rngs)) if is_countable(space) else None)

    def _act_discrete(
        self, space: DiscreteSpace, output: Any, rngs: Sequence[np.random.Generator]
    ) -> Decision:
        scores = output["logits"] if self._distribution else output
        if self._samples:
            return sample_categorical(scores, space, rngs)
        scores, certain = np.asarray(scores), self._certain(len(rngs))
        if scores.ndim == 1 or scores.shape[1] != space.n:
            return Decision(to_actions(scores, space, len(rngs)), certain)
        return Decision(to_choices(scores, space, len(rngs)), certain)

    def _certain(self, lanes: int) -> FloatArray | None:
        """Return log probability 0 for the choices of a deterministic policy; None for a sampler's."""
        return np.zeros(lanes) if self.deterministic else None


def _output(model: keras.Model, inputs: KerasInputs) -> Any:
    """Return a model's symbolic output, or its output for zeros where it knows no symbolic one."""
    import keras

    try:
        output = model.outputs[0] if isinstance(model, keras.Sequential) else model.output
    except AttributeError:
        output = model.predict_on_batch(inputs.zeros())  # a subclassed model
    if isinstance(output, list | tuple) and len(output) != 1:
        raise SpecError(
            f"the model {model.name!r} has {len(output)} outputs: a policy returns one, its actions or scores, or a "
            'dict {"mean", "log_std"} or {"logits"}'
        )
    return _only(output)


def _only(output: Any) -> Any:
    """Return the one output of a model whose outputs are a list."""
    return output[0] if isinstance(output, list | tuple) else output


def _check_output(output: Any, spec: EnvironmentSpec) -> bool:
    """Return True for a distribution, False for actions; raise a SpecError where neither fits the action space."""
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
