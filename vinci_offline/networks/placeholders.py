"""What a user builds networks on: Keras inputs that fit an environment, and its dimensions."""

from __future__ import annotations

from functools import cached_property

import keras

from vinci_offline.errors import SpecError
from vinci_offline.spec import BoxSpace, DictSpace, EnvironmentSpec
from vinci_offline.types import Tensor


class Placeholders:
    """The inputs of a network for one environment, for the functional and the Sequential style of Keras.

    A network sees observations normalised and actions scaled to [-1, 1]; a Discrete observation or action is
    a one-hot vector. Each input is made once: ``state`` is the same object at every access, so that what is
    built on it can be connected.

    Args:
        spec: the environment.
    """

    def __init__(self, spec: EnvironmentSpec) -> None:
        self.spec = spec

    @cached_property
    def state(self) -> Tensor:
        """A Keras input for observations: ``(None, *shape)`` float32, or ``(None, n)`` one-hot.

        Raises:
            SpecError: the observations are a Dict.
        """
        space = self.spec.observation_space
        shape = space.shape if isinstance(space, BoxSpace) else (self.state_space_dim,)
        return keras.Input(shape=shape, dtype="float32", name="state")

    @cached_property
    def action(self) -> Tensor:
        """A Keras input for actions: ``(None, A)`` float32, scaled, or ``(None, n)`` one-hot."""
        return keras.Input(shape=(self.action_space_dim,), dtype="float32", name="action")

    @property
    def state_space_dim(self) -> int:
        """The number of scalars in an observation, or of a Discrete space's choices.

        Raises:
            SpecError: the observations are a Dict.
        """
        space = self.spec.observation_space
        if isinstance(space, DictSpace):
            raise SpecError(
                f"networks take one observation array, and this environment has {len(space.spaces)} "
                f"({', '.join(space.spaces)}): record it through gymnasium.wrappers.FlattenObservation"
            )
        return space.dim

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
