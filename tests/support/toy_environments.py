"""Small environments and policies in a module that worker processes can import."""

from __future__ import annotations

import sys
import textwrap

import pytest

MODULE = textwrap.dedent(
    '''
    import os
    import signal

    import gymnasium
    import numpy as np


    class Counter(gymnasium.Env):
        """Environment that counts steps. It terminates after `length` steps, or truncates with `truncates`."""

        def __init__(self, length=5, truncates=False, dtype="float32", varied=False):
            self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.dtype(dtype).type)
            self.action_space = gymnasium.spaces.Box(-1.0, 3.0, (1,), np.float32)
            self.length, self.truncates, self.varied = length, truncates, varied

        def _observation(self):
            return np.array([self.count, self.mark], self.observation_space.dtype)

        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed)
            self.count, self.mark = 0, self.np_random.uniform()
            self.end = int(self.np_random.integers(1, 2 * self.length)) if self.varied else self.length
            return self._observation(), {}

        def step(self, action):
            self.count += 1
            done = self.count == self.end
            info = {"count": self.count, "pair": np.array([self.count, 2.0]), "word": "x"}
            terminated, truncated = done and not self.truncates, done and self.truncates
            return self._observation(), float(action[0]), terminated, truncated, info


    class Keyed(Counter):
        """Counter with observations of a Dict space."""

        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            box = self.observation_space
            self.observation_space = gymnasium.spaces.Dict(
                {"count": box, "image": gymnasium.spaces.Box(0, 255, (2, 2), np.uint8)}
            )
            self._box = box

        def _observation(self):
            count = np.array([self.count, self.mark], np.float32)
            return {"count": count, "image": np.full((2, 2), self.count, np.uint8)}


    class Chooser(Counter):
        """Counter with Discrete actions from 2 on, and one integer as observation."""

        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.observation_space = gymnasium.spaces.Discrete(100)
            self.action_space = gymnasium.spaces.Discrete(3, start=2)

        def _observation(self):
            return self.count

        def step(self, action):
            return super().step(np.array([float(action)]))


    class Digits(Counter):
        """Counter that observes the bits (MultiBinary) and the decimal digits (MultiDiscrete) of the count."""

        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.observation_space = gymnasium.spaces.Dict(
                {"bits": gymnasium.spaces.MultiBinary(3), "digits": gymnasium.spaces.MultiDiscrete([10, 10])}
            )

        def _observation(self):
            bits = np.array([self.count >> place & 1 for place in range(3)], np.int8)
            return {"bits": bits, "digits": np.array([self.count // 10, self.count % 10])}


    class Desk(Counter):
        """Counter with Tuple observations and MultiDiscrete actions: a lamp and two switches."""

        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            box = gymnasium.spaces.Box(0, 255, (2, 2), np.uint8)
            self.observation_space = gymnasium.spaces.Tuple((gymnasium.spaces.Discrete(100), box))
            self.action_space = gymnasium.spaces.MultiDiscrete([4, 2, 2], start=[1, 0, 0])

        def _observation(self):
            return self.count, np.full((2, 2), self.count, np.uint8)

        def step(self, action):
            assert self.action_space.contains(action), action
            return super().step(np.array([float(action[0])]))


    class Switches(Desk):
        """Desk with MultiBinary actions."""

        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.action_space = gymnasium.spaces.MultiBinary(3)


    class Fatal(Counter):
        """Environment that kills its process in the tenth episode, like a lack of memory."""

        def reset(self, *, seed=None, options=None):
            self.resets = getattr(self, "resets", 0) + 1
            if self.resets == 10:
                os.kill(os.getpid(), signal.SIGKILL)
            return super().reset(seed=seed)


    def follow(observation):
        return observation[:1] * 0.1 - 0.5


    def draw(observation, rng):
        return rng.uniform(-1, 3, 1)


    def dim(observation):
        count, image = observation
        assert image.shape == (2, 2)
        return [1 + count % 4, 1, image[0, 0] % 2]


    def broken(observation):
        raise RuntimeError("no idea what to do")


    class Batched:
        deterministic = False

        def act(self, observations, rngs):
            self.shapes = getattr(self, "shapes", set()) | {observations.shape}
            actions = np.stack([rng.normal(size=1) for rng in rngs])
            return actions, np.full(len(rngs), -1.5)
    '''
)


@pytest.fixture(scope="session")
def toys(tmp_path_factory):
    """Yield the module of toy environments and policies. Spawned workers can import it too."""
    folder = tmp_path_factory.mktemp("toys")
    (folder / "vinci_toys.py").write_text(MODULE)
    patch = pytest.MonkeyPatch()
    patch.syspath_prepend(str(folder))
    patch.setenv("PYTHONPATH", str(folder), prepend=":")
    import vinci_toys

    yield vinci_toys
    patch.undo()
    sys.modules.pop("vinci_toys", None)


@pytest.fixture(scope="session")
def pendulum_actor():
    """Return two small Keras policies for Pendulum-v1: one of actions, one of distributions."""
    import keras

    keras.utils.set_random_seed(0)
    inputs = keras.Input((3,))
    hidden = keras.layers.Dense(32, activation="tanh")(inputs)
    mean = keras.layers.Dense(1, name="mean")(hidden)
    log_std = keras.layers.Dense(1, name="log_std")(hidden)
    return keras.Model(inputs, mean), keras.Model(inputs, {"mean": mean, "log_std": log_std})
