"""Random-state collection: uniform states and actions, one step at a time, where the state can be set.

Each row starts from a state of its own. So the data covers the state space evenly, even where acting seldom leads.
States are uniform in these ranges:

- CartPole: position and angle up to the limits that end an episode; velocities in [-3, 3].
- MountainCar, MountainCarContinuous: position from the left wall to the goal; velocity up to the top speed.
- Pendulum: angle in [-pi, pi]; angular velocity in [-8, 8].
- Acrobot: angles in [-pi, pi], below the goal line; angular velocities up to their maxima.
- MuJoCo: joints within their limits. A joint without limits is within 0.5 of its initial position; so is each
  number of a free or ball joint's quaternion, which is then normalised. Velocities are within 3 of the initial ones.

A state in which the environment has already terminated (a fallen hopper) is drawn again: nothing acts there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from vinci_offline.envs.collect.buffer import EpisodeBuffer
from vinci_offline.envs.seeding import CollectionSeeds
from vinci_offline.envs.states import bare, is_mujoco
from vinci_offline.errors import UsageError
from vinci_offline.policies.actions import to_environment
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
_MOST_DRAWS = 20_000
"""Draws of one state. Where one in a thousand is not terminal, all of them fail once in 5 * 10^8 rows."""
_ENDLESS = {"half_cheetah", "swimmer", "reacher", "pusher", "humanoidstandup"}
"""Modules of Gymnasium's MuJoCo environments that never terminate."""
_INSTANT = 1e-9
"""Seconds of a step in which a state stays as it is."""


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
        self._policy, self._space = RandomPolicy(spec), spec.action_space
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
            drawn = zip(actions, to_environment(actions, self._space), log_probs, strict=True)
            for action, given, log_prob in list(drawn)[: rows - first]:
                self._buffer.begin(self._set_state(rng), {})
                observation, reward, terminated, _, info = step(given)
                self._buffer.add(action, log_prob, observation, reward, info)
                parts.append(self._buffer.finish(bool(terminated), truncated=not terminated))
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

    def draw(rng: np.random.Generator) -> None:
        env.state = rng.uniform(-high, high)

    return _not_terminal(env, draw, env._terminal, env._get_ob)


def _mujoco(env: Any) -> SetState:
    low, high, quaternions = _qpos_ranges(env.model, env.init_qpos)

    def draw(rng: np.random.Generator) -> None:
        qpos = rng.uniform(low, high)
        for part in quaternions:
            qpos[part] /= np.linalg.norm(qpos[part])
        qvel = env.init_qvel + rng.uniform(-_QVEL_SPREAD, _QVEL_SPREAD, len(env.init_qvel))
        env.set_state(qpos, qvel)

    return _not_terminal(env, draw, _mujoco_terminal(env), env._get_obs)


def _not_terminal(
    env: Any,
    draw: Callable[[np.random.Generator], None],
    terminal: Callable[[], bool],
    observe: Callable[[], Any],
) -> SetState:
    """Return a function that draws states until one is not terminal.

    Args:
        env: the environment.
        draw: puts it into a random state.
        terminal: tells whether it has terminated in the state that it is in.
        observe: returns the observation.
    """

    def set_state(rng: np.random.Generator) -> Any:
        for _ in range(_MOST_DRAWS):
            draw(rng)
            if not terminal():
                return observe()
        raise UsageError(
            f"random-state drew {_MOST_DRAWS:,} states of {type(env).__name__} and it has terminated in each: give it "
            "wider limits (--env-kwargs, such as healthy_z_range), or use --policy random"
        )

    return set_state


def _mujoco_terminal(env: Any) -> Callable[[], bool]:
    """Return a function that tells whether a MuJoCo environment has terminated in the state that it is in.

    Environments that know whether they are healthy are asked. The step of others tells, so one step is taken that lasts
    a nanosecond.
    """
    package, _, module = type(env).__module__.rpartition(".")
    if package == "gymnasium.envs.mujoco" and module.rpartition("_v")[0] in _ENDLESS:
        return lambda: False
    if hasattr(type(env), "is_healthy"):
        ends = bool(getattr(env, "_terminate_when_unhealthy", True))
        return lambda: ends and not env.is_healthy
    still = np.zeros(env.action_space.shape, env.action_space.dtype)
    options, data = env.model.opt, env.data

    def terminal() -> bool:
        qpos, qvel, step, frames = data.qpos.copy(), data.qvel.copy(), options.timestep, env.frame_skip
        options.timestep, env.frame_skip = _INSTANT, 1
        try:
            terminated = bool(env.step(still)[2])
        finally:
            options.timestep, env.frame_skip = step, frames
        env.set_state(qpos, qvel)
        return terminated

    return terminal


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
