"""How fast collection is: against a bare loop, a Keras call a step, and Minari's DataCollector if installed.

All contenders take turns in one process and the table shows medians, so that a busy machine slows all alike::

    python scripts/bench/collection.py [--steps 20000] [--rounds 5]
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from statistics import median

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import gymnasium
import numpy as np

from vinci_offline import collect


def bare_loop(env_id: str, steps: int) -> None:
    """What nobody can beat who records: step and reset, keep nothing."""
    env = gymnasium.make(env_id, disable_env_checker=True)
    env.reset(seed=0)
    env.action_space.seed(0)
    for _ in range(steps):
        _, _, terminated, truncated, _ = env.step(env.action_space.sample())
        if terminated or truncated:
            env.reset()


def ours(env_id: str, steps: int, policy: object = "random") -> None:
    with tempfile.TemporaryDirectory() as folder:
        collect(env_id, Path(folder) / "data.h5", steps=steps, policy=policy, progress=False)


def minari_collector(env_id: str, steps: int) -> None:
    import minari

    env = minari.DataCollector(gymnasium.make(env_id, disable_env_checker=True))
    env.reset(seed=0)
    env.action_space.seed(0)
    for _ in range(steps):
        _, _, terminated, truncated, _ = env.step(env.action_space.sample())
        if terminated or truncated:
            env.reset()
    env.close()


def keras_policy(env_id: str):
    """Two layers of 256 units that keep the action in bounds."""
    import keras

    env = gymnasium.make(env_id)
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input(env.observation_space.shape),
            keras.layers.Dense(256, activation="relu"),
            keras.layers.Dense(256, activation="relu"),
            keras.layers.Dense(env.action_space.shape[0], activation="tanh"),
        ]
    )


def keras_call_a_step(env_id: str, steps: int, model) -> None:
    """The loop in many a tutorial: ``model(observation[None])`` for every step."""
    env = gymnasium.make(env_id, disable_env_checker=True)
    observation, _ = env.reset(seed=0)
    for _ in range(steps):
        action = np.asarray(model(observation[None].astype(np.float32)))[0]
        observation, _, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            observation, _ = env.reset()


def race(contenders: dict, rounds: int) -> dict[str, float]:
    """Median steps a second of each; ``contenders`` maps a name to a function and its number of steps."""
    rates: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, (function, steps) in contenders.items():
            start = time.perf_counter()
            function(steps)
            rates[name].append(steps / (time.perf_counter() - start))
    return {name: median(values) for name, values in rates.items()}


def table(title: str, rates: dict[str, float]) -> None:
    base = next(iter(rates.values()))
    print(f"\n{title}")
    for name, rate in rates.items():
        print(f"  {name:<34}{rate:>10,.0f} steps/s  {rate / base:6.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    steps, rounds = arguments.steps, arguments.rounds
    try:
        import minari  # noqa: F401

        has_minari = True
    except ImportError:
        has_minari = False
        print("minari is not installed: skipped (pip install 'vinci-offline[minari]')")
    for env_id in ("Pendulum-v1", "Hopper-v5"):
        contenders = {
            "bare env.step loop": (lambda n, e=env_id: bare_loop(e, n), steps),
            "collect": (lambda n, e=env_id: ours(e, n), steps),
        }
        if has_minari:
            contenders["minari.DataCollector"] = (lambda n, e=env_id: minari_collector(e, n), steps)
        table(f"{env_id}, random policy (last column: against the bare loop)", race(contenders, rounds))
    model = keras_policy("Pendulum-v1")
    ours("Pendulum-v1", 500, model)  # compiled before the clock starts
    contenders = {
        "a Keras call a step": (lambda n: keras_call_a_step("Pendulum-v1", n, model), steps // 10),
        "collect, 16 lanes": (lambda n: ours("Pendulum-v1", n, model), steps),
    }
    table("Pendulum-v1, 256x256 Keras policy (last column: against a call a step)", race(contenders, rounds))


if __name__ == "__main__":
    main()
