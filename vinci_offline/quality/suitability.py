"""Rules that tell which agents suit a dataset. Each rule compares one number with one threshold.

The papers tell in which direction an agent's success depends on the data. The thresholds are this project's own and
separate the extremes. No dataset can tell by itself whether its returns are good.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

Verdict: TypeAlias = Literal["well", "perhaps", "poorly"]

ALIKE = 0.1
"""Episodes are alike if their returns deviate by less than this share of the mean."""
NARROW = 0.1
"""Below this level of `stochasticity` hardly any alternative to the recorded actions was tried."""
NOISY = 0.5
BROAD = 0.9
"""From this level on almost every action was tried everywhere."""
SPARSE = 0.95
"""Rewards are sparse if this share of the rows has the same reward."""

_KUMAR = "Kumar et al. 2022, arXiv 2204.05618"
_SCHWEIGHOFER = "Schweighofer et al. 2022, arXiv 2111.04714"
_TD3BC = "Fujimoto and Gu 2021, arXiv 2106.06860"
_IQL = "Kostrikov et al. 2022, arXiv 2110.06169"
_BCQ = "Fujimoto et al. 2019, arXiv 1812.02900"
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


def suitable_agents(summary: Mapping[str, Any]) -> list[Suitability]:
    """Return the agents that can learn from such actions, best first.

    Args:
        summary: the result of `vinci_offline.quality.statistics.summarize`: ``episodes, return_mean, return_std,
            reward_std, action_counts``, with ``stochasticity`` and ``reward_mode_share`` of `quality`.
    """
    told = summary["stochasticity"]
    level = None if told is None or told["upper_bound"] else float(told["level"])
    # A constant reward is not sparse: it tells by where the episode ends.
    sparse = summary["reward_mode_share"] >= SPARSE and summary["reward_std"] > 0
    found = [_cloning(summary, level)]
    if summary["action_counts"] is not None:
        found += [_dqn(level)]
    else:
        found += [_td3bc(summary, level, sparse=sparse), _iql(summary, level, sparse=sparse), _ddpg(level)]
    order: list[Verdict] = ["well", "perhaps", "poorly"]
    return sorted(found, key=lambda each: order.index(each.verdict))


def _cloning(summary: Mapping[str, Any], level: float | None) -> Suitability:
    mean, std = abs(summary["return_mean"]), summary["return_std"]
    if summary["episodes"] > 1 and std < ALIKE * mean:
        text = (
            f"returns deviate by {std / mean:.0%} of their mean, less than {ALIKE:.0%}: where they are good, "
        )
        return Suitability("bc", "well", text + "imitation does as well as any", _SCHWEIGHOFER)
    if level is not None and level >= NOISY:
        text = f"randomness {level:.2f}, {NOISY} or more: imitation learns the noise, the others can learn from it"
        return Suitability("bc", "poorly", text, _KUMAR)
    text = "the episodes differ in their returns: imitate the best, as select --top-returns 0.1 leaves them"
    return Suitability("bc", "perhaps", text, _KUMAR)


def _td3bc(summary: Mapping[str, Any], level: float | None, *, sparse: bool) -> Suitability:
    if sparse:
        text = f"the same reward in {summary['reward_mode_share']:.1%} of the rows: on such tasks it fell behind IQL"
        return Suitability("td3bc", "poorly", text, f"{_IQL}, table 1")
    if level is not None and level < NARROW:
        text = f"randomness {level:.2f}, below {NARROW}: its critic learns little about other actions"
        return Suitability("td3bc", "perhaps", text, _TD3BC)
    text = "rewards tell actions apart, and it stays near what was recorded"
    return Suitability("td3bc", "well", text, _TD3BC)


def _iql(summary: Mapping[str, Any], level: float | None, *, sparse: bool) -> Suitability:
    if sparse:
        text = f"the same reward in {summary['reward_mode_share']:.1%} of the rows: values travel far between them"
        return Suitability("iql", "well", text, _IQL)
    if level is not None and level >= BROAD:
        text = f"randomness {level:.2f}, {BROAD} or more: its policy weighs recorded actions, few of which are good"
        return Suitability("iql", "perhaps", text, _IQL)
    text = "it never asks the critic about an action that was not recorded"
    return Suitability("iql", "well", text, _IQL)


def _ddpg(level: float | None) -> Suitability:
    if level is not None and level >= BROAD:
        text = f"randomness {level:.2f}, {BROAD} or more: almost any action is on record, so its critic is corrected"
        return Suitability("ddpg", "well", text, _BCQ)
    told = "unknown randomness" if level is None else f"randomness {level:.2f}, below {BROAD}"
    text = f"{told}: nothing keeps it from actions whose values no data correct"
    return Suitability("ddpg", "poorly", text, _BCQ)


def _dqn(level: float | None) -> Suitability:
    if level is not None and level >= NOISY:
        text = f"randomness {level:.2f}, {NOISY} or more: the choices are covered"
        return Suitability("dqn", "well", text, f"{_SCHWEIGHOFER}; {_REM}")
    if level is not None and level < NARROW:
        text = (
            f"randomness {level:.2f}, below {NARROW}: the maximum finds choices whose values no data correct"
        )
        return Suitability("dqn", "poorly", text, _SCHWEIGHOFER)
    told = "unknown randomness" if level is None else f"randomness {level:.2f}, between {NARROW} and {NOISY}"
    return Suitability("dqn", "perhaps", f"{told}: it needs every choice covered", _SCHWEIGHOFER)
