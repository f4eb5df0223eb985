"""The learner: an agent bound to its networks, targets and optimizers. All training state lives here."""

from __future__ import annotations

import random as python_random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import keras
import numpy as np

from vinci_offline.agents.agent import Agent, Networks, Role, Update
from vinci_offline.errors import UsageError, VinciError
from vinci_offline.loading import describe
from vinci_offline.networks.builder import NetworkBuilder
from vinci_offline.training.optimization import Optimization
from vinci_offline.types import Array

TARGET_PREFIX = "target_"


@dataclass(frozen=True)
class BoundUpdate:
    """An update with the variables it moves.

    Attributes:
        update: what to do.
        stream: the update's place among *all* of the agent's updates, selected or not: it keys the random draws,
            so that a phase which leaves an update out does not change the others' draws.
        optimizer: this update's own.
        variables: the trainable variables it moves.
        tracked: pairs (target, online) that the tracking moves together.
        initial: the variables' values at the start of the run, for a reset; empty where the update never resets.
        averaged: pairs (average, online) that move together after this update: the averaged policy's.
        average_rate: how far they move, ``average += average_rate * (online - average)``.
    """

    update: Update
    stream: int
    optimizer: keras.optimizers.Optimizer
    variables: tuple[keras.Variable, ...]
    tracked: tuple[tuple[keras.Variable, keras.Variable], ...]
    initial: tuple[Array, ...]
    averaged: tuple[tuple[keras.Variable, keras.Variable], ...] = ()
    average_rate: float = 0.0

    @property
    def scheduled(self) -> bool:
        """Whether the learning rate changes by itself."""
        return not isinstance(self.optimizer.learning_rate, keras.Variable)


class Learner:
    """Networks, targets and optimizers of one run.

    Args:
        agent: the algorithm.
        build: makes its networks.
        seed: seeds the networks' initial weights.
        optimization: what the run adds to the agent's optimizers; nothing unless given.

    Attributes:
        nets: online and target networks by name.
        averages: averaged copies of the networks that make the policy; empty unless ``optimization`` averages.
        updates: every update, bound.
        policy: raw observation to environment action, sharing weights with ``nets``, or with ``averages``.
        stochastic_policy: the policy's distribution, or None where it has none.
    """

    def __init__(
        self, agent: Agent, build: NetworkBuilder, seed: int, optimization: Optimization | None = None
    ) -> None:
        self.agent = agent
        self.optimization = optimization or Optimization()
        with _seeded(seed):
            with _told(agent, "networks"):
                online = agent.networks(build)
            with _told(agent, "updates"):
                updates = agent.updates()
            _check_updates(agent, online, updates)
            targets = {update.tracks: _copy(online[update.trains]) for update in updates if update.tracks}
        self.nets = Networks({**online, **targets}, build.bounded)
        with _told(agent, "policy"):
            self.policy = agent.policy(self.nets, build)
        self.averages: dict[str, keras.Model] = {}
        if self.optimization.policy_ema is not None:
            moved = {update.trains for update in updates if _share(self.policy, online[update.trains])}
            with _seeded(seed):
                self.averages = {name: _copy(online[name]) for name in sorted(moved)}
        acting = Networks({**self.nets, **self.averages}, build.bounded)
        with _told(agent, "policy"):
            self.policy = agent.policy(acting, build)
            self.stochastic_policy = agent.stochastic_policy(acting, build)
        self.updates = tuple(self._bind(update, stream) for stream, update in enumerate(updates))

    @property
    def policies(self) -> dict[str, keras.Model]:
        """The models to act with, by the names of their files in a run directory."""
        stored = {"policy": self.policy, "stochastic_policy": self.stochastic_policy}
        return {name: model for name, model in stored.items() if model is not None}

    def select(self, role: Role | None) -> tuple[BoundUpdate, ...]:
        """The updates of one role, or all of them: what is left out cannot move.

        Raises:
            UsageError: the agent has no update of that role.
        """
        selected = tuple(bound for bound in self.updates if role in (None, bound.update.role))
        if not selected:
            has = "critic" if role == "actor" else "actor"
            raise UsageError(f"agent {self.agent.name!r} has no {role} to train: it has only {has} updates")
        return selected

    def variables(self) -> dict[str, keras.Variable]:
        """Everything that training moves, under names that do not depend on how often networks were built."""
        named = {
            f"networks/{name}/{i}": variable
            for name, net in self.nets.items()
            for i, variable in enumerate(net.variables)
        }
        for name, net in self.averages.items():
            for i, variable in enumerate(net.variables):
                named[f"averages/{name}/{i}"] = variable
        for bound in self.updates:
            for i, variable in enumerate(bound.optimizer.variables):
                named[f"optimizers/{bound.update.trains}/{i}"] = variable
        return named

    def state(self) -> dict[str, Array]:
        """The values of `variables`."""
        return {name: _value(v) for name, v in self.variables().items()}

    def restore(self, state: Mapping[str, Array]) -> None:
        """Take over what `state` returned.

        Raises:
            VinciError: the state is of other networks.
        """
        variables = self.variables()
        if {name: tuple(v.shape) for name, v in variables.items()} != {
            name: a.shape for name, a in state.items()
        }:
            raise VinciError(
                "the checkpoint is of other networks than this run's: train into a new run directory"
            )
        for name, variable in variables.items():
            variable.assign(state[name])

    def start_averages(self) -> None:
        """Let the averaged policy begin at the networks as they are now."""
        for name, net in self.averages.items():
            net.set_weights(self.nets[name].get_weights())

    def _bind(self, update: Update, stream: int) -> BoundUpdate:
        net = self.nets[update.trains]
        variables = tuple(net.trainable_variables)
        optimizer = self.optimization.optimizer(update)
        optimizer.build(
            list(variables)
        )  # before any tracing: variables cannot be made inside a compiled loop
        tracked = (
            tuple(zip(self.nets[update.tracks].variables, net.variables, strict=True))
            if update.tracks
            else ()
        )
        resets = update.reset_below is not None
        initial = tuple(_value(v) for v in variables) if resets else ()
        average = self.averages.get(update.trains)
        averaged = tuple(zip(average.variables, net.variables, strict=True)) if average else ()
        rate = 1.0 - (self.optimization.policy_ema or 0.0)
        return BoundUpdate(update, stream, optimizer, variables, tracked, initial, averaged, rate)


