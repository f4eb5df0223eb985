"""The networks that agents ask for by name: default ones, or the user's own in their place."""

from __future__ import annotations

from collections.abc import Mapping

import keras
from keras import ops

from vinci_offline.errors import SpecError
from vinci_offline.networks import export, user
from vinci_offline.networks.layers import dense, mlp, observation_input, prepare
from vinci_offline.networks.placeholders import Placeholders
from vinci_offline.spec import DiscreteSpace, EnvironmentSpec
from vinci_offline.spec.action_scaling import BoxScaling, box_of
from vinci_offline.types import Array, FloatArray, Tensor

LOG_STD_RANGE = (-5.0, 2.0)
"""Limits of a Gaussian actor's log deviation, in scaled units, as in the authors' code of IQL."""


class NetworkBuilder:
    """Makes networks on raw observations and scaled actions; docs/architecture.md has each call in a table.

    Args:
        spec: the environment.
        observation_mean: of the observations' shape, or None not to normalise.
        observation_std: of the observations' shape, or None not to normalise.
        user_networks: functions ``name(env)`` that return a Keras model, or models, by network name.
    """

    def __init__(
        self,
        spec: EnvironmentSpec,
        observation_mean: FloatArray | None = None,
        observation_std: FloatArray | None = None,
        user_networks: Mapping[str, user.UserNetwork] | None = None,
    ) -> None:
        self.spec = spec
        self.placeholders = Placeholders(spec)
        self._mean, self._std = observation_mean, observation_std
        self._user = dict(user_networks or {})
        self._asked: set[str] = set()

    @property
    def discrete(self) -> bool:
        """Whether actions are choices of a Discrete space."""
        return isinstance(self.spec.action_space, DiscreteSpace)

    @property
    def bounded(self) -> Array | None:
        """``[A]`` mask of the action dimensions that live in [-1, 1]; None for a Discrete space."""
        return None if self.discrete else self._scaling.bounded

    @property
    def unused(self) -> tuple[str, ...]:
        """The user's networks that no agent has asked for."""
        return tuple(sorted(set(self._user) - self._asked))

    def deterministic_actor(self, name: str, hidden: tuple[int, ...], squash: bool = True) -> keras.Model:
        """Observation to ``[B, A]`` scaled action; ``squash`` bounds the bounded dimensions by tanh."""
        raw, x = self._observation()
        return keras.Model(raw, self._action(name, x, hidden, squash), name=name)

    def gaussian_actor(
        self, name: str, hidden: tuple[int, ...], state_dependent_std: bool = False
    ) -> keras.Model:
        """Observation to ``{"mean": [B, A], "log_std": [B, A]}`` in scaled units.

        The mean is bounded as a deterministic action is, the deviation is a parameter vector or a network of
        its
        own: the policy of Kostrikov et al. (2021). A user's network of this name gives the mean.
        """
        raw, x = self._observation()
        mean = self._action(name, x, hidden, squash=True)
        if state_dependent_std:
            log_std = mlp(x, hidden, self.placeholders.action_space_dim, f"{name}_log_std")
        else:
            # A stock layer that is a parameter vector: the kernel of a linear map of the number one.
            one = ops.ones_like(ops.reshape(mean, (-1, mean.shape[-1]))[:, :1])
            vector = keras.layers.Dense(
                mean.shape[-1],
                use_bias=False,
                kernel_initializer="zeros",
                dtype="float32",
                name=f"{name}_log_std",
            )
            log_std = vector(one)
        return keras.Model(raw, {"mean": mean, "log_std": ops.clip(log_std, *LOG_STD_RANGE)}, name=name)

    def categorical_actor(self, name: str, hidden: tuple[int, ...]) -> keras.Model:
        """Observation to ``{"logits": [B, n]}``."""
        raw, x = self._observation()
        return keras.Model(raw, {"logits": self._output(name, [x], hidden, self._choices)}, name=name)

    def critics(
        self, name: str, hidden: tuple[int, ...], count: int, layer_norm: bool = False
    ) -> keras.Model:
        """``[observation, scaled action]`` to ``[E, B]``, a row for each of ``count`` independent members."""
        raw, x = self._observation()
        action = keras.Input(shape=(len(self._scaling.bounded),), dtype="float32", name="action")
        towers = self._members(name, [x, action], hidden, count, outputs=1, layer_norm=layer_norm)
        values = _ensemble([ops.squeeze(tower, axis=-1) for tower in towers])
        return keras.Model([raw, action], values, name=name)

    def discrete_critics(
        self, name: str, hidden: tuple[int, ...], count: int, dueling: bool = False
    ) -> keras.Model:
        """Observation to ``[E, B, n]``, the values of all choices for each of ``count`` independent members.

        ``dueling`` makes them of a value and advantages: Wang et al. (2016),
        https://arxiv.org/abs/1511.06581, eq. 9.
        """
        raw, x = self._observation()
        if dueling and name not in self._user:
            towers = [self._dueling(f"{name}_{i}", x, hidden) for i in range(count)]
        else:
            towers = self._members(name, [x], hidden, count, outputs=self._choices)
        return keras.Model(raw, _ensemble(towers), name=name)

    def value(self, name: str, hidden: tuple[int, ...]) -> keras.Model:
        """Observation to ``[B]``."""
        raw, x = self._observation()
        return keras.Model(raw, ops.squeeze(self._output(name, [x], hidden, 1), axis=-1), name=name)

    def stored_actor(self, name: str, path: str) -> keras.Model:
        """Observation to ``[B, A]`` scaled action, as a stored `policy.keras` acts; it is not trained.

        Raises:
            SpecError: the file is not a model, or does not fit this environment.
        """
        return export.stored_actor(self.spec, name, path)

    def policy(self, actor: keras.Model) -> keras.Model:
        """The deterministic policy of any actor above: raw observation in, environment action out."""
        return export.policy(self.spec, actor)

    def greedy_policy(self, critic: keras.Model) -> keras.Model:
        """The policy that takes the choice of the greatest value, averaged over the ensemble."""
        return export.greedy_policy(self.spec, critic)

    def stochastic_policy(self, actor: keras.Model) -> keras.Model | None:
        """The distribution of an actor: ``{"mean", "log_std"}`` in environment units, or ``{"logits"}``.

        None for a deterministic actor.
        """
        return export.stochastic_policy(self.spec, actor)

    @property
    def _scaling(self) -> BoxScaling:
        return BoxScaling(box_of(self.spec.action_space))

    @property
    def _choices(self) -> int:
        if not self.discrete:
            raise SpecError(
                "this needs Discrete actions and the environment's are continuous (Box): choose an agent for "
                "continuous actions, such as td3bc or iql"
            )
        return self.placeholders.action_space_dim

    def _observation(self) -> tuple[Tensor, Tensor]:
        """A new network's raw input, and what its first layer sees of it."""
        assert self.placeholders.state_space_dim  # refuses a Dict
        raw = observation_input(self.spec.observation_space)
        return raw, prepare(raw, self.spec.observation_space, self._mean, self._std)

    def _action(self, name: str, x: Tensor, hidden: tuple[int, ...], squash: bool) -> Tensor:
        bounded = self._scaling.bounded
        action = self._output(name, [x], hidden, len(bounded))
        if name in self._user or not squash or not bounded.any():
            return action
        return ops.tanh(action) if bounded.all() else ops.where(bounded, ops.tanh(action), action)

    def _output(self, name: str, inputs: list[Tensor], hidden: tuple[int, ...], outputs: int) -> Tensor:
        return self._members(name, inputs, hidden, 1, outputs)[0]

    def _members(
        self,
        name: str,
        inputs: list[Tensor],
        hidden: tuple[int, ...],
        count: int,
        outputs: int,
        layer_norm: bool = False,
    ) -> list[Tensor]:
        """Towers ``[B, outputs]``: separate layers, which a CPU runs faster than one batched product."""
        self._asked.add(name)
        if name in self._user:
            model = user.make(name, self._user[name], self.placeholders)
            return user.towers(name, model, inputs, self.placeholders, outputs, count)
        flat = [
            ops.reshape(x, (-1, self.placeholders.state_space_dim)) if len(x.shape) != 2 else x
            for x in inputs
        ]
        x = ops.concatenate(flat, axis=-1) if len(flat) > 1 else flat[0]
        return [
            mlp(x, hidden, outputs, f"{name}_{i}" if count > 1 else name, layer_norm) for i in range(count)
        ]

    def _dueling(self, name: str, x: Tensor, hidden: tuple[int, ...]) -> Tensor:
        trunk, last = hidden[:-1], hidden[-1:]
        for depth, units in enumerate(trunk, start=1):
            x = keras.layers.ReLU(name=f"{name}_relu_{depth}")(dense(x, units, f"{name}_dense_{depth}"))
        value = mlp(x, last, 1, f"{name}_value")
        advantage = mlp(x, last, self._choices, f"{name}_advantage")
        return value + advantage - ops.mean(advantage, axis=-1, keepdims=True)


def _ensemble(towers: list[Tensor]) -> Tensor:
    """Towers as rows, each through a layer named after its place: `Networks.member` finds it there."""
    named = [
        keras.layers.Identity(name=f"member_{i}", dtype="float32")(tower) for i, tower in enumerate(towers)
    ]
    return ops.stack(named, axis=0)
