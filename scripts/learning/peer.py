"""Run d3rlpy on the same file, with the same settings and the same evaluation.

d3rlpy (Seno and Imai, 2022, https://www.jmlr.org/papers/v23/22-0017.html) is not a dependency:

    pip install torch d3rlpy
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# PyTorch's idle threads spin, which slows d3rlpy greatly on a busy machine.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import d3rlpy
import numpy as np
import structlog
from counterparts import counterpart
from d3rlpy.preprocessing import MinMaxActionScaler, StandardObservationScaler

from vinci_offline import Dataset, evaluate, train
from vinci_offline.agents.registry import agent_class
from vinci_offline.deviation import sample_deviation
from vinci_offline.policies.named import load_policy
from vinci_offline.spec import BoxSpace, DiscreteSpace

EVALUATION_SEED = 1_000

structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))


@dataclass(frozen=True)
class Outcome:
    """Result of one trained policy.

    Attributes:
        side: the tool that trained it.
        seed: seed of its training.
        returns: returns of the evaluation's episodes.
        seconds: time of training, including reading the rows and building the networks.
        value: the critic's final mean Q of the data, or NaN.
        distance: distance of the policy's actions from the data's: mean squared error, or share of different choices.
    """

    side: str
    seed: int
    returns: tuple[float, ...]
    seconds: float
    value: float
    distance: float

    @property
    def mean(self) -> float:
        """Mean return."""
        return float(np.mean(self.returns))

    def __str__(self) -> str:
        spread = sample_deviation(self.returns)
        return (
            f"{self.side:14} seed {self.seed}: {self.mean:8.1f} +- {spread:6.1f} over {len(self.returns)} "
            f"episodes, {self.seconds:5.0f} s, mean Q {self.value:.1f}, distance {self.distance:.4f}"
        )


def run_ours(
    dataset: Dataset,
    agent: str,
    *,
    steps: int,
    seed: int,
    env: str,
    episodes: int,
    settings: Mapping[str, Any],
    output: Path,
) -> Outcome:
    """Train and evaluate vinci-offline's agent; the time includes compiling, checkpoints and reading the file."""
    began = time.perf_counter()
    result = train(
        dataset,
        agent,
        output=output,
        settings=settings,
        steps=steps,
        seed=seed,
        overwrite=True,
        progress=False,
    )
    seconds = time.perf_counter() - began
    evaluation = evaluate(result.run, env, episodes=episodes, seed=EVALUATION_SEED)
    value = result.final_metrics.get("q/mean", float("nan"))
    return Outcome("vinci-offline", seed, evaluation.returns, seconds, value, distance(result.run, dataset))


def run_peer(
    dataset: Dataset,
    agent: str,
    *,
    steps: int,
    seed: int,
    env: str,
    episodes: int,
    settings: Mapping[str, Any],
) -> Outcome:
    """Train d3rlpy's counterpart and evaluate it with vinci-offline's `evaluate`."""
    d3rlpy.seed(seed)
    began = time.perf_counter()
    episodes_of_peer = to_mdp_dataset(dataset)
    algorithm = peer_config(agent, dataset, settings).create(device="cpu:0")
    algorithm.fit(
        episodes_of_peer,
        n_steps=steps,
        n_steps_per_epoch=steps,
        logger_adapter=d3rlpy.logging.NoopAdapterFactory(),
        show_progress=False,
    )
    seconds = time.perf_counter() - began
    policy = PeerPolicy(algorithm)
    evaluation = evaluate(policy, env, episodes=episodes, seed=EVALUATION_SEED)
    value = mean_value(algorithm, dataset)
    return Outcome("d3rlpy", seed, evaluation.returns, seconds, value, distance(policy, dataset))


class PeerPolicy:
    """Policy for `vinci_offline.evaluate` that asks a trained d3rlpy algorithm."""

    deterministic = True

    def __init__(self, algorithm: Any) -> None:
        self._algorithm = algorithm

    def act(self, observations: Any, rngs: Sequence[np.random.Generator]) -> Any:
        """Return d3rlpy's greedy actions, ``[lanes, ...]``."""
        return self._algorithm.predict(np.asarray(observations, np.float32))


