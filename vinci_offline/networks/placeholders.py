"""Placeholders for user networks: Keras inputs and dimensions of an environment."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import keras

from vinci_offline.errors import SpecError
from vinci_offline.networks.inputs import goal_space
from vinci_offline.spec import BoxSpace, DictSpace, EnvironmentSpec, Space
from vinci_offline.types import Tensor


class Placeholders:
    """Inputs of user networks for one environment, for Keras's functional and Sequential style.

    Networks get normalised observations and actions scaled to [-1, 1]. A Discrete observation or action is a
    one-hot vector. Each input is made once: ``state`` returns the same object at every access.

    Args:
        spec: environment.
    """

    def __init__(self, spec: EnvironmentSpec) -> None:
        self.spec = spec

    @cached_property
    def state(self) -> Any:
        """Keras input for observations: ``(None, *shape)`` float32, or ``(None, n)`` one-hot.

        A Dict space has a dict of inputs by key: ``env.state["position"]``.
        """
        return _placeholder(self.spec.observation_space, "state")

    @cached_property
    def goal(self) -> Any:
        """Keras input for goals: like ``desired_goal`` if the observations have it, otherwise like ``state``."""
        return _placeholder(goal_space(self.spec.observation_space), "goal")

    @cached_property
    def action(self) -> Tensor:
        """Keras input for actions: ``(None, A)`` float32, scaled, or ``(None, n)`` one-hot."""
        return keras.Input(shape=(self.action_space_dim,), dtype="float32", name="action")

    @property
    def state_space_dim(self) -> int:
        """Number of scalars in an observation, over all keys of a Dict; n for a Discrete space."""
        return self.spec.observation_space.dim

    @property
    def action_space_dim(self) -> int:
        """Number of scalars in an action; n for a Discrete space.

        Raises:
            SpecError: the action space is a Dict.
        """
        space = self.spec.action_space
        if isinstance(space, DictSpace):
            raise SpecError(
                "agents need a Box or Discrete action space, not a Dict: flatten the environment's actions"
            )
        return space.dim


def _placeholder(space: Space, name: str) -> Any:
    if isinstance(space, DictSpace):
        return {key: _placeholder(part, key) for key, part in space.spaces.items()}
    shape = space.shape if isinstance(space, BoxSpace) else (space.dim,)
    return keras.Input(shape=shape, dtype="float32", name=name)
