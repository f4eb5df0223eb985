"""Measure how often intervals of off-policy estimates hold the true value, where that value is known.

A bandit with known means; a random Markov decision process, whose value solves a linear system; and a linear system
with Gaussian noise and quadratic costs, whose value solves a Lyapunov equation. Values are those of twelve steps or, as
`dm` and `dice` estimate them, those without an end. The behaviour policy is near to the judged policy, far from it, or
lacks one of its actions (has less noise, in the linear system). For each the table shows the bias over repetitions, the
share of intervals that hold the truth, and how often `estimate` would warn or refuse.

    python scripts/evaluation/coverage.py --repetitions 400
    python scripts/evaluation/coverage.py --networks --repetitions 50 --episodes 200

With --networks, `fqe` and `dm` train networks on the random process.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy.linalg import solve_discrete_lyapunov

from vinci_offline.errors import DatasetError
from vinci_offline.evaluation.estimators.dice import MOST_MISSING
from vinci_offline.evaluation.estimators.direct import from_first_values
from vinci_offline.evaluation.estimators.doubly_robust import RowValues, doubly_robust, weighted_doubly_robust
from vinci_offline.evaluation.estimators.importance import (
    Weighted,
    importance_sampling,
    per_decision,
    weighted_importance_sampling,
    weighted_per_decision,
)
from vinci_offline.evaluation.estimators.marginal import Block, Flow
from vinci_offline.evaluation.evidence.logged_episodes import LoggedEpisodes
from vinci_offline.evaluation.findings import Estimate, Refused
from vinci_offline.evaluation.judgement import judged
from vinci_offline.types import Array, FloatArray

GAMMA = 0.95
STATES, ACTIONS, HORIZON = 4, 3, 12
RIDGE = 1e-9
INTERVALS = ("t", "bootstrap")


class Drawn(NamedTuple):
    """Episodes, with features of a linear model that can hold the true values.

    Attributes:
        episodes: the episodes.
        logged: ``[N, P]`` features of the observation and the logged action.
        here: ``[N, P]`` their expectation under the judged policy.
        following: ``[N, P]`` that of the next observation.
    """

    episodes: LoggedEpisodes
    logged: FloatArray
    here: FloatArray
    following: FloatArray

    def flow(self, kept: Array) -> Flow:
        """Return the linear system of some rows."""
        rows = self.episodes.rewards[kept], self.episodes.episode[kept]
        block = Block(self.logged[kept], self.episodes.gamma * self.following[kept], *rows)
        return Flow.of(lambda: iter([block]), len(self.episodes.lengths), RIDGE)

    def cross_fitted(self) -> RowValues:
        """Return values of each half of the episodes by a model of the other half."""
        half = self.episodes.episode % 2 == 0
        values = np.where(half[:, None], self.flow(~half).values, self.flow(half).values)
        found = RowValues((self.logged * values).sum(axis=1), (self.here * values).sum(axis=1))
        return found.up_to(HORIZON, self.episodes)


Estimator = Callable[[Drawn], Weighted]
Estimators = Mapping[str, Estimator]


def by_weights(estimator: Callable[[LoggedEpisodes], Weighted]) -> Estimator:
    """Return an estimator that looks at the weights alone."""
    return lambda drawn: estimator(drawn.episodes)


def dice(drawn: Drawn) -> Weighted:
    """Return the estimate by marginal weights."""
    everything = np.ones(len(drawn.logged), np.bool_)
    found, missing = drawn.flow(everything).estimate(drawn.here[drawn.episodes.starts])
    if missing > MOST_MISSING:
        raise DatasetError("the data lack what the policy does")
    return found


def direct(drawn: Drawn) -> Weighted:
    """Return the direct method's estimate by the linear model."""
    values = drawn.flow(np.ones(len(drawn.logged), np.bool_)).values
    first = (drawn.here[drawn.episodes.starts] @ values)[None]
    return from_first_values(first, 0 * first, drawn.episodes.returns, spread=False)


