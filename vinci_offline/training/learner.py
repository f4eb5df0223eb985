"""The learner: an agent bound to its networks, targets and optimizers. All training state lives here."""

from __future__ import annotations

import random as python_random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import keras
import numpy as np

from vinci_offline.agents.agent import Agent
from vinci_offline.agents.update import Target, Update, updates_of_kind
from vinci_offline.batches.augmentation import ImageShift
from vinci_offline.errors import UsageError, VinciError
from vinci_offline.loading import describe
from vinci_offline.networks.builder import NetworkBuilder
from vinci_offline.networks.nets import Networks
from vinci_offline.runs.archive import ArrayLayout
from vinci_offline.spec import BoxSpace
from vinci_offline.training.optimization import Optimization
from vinci_offline.types import Array

Pairs = tuple[tuple[keras.Variable, keras.Variable], ...]
"""(follower, online) variables."""


@dataclass(frozen=True)
class BoundTarget:
    """Target with its variables.

    Attributes:
        target: the rule by which it follows.
        pairs: (target, online).
    """

    target: Target
    pairs: Pairs


@dataclass(frozen=True)
class BoundUpdate:
    """Update with the variables it moves.

    Attributes:
        update: the agent's update.
        stream: the update's index among *all* updates of the agent. It keys the random draws: a phase that leaves an
            update out does not change the draws of the others.
        optimizer: the update's own optimizer.
        variables: the trainable variables it moves.
        targets: the targets that follow after it.
        initial: initial values of ``variables``, for a reset; empty if the update never resets.
        averaged: (average, online) pairs of the averaged policy that follow this update.
        average_rate: rate of the average: ``average += average_rate * (online - average)``.
    """

    update: Update
    stream: int
    optimizer: keras.optimizers.Optimizer
    variables: tuple[keras.Variable, ...]
    targets: tuple[BoundTarget, ...]
    initial: tuple[Array, ...]
    averaged: Pairs = ()
    average_rate: float = 0.0

    @property
    def scheduled(self) -> bool:
        """True if the learning rate follows a schedule."""
        return not isinstance(self.optimizer.learning_rate, keras.Variable)


class Learner:
    """Networks, targets and optimizers of one run.

    Args:
        agent: the algorithm.
        build: makes its networks.
        seed: seeds the networks' initial weights.
        optimization: the run's changes to the agent's optimizers; none by default.
        image_shift: moves the images of each batch that is learned from; None leaves them as they are.

    Attributes:
        discrete: True for an agent of choices.
        nets: online and target networks by name.
        averages: averaged copies of the policy's networks; empty unless ``optimization`` averages.
        updates: every update, bound.
        policy: model from raw observation to environment action; shares weights with ``nets`` or ``averages``.
        stochastic_policy: model of the policy's distribution, or None.
        sampler: model from observation and noise to action, or None.
    """

    def __init__(
        self,
        agent: Agent,
        build: NetworkBuilder,
        seed: int,
        optimization: Optimization | None = None,
        image_shift: ImageShift | None = None,
    ) -> None:
        self.agent = agent
        self.discrete = build.discrete
        self.image_shift = image_shift
        self.optimization = optimization or Optimization()
        with _seeded(seed):
            with _named_failure(agent, "networks"):
                online = Networks(agent.networks(build), build.bounded, build.bounds)
            with _named_failure(agent, "updates"):
                updates = updates_of_kind(agent.updates(), discrete=build.discrete)
            _check_updates(agent, online, updates)
            targets = {
                target.name: _copy(online[target.network]) for update in updates for target in update.targets
            }
        self._online = online
        self.nets = online.extended(targets)
        with _named_failure(agent, "policy"):
            self.policy = agent.policy(self.nets, build)
        self.averages: dict[str, keras.Model] = {}
        if self.optimization.policy_ema is not None:
            moved = {name for update in updates for name in update.networks}
            with _seeded(seed):
                self.averages = {
                    name: _copy(net)
                    for name, net in sorted(online.models().items())
                    if name in moved and _uses(self.policy, online.trainable(name))
                }
        acting = self.nets.extended(self.averages)
        with _named_failure(agent, "policy"):
            self.policy = agent.policy(acting, build)
            _check_policy(agent, self.policy, build)
            self.stochastic_policy = agent.stochastic_policy(acting, build)
            self.sampler = agent.sampler(acting, build)
        self.updates = tuple(self._bind(update, stream) for stream, update in enumerate(updates))

    @property
    def policies(self) -> dict[str, keras.Model]:
        """Models to act with, by the names of their files in a run directory."""
        stored = {
            "policy": self.policy,
            "stochastic_policy": self.stochastic_policy,
            "sampler": self.sampler,
        }
        return {name: model for name, model in stored.items() if model is not None}

    def select(self, role: str | None) -> tuple[BoundUpdate, ...]:
        """Return the updates of one role, or all updates. Only the variables of these updates move.

        Raises:
            UsageError: the agent has no update of that role.
        """
        selected = tuple(bound for bound in self.updates if role in (None, bound.update.role))
        if not selected:
            roles = " and ".join(dict.fromkeys(bound.update.role for bound in self.updates))
            raise UsageError(f"agent {self.agent.name!r} has no {role} to train: it has only {roles} updates")
        return selected

    def variables(self) -> dict[str, keras.Variable]:
        """Return every variable of the training state once, by a name that is the same in each rebuilt learner."""
        named = {
            f"networks/{name}/{i}": variable for name in self.nets for i, variable in self.nets.owned(name)
        }
        for name, net in self.averages.items():
            for i, variable in enumerate(net.variables):
                named[f"averages/{name}/{i}"] = variable
        for bound in self.updates:
            for i, variable in enumerate(bound.optimizer.variables):
                named[f"optimizers/{bound.update.name}/{i}"] = variable
        return named

    def state(self) -> dict[str, Array]:
        """Return the values of `variables`."""
        return {name: _value(v) for name, v in self.variables().items()}

    def layouts(self) -> dict[str, ArrayLayout]:
        """Return the type and shape of each array of `state`."""
        return _layouts(self.state())

    def restore(self, state: Mapping[str, Array]) -> None:
        """Set the variables to the values that `state` returned. All are checked before the first is set.

        Raises:
            VinciError: the state belongs to other networks.
        """
        if _layouts(state) != self.layouts():
            raise VinciError(
                "the checkpoint belongs to other networks than this run's: train into a new run directory"
            )
        for name, variable in self.variables().items():
            variable.assign(state[name])

    def start_averages(self) -> None:
        """Set the averaged networks to the present weights."""
        for name, net in self.averages.items():
            net.set_weights(self.nets[name].get_weights())

    def _bind(self, update: Update, stream: int) -> BoundUpdate:
        variables = tuple(v for name in update.networks for v in self._online.trainable(name))
        optimizer = self.optimization.optimizer(update)
        # Before any tracing: variables cannot be made inside a compiled loop.
        optimizer.build(list(variables))
        targets = tuple(
            BoundTarget(target, _pairs(self.nets[target.name], self.nets[target.network]))
            for target in update.targets
        )
        return BoundUpdate(
            update,
            stream,
            optimizer,
            variables,
            targets,
            initial=tuple(_value(v) for v in variables) if update.reset_below is not None else (),
            averaged=self._averaged(update),
            average_rate=1.0 - (self.optimization.policy_ema or 0.0),
        )

    def _averaged(self, update: Update) -> Pairs:
        """Return the (average, online) pairs of the update's networks."""
        owned = {id(v) for name in update.networks for _, v in self._online.owned(name)}
        return tuple(
            pair
            for name, average in self.averages.items()
            for pair in _pairs(average, self._online[name])
            if id(pair[1]) in owned
        )


