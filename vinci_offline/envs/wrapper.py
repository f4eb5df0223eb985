"""An environment with Keras inputs for its spaces."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import gymnasium

from vinci_offline.envs.making import EnvironmentLike, make_env
from vinci_offline.spec import EnvironmentSpec, environment_spec
from vinci_offline.types import Tensor

if TYPE_CHECKING:
    from vinci_offline.networks.placeholders import Placeholders


class EnvWrapper(gymnasium.Wrapper[Any, Any, Any, Any]):
    """A Gymnasium environment to build Keras networks on. It steps like the environment.

    A functional critic starts from `state` and `action`; a Sequential actor from `state_space_dim` and
    `action_space_dim`. Such networks fit any agent that has a network of that kind::

        env = EnvWrapper("Pendulum-v1")
        features = keras.layers.Concatenate()([env.state, env.action])
        value = keras.layers.Dense(1)(keras.layers.Dense(64, activation="relu")(features))
        critic = keras.Model([env.state, env.action], value)

    Keras is imported at the first access of an input. The environment's spaces never change.

    Args:
        env: a Gymnasium id, ``module:EnvId``, ``module:Class``, an `EnvironmentSpec`, or an environment.
        **kwargs: keyword arguments of the environment.

    Raises:
        UsageError: there is no such environment.
        SpecError: datasets cannot hold its observations or actions.
    """

    def __init__(self, env: EnvironmentLike, **kwargs: Any) -> None:
        made = make_env(env, kwargs)
        super().__init__(made)
        named = env if isinstance(env, str) and ":" in env else None
        self._environment_spec = environment_spec(made, named, None if made is env else kwargs)

    @property
    def environment_spec(self) -> EnvironmentSpec:
        """The description of the environment that a dataset keeps."""
        return self._environment_spec

    @property
    def spec_json(self) -> str:
        """The description as one line of JSON."""
        return self._environment_spec.to_json()

    @property
    def state(self) -> Any:
        """A Keras input for observations, the same object at each access; of a Dict space a dict by key."""
        return self._placeholders.state

    @property
    def action(self) -> Tensor:
        """A Keras input for actions, the same object at each access; one-hot where they are Discrete."""
        return self._placeholders.action

    @property
    def state_space_dim(self) -> int:
        """The number of scalars in an observation; of choices where it is Discrete."""
        return self._placeholders.state_space_dim

    @property
    def action_space_dim(self) -> int:
        """The number of scalars in an action; of choices where it is Discrete."""
        return self._placeholders.action_space_dim

    @cached_property
    def _placeholders(self) -> Placeholders:
        from vinci_offline.networks.placeholders import Placeholders

        return Placeholders(self._environment_spec)
