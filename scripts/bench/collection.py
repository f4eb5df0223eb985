"""How fast collection is: against a bare loop, Minari's DataCollector, a Keras call a step, and by two workers.

All contenders take turns in one process and the table shows medians, so that a busy machine slows all alike::

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
    """What nobody can beat who records: step and reset, keep nothing."""
    env = gymnasium.make(env_id, disable_env_checker=True)
    env.reset(seed=0)
    env.action_space.seed(0)
    for _ in range(steps):
        _, _, terminated, truncated, _ = env.step(env.action_space.sample())
        if terminated or truncated:
            env.reset()


def ours(env_id: str, steps: int, policy: object = "random", workers: int = 1) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data.h5"
        collect(env_id, path, steps=steps, policy=policy, workers=workers, progress=False)


def replayed(env_id: str, steps: int) -> None:
    """The environment alone: actions drawn beforehand, so that what is left is ``env.step`` and ``reset``."""
    env = gymnasium.make(env_id, disable_env_checker=True)
    space = env.action_space
    actions = (
        np.random.default_rng(0).uniform(space.low, space.high, (steps, *space.shape)).astype(space.dtype)
    )
    env.reset(seed=0)
    for action in actions:
        _, _, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            env.reset()


def minari_collector(env_id: str, steps: int, *, dataset: bool = False) -> None:
    """Minari's collector; with ``dataset`` until its dataset is on disk, as `collect` does, else only buffered."""
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
                warnings.simplefilter("ignore")  # it asks for an author and a licence
                env.create_dataset("bench/data-v0")
        env.close()


def keras_policy(env_id: str) -> Any:
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


def keras_call_a_step(env_id: str, steps: int, model: Any) -> None:
    """The loop in many a tutorial: ``model(observation[None])`` for every step."""
    env = gymnasium.make(env_id, disable_env_checker=True)
    observation, _ = env.reset(seed=0)
    for _ in range(steps):
        action = np.asarray(model(observation[None].astype(np.float32)))[0]
        observation, _, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            observation, _ = env.reset()


def race(contenders: Mapping[str, tuple[Callable[[int], None], int]], rounds: int) -> dict[str, float]:
    """Median steps a second of each; ``contenders`` maps a name to a function and its number of steps."""
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
    """A line of the table: the first contender's rate, the second's, their ratio, and what it should be."""
    (ours_name, our_rate), (other, rate) = rates.items()
    shown = [f"{our_rate:,.0f}", f"{rate:,.0f}", f"{our_rate / rate:.2f}", least]
    return [what, ours_name, other, *shown]


def random_rows(steps: int, rounds: int) -> list[list[str]]:
    """A random policy against a bare loop and, where it is installed, Minari's collector."""
    rows = []
    for env_id in ("Pendulum-v1", "Hopper-v5"):
        contenders = {
            "collect": (partial(ours, env_id), steps),
            BARE: (partial(bare_loop, env_id), steps),
            ALONE: (partial(replayed, env_id), steps),
        }
        if find_spec("minari"):
            contenders[BUFFERED] = (partial(minari_collector, env_id), steps)
            contenders[WRITTEN] = (partial(minari_collector, env_id, dataset=True), steps)
        else:
            print("minari is not installed: skipped (pip install 'vinci-offline[minari]')")
        rates = race(contenders, rounds)
        for name, least in ((BARE, "0.8"), (ALONE, ""), (BUFFERED, "3"), (WRITTEN, "3")):
            if name in rates:
                pair = {"collect": rates["collect"], name: rates[name]}
                rows.append(row(f"{env_id}, random policy", pair, least))
    return rows


def keras_rows(steps: int, rounds: int) -> list[list[str]]:
    """A 256 x 256 Keras policy against a loop that calls the model for each step."""
    model = keras_policy("Pendulum-v1")
    ours("Pendulum-v1", 500, model)  # compiled before the clock starts
    contenders = {
        "collect, 16 lanes": (lambda n: ours("Pendulum-v1", n, model), steps),
        "a Keras call a step": (lambda n: keras_call_a_step("Pendulum-v1", n, model), steps // 10),
    }
    return [row("Pendulum-v1, 256 x 256 Keras policy", race(contenders, rounds), "10")]


def worker_rows(steps: int, rounds: int) -> list[list[str]]:
    """Two workers against one, their start and the joining of shards included."""
    contenders = {
        f"collect, {workers} worker{'s' if workers > 1 else ''}": (
            partial(ours, "Hopper-v5", workers=workers),
            steps,
        )
        for workers in (2, 1)
    }
    return [row(f"Hopper-v5, random policy, {steps:,} rows", race(contenders, rounds), "1.7")]


PARTS = {"random": random_rows, "keras": keras_rows, "workers": worker_rows}
HEADER = ("job", "ours", "against", "steps a second", "against it", "ratio", "at least")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", default=",".join(PARTS), help=f"which of {', '.join(PARTS)}")
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument(
        "--worker-steps", type=int, default=200_000, help="rows that one and two workers record"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--markdown", type=Path, metavar="PAGE", help="keep the table in this page")
    options = parser.parse_args()
    for part in options.parts.split(","):
        steps = options.worker_steps if part == "workers" else options.steps
        text = table(HEADER, PARTS[part](steps, options.rounds))
        print(text)
        if options.markdown:
            keep(options.markdown, f"collection-{part}", f"{made_by()}\n\n{text}")


if __name__ == "__main__":
    main()