ONE_STEP: Estimators = {
    "ipw": by_weights(importance_sampling),
    "snipw": by_weights(weighted_importance_sampling),
}
SEVERAL_STEPS: Estimators = {
    "is": by_weights(importance_sampling),
    "pdis": by_weights(per_decision),
    "wis": by_weights(weighted_importance_sampling),
    "wpdis": by_weights(weighted_per_decision),
    "dr": lambda drawn: doubly_robust(drawn.episodes, drawn.cross_fitted()),
    "wdr": lambda drawn: weighted_doubly_robust(drawn.episodes, drawn.cross_fitted()),
}
NO_END: Estimators = {"dm": direct, "dice": dice}


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
    draw: Callable[[np.random.Generator, int], Drawn]
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

        def draw(rng: np.random.Generator, count: int, behaviour: FloatArray = behaviour) -> Drawn:
            actions = rng.choice(5, count, p=behaviour)
            ratios = _log(policy[actions]) - _log(behaviour[actions])
            rewards, nothing = rng.normal(means[actions], 0.5), np.zeros((count, 5))
            episodes = LoggedEpisodes(rewards, ratios, np.ones(count, int), GAMMA)
            return Drawn(episodes, np.eye(5)[actions], np.tile(policy, (count, 1)), nothing)

        yield Problem(f"bandit, {name}", float(policy @ means), draw, ONE_STEP)


class Process(NamedTuple):
    """A random process of four states and three actions, and a policy to judge.

    Attributes:
        moves: ``[S, A, S]`` probabilities of the next state.
        rewards: ``[S, A]``.
        policy: ``[S, A]`` probabilities of the actions.
    """

    moves: FloatArray
    rewards: FloatArray
    policy: FloatArray

    def values(self, steps: int) -> FloatArray:
        """Return ``[S]`` the policy's value of some steps."""
        value = np.zeros(STATES)
        for _ in range(steps):
            value = (self.policy * (self.rewards + GAMMA * self.moves @ value)).sum(axis=1)
        return value

    def draw(self, rng: np.random.Generator, count: int, behaviour: FloatArray) -> tuple[Array, ...]:
        """Return ``[E, T]`` states, actions and next states of a behaviour policy."""
        state, rows = rng.integers(STATES, size=count), []
        for _ in range(HORIZON):
            action = _choose(rng, behaviour[state])
            after = _choose(rng, self.moves[state, action])
            rows.append((state, action, after))
            state = after
        return tuple(np.stack(each, axis=1) for each in zip(*rows, strict=True))


def random_process(rng: np.random.Generator) -> Process:
    """Return a process whose policy is random too."""
    moves = rng.dirichlet(np.full(STATES, 0.5), (STATES, ACTIONS))
    rewards = rng.normal(size=(STATES, ACTIONS))
    return Process(moves, rewards, rng.dirichlet(np.full(ACTIONS, 2.0), STATES))


def processes(rng: np.random.Generator) -> Iterator[Problem]:
    """Yield a random process over twelve steps, and without an end, for each behaviour."""
    process = random_process(rng)
    policy = process.policy
    for name, behaviour in behaviours(policy):

        def draw(rng: np.random.Generator, count: int, behaviour: FloatArray = behaviour) -> Drawn:
            state, action, after = (each.ravel() for each in process.draw(rng, count, behaviour))
            logs = _log(policy[state, action]) - _log(behaviour[state, action])
            lengths = np.full(count, HORIZON)
            return Drawn(
                LoggedEpisodes(process.rewards[state, action], logs, lengths, GAMMA),
                np.eye(STATES * ACTIONS)[ACTIONS * state + action],
                _by_state(policy)[state],
                _by_state(policy)[after],
            )

        yield Problem(f"process, {name}", float(process.values(HORIZON).mean()), draw, SEVERAL_STEPS)
        yield Problem(f"process, no end, {name}", float(process.values(2000).mean()), draw, NO_END)


def _by_state(policy: FloatArray) -> FloatArray:
    """Return ``[S, S * A]`` the expected one-hot features of each state."""
    every: FloatArray = (np.eye(STATES)[:, :, None] * policy[:, None, :]).reshape(STATES, -1)
    return every