def _value(variable: keras.Variable) -> Array:
    return np.array(keras.ops.convert_to_numpy(keras.ops.convert_to_tensor(variable)))


def _check_updates(agent: Agent, online: Mapping[str, keras.Model], updates: tuple[Update, ...]) -> None:
    trained = [update.trains for update in updates]
    problems = [
        f"{name!r} is trained by more than one update" for name in set(trained) if trained.count(name) > 1
    ]
    problems += [f"there is no network {name!r} to train" for name in set(trained) - set(online)]
    problems += [
        f"the target of {update.trains!r} must be called {TARGET_PREFIX + update.trains!r}, not {update.tracks!r}"
        for update in updates
        if update.tracks not in (None, TARGET_PREFIX + update.trains)
    ]
    if problems:
        raise UsageError(f"agent {agent.name!r}: {'; '.join(sorted(problems))}")


def _share(model: keras.Model, net: keras.Model) -> bool:
    """Whether the model computes with the network's weights."""
    inside = {id(variable) for variable in model.variables}
    return any(id(variable) in inside for variable in net.trainable_variables)


def _copy(net: keras.Model) -> keras.Model:
    try:
        copy = keras.models.clone_model(net)
    except (ValueError, TypeError, NotImplementedError) as error:
        raise VinciError(
            f"network {net.name!r} cannot be copied for its target ({error}): "
            "build it as a Sequential or functional model"
        ) from error
    copy.set_weights(net.get_weights())
    copy.trainable = False
    return copy


@contextmanager
def _told(agent: Agent, method: str) -> Iterator[None]:
    """Say in one line where an agent's own method failed; it may be a user's."""
    try:
        yield
    except VinciError:
        raise
    except Exception as error:
        raise VinciError(f"agent {agent.name!r}: {method}() failed: {describe(error)}") from error


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed what Keras initialisers draw from, and give the caller's generators back afterwards."""
    python_state, numpy_state = python_random.getstate(), np.random.get_state()  # noqa: NPY002
    keras.utils.set_random_seed(seed % 2**32)
    try:
        yield
    finally:
        python_random.setstate(python_state)
        np.random.set_state(numpy_state)  # noqa: NPY002
