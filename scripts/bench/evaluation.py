"""Compare `evaluate` with SB3's `evaluate_policy`, d3rlpy's evaluator and the bare simulator, and two workers with one.

All policies have two layers of 256 units. An episode of Hopper-v5 has 1,000 steps: it goes on after a fall.
The contenders take turns in one process, so that a busy machine slows all of them. The table shows medians. Start-up
counts, except for the import of TensorFlow in this process::

    python scripts/bench/evaluation.py [--episodes 100] [--rounds 5] [--markdown PAGE]
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import gymnasium
import numpy as np
from tables import keep, made_by, table

from vinci_offline import evaluate

ENV = "Hopper-v5"
KWARGS = {"terminate_when_unhealthy": False}
STEPS = 1_000
BARE = "the bare simulator, actions drawn beforehand"


def simulator() -> gymnasium.Env[Any, Any]:
    return gymnasium.make(ENV, disable_env_checker=True, **KWARGS)


def bare(episodes: int) -> None:
    """Step and reset with actions that are drawn beforehand."""
    env = simulator()
    assert isinstance(env.action_space, gymnasium.spaces.Box)
    low, high = env.action_space.low, env.action_space.high
    actions = np.random.default_rng(0).uniform(low, high, (STEPS, *low.shape)).astype(np.float32)
    for episode in range(episodes):
        env.reset(seed=episode)
        for action in actions:
            env.step(action)


def ours(file: Path, lanes: int, workers: int) -> Callable[[int], None]:
    """Return an evaluation of a policy file."""

    def run(episodes: int) -> None:
        evaluate(file, ENV, episodes=episodes, lanes=lanes, workers=workers, env_kwargs=KWARGS)

    return run


def sb3(lanes: int) -> Callable[[int], None]:
    """Return SB3's `evaluate_policy` over a number of environments."""
    from stable_baselines3 import PPO
    from stable_baselines3.common.evaluation import evaluate_policy
    from stable_baselines3.common.vec_env import DummyVecEnv

    envs = DummyVecEnv([simulator] * lanes)
    model = PPO("MlpPolicy", envs, policy_kwargs={"net_arch": [256, 256]}, device="cpu")

    def run(episodes: int) -> None:
        evaluate_policy(model, envs, n_eval_episodes=episodes, warn=False)

    return run


def d3rlpy() -> Callable[[int], None]:
    """Return d3rlpy's evaluator, which steps one environment."""
    import d3rlpy as peer

    peer.logging.LOG.disabled = True
    env = simulator()
    algorithm = peer.algos.BCConfig().create()
    algorithm.build_with_env(env)

    def run(episodes: int) -> None:
        peer.metrics.EnvironmentEvaluator(env, n_trials=episodes)(algorithm, None)

    return run


def policy_file(folder: Path) -> Path:
    """Save a Keras policy of two layers of 256 units."""
    import keras

    keras.utils.set_random_seed(0)
    env = simulator()
    hidden = [keras.layers.Dense(256, activation="relu") for _ in range(2)]
    assert isinstance(env.action_space, gymnasium.spaces.Box)
    actions = keras.layers.Dense(env.action_space.shape[0], activation="tanh")
    keras.Sequential([keras.Input(env.observation_space.shape), *hidden, actions]).save(
        folder / "policy.keras"
    )
    return folder / "policy.keras"


def contenders(file: Path) -> dict[str, Callable[[int], None]]:
    """Return the contenders whose packages are installed."""
    found: dict[str, Callable[[int], None]] = {
        BARE: bare,
        "evaluate, 1 lane": ours(file, 1, 1),
        "evaluate, 16 lanes": ours(file, 16, 1),
        "evaluate, 64 lanes": ours(file, 64, 1),
        "evaluate, 16 lanes, 2 workers": ours(file, 16, 2),
    }
    if find_spec("stable_baselines3"):
        found |= {
            f"SB3 evaluate_policy, {lanes} environment{'s' if lanes > 1 else ''}": sb3(lanes)
            for lanes in (1, 16)
        }
    if find_spec("d3rlpy"):
        found["d3rlpy EnvironmentEvaluator"] = d3rlpy()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--episodes", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--markdown", type=Path, metavar="PAGE", help="write the table to this page")
    options = parser.parse_args()
    rates: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        running = contenders(policy_file(Path(folder)))
        running["evaluate, 16 lanes"](1)  # imports and compiles before the clock starts
        for _ in range(options.rounds):
            for name, run in running.items():
                start = time.perf_counter()
                run(options.episodes)
                seconds = time.perf_counter() - start
                rates.setdefault(name, []).append(options.episodes * STEPS / seconds)
    rows = [
        [
            name,
            f"{median(found):,.0f}",
            f"{min(found):,.0f} to {max(found):,.0f}",
            f"{median(rate / alone for rate, alone in zip(found, rates[BARE], strict=True)):.2f}",
        ]
        for name, found in rates.items()
    ]
    text = table((f"{ENV}, {options.episodes} episodes", "steps a second", "range", "of the simulator"), rows)
    print(text)
    if options.markdown:
        keep(options.markdown, "evaluation", f"{made_by()}\n\n{text}")


if __name__ == "__main__":
    main()