class Linear(NamedTuple):
    """``x' = A x + b u + noise`` with costs ``x'x + u^2 / 2`` and the policy ``u = -k x + noise``.

    Attributes:
        moves: ``[2, 2]`` A.
        push: ``[2]`` b.
        gain: ``[2]`` k of the judged policy.
        spread: the deviation of its noise.
        shake: the deviation of the state's noise.
    """

    moves: FloatArray
    push: FloatArray
    gain: FloatArray
    spread: float
    shake: float

    def value(self, steps: int | None) -> float:
        """Return the mean value of standard normal first states, over some steps or without an end.

        It is ``-E[x' P x] - c``. P solves ``P = I + k k' / 2 + gamma (A - b k')' P (A - b k')``. What noise costs,
        of the action and of the state, sums up in c.
        """
        closed, cost = (
            self.moves - np.outer(self.push, self.gain),
            np.eye(2) + np.outer(self.gain, self.gain) / 2,
        )
        if steps is None:
            matrix = solve_discrete_lyapunov(math.sqrt(GAMMA) * closed.T, cost)
            return -float(np.trace(matrix)) - self._noise(matrix) / (1 - GAMMA)
        matrix, constant = np.zeros((2, 2)), 0.0
        for _ in range(steps):
            constant = self._noise(matrix) + GAMMA * constant
            matrix = cost + GAMMA * closed.T @ matrix @ closed
        return -float(np.trace(matrix)) - constant

    def _noise(self, matrix: FloatArray) -> float:
        """Return what the noises of one step cost, then and in the state that follows."""
        state = self.shake**2 * float(np.trace(matrix)) + self.spread**2 * float(
            self.push @ matrix @ self.push
        )
        return self.spread**2 / 2 + GAMMA * state

    def features(self, state: FloatArray, action: FloatArray, variance: float = 0.0) -> FloatArray:
        """Return ``[N, 10]`` constant, linear and quadratic terms; of an action with a variance, their expectation."""
        inputs = np.column_stack([state, action])
        one, other = np.triu_indices(3)
        products = inputs[:, one] * inputs[:, other]
        products[:, -1] += variance
        return np.column_stack([np.ones(len(inputs)), inputs, products])


def linear_systems() -> Iterator[Problem]:
    """Yield a linear system over twelve steps, and without an end, for each behaviour."""
    system = Linear(
        np.array([[1.0, 0.2], [0.0, 0.9]]), np.array([0.0, 0.4]), np.array([0.6, 0.8]), spread=0.5, shake=0.1
    )
    for name, share, spread in (("near", 0.9, 0.6), ("far", 0.3, 1.0), ("lacking", 0.9, 0.25)):

        def draw(rng: np.random.Generator, count: int, share: float = share, spread: float = spread) -> Drawn:
            state, rows = rng.standard_normal((count, 2)), []
            for _ in range(HORIZON):
                action = -share * state @ system.gain + spread * rng.standard_normal(count)
                after = state @ system.moves.T + np.outer(action, system.push)
                after += system.shake * rng.standard_normal((count, 2))
                rows.append((state, action, after))
                state = after
            state, action, after = (
                np.stack(each, axis=1).reshape(count * HORIZON, -1) for each in zip(*rows, strict=True)
            )
            mean, action = -state @ system.gain, action[:, 0]
            logs = _gaussian(action, mean, system.spread) - _gaussian(action, share * mean, spread)
            rewards = -np.square(state).sum(axis=1) - action**2 / 2
            variance = system.spread**2
            return Drawn(
                LoggedEpisodes(rewards, logs, np.full(count, HORIZON), GAMMA),
                system.features(state, action),
                system.features(state, mean, variance),
                system.features(after, -after @ system.gain, variance),
            )

        yield Problem(f"linear, {name}", system.value(HORIZON), draw, SEVERAL_STEPS)
        yield Problem(f"linear, no end, {name}", system.value(None), draw, NO_END)


def _gaussian(values: FloatArray, mean: FloatArray, spread: float) -> FloatArray:
    logs: FloatArray = -0.5 * np.square((values - mean) / spread) - math.log(spread)
    return logs


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
        found: list[Weighted | Refused] = []
        for each in drawn:
            try:
                found.append(estimator(each))
            except DatasetError as error:
                found.append(Refused(str(error)))
        values = [each.value for each in found if isinstance(each, Weighted)]
        for interval in intervals:
            told = [
                each if isinstance(each, Refused) else judged(each, interval, 0.95, None, 0) for each in found
            ]
            yield (problem.name, str(episodes), name, interval, *summary(values, told, problem.truth))


