"""Measure how far the updates of vinci-offline and d3rlpy drift apart from the same weights on the same batches.

Returns of a few seeds say little, since offline agents differ widely between seeds. Here d3rlpy starts from
vinci-offline's initial weights, gets the batches of the compiled loop, and draws the same random numbers. Only the
algorithm and rounding can differ.

    python scripts/learning/parity.py
    python scripts/learning/parity.py td3bc "cql, soft target" --data runs/hopper.h5

`pairing/cases.py` lists the cases and what is made alike on d3rlpy's side.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import torch
from pairing.cases import CASES, Case
from pairing.data import random_rows
from pairing.draws import shared_draws
from pairing.weights import pair_weights
from pairing.with_corl import CorlPeer
from pairing.with_d3rlpy import D3rlpyPeer

from vinci_offline import Dataset
from vinci_offline.agents.registry import agent_class
from vinci_offline.batches.reader import load_columns
from vinci_offline.networks.builder import NetworkBuilder
from vinci_offline.quality.statistics import observation_moments
from vinci_offline.training.engines import make_engine
from vinci_offline.training.learner import Learner

BATCH, GAMMA, SEED = 256, 0.99, 0
HIDDEN = "64,64"
"""Widths of all networks: small ones show a fault as well as large ones do."""


class Pair:
    """Learners of both tools that start from the same weights."""

    def __init__(self, case: Case, dataset: Dataset | None = None) -> None:
        self.case = case
        dataset = dataset or random_rows(choices=case.choices, reward=case.reward)
        settings = {"hidden": HIDDEN, **case.settings}
        agent = agent_class(case.agent).from_settings(settings)
        moments = observation_moments(dataset) if agent.normalize_observations else None
        assert moments is None or isinstance(moments, tuple)  # of one array of observations
        self.moments = moments
        self.learner = Learner(agent, NetworkBuilder(dataset.spec, moments), seed=SEED)
        if case.twins:
            make_twins(self.learner)
        self.columns = load_columns(dataset, agent.columns, gamma=GAMMA)
        self.engine = make_engine(self.learner, self.columns, batch_size=BATCH, seed=SEED)
        self.updates = tuple(
            each for each in self.learner.select(None) if each.update.name not in case.without
        )
        self.peer: Any = (CorlPeer if case.corl else D3rlpyPeer)(case, dataset, settings)
        theirs, variables = self.peer.networks(), self.learner.variables()
        self.weights = pair_weights(
            variables, {name: theirs[name] for name in theirs if name in self.learner.nets}
        )
        # NFQ has no target; d3rlpy's has one, which starts as a copy.
        copies = {
            name.removeprefix("target_"): theirs[name] for name in theirs if name not in self.learner.nets
        }
        more = pair_weights(variables, {name: copies[name] for name in copies if name in self.learner.nets})
        for weight in (*self.weights, *more):
            weight.copy()
        self._start = [weight.ours().copy() for weight in self.weights]

    def step(self, step: int) -> None:
        """Take step number ``step``, counted from one, on both sides."""
        rows, _ = self.engine.drawn(step)
        with shared_draws(BATCH, samples_first=self.case.samples_first):
            self.engine.run(self.updates, step - 1, 1)
            self._match_epsilon()
            self.peer.update(self._batch(rows), step)

    def drift(self) -> dict[str, float]:
        """Return for each network the distance between the sides over the distance that ours has moved.

        The distance is a norm, not a maximum: Adam's first steps have the same size for every gradient, so rounding
        alone may move a weight with a gradient near zero in the other direction.
        """
        apart: dict[str, float] = {}
        moved: dict[str, float] = {}
        for weight, initial in zip(self.weights, self._start, strict=True):
            name, ours = weight.network, weight.ours()
            apart[name] = apart.get(name, 0.0) + float(np.square(ours - weight.theirs()).sum())
            moved[name] = moved.get(name, 0.0) + float(np.square(ours - initial).sum())
        return {name: (apart[name] / moved[name]) ** 0.5 if moved[name] else 0.0 for name in apart}

    def _match_epsilon(self) -> None:
        """Set PyTorch's epsilon to the value that equals Keras' epsilon in the next step.

        Keras adds epsilon before the bias correction and PyTorch after it. So Keras' 1e-7 acts like 3e-6 in its first
        step, which matters for gradients near zero.
        """
        adam = self.updates[0].optimizer
        assert isinstance(adam, keras.optimizers.Adam)
        for optimizer in self.peer.optimizers():
            taken = max((int(state["step"]) for state in optimizer.state.values()), default=0)
            for group in optimizer.param_groups:
                group["eps"] = adam.epsilon / (1 - adam.beta_2 ** (taken + 1)) ** 0.5

    def _batch(self, rows: np.ndarray) -> dict[str, torch.Tensor]:
        """Return columns of the rows as tensors of two axes, with observations normalised."""
        batch = {}
        for name, column in self.columns.items():
            values = np.asarray(column[rows], np.float32).reshape(len(rows), -1)
            if name.endswith("observation") and self.moments is not None:
                mean, std = self.moments
                values = (values - mean) / (std + 1e-3)
            batch[name] = torch.tensor(values)
        batch["terminal"] = (batch["discount"] == 0).float()
        return batch


def make_twins(learner: Learner) -> None:
    """Give the second of two critics, and of their targets, the weights of the first."""
    for network in (learner.nets.critic, learner.nets.target_critic):
        first, second = ([v for v in network.variables if f"critic_{index}_" in v.path] for index in range(2))
        for source, copy in zip(first, second, strict=True):
            copy.assign(source)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "cases", nargs="*", metavar="CASE", help=f"all with d3rlpy by default: {'; '.join(CASES)}"
    )
    parser.add_argument("--data", type=Path, help="a file; by default random rows")
    parser.add_argument("--steps", type=int, nargs="+", default=[1, 2, 10, 30, 100])
    parser.add_argument("--networks", action="store_true", help="show every network, targets too")
    options = parser.parse_args()
    unknown = [name for name in options.cases if name not in CASES]
    if unknown:
        parser.error(f"no case {unknown[0]!r}: choose from {'; '.join(CASES)}")
    print(
        "Distance between the sides' weights over the distance moved, of the network that is farthest apart:"
    )
    print(f"| case | {' | '.join(f'step {step}' for step in options.steps)} |")
    print("| --- |" + " --- |" * len(options.steps))
    for name in options.cases or [name for name, case in CASES.items() if not case.corl]:
        pair = Pair(CASES[name], Dataset.open(options.data) if options.data else None)
        found = []
        for step in range(1, max(options.steps) + 1):
            pair.step(step)
            if step in options.steps:
                found.append(describe(pair.drift(), options.networks))
        print(f"| {name} | {' | '.join(found)} |", flush=True)


def describe(drift: Mapping[str, float], every: bool) -> str:
    """Return the distances as text: of every network, or the greatest of those that are no targets.

    A target follows its network. It has moved little at first, so that rounding is a great share of that.
    """
    if every:
        return ", ".join(f"{network} {apart:.3%}" for network, apart in drift.items())
    network = max((name for name in drift if not name.startswith("target_")), key=lambda name: drift[name])
    return f"{drift[network]:.3%} {network}"


if __name__ == "__main__":
    main()
