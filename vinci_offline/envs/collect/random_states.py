"""Random-state collection: uniform states and actions, one step at a time, where the state can be set.

Each row starts from a state of its own. So the data covers the state space evenly, even where acting seldom leads.
States are uniform in these ranges:

- CartPole: position and angle up to the limits that end an episode; velocities in [-3, 3].
- MountainCar, MountainCarContinuous: position from the left wall to the goal; velocity up to the top speed.
- Pendulum: angle in [-pi, pi]; angular velocity in [-8, 8].
- Acrobot: angles in [-pi, pi], below the goal line; angular velocities up to their maxima.
- MuJoCo: joints within their limits. A joint without limits is within 0.5 of its initial position; so is each
  number of a free or ball joint's quaternion, which is then normalised. Velocities are within 3 of the initial ones.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from vinci_offline.envs.collect.buffer import EpisodeBuffer
from vinci_offline.envs.seeding import CollectionSeeds
from vinci_offline.envs.states import bare, is_mujoco
from vinci_offline.errors import UsageError
from vinci_offline.policies.random_policy import RandomPolicy
from vinci_offline.spec import EnvironmentSpec
from vinci_offline.types import Array, Columns

if TYPE_CHECKING:
    import gymnasium

SetState = Callable[[np.random.Generator], Any]
"""Puts the environment into a random state that is not terminal, and returns the observation."""

_SPEED = 3.0
_QVEL_SPREAD = 3.0
_QPOS_SPREAD = 0.5
_REPORT_ROWS = 256


class StateSampler:
    """A source of transitions from uniform states under uniform actions.

    Args:
        env: the environment. Each row overwrites its state.
        spec: its description.
        seed: the collection's seed.
        float64: keep float64 values.

    Raises:
        UsageError: the environment's state cannot be set.
    """

    def __init__(
        self, env: gymnasium.Env[Any, Any], spec: EnvironmentSpec, seed: int, *, float64: bool = False
    ) -> None:
        self._env = env
        self._set_state = state_setter(env)
        self._policy = RandomPolicy(spec)
        self._buffer = EpisodeBuffer(spec, float64=float64)
        self._seed = seed

    def sample(self, block: int, rows: int, tell: Callable[[int], None] = lambda _: None) -> Columns:
        """Draw the first ``rows`` rows of a block.

        A block depends on the seed and its number alone. Each row stands alone: ``timeouts`` is set unless the step
        terminated.

        Args:
            block: the number of the block.
            rows: how many of its rows to draw.
            tell: called with the number of rows drawn since the last call.
        """
        # An earlier block must not affect this one: MuJoCo warm-starts its solver from the last state.
        self._env.reset(seed=CollectionSeeds(self._seed).start(block))
        rng = np.random.default_rng(np.random.SeedSequence((self._seed, block, 2)))
        step = self._env.unwrapped.step
        parts: list[Columns] = []
        for first in range(0, rows, _REPORT_ROWS):
            # Always draw the full number: a shorter block must begin like a longer one.
            actions, log_probs = self._policy.block(rng, _REPORT_ROWS)
            assert log_probs is not None
            for action, log_prob in list(zip(actions, log_probs, strict=True))[: rows - first]:
                self._buffer.begin(self._set_state(rng))
                observation, reward, terminated, _, info = step(action.copy())
                self._buffer.add(action, log_prob, observation, reward, info)
                parts.append(self._buffer.finish(bool(terminated), truncated=False))
            tell(min(_REPORT_ROWS, rows - first))
        return {path: np.concatenate([part[path] for part in parts]) for path in parts[0]}


def state_setter(env: gymnasium.Env[Any, Any]) -> SetState:
    """Return a function that puts the environment into a random state.

    Raises:
        UsageError: the environment's kind is unknown, or it has wrappers that setting the state would bypass.
    """
    from gymnasium.envs import classic_control as classic

    layer = bare(env, "random-state")
    setters: list[tuple[type, Callable[[Any], SetState]]] = [
        (classic.CartPoleEnv, _cart_pole),
        (classic.MountainCarEnv, _mountain_car),
        (classic.Continuous_MountainCarEnv, _mountain_car),
        (classic.PendulumEnv, _pendulum),
        (classic.AcrobotEnv, _acrobot),
    ]
    for kind, setter in setters:
        if isinstance(layer, kind):
            return setter(layer)
    if is_mujoco(layer):
        return _mujoco(layer)
    raise UsageError(
        f"random-state cannot set the state of {type(layer).__name__}: it knows classic control and MuJoCo; "
        "use --policy random"
    )


def _cart_pole(env: Any) -> SetState:
    high = np.array([env.x_threshold, _SPEED, env.theta_threshold_radians, _SPEED])

    def set_state(rng: np.random.Generator) -> Array:
        env.state = rng.uniform(-high, high)
        env.steps_beyond_terminated = None
        return np.asarray(env.state, np.float32)

    return set_state


def _mountain_car(env: Any) -> SetState:
    low = np.array([env.min_position, -env.max_speed])
    high = np.array([env.goal_position, env.max_speed])

    def set_state(rng: np.random.Generator) -> Array:
        env.state = rng.uniform(low, high)
        return np.asarray(env.state, np.float32)

    return set_state


def _pendulum(env: Any) -> SetState:
    high = np.array([np.pi, env.max_speed])

    def set_state(rng: np.random.Generator) -> Any:
        env.state = rng.uniform(-high, high)
        env.last_u = None
        return env._get_obs()

    return set_state


def _acrobot(env: Any) -> SetState:
    high = np.array([np.pi, np.pi, env.MAX_VEL_1, env.MAX_VEL_2])

    def set_state(rng: np.random.Generator) -> Any:
        env.state = rng.uniform(-high, high)
        while env._terminal():
            env.state = rng.uniform(-high, high)
        return env._get_ob()

    return set_state


def _mujoco(env: Any) -> SetState:
    low, high, quaternions = _qpos_ranges(env.model, env.init_qpos)

    def set_state(rng: np.random.Generator) -> Any:
        qpos = rng.uniform(low, high)
        for part in quaternions:
            qpos[part] /= np.linalg.norm(qpos[part])
        qvel = env.init_qvel + rng.uniform(-_QVEL_SPREAD, _QVEL_SPREAD, len(env.init_qvel))
        env.set_state(qpos, qvel)
        return env._get_obs()

    return set_state


def _qpos_ranges(model: Any, init_qpos: Array) -> tuple[Array, Array, list[slice]]:
    """Return the bounds of each coordinate, and the slices of unit quaternions."""
    import mujoco

    low, high = init_qpos - _QPOS_SPREAD, init_qpos + _QPOS_SPREAD
    quaternions = []
    for joint in range(model.njnt):
        at, kind = int(model.jnt_qposadr[joint]), int(model.jnt_type[joint])
        if kind == mujoco.mjtJoint.mjJNT_FREE:
            quaternions.append(slice(at + 3, at + 7))
        elif kind == mujoco.mjtJoint.mjJNT_BALL:
            quaternions.append(slice(at, at + 4))
        elif model.jnt_limited[joint]:
            low[at], high[at] = model.jnt_range[joint]
    return low, high, quaternions