def summary(
    values: Sequence[float], told: Sequence[Estimate | Refused], truth: float
) -> tuple[str, str, str, str, str]:
    """Return the bias, the shares of intervals that hold the truth, and how many are refused and warned of."""
    good = [each for each in told if isinstance(each, Estimate)]
    sure = [each for each in good if each.warning is None]
    error = float(np.std(values, ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return (
        f"{float(np.mean(values)) - truth:+.3f} ± {2 * error:.3f}" if values else "",
        _share(sum(each.low <= truth <= each.high for each in sure), len(sure)),
        _share(sum(each.low <= truth <= each.high for each in good), len(good)),
        f"{1 - len(good) / len(told):.0%}",
        f"{(len(good) - len(sure)) / len(told):.0%}",
    )


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "none told"


def networks(episodes: int, repetitions: int, steps: int) -> Iterator[tuple[str, ...]]:
    """Yield rows of `fqe` and `dm`, with networks trained on a process whose judged policy is uniform."""
    from vinci_offline import Dataset, estimate
    from vinci_offline.spec import BoxSpace, DiscreteSpace, EnvironmentSpec

    process = random_process(np.random.default_rng(0))
    process = process._replace(policy=np.full((STATES, ACTIONS), 1 / ACTIONS))
    truth = float(process.values(2000).mean())
    box = BoxSpace((STATES,), "float32", np.zeros(STATES, np.float32), np.ones(STATES, np.float32))
    spec = EnvironmentSpec(box, DiscreteSpace(ACTIONS))
    behaviour = mixed(np.random.default_rng(1).dirichlet(np.ones(ACTIONS), STATES), 0.7)
    told: dict[str, list[Estimate | Refused]] = {"fqe": [], "dm": [], "dice": []}
    for each in range(repetitions):
        state, action, after = (
            part.ravel() for part in process.draw(np.random.default_rng([7, each]), episodes, behaviour)
        )
        columns = {
            "observations": np.eye(STATES, dtype=np.float32)[state],
            "next_observations": np.eye(STATES, dtype=np.float32)[after],
            "actions": action,
            "rewards": process.rewards[state, action].astype(np.float32),
            "terminals": np.zeros(len(state), np.bool_),
            "timeouts": np.arange(1, len(state) + 1) % HORIZON == 0,
        }
        settings = {"fqe.hidden": (32,), "fqe.learning_rate": 3e-3, "fqe.target_update": 20.0}
        found = estimate(
            "random",
            Dataset.from_columns(columns, spec),
            methods=list(told),
            gamma=GAMMA,
            interval="t",
            steps=steps,
            settings=settings,
            seed=each,
        )
        for name, estimates in told.items():
            estimates.append(found.methods[name])
    for name, estimates in told.items():
        values = [each.value for each in estimates if isinstance(each, Estimate)]
        yield ("process, networks", str(episodes), name, "t", *summary(values, estimates, truth))


def main() -> None:
    """Print the table as Markdown."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repetitions", type=int, default=400)
    parser.add_argument("--episodes", type=int, nargs="+", default=[20, 500])
    parser.add_argument("--intervals", nargs="+", choices=INTERVALS, default=list(INTERVALS))
    parser.add_argument("--only", default="", help="problems whose name begins so, and methods after a colon")
    parser.add_argument("--networks", action="store_true", help="train networks")
    parser.add_argument("--steps", type=int, default=5000, help="gradient steps of a network")
    options = parser.parse_args()
    header = (
        "problem",
        "episodes",
        "method",
        "interval",
        "bias",
        "held, of those not warned",
        "held, of all told",
        "refused",
        "warned",
    )
    print("| " + " | ".join(header) + " |\n" + "| --- " * len(header) + "|")
    if options.networks:
        for episodes in options.episodes:
            for row in networks(episodes, options.repetitions, options.steps):
                print("| " + " | ".join(row) + " |", flush=True)
        return
    rng, (begins, _, methods) = np.random.default_rng(0), options.only.partition(":")
    for problem in (*bandits(rng), *processes(rng), *linear_systems()):
        if not problem.name.startswith(begins):
            continue
        wanted = {
            name: each for name, each in problem.methods.items() if name in (methods or name).split(",")
        }
        for episodes in options.episodes:
            for row in measure(
                problem._replace(methods=wanted), episodes, options.repetitions, options.intervals
            ):
                print("| " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()