def sampled_rows(dataset: Dataset) -> np.ndarray:
    """Return up to 4,096 rows, always the same."""
    return np.random.default_rng(0).permutation(len(dataset))[:4096]


def distance(policy: Any, dataset: Dataset) -> float:
    """Return the distance of a policy's actions from the data's: mean squared error, or share of different choices."""
    rows = sampled_rows(dataset)
    generators = [np.random.default_rng(0)] * len(rows)
    chosen = load_policy(policy, dataset.spec).act(dataset.columns["observations"][rows], generators).actions
    recorded = dataset.columns["actions"][rows]
    if isinstance(dataset.spec.action_space, DiscreteSpace):
        return float(np.mean(chosen != recorded))
    return float(np.mean((chosen - recorded) ** 2))


def mean_value(algorithm: Any, dataset: Dataset) -> float:
    """Return the mean Q of a sample of the data, or NaN for an agent without values."""
    rows = sampled_rows(dataset)
    columns = dataset.columns
    try:
        values = algorithm.predict_value(
            np.asarray(columns["observations"][rows], np.float32), columns["actions"][rows]
        )
    except NotImplementedError:
        return float("nan")
    return float(np.mean(values))


def to_mdp_dataset(dataset: Dataset) -> d3rlpy.dataset.MDPDataset:
    """Return the rows as d3rlpy's episodes.

    d3rlpy takes the next observation from the next row. So it loses the last transition of an episode that did not
    terminate (a time limit or a cut).
    """
    columns, episodes = dataset.columns, dataset.episodes
    ends = np.zeros(len(dataset), bool)
    ends[(episodes["start"] + episodes["length"] - 1).to_numpy()] = True
    terminals = np.asarray(columns["terminals"], bool)
    space = dataset.spec.action_space
    actions = np.asarray(columns["actions"])
    discrete = isinstance(space, DiscreteSpace)
    return d3rlpy.dataset.MDPDataset(
        observations=np.asarray(columns["observations"], np.float32),
        actions=(actions - space.start).reshape(-1, 1) if isinstance(space, DiscreteSpace) else actions,
        rewards=np.asarray(columns["rewards"], np.float32),
        terminals=terminals.astype(np.float32),
        timeouts=(ends & ~terminals).astype(np.float32),
        action_space=d3rlpy.ActionSpace.DISCRETE if discrete else d3rlpy.ActionSpace.CONTINUOUS,
        action_size=space.n if isinstance(space, DiscreteSpace) else actions.shape[1],
    )


def peer_config(agent: str, dataset: Dataset, settings: Mapping[str, Any], batch_size: int = 256) -> Any:
    """Return d3rlpy's configuration with an agent's settings, defaults included.

    Raises:
        ValueError: d3rlpy has no counterpart of the agent or of a setting.
    """
    ours = agent_class(agent).from_settings(dict(settings))
    space = dataset.spec.action_space
    shared: dict[str, Any] = {"batch_size": batch_size, "gamma": 0.99}
    if ours.normalize_observations:
        shared["observation_scaler"] = StandardObservationScaler()
    if isinstance(space, BoxSpace):
        shared["action_scaler"] = MinMaxActionScaler(minimum=space.low, maximum=space.high)
    return counterpart(agent, settings, discrete=isinstance(space, DiscreteSpace), **shared)


def report(outcomes: Sequence[Outcome]) -> None:
    """Print each side's mean return over the seeds, its deviation, and the training time."""
    sides = {side: [o for o in outcomes if o.side == side] for side in ("vinci-offline", "d3rlpy")}
    print(
        "\n| | return by seed | mean | deviation over seeds | mean seconds |\n| --- | --- | --- | --- | --- |"
    )
    for side, own in sides.items():
        if own:
            means = [o.mean for o in own]
            seconds = np.mean([o.seconds for o in own])
            print(
                f"| {side} | {', '.join(f'{m:.1f}' for m in means)} | {np.mean(means):.1f} | "
                f"{sample_deviation(means):.1f} | {seconds:.0f} |"
            )
