"""Gradient steps per second of `train`'s loop against d3rlpy's, interleaved in one run.

Both train TD3+BC on the same made-up transitions: 17 observation and 6 action dimensions, two 256-unit layers, batch
256. d3rlpy samples from its own replay buffer and calls its own ``update``, as its ``fit`` does. Needs d3rlpy:

    pip install torch d3rlpy && python scripts/bench/training.py
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import statistics
import time
from collections.abc import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np

OBSERVATIONS, ACTIONS = 17, 6
ROWS, EPISODE = 100_000, 1_000

Steps = Callable[[int], None]


def columns() -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    return {
        "observations": generator.normal(size=(ROWS, OBSERVATIONS)).astype(np.float32),
        "actions": generator.uniform(-1, 1, (ROWS, ACTIONS)).astype(np.float32),
        "rewards": generator.normal(size=ROWS).astype(np.float32),
        "next_observations": generator.normal(size=(ROWS, OBSERVATIONS)).astype(np.float32),
    }


def ours(data: dict[str, np.ndarray], batch_size: int, jit: bool) -> Steps:
    from vinci_offline import EnvironmentSpec, Transitions
    from vinci_offline.agents.registry import agent_class
    from vinci_offline.networks.builder import NetworkBuilder
    from vinci_offline.spec import BoxSpace
    from vinci_offline.training.engines.tensorflow import TensorFlowEngine
    from vinci_offline.training.learner import Learner

    def box(size: int, bound: float) -> BoxSpace:
        limit = np.full(size, bound, np.float32)
        return BoxSpace((size,), "float32", -limit, limit)

    spec = EnvironmentSpec(box(OBSERVATIONS, np.inf), box(ACTIONS, 1))
    moments = data["observations"].mean(0), data["observations"].std(0)
    learner = Learner(agent_class("td3bc").from_settings({}), NetworkBuilder(spec, *moments), seed=0)
    discount = np.full(ROWS, 0.99, np.float32)
    discount[EPISODE - 1 :: EPISODE] = 0
    transitions = Transitions(
        data["observations"], data["actions"], data["rewards"], discount, data["next_observations"]
    )
    engine = TensorFlowEngine(learner, transitions, batch_size=batch_size, seed=0, jit=jit)
    taken = 0

    def steps(count: int) -> None:
        nonlocal taken
        engine.run(learner.select(None), taken, count)
        taken += count

    return steps


def d3rlpy_steps(data: dict[str, np.ndarray], batch_size: int) -> Steps:
    import d3rlpy

    terminals = np.zeros(ROWS, np.float32)
    terminals[EPISODE - 1 :: EPISODE] = 1
    dataset = d3rlpy.dataset.MDPDataset(data["observations"], data["actions"], data["rewards"], terminals)
    config = d3rlpy.algos.TD3PlusBCConfig(
        batch_size=batch_size, observation_scaler=d3rlpy.preprocessing.StandardObservationScaler()
    )
    algorithm = config.create(device="cpu:0")
    algorithm.build_with_dataset(dataset)
    config.observation_scaler.fit_with_trajectory_slicer(dataset.episodes, dataset.trajectory_slicer)

    def steps(count: int) -> None:
        for _ in range(count):
            algorithm.update(dataset.sample_transition_batch(batch_size))

    return steps


def step_flop(batch_size: int) -> float:
    """Multiplications and additions of a step's matrix products: a backward pass costs two forward ones."""
    actor = OBSERVATIONS * 256 + 256 * 256 + 256 * ACTIONS
    critic = (OBSERVATIONS + ACTIONS) * 256 + 256 * 256 + 256
    # Target action and values, then both critics forward and back.
    critics = actor + 2 * critic + 3 * 2 * critic
    # The actor forward and back, through one critic whose weights do not move.
    actors = 3 * actor + 2 * critic
    return 2.0 * batch_size * (critics + actors / 2)


def matrix_product_rate() -> float:
    """GFLOP/s of a float32 matrix product, the machine's own limit."""
    import tensorflow as tf

    matrix = tf.random.normal((1024, 1024))
    (matrix @ matrix).numpy()
    began, count = time.perf_counter(), 50
    for _ in range(count):
        product = matrix @ matrix
    product.numpy()
    return count * 2 * 1024**3 / (time.perf_counter() - began) / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each contender in each round")
    parser.add_argument("--batch-size", type=int, default=256)
    options = parser.parse_args()
    data = columns()
    contenders: dict[str, Steps] = {
        "vinci-offline, XLA": ours(data, options.batch_size, jit=True),
        "vinci-offline, graph": ours(data, options.batch_size, jit=False),
    }
    if importlib.util.find_spec("d3rlpy"):
        contenders["d3rlpy"] = d3rlpy_steps(data, options.batch_size)
    else:
        print("d3rlpy is not installed: it is left out")
    rates: dict[str, list[float]] = {name: [] for name in contenders}
    products: list[float] = []
    for steps in contenders.values():
        steps(20)  # compiles, warms up
    for _ in range(options.rounds):
        for name, steps in contenders.items():
            rates[name].append(rate(steps, options.seconds))
        products.append(matrix_product_rate())
    best = statistics.median(rates["vinci-offline, XLA"])
    print(
        f"TD3+BC, {OBSERVATIONS}+{ACTIONS} dimensions, 2 x 256, batch {options.batch_size}: gradient steps a second"
    )
    for name, values in rates.items():
        middle = statistics.median(values)
        print(f"  {name:24} {middle:8.0f}   ({min(values):.0f} to {max(values):.0f})   x {best / middle:.2f}")
    work = step_flop(options.batch_size) / 1e9
    product = statistics.median(products)
    print(
        f"  {work:.2f} GFLOP a step: {best * work:.0f} GFLOP/s, of {product:.0f} GFLOP/s that the machine gives a"
    )
    print(
        f"  1024 x 1024 float32 matrix product in the same run ({min(products):.0f} to {max(products):.0f})"
    )


def rate(steps: Steps, seconds: float) -> float:
    count, began = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - began) < seconds:
        steps(20)
        count += 20
    return count / elapsed


if __name__ == "__main__":
    main()
