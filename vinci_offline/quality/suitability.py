"""Rules that tell which agents suit a dataset. Each rule compares one number with one threshold.

The papers tell in which direction an agent's success depends on the data. The thresholds are this project's own and
separate the extremes; between them the verdict is "perhaps", because the data do not tell. No dataset can tell by
itself whether its returns are good. ``scripts/learning/verdicts.py`` compares the verdicts with trained agents.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

Verdict: TypeAlias = Literal["well", "perhaps", "poorly"]

NARROW = 0.3
"""Below this level of `stochasticity` hardly any alternative to the recorded actions was tried."""
BROAD = 0.9
"""From this level on almost every action was tried everywhere."""
SPARSE = 0.95
"""Rewards are sparse if this share of the rows has the same reward."""
FEWEST = 256
"""Fewer rows than one batch of training tell nothing about agents."""

_KUMAR = "Kumar et al. 2022, arXiv 2204.05618"
_SCHWEIGHOFER = "Schweighofer et al. 2022, arXiv 2111.04714"
_TD3BC = "Fujimoto and Gu 2021, arXiv 2106.06860"
_IQL = "Kostrikov et al. 2022, arXiv 2110.06169"
_BCQ = "Fujimoto et al. 2019, arXiv 1812.02900"
_LEVINE = "Levine et al. 2020, arXiv 2005.01643"
_REM = "Agarwal et al. 2020, arXiv 1907.04543"


@dataclass(frozen=True)
class Suitability:
    """Verdict on an agent and a dataset.

    Attributes:
        agent: the agent's name.
        verdict: how well it suits the dataset.
        because: the number that decided, and its meaning.
        source: the paper that gives the rule's direction.
    """

    agent: str
    verdict: Verdict
    because: str
    source: str

    def to_json(self) -> dict[str, str]:
        """Return a JSON object."""
        return {
            "agent": self.agent,
            "verdict": self.verdict,
            "because": self.because,
            "source": self.source,
        }


def no_verdict(summary: Mapping[str, Any]) -> str | None:
    """Return why nothing can be said about agents; None where something can."""
    if (rows := summary["rows"]) >= FEWEST:
        return None
    told = "1 row does" if rows == 1 else f"{rows:,} rows do"
    return f"{told} not tell which agents suit: {FEWEST} are the least that may"


def suitable_agents(summary: Mapping[str, Any]) -> list[Suitability]:
    """Return the agents that can learn from such actions, best first; none where nothing can be said.

    Args:
        summary: the result of `vinci_offline.quality.statistics.summarize`: ``rows, return_mean, reward_mean,
            reward_std, terminals, action_counts``; and ``stochasticity``, ``reward_mode_share`` and
            ``reward_threshold`` of `quality`.
    """
    if no_verdict(summary) is not None:
        return []
    told = summary["stochasticity"]
    level = None if told is None or told["upper_bound"] else float(told["level"])
    found = [_cloning(summary, level)]
    if (silent := no_reward_signal(summary)) is not None:
        names = ["dqn"] if summary["action_counts"] is not None else ["td3bc", "iql", "ddpg"]
        found += [Suitability(name, "poorly", silent, _LEVINE) for name in names]
    elif summary["action_counts"] is not None:
        found += [_dqn(level)]
    else:
        found += [_td3bc(summary, level), _iql(summary, level), _ddpg(level)]
    order: list[Verdict] = ["well", "perhaps", "poorly"]
    return sorted(found, key=lambda each: order.index(each.verdict))


def no_reward_signal(summary: Mapping[str, Any]) -> str | None:
    """Return why the rewards tell no action from another; None where they do.

    A constant reward other than zero tells by where episodes terminate: a return depends on their length.
    """
    if summary["reward_std"]:
        return None
    if summary.get("reward_mean") == 0:
        return "all rewards are 0: no action is better than another"
    if summary.get("terminals") == 0:
        return "the same reward in every row, and no episode terminates: no action is better than another"
    return None


def _is_sparse(summary: Mapping[str, Any]) -> bool:
    # A constant reward is not sparse: it tells by where the episode ends.
    return bool(summary["reward_mode_share"] >= SPARSE and summary["reward_std"])


def _cloning(summary: Mapping[str, Any], level: float | None) -> Suitability:
    """Judge imitation, which learns the usual action of each state: random deviations from it average out.

    Of choices without a usual one there is nothing to imitate; of numbers it learns the mean, which may be good or bad.
    Alike returns do not tell whether the usual action is good.
    """
    if level is not None and level >= BROAD:
        if summary["action_counts"] is not None:
            text = f"randomness {level:.2f}, {BROAD} or more: no choice is usual, so there is none to imitate"
            return Suitability("bc", "poorly", text, _KUMAR)
        text = f"randomness {level:.2f}, {BROAD} or more: it learns the mean of all actions, good or bad"
        return Suitability("bc", "perhaps", text, _KUMAR)
    if (solved := _solved(summary)) is not None:
        return Suitability("bc", "well", f"{solved}: imitation does as well as any", _SCHWEIGHOFER)
    text = f"{_told(level)}it imitates the usual action of a state; the data do not tell how good that is"
    return Suitability("bc", "perhaps", text, _KUMAR)


def _td3bc(summary: Mapping[str, Any], level: float | None) -> Suitability:
    if _is_sparse(summary):
        text = f"the same reward in {summary['reward_mode_share']:.1%} of the rows: on such tasks it fell behind IQL"
        return Suitability("td3bc", "perhaps", text, f"{_IQL}, table 1")
    if (solved := _solved(summary)) is not None and not _is_broad(level):
        return Suitability("td3bc", "well", f"{solved}, and it stays near what was recorded", _TD3BC)
    text = (
        f"{_told(level)}it stays near what was recorded; the more random that is, the greater alpha must be"
    )
    return Suitability("td3bc", "perhaps", text, _TD3BC)


def _iql(summary: Mapping[str, Any], level: float | None) -> Suitability:
    if (solved := _solved(summary)) is not None and not _is_broad(level):
        return Suitability("iql", "well", f"{solved}, and it takes the best of what was recorded", _IQL)
    if _is_sparse(summary):
        text = f"the same reward in {summary['reward_mode_share']:.1%} of the rows: values travel far between them"
        return Suitability("iql", "perhaps", text, _IQL)
    text = f"{_told(level)}it weighs recorded actions; the data do not tell whether enough of them are good"
    return Suitability("iql", "perhaps", text, _IQL)


def _ddpg(level: float | None) -> Suitability:
    if level is not None and level >= BROAD:
        text = f"randomness {level:.2f}, {BROAD} or more: almost any action is on record, so its critic is corrected"
        return Suitability("ddpg", "well", text, _BCQ)
    if level is not None and level < NARROW:
        text = f"randomness {level:.2f}, below {NARROW}: its actor finds actions whose values no data correct"
        return Suitability("ddpg", "poorly", text, _BCQ)
    text = f"{_told(level)}nothing keeps it from actions whose values no data correct"
    return Suitability("ddpg", "perhaps", text, _BCQ)


def _dqn(level: float | None) -> Suitability:
    if level is not None and level >= BROAD:
        text = (
            f"randomness {level:.2f}, {BROAD} or more: all choices are covered, so its maximum is corrected"
        )
        return Suitability("dqn", "well", text, f"{_SCHWEIGHOFER}; {_REM}")
    if level is not None and level < NARROW:
        text = (
            f"randomness {level:.2f}, below {NARROW}: the maximum finds choices whose values no data correct"
        )
        return Suitability("dqn", "poorly", text, _SCHWEIGHOFER)
    text = f"{_told(level)}the data do not tell whether every choice is covered"
    return Suitability("dqn", "perhaps", text, _SCHWEIGHOFER)


def _solved(summary: Mapping[str, Any]) -> str | None:
    """Return that the recorded policies solve the environment; None where they do not, or nobody knows."""
    mean, threshold = summary["return_mean"], summary.get("reward_threshold")
    if threshold is None or mean is None or mean < threshold:
        return None
    return f"the mean return {mean:.6g} solves the environment ({threshold:g})"


def _is_broad(level: float | None) -> bool:
    return level is not None and level >= BROAD


def _told(level: float | None) -> str:
    return "unknown randomness: " if level is None else f"randomness {level:.2f}: "
