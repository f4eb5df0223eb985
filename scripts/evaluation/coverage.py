"""Measure how often intervals of off-policy estimates hold the true value, where that value is known.

A random Markov decision process, whose value solves a linear system, and a bandit with known means. The behaviour
policy is near to the judged policy, far from it, or lacks one of its actions. For each the table shows the bias over
repetitions, the share of intervals that hold the truth, and how often `estimate` would warn or refuse.

    python scripts/evaluation/coverage.py --repetitions 400
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from vinci_offline.evaluation.estimates import Estimate, judged
from vinci_offline.evaluation.importance import (
    LoggedEpisodes,
    Weighted,
    importance_sampling,
    per_decision,
    weighted_importance_sampling,
    weighted_per_decision,
)
from vinci_offline.types import Array, FloatArray

GAMMA = 0.95
STATES, ACTIONS, HORIZON = 4, 3, 12
INTERVALS = ("t", "bootstrap")
Estimators = Mapping[str, Callable[[LoggedEpisodes], Weighted]]
ONE_STEP: Estimators = {"ipw": importance_sampling, "snipw": weighted_importance_sampling}
SEVERAL_STEPS: Estimators = {
    "is": importance_sampling,
    "pdis": per_decision,
    "wis": weighted_importance_sampling,
    "wpdis": weighted_per_decision,
}


class Problem(NamedTuple):
    """A problem with a known answer.

    Attributes:
        name: its name.
        truth: the judged policy's mean discounted return.
        draw: returns a number of episodes of the behaviour policy.
        methods: estimators that suit it.
    """

    name: str
    truth: float
    draw: Callable[[np.random.Generator, int], LoggedEpisodes]
    methods: Estimators


def mixed(policy: FloatArray, near: float) -> FloatArray:
    """Return a policy that is ``policy`` with a probability, and otherwise uniform."""
    blend: FloatArray = near * policy + (1 - near) / policy.shape[-1]
    return blend


def lacking(policy: FloatArray) -> FloatArray:
    """Return a policy that never takes the first action."""
    rest = policy.copy()
    rest[..., 0] = 0
    parts: FloatArray = rest / rest.sum(axis=-1, keepdims=True)
    return parts


def behaviours(policy: FloatArray) -> Iterator[tuple[str, FloatArray]]:
    """Yield the behaviour policies by name."""
    yield "near", mixed(policy, 0.8)
    yield "far", mixed(policy[..., ::-1], 0.7)
    yield "lacking", lacking(policy)


def bandits(rng: np.random.Generator) -> Iterator[Problem]:
    """Yield a bandit of five choices with Gaussian rewards, for each behaviour."""
    means, policy = rng.uniform(0, 1, 5), rng.dirichlet(np.ones(5))
    for name, behaviour in behaviours(policy):

        def draw(rng: np.random.Generator, count: int, behaviour: FloatArray = behaviour) -> LoggedEpisodes:
            actions = rng.choice(5, count, p=behaviour)
            ratios = _log(policy[actions]) - _log(behaviour[actions])
            return LoggedEpisodes(rng.normal(means[actions], 0.5), ratios, np.ones(count, int), GAMMA)

        yield Problem(f"bandit, {name}", float(policy @ means), draw, ONE_STEP)


def processes(rng: np.random.Generator) -> Iterator[Problem]:
    """Yield a random process of four states and three actions over twelve steps, for each behaviour."""
    moves = rng.dirichlet(np.full(STATES, 0.5), (STATES, ACTIONS))
    rewards = rng.normal(size=(STATES, ACTIONS))
    policy = rng.dirichlet(np.full(ACTIONS, 2.0), STATES)
    value = np.zeros(STATES)
    for _ in range(HORIZON):
        value = (policy * (rewards + GAMMA * moves @ value)).sum(axis=1)
    for name, behaviour in behaviours(policy):

        def draw(rng: np.random.Generator, count: int, behaviour: FloatArray = behaviour) -> LoggedEpisodes:
            state, earned, logs = rng.integers(STATES, size=count), [], []
            for _ in range(HORIZON):
                action = _choose(rng, behaviour[state])
                earned.append(rewards[state, action])
                logs.append(_log(policy[state, action]) - _log(behaviour[state, action]))
                state = _choose(rng, moves[state, action])
            lengths = np.full(count, HORIZON)
            return LoggedEpisodes(np.stack(earned, 1).ravel(), np.stack(logs, 1).ravel(), lengths, GAMMA)

        yield Problem(f"process, {name}", float(value.mean()), draw, SEVERAL_STEPS)


def _choose(rng: np.random.Generator, probabilities: FloatArray) -> Array:
    draws = rng.random(len(probabilities))
    return np.asarray(
        np.minimum((probabilities.cumsum(axis=1) <= draws[:, None]).sum(axis=1), probabilities.shape[1] - 1)
    )


def _log(values: FloatArray) -> FloatArray:
    with np.errstate(divide="ignore"):
        logs: FloatArray = np.log(values)
    return logs


def measure(
    problem: Problem, episodes: int, repetitions: int, intervals: Sequence[str]
) -> Iterator[tuple[str, ...]]:
    """Yield a row of the table for each method and interval."""
    drawn = [problem.draw(np.random.default_rng([7, each]), episodes) for each in range(repetitions)]
    for name, estimator in problem.methods.items():
        weighted = [estimator(each) for each in drawn]
        bias = float(np.mean([each.value for each in weighted])) - problem.truth
        error = float(np.std([each.value for each in weighted], ddof=1)) / math.sqrt(repetitions)
        for interval in intervals:
            told = [judged(each, interval, 0.95, None, 0) for each in weighted]
            good = [each for each in told if isinstance(each, Estimate)]
            sure = [each for each in good if each.warning is None]
            yield (
                problem.name, str(episodes), name, interval, f"{bias:+.3f} ± {2 * error:.3f}",
                _share(sum(each.low <= problem.truth <= each.high for each in sure), len(sure)),
                f"{1 - len(good) / repetitions:.0%}", f"{(len(good) - len(sure)) / repetitions:.0%}",
            )  # fmt: skip


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "none told"


def main() -> None:
    """Print the table as Markdown."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repetitions", type=int, default=400)
    parser.add_argument("--episodes", type=int, nargs="+", default=[20, 500])
    parser.add_argument("--intervals", nargs="+", choices=INTERVALS, default=list(INTERVALS))
    options = parser.parse_args()
    header = (
        "problem",
        "episodes",
        "method",
        "interval",
        "bias",
        "held, of those not warned",
        "refused",
        "warned",
    )
    print("| " + " | ".join(header) + " |\n" + "| --- " * len(header) + "|")
    rng = np.random.default_rng(0)
    for problem in (*bandits(rng), *processes(rng)):
        for episodes in options.episodes:
            for row in measure(problem, episodes, options.repetitions, options.intervals):
                print("| " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()
