"""What a user builds networks on: Keras inputs that fit an environment, and its dimensions."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import keras

from vinci_offline.errors import SpecError
from vinci_offline.networks.inputs import goal_space
from vinci_offline.spec import BoxSpace, DictSpace, EnvironmentSpec, Space
from vinci_offline.types import Tensor


class Placeholders:
    """The inputs of a network for one environment, for the functional and the Sequential style of Keras.

    A network sees observations normalised and actions scaled to [-1, 1]; a Discrete observation or action is a
    one-hot vector. Each input is made once: ``state`` is the same object at every access, so that what is built on
    it can be connected.

    Args:
        spec: the environment.
    """

    def __init__(self, spec: EnvironmentSpec) -> None:
        self.spec = spec

    @cached_property
    def state(self) -> Any:
        """A Keras input for observations: ``(None, *shape)`` float32, or ``(None, n)`` one-hot.

        For a Dict space a dict of inputs by key: ``env.state["position"]``.
        """
        return _placeholder(self.spec.observation_space, "state")

    @cached_property
    def goal(self) -> Any:
        """A Keras input for goals: like ``desired_goal`` where the observations have it, otherwise like ``state``."""
        return _placeholder(goal_space(self.spec.observation_space), "goal")

    @cached_property
    def action(self) -> Tensor:
        """A Keras input for actions: ``(None, A)`` float32, scaled, or ``(None, n)`` one-hot."""
        return keras.Input(shape=(self.action_space_dim,), dtype="float32", name="action")

    @property
    def state_space_dim(self) -> int:
        """The number of scalars in an observation, of all keys of a Dict, or of a Discrete space's choices."""
        return self.spec.observation_space.dim

    @property
    def action_space_dim(self) -> int:
        """The number of scalars in an action, or of a Discrete space's choices.

        Raises:
            SpecError: the actions are a Dict.
        """
        space = self.spec.action_space
        if isinstance(space, DictSpace):
            raise SpecError(
                "agents act in Box and Discrete spaces: flatten the environment's Dict of actions"
            )
        return space.dim


def _placeholder(space: Space, name: str) -> Any:
    if isinstance(space, DictSpace):
        return {key: _placeholder(part, key) for key, part in space.spaces.items()}
    shape = space.shape if isinstance(space, BoxSpace) else (space.dim,)
    return keras.Input(shape=shape, dtype="float32", name=name)