def _pairs(follower: keras.Model, online: keras.Model) -> Pairs:
    return tuple(zip(follower.variables, online.variables, strict=True))


def _layouts(state: Mapping[str, Array]) -> dict[str, ArrayLayout]:
    return {name: ArrayLayout(values.dtype, values.shape) for name, values in state.items()}


def _value(variable: keras.Variable) -> Array:
    return np.array(keras.ops.convert_to_numpy(keras.ops.convert_to_tensor(variable)))


def _check_updates(agent: Agent, online: Networks, updates: tuple[Update, ...]) -> None:
    trained = [name for update in updates for name in update.networks]
    problems = [
        f"{name!r} is trained by more than one update" for name in set(trained) if trained.count(name) > 1
    ]
    problems += [f"there is no network {name!r} to train" for name in set(trained) - set(online)]
    problems += [
        f"update {update.name!r} has the role {update.role!r}, and the agent's roles are {', '.join(agent.roles)}"
        for update in updates
        if update.role not in agent.roles
    ]
    problems += [
        f"the target of {target.network!r} follows after update {update.name!r}, which does not train it"
        for update in updates
        for target in update.targets
        if target.network not in update.networks
    ]
    problems += [
        f"the target of {target.network!r} follows every {target.every} steps, and its update runs every "
        f"{update.every}: give a multiple of that"
        for update in updates
        for target in update.targets
        if target.every < 1 or target.every % update.every
    ]
    if problems:
        raise UsageError(f"agent {agent.name!r}: {'; '.join(sorted(problems))}")


def _check_policy(agent: Agent, policy: object, build: NetworkBuilder) -> None:
    """Refuse what is no policy for the environment: it would be found out after the training.

    Raises:
        VinciError: it is no model, or makes no action of the environment.
    """
    space = build.spec.action_space
    wanted = space.shape if isinstance(space, BoxSpace) else ()
    if not isinstance(policy, keras.Model):
        told = f"policy() returned a value of type {type(policy).__name__}"
        raise VinciError(
            f"agent {agent.name!r}: {told}: return a Keras model, such as build.policy(nets.actor)"
        )
    if (found := [tuple(output.shape[1:]) for output in policy.outputs]) != [wanted]:
        shapes = ", ".join(map(str, found))
        raise VinciError(
            f"agent {agent.name!r}: the model of policy() has outputs of shape {shapes}, and an action has {wanted}: "
            "return a model of actions, such as build.policy(nets.actor)"
        )


def _uses(model: keras.Model, variables: Sequence[keras.Variable]) -> bool:
    """Return True if a model contains any of the variables."""
    inside = {id(variable) for variable in model.variables}
    return any(id(variable) in inside for variable in variables)


def _copy(net: keras.Model) -> keras.Model:
    try:
        copy = keras.models.clone_model(net)
        copy.set_weights(net.get_weights())
    except (ValueError, TypeError, NotImplementedError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise VinciError(
            f"network {net.name!r} cannot be copied for its target ({reason}): "
            "build it as a Sequential or functional model, without a layer that two inner models share"
        ) from error
    copy.trainable = False
    return copy


@contextmanager
def _named_failure(agent: Agent, method: str) -> Iterator[None]:
    """Turn an error in an agent's method, perhaps a user's, into a one-line VinciError."""
    try:
        yield
    except VinciError:
        raise
    except Exception as error:
        raise VinciError(f"agent {agent.name!r}: {method}() failed: {describe(error)}") from error


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed the generators of Keras initialisers; restore the caller's generators afterwards."""
    python_state, numpy_state = python_random.getstate(), np.random.get_state()  # noqa: NPY002
    keras.utils.set_random_seed(seed % 2**32)
    try:
        yield
    finally:
        python_random.setstate(python_state)
        np.random.set_state(numpy_state)  # noqa: NPY002
