"""What off-policy estimates say: values with intervals, refusals, and a verdict in words."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from vinci_offline.deviation import finite
from vinci_offline.evaluation.evidence.behaviour import FittedBehaviour
from vinci_offline.evaluation.evidence.overlap import Overlap

LOGGED = "logged"
"""Name of the mean return of the data themselves."""
FEW = 30
"""Intervals cover less than they say where fewer effective episodes carry the estimate."""
ROUNDING = 1e-9
"""Share of a value up to which another one is the same."""


@dataclass(frozen=True)
class Estimate:
    """One method's estimate.

    Attributes:
        value: the estimated mean discounted return.
        low: the interval's lower end; NaN for a single episode.
        high: its upper end.
        effective_sample_size: how many episodes with equal weights would tell as much.
        largest_weight: the share of one episode in all weights, at most.
        mean_weight: the mean weight of an episode; 1 is expected.
        covered: False if the mean weight differs from 1 by more than chance.
        caveat: what the interval leaves out; None for none.
        details: further numbers by name, such as quantiles of the return.
    """

    value: float
    low: float
    high: float
    effective_sample_size: float
    largest_weight: float
    mean_weight: float
    covered: bool
    caveat: str | None = None
    details: Mapping[str, float] = field(default_factory=dict)

    @property
    def few(self) -> bool:
        """True where so few episodes carry the estimate that its interval covers less than it says."""
        return self.effective_sample_size < FEW

    @property
    def warning(self) -> str | None:
        """Why the interval may hold the true value less often than it says; None if nothing speaks against it."""
        if not self.covered:
            return why_not_one(self.mean_weight)
        if self.few:
            return f"only {self.effective_sample_size:.3g} effective episodes: the interval may be too narrow"
        return self.caveat

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object of the method."""
        told = {**vars(self), **self.details}
        for name in ("covered", "caveat", "details"):
            del told[name]
        return {**{name: finite(value) for name, value in told.items()}, "warning": self.warning}


@dataclass(frozen=True)
class Refused:
    """A method that cannot tell.

    Attributes:
        why: the reason, and what would help.
    """

    why: str

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object of the method."""
        return {"refused": self.why}


@dataclass(frozen=True)
class Estimates:
    """The estimates of a policy by several methods.

    Attributes:
        logged: the value of the policy that was logged: the mean discounted return of the episodes.
        methods: an estimate or a refusal by the method's name.
        gain: by how much the policy is better than the logged one, with its interval; None if no method tells.
        by: the method that told ``gain``.
        episodes: how many episodes count.
        notes: what was left out, and what is not known, a line each.
        level: the share of such intervals that hold the true value, where the method's conditions hold.
        behaviour: the behaviour model that was fitted; None if the data tell how probable their actions were.
        overlap: ratios and weights; None if no method asked for them, or they are not known.
    """

    logged: Estimate
    methods: Mapping[str, Estimate | Refused]
    gain: Estimate | None
    by: str | None
    episodes: int
    notes: tuple[str, ...]
    level: float
    behaviour: FittedBehaviour | None = None
    overlap: Overlap | None = None

    @property
    def estimates(self) -> dict[str, Estimate]:
        """The methods that tell something."""
        return {name: found for name, found in self.methods.items() if isinstance(found, Estimate)}

    @property
    def refusals(self) -> dict[str, str]:
        """Why the others do not; methods with the same reason share one entry."""
        names: dict[str, list[str]] = {}
        for name, found in self.methods.items():
            if isinstance(found, Refused):
                names.setdefault(found.why, []).append(name)
        return {", ".join(each): why for why, each in names.items()}

    @property
    def verdict(self) -> str:
        """One sentence: better or worse than what was logged, or not to be told."""
        gain, slack = self.gain, ROUNDING * abs(self.logged.value)
        if gain is None or math.isnan(gain.low):
            return "these data cannot tell how good the policy is"
        if not gain.covered:
            return f"these data cannot tell how good the policy is: {gain.warning}"
        if max(abs(gain.low), abs(gain.high)) <= slack:
            return "the same as the policy that was logged: it takes its actions with the same probabilities"
        ends = f"{gain.low:+.4g} to {gain.high:+.4g}"
        told = f"{gain.value:+.4g} a return, {self.level:.0%} interval {ends}, by {self.by}"
        if gain.low > 0:
            said = f"better than the policy that was logged ({told})"
        elif gain.high < 0:
            said = f"worse than the policy that was logged ({told})"
        else:
            said = f"these data cannot tell it from the policy that was logged ({told})"
        return f"{said}; {gain.warning}" if gain.warning else said

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object that ``vinci-offline estimate --json`` prints."""
        told = {} if self.gain is None else self.gain.to_json()
        return {
            LOGGED: self.logged.to_json(),
            **{name: found.to_json() for name, found in self.methods.items()},
            "gain": {**told, "by": self.by, "verdict": self.verdict} if told else {"refused": self.verdict},
            **({} if self.behaviour is None else {"behaviour": self.behaviour.to_json()}),
        }


def why_not_one(mean: float) -> str:
    """Return why a mean weight is not 1."""
    if mean < 1:
        why = "the data lack what the policy does, or their propensities are wrong"
    else:
        why = "the policy was trained on these episodes, or their propensities are wrong; judge it by others"
    return f"the weights have a mean of {mean:.3g}, not 1: {why}"
