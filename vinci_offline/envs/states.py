"""Set an environment's state from an observation or a recorded state."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from vinci_offline.errors import UsageError
from vinci_offline.types import Array

if TYPE_CHECKING:
    import gymnasium

ObservedState: TypeAlias = Callable[[Array], bool]
"""Sets the state of an observation. False where the observation does not give it."""

_PROBE = 50.0
"""A speed larger than any in an observation, to find out whether the environment clips speeds."""


def bare(env: gymnasium.Env[Any, Any], task: str) -> Any:
    """Return the environment below the wrappers that only count steps.

    Args:
        env: the environment.
        task: the caller's name in the message.

    Raises:
        UsageError: another wrapper would be bypassed.
    """
    import gymnasium

    layer: Any = env
    while isinstance(layer, gymnasium.Wrapper):
        if not isinstance(layer, gymnasium.wrappers.TimeLimit | gymnasium.wrappers.OrderEnforcing):
            raise UsageError(
                f"{task} would bypass the wrapper {type(layer).__name__}: name the plain environment"
            )
        layer = layer.env
    return layer


def is_mujoco(env: Any) -> bool:
    """Return True for an environment of Gymnasium's MuJoCo kind, without wrappers."""
    return all(hasattr(env, name) for name in ("set_state", "_get_obs", "model", "init_qpos", "init_qvel"))


def observed_state(env: Any) -> ObservedState | None:
    """Return a function that sets the state from an observation; None for environments of another kind.

    In Gymnasium's MuJoCo environments the observation begins with ``qpos`` and ``qvel``. The first entries of
    ``qpos`` are left out: the position along the track, which does not matter and is set to zero. Some clip ``qvel``.

    Args:
        env: an environment without wrappers that was reset. Its state is overwritten.
    """
    from gymnasium.envs import classic_control as classic

    readers: list[tuple[type, Callable[[Array], Array]]] = [
        (classic.CartPoleEnv, np.asarray),
        (classic.MountainCarEnv, np.asarray),
        (classic.Continuous_MountainCarEnv, np.asarray),
        (classic.PendulumEnv, lambda seen: np.array([np.arctan2(seen[1], seen[0]), seen[2]])),
        (classic.AcrobotEnv, _acrobot),
    ]
    for kind, read in readers:
        if isinstance(env, kind):
            return _classic(env, read)
    return _mujoco(env) if is_mujoco(env) else None


def _acrobot(seen: Array) -> Array:
    return np.array([np.arctan2(seen[1], seen[0]), np.arctan2(seen[3], seen[2]), seen[4], seen[5]])


def _classic(env: Any, read: Callable[[Array], Array]) -> ObservedState:
    def set_state(observation: Array) -> bool:
        env.state = read(observation.astype(np.float64))
        env.steps_beyond_terminated = None
        return True

    return set_state


def _mujoco(env: Any) -> ObservedState | None:
    skipped = _skipped_positions(env)
    if skipped is None:
        return None
    positions, speeds = env.model.nq - skipped, env.model.nv
    env.set_state(env.init_qpos, np.full(speeds, _PROBE))
    limit = float(np.abs(env._get_obs()[positions : positions + speeds]).max())

    def set_state(observation: Array) -> bool:
        qpos = np.append(np.zeros(skipped), observation[:positions])
        qvel = observation[positions : positions + speeds].astype(np.float64)
        # A clipped speed hides the true one.
        if limit < _PROBE and (np.abs(qvel) >= limit).any():
            return False
        env.set_state(qpos, qvel)
        return True

    return set_state


def _skipped_positions(env: Any) -> int | None:
    """Return how many entries of ``qpos`` the observation leaves out; None where it does not begin with both."""
    rng = np.random.default_rng(0)
    qpos = env.init_qpos + rng.uniform(-0.01, 0.01, env.model.nq)
    qvel = rng.uniform(-0.01, 0.01, env.model.nv)
    env.set_state(qpos, qvel)
    seen = env._get_obs()
    if not isinstance(seen, np.ndarray):
        return None
    for skipped in range(3):
        begins = np.concatenate([qpos[skipped:], qvel])
        if len(seen) >= len(begins) and np.array_equal(seen[: len(begins)], begins):
            return skipped
    return None


def recorded_state(env: Any) -> Callable[[Array, Array], bool] | None:
    """Return a function that sets a recorded ``(qpos, qvel)`` in MuJoCo; None for environments of another kind."""
    if not is_mujoco(env):
        return None

    def set_state(qpos: Array, qvel: Array) -> bool:
        env.set_state(qpos.astype(np.float64), qvel.astype(np.float64))
        return True

    return set_state
