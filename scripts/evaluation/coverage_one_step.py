"""Measure how often intervals of estimates for one-step data hold the true value, where that value is known.

A bandit with eight contexts of two numbers and five choices. Nothing ties the mean rewards to these numbers, so the
linear model of rewards is never right. The behaviour policy is near to the judged policy, far from it, or lacks one of
its choices. `evaluation/coverage.py` measures the estimates for several steps.

    python scripts/evaluation/coverage_one_step.py --repetitions 400
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import numpy as np

from vinci_offline.evaluation.estimators.doubly_robust import RowValues, doubly_robust
from vinci_offline.evaluation.estimators.importance import (
    Weighted,
    importance_sampling,
    weighted_importance_sampling,
)
from vinci_offline.evaluation.estimators.one_step import direct, shrinkage, switch
from vinci_offline.evaluation.estimators.reward_model import cross_fitted
from vinci_offline.evaluation.evidence.logged_episodes import LoggedEpisodes
from vinci_offline.evaluation.evidence.policy_actions import PolicyActions
from vinci_offline.evaluation.findings import Estimate
from vinci_offline.evaluation.judgement import judged
from vinci_offline.spec import DiscreteSpace
from vinci_offline.types import FloatArray

CONTEXTS, CHOICES = 8, 5


class Drawn(NamedTuple):
    """Data of one step with the values of a model of rewards."""

    episodes: LoggedEpisodes
    values: RowValues


METHODS: Mapping[str, Callable[[Drawn], Weighted]] = {
    "dm": lambda drawn: direct(drawn.values),
    "switch": lambda drawn: switch(drawn.episodes.weights, drawn.episodes.rewards, drawn.values),
    "shrinkage": lambda drawn: shrinkage(drawn.episodes.weights, drawn.episodes.rewards, drawn.values),
    "ipw": lambda drawn: importance_sampling(drawn.episodes),
    "snipw": lambda drawn: weighted_importance_sampling(drawn.episodes),
    "dr": lambda drawn: doubly_robust(drawn.episodes, drawn.values),
}


class Bandit(NamedTuple):
    """The problem.

    Attributes:
        seen: ``[8, 2]`` the numbers of each context.
        means: ``[8, 5]`` mean rewards.
        policy: ``[8, 5]`` the judged policy's probabilities.
    """

    seen: FloatArray
    means: FloatArray
    policy: FloatArray

    @property
    def truth(self) -> float:
        """The judged policy's value."""
        return float((self.policy * self.means).sum(axis=1).mean())

    def draw(self, rng: np.random.Generator, count: int, behaviour: FloatArray) -> Drawn:
        """Return rows that the behaviour policy recorded."""
        context = rng.integers(CONTEXTS, size=count)
        below = behaviour[context].cumsum(axis=1) <= rng.random(count)[:, None]
        actions = np.minimum(below.sum(axis=1), CHOICES - 1)
        with np.errstate(divide="ignore"):
            ratios = np.log(self.policy[context, actions]) - np.log(behaviour[context, actions])
        rewards = rng.normal(self.means[context, actions], 0.5)
        taken = PolicyActions(np.tile(np.arange(CHOICES), (count, 1)), self.policy[context])
        values = cross_fitted(DiscreteSpace(CHOICES), self.seen[context], actions, rewards, taken)
        return Drawn(LoggedEpisodes(rewards, ratios, np.ones(count, np.int64), 1.0), values)


def behaviours(policy: FloatArray) -> Iterator[tuple[str, FloatArray]]:
    """Yield the behaviour policies by name."""
    yield "near", 0.8 * policy + 0.2 / CHOICES
    yield "far", 0.7 * policy[:, ::-1] + 0.3 / CHOICES
    rest = policy.copy()
    rest[:, 0] = 0
    yield "lacking", rest / rest.sum(axis=1, keepdims=True)


def main() -> None:
    """Print the table as Markdown."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repetitions", type=int, default=400)
    parser.add_argument("--episodes", type=int, default=500)
    parser.add_argument("--interval", choices=("t", "bootstrap"), default="t")
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    bandit = Bandit(
        rng.normal(size=(CONTEXTS, 2)),
        rng.uniform(0, 1, (CONTEXTS, CHOICES)),
        rng.dirichlet(np.ones(CHOICES), CONTEXTS),
    )
    header = (
        "behaviour",
        "method",
        "bias",
        "held, of those not warned",
        "held, of all told",
        "refused",
        "warned",
    )
    print("| " + " | ".join(header) + " |\n" + "| --- " * len(header) + "|")
    for name, behaviour in behaviours(bandit.policy):
        drawn = [
            bandit.draw(np.random.default_rng([7, each]), options.episodes, behaviour)
            for each in range(options.repetitions)
        ]
        for method, estimator in METHODS.items():
            row = summary([estimator(each) for each in drawn], bandit.truth, options.interval)
            print("| " + " | ".join((name, f"`{method}`", *row)) + " |", flush=True)


def summary(found: list[Weighted], truth: float, interval: str) -> tuple[str, ...]:
    """Return the bias, the shares of intervals that hold the truth, and how many are refused and warned of."""
    told = [judged(each, interval, 0.95, None, 0) for each in found]
    good = [each for each in told if isinstance(each, Estimate)]
    sure = [each for each in good if each.warning is None]
    values = np.array([each.value for each in found])
    return (
        f"{values.mean() - truth:+.3f} ± {2 * values.std(ddof=1) / np.sqrt(len(values)):.3f}",
        held(sure, truth),
        held(good, truth),
        f"{1 - len(good) / len(told):.0%}",
        f"{(len(good) - len(sure)) / len(told):.0%}",
    )


def held(told: list[Estimate], truth: float) -> str:
    """Return the share of intervals that hold the truth."""
    return f"{np.mean([each.low <= truth <= each.high for each in told]):.1%}" if told else "none told"


if __name__ == "__main__":
    main()
