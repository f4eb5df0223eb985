"""Compare `collect` with a bare loop, Minari's DataCollector and a Keras call a step, and two workers with one.

The contenders take turns in one process, so that a busy machine slows all of them. The tables show medians::

    python scripts/bench/collection.py [--parts random,keras,workers] [--steps 20000] [--rounds 5] [--markdown PAGE]
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import gymnasium
import numpy as np
from tables import keep, made_by, table

from vinci_offline import collect


def bare_loop(env_id: str, steps: int) -> None:
    """Step and reset, and keep nothing: the upper limit of any recorder."""
    env = gymnasium.make(env_id, disable_env_checker=True)
    env.reset(seed=0)
    env.action_space.seed(0)
    for _ in range(steps):
        _, _, terminated, truncated, _ = env.step(env.action_space.sample())
        if terminated or truncated:
            env.reset()


def record(env_id: str, steps: int, policy: object = "random", workers: int = 1) -> None:
    """Record with `collect`, the file included."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data.h5"
        collect(env_id, path, steps=steps, policy=policy, workers=workers, progress=False)


def replayed(env_id: str, steps: int) -> None:
    """Step the environment with actions that are drawn beforehand: the time of ``env.step`` and ``reset`` alone."""
    env = gymnasium.make(env_id, disable_env_checker=True)
    space = env.action_space
    assert isinstance(space, gymnasium.spaces.Box)
    actions = (
        np.random.default_rng(0).uniform(space.low, space.high, (steps, *space.shape)).astype(space.dtype)
    )
    env.reset(seed=0)
    for action in actions:
        _, _, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            env.reset()


def minari_collector(env_id: str, steps: int, *, dataset: bool = False) -> None:
    """Record with Minari's collector: in its buffer, or with ``dataset`` to a dataset on disk."""
    import minari

    with tempfile.TemporaryDirectory() as folder:
        os.environ["MINARI_DATASETS_PATH"] = folder
        env = minari.DataCollector(gymnasium.make(env_id, disable_env_checker=True))
        env.reset(seed=0)
        env.action_space.seed(0)
        for _ in range(steps):
            _, _, terminated, truncated, _ = env.step(env.action_space.sample())
            if terminated or truncated:
                env.reset()
        if dataset:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Minari asks for an author and a licence
                env.create_dataset("bench/data-v0")
        env.close()


def keras_policy(env_id: str) -> Any:
    """Make a policy of two layers of 256 units; its actions are in bounds."""
    import keras

    env = gymnasium.make(env_id)
    assert isinstance(env.action_space, gymnasium.spaces.Box)
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input(env.observation_space.shape),
            keras.layers.Dense(256, activation="relu"),
            keras.layers.Dense(256, activation="relu"),
            keras.layers.Dense(env.action_space.shape[0], activation="tanh"),
        ]
    )


def keras_call_a_step(env_id: str, steps: int, model: Any) -> None:
    """Call ``model(observation[None])`` at every step, as many tutorials do."""
    env = gymnasium.make(env_id, disable_env_checker=True)
    observation, _ = env.reset(seed=0)
    for _ in range(steps):
        action = np.asarray(model(observation[None].astype(np.float32)))[0]
        observation, _, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            observation, _ = env.reset()


def race(contenders: Mapping[str, tuple[Callable[[int], None], int]], rounds: int) -> dict[str, float]:
    """Return the median steps a second of each contender: a function and its number of steps."""
    rates: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, (function, steps) in contenders.items():
            start = time.perf_counter()
            function(steps)
            rates[name].append(steps / (time.perf_counter() - start))
    return {name: median(values) for name, values in rates.items()}


BARE = "bare env.step loop"
ALONE = "env.step alone, actions drawn beforehand"
BUFFERED = "Minari DataCollector, no dataset written"
WRITTEN = "Minari DataCollector and create_dataset"


def row(what: str, rates: dict[str, float], least: str) -> list[str]:
    """Return a line of the table: the two rates, their ratio, and the least that the ratio should be."""
    (ours_name, our_rate), (other, rate) = rates.items()
    shown = [f"{our_rate:,.0f}", f"{rate:,.0f}", f"{our_rate / rate:.2f}", least]
    return [what, ours_name, other, *shown]


def random_rows(steps: int, rounds: int) -> list[list[str]]:
    """Compare a random policy with a bare loop and, if Minari is installed, with its collector."""
    rows = []
    for env_id in ("Pendulum-v1", "Hopper-v5"):
        contenders = {
            "collect": (partial(record, env_id), steps),
            BARE: (partial(bare_loop, env_id), steps),
            ALONE: (partial(replayed, env_id), steps),
        }
        if find_spec("minari"):
            contenders[BUFFERED] = (partial(minari_collector, env_id), steps)
            contenders[WRITTEN] = (partial(minari_collector, env_id, dataset=True), steps)
        else:
            print("minari is not installed and is left out (pip install 'vinci-offline[minari]')")
        rates = race(contenders, rounds)
        for name, least in ((BARE, "0.8"), (ALONE, ""), (BUFFERED, "3"), (WRITTEN, "3")):
            if name in rates:
                pair = {"collect": rates["collect"], name: rates[name]}
                rows.append(row(f"{env_id}, random policy", pair, least))
    return rows


def keras_rows(steps: int, rounds: int) -> list[list[str]]:
    """Compare a 256 x 256 Keras policy with a loop that calls the model at each step."""
    model = keras_policy("Pendulum-v1")
    record("Pendulum-v1", 500, model)  # compile before the clock starts
    contenders = {
        "collect, 16 lanes": (lambda n: record("Pendulum-v1", n, model), steps),
        "a Keras call a step": (lambda n: keras_call_a_step("Pendulum-v1", n, model), steps // 10),
    }
    return [row("Pendulum-v1, 256 x 256 Keras policy", race(contenders, rounds), "10")]


def worker_rows(steps: int, rounds: int) -> list[list[str]]:
    """Compare two workers with one; their start and the joining of shards count."""
    contenders = {
        f"collect, {workers} worker{'s' if workers > 1 else ''}": (
            partial(record, "Hopper-v5", workers=workers),
            steps,
        )
        for workers in (2, 1)
    }
    return [row(f"Hopper-v5, random policy, {steps:,} rows", race(contenders, rounds), "1.7")]


PARTS = {"random": random_rows, "keras": keras_rows, "workers": worker_rows}
HEADER = ("job", "ours", "against", "steps a second", "against it", "ratio", "at least")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", default=",".join(PARTS), help=f"the parts to run: {', '.join(PARTS)}")
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--worker-steps", type=int, default=200_000, help="rows that the workers record")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--markdown", type=Path, metavar="PAGE", help="write the tables to this page")
    options = parser.parse_args()
    for part in options.parts.split(","):
        steps = options.worker_steps if part == "workers" else options.steps
        text = table(HEADER, PARTS[part](steps, options.rounds))
        print(text)
        if options.markdown:
            keep(options.markdown, f"collection-{part}", f"{made_by()}\n\n{text}")


if __name__ == "__main__":
    main()
