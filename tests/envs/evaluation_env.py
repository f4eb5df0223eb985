"""An environment with episode lengths drawn from the seed. The return of an episode is its length."""

import gymnasium
import numpy as np
from gymnasium.spaces import Box


class SeededLength(gymnasium.Env):
    """Environment that pays one plus the action a step. Reset draws the length: 1, 2 or 40."""

    def __init__(self, render_mode=None, dims=2):
        self.observation_space = Box(-np.inf, np.inf, (dims,), np.float32)
        self.action_space = Box(-0.25, 0.25, (1,), np.float32)
        self.render_mode = render_mode

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        # Skewed: most episodes are short, few are long.
        self.left = int(self.np_random.choice([1, 2, 40], p=[0.5, 0.3, 0.2]))
        return self._observe(), {}

    def step(self, action):
        self.left -= 1
        return self._observe(), 1.0 + float(action[0]), self.left == 0, False, {}

    def _observe(self):
        return np.full(self.observation_space.shape, self.left, np.float32)


class Batched:
    """Policy that notes the shapes of its batches."""

    def __init__(self):
        self.shapes = set()

    def act(self, observations, rngs):
        self.shapes.add((observations.shape, len(rngs)))
        return np.zeros((len(rngs), 1), np.float32), None


def noisy(observation, rng):
    """Draw an action."""
    return rng.uniform(-0.25, 0.25, 1)
