"""Off-policy estimates: how good a policy is, from stored data alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from vinci_offline.calls import from_python, told
from vinci_offline.data.dataset import Dataset
from vinci_offline.deviation import finite
from vinci_offline.errors import DatasetError, SpecError, UsageError
from vinci_offline.evaluation.behaviour import FittedBehaviour
from vinci_offline.evaluation.evidence import Evidence, Fitting, settings_by_agent
from vinci_offline.evaluation.importance import Weighted, logged
from vinci_offline.evaluation.intervals import (
    Interval,
    bernstein_interval,
    bootstrap_interval,
    t_interval,
    tail_shape,
    widened,
)
from vinci_offline.evaluation.methods import METHODS
from vinci_offline.evaluation.overlap import Overlap
from vinci_offline.evaluation.ratios import Counted, counted_episodes
from vinci_offline.policies.named import load_policy
from vinci_offline.text import counted, did_you_mean

BEHAVIOURS = ("logged", "fit")
INTERVALS = ("bootstrap", "bernstein", "t")
LOGGED = "logged"
"""Name of the mean return of the data themselves."""

FEW = 30
"""Intervals cover less than they say where fewer effective episodes carry the estimate."""
_FEWEST = 2.0
_DEVIATIONS = 4.0
"""Standard errors by which a mean weight may differ from 1."""
_ROUNDING = 1e-9
_HEAVY = 0.5
"""Shape of a Pareto tail from which on the variance is infinite, and intervals cover less than they say."""


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
            return _why_not_one(self.mean_weight)
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
        gain, slack = self.gain, _ROUNDING * abs(self.logged.value)
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


@from_python
def estimate(
    policy: Any,
    data: str | Path | Dataset,
    *,
    methods: Sequence[str] | None = None,
    gamma: float = 0.99,
    interval: str = "bootstrap",
    level: float = 0.95,
    bounds: tuple[float, float] | None = None,
    stochastic: bool = False,
    steps: int = Fitting.steps,
    settings: Mapping[str, Any] | None = None,
    progress: bool = False,
    behaviour: str = "logged",
    seed: int = 0,
) -> Estimates:
    """Estimate a policy's mean discounted return from stored episodes, without the environment.

    Whole episodes count that terminated, or that lasted as long as the longest one.

    Args:
        policy: a policy as `evaluate` takes it.
        data: a dataset, its file, or a shipped dataset's name. It says how probable its actions were, in
            ``infos/action_log_probs`` or, for choices, as probabilities in ``infos/propensity``; or see ``behaviour``.
        methods: of `METHODS`; by default all that suit the data and train no network: for episodes of one step ``dm``,
            ``switch``, ``shrinkage``, ``ipw``, ``snipw`` and ``dr``, otherwise ``is``, ``pdis``, ``wis`` and ``wpdis``.
        gamma: the discount a step, between 0 and 1.
        interval: ``bootstrap`` (percentiles, over episodes), ``t`` (Student's), or ``bernstein`` (empirical Bernstein;
            for means of bounded terms: ``is``, ``pdis`` and ``ipw``).
        level: the share of such intervals that should hold the true value.
        bounds: for ``bernstein``, the smallest and the greatest weighted return that an episode can have.
        stochastic: judge the policy that samples from its own distribution.
        steps: gradient steps of each model of values, for ``fqe``, ``dm``, ``dr`` and ``wdr``.
        settings: its settings, as ``{"fqe.hidden": (64, 64)}``, the behaviour model's, as ``bc.hidden``, and
            ``switch.threshold`` and ``shrinkage.lambda``.
        progress: show the progress of training.
        behaviour: ``logged`` takes the probabilities of actions that the data tell; ``fit`` fits a behaviour model by
            ``bc``, so that each episode is judged by a fit that has not seen it.
        seed: seed of the bootstrap and of models.

    Raises:
        UsageError: an argument is not valid, or a method does not suit the data.
        DatasetError: the file is no dataset, or has no whole episode.
        SpecError: the policy does not fit the data.

    Example:
        ::

            found = estimate("runs/cartpole", "episodes.h5", stochastic=True)
            print(found.verdict)
    """
    check_estimate(methods, gamma, interval, level, bounds)
    if behaviour not in BEHAVIOURS:
        raise UsageError(f"unknown behaviour {behaviour!r}: choose among {', '.join(BEHAVIOURS)}")
    dataset = data if isinstance(data, Dataset) else Dataset.open(data)
    chosen = counted_episodes(dataset, gamma)
    one_step = bool((chosen.lengths == 1).all())
    names = tuple(methods or _suiting(one_step))
    if not one_step and (wrong := [name for name in names if METHODS[name].one_step]):
        raise UsageError(
            f"{wrong[0]} is for data of one step, and these episodes have up to {chosen.lengths.max():,}: "
            f"choose among {', '.join(_suiting(one_step))}"
        )
    judge = load_policy(policy, dataset.spec, stochastic=stochastic)
    fitting = Fitting(steps, settings_by_agent(settings or {}), progress, behaviour == "fit")
    evidence = Evidence(dataset, judge, chosen, gamma, seed, policy, stochastic, fitting)

    past = logged(evidence.logged)
    made: dict[str, Weighted] = {}
    found: dict[str, Estimate | Refused] = {}
    for name in names:
        try:
            made[name] = METHODS[name].value(evidence)
            found[name] = judged(made[name], interval, level, bounds, seed)
        except (DatasetError, SpecError) as error:
            found[name] = Refused(*told([str(error)], estimate))
    by = _most_trusted(found, [name for name, each in made.items() if _same(each, past)])
    gain = _gain(made[by], past, level) if by else None
    first = _estimate(past, past.value, t_interval(past.value, past.influence, level))
    notes, model = _notes(chosen, one_step) + evidence.notes, evidence.fitted
    return Estimates(
        first, found, gain, by, len(chosen.lengths), tuple(notes), level, model, evidence.overlap
    )


def check_estimate(
    methods: Sequence[str] | None,
    gamma: float,
    interval: str,
    level: float,
    bounds: tuple[float, float] | None,
) -> None:
    """Refuse arguments of `estimate` that are not valid.

    Raises:
        UsageError: one is not valid.
    """
    for name in methods or ():
        if name not in METHODS:
            raise UsageError(
                f"unknown method {name!r}: choose among {', '.join(METHODS)}{did_you_mean(name, METHODS)}"
            )
    if not 0 <= gamma <= 1:
        raise UsageError(f"gamma {gamma:g}: give a discount between 0 and 1")
    if not 0 < level < 1:
        raise UsageError(f"level {level:g}: give a share between 0 and 1, such as 0.95")
    if interval not in INTERVALS:
        raise UsageError(f"unknown interval {interval!r}: choose among {', '.join(INTERVALS)}")
    if interval == "bernstein" and bounds is None:
        raise UsageError(
            "the interval bernstein needs the smallest and the greatest weighted return that an episode can have: "
            "give bounds LOW:HIGH, known beforehand, or choose bootstrap or t"
        )
    if bounds is not None and not bounds[0] < bounds[1]:
        raise UsageError(f"bounds {bounds[0]:g} and {bounds[1]:g}: give the lower one first")


def _most_trusted(found: Mapping[str, Estimate | Refused], same: Sequence[str]) -> str | None:
    """Return the method that tells the verdict: the last of `METHODS`, or the last without ratios if they are few.

    Args:
        found: an estimate or a refusal by the method's name.
        same: methods that find the policy to be the one that was logged. They come first.
    """
    told = {name: each for name in METHODS if isinstance(each := found.get(name), Estimate)}
    if not told:
        return None
    if certain := [name for name in told if name in same]:
        return certain[-1]
    last = [*told][-1]
    without = [name for name in told if not METHODS[name].by_ratios]
    doubtful = told[last].few or not told[last].covered
    return without[-1] if doubtful and without else last


def _suiting(one_step: bool) -> list[str]:
    """Return the methods that are asked unless others are named."""
    return [name for name, method in METHODS.items() if method.suits(one_step)]


def judged(
    found: Weighted, interval: str, level: float, bounds: tuple[float, float] | None, seed: int
) -> Estimate | Refused:
    """Return a method's estimate, or why its numbers would mean nothing."""
    if found.effective < _FEWEST:
        return Refused(
            f"one episode has {found.largest:.0%} of all weight: the horizon is too long, or the policy too far from "
            "the logged one, for importance weights; record data nearer to it"
        )
    if found.terms is not None and not _covered(found):
        return Refused(_why_not_one(found.mean_weight[0]))
    try:
        ends = _interval(found, interval, level, bounds, seed)
    except UsageError as error:
        return Refused(str(error))
    return _estimate(found, found.value, ends)


def _estimate(found: Weighted, value: float, ends: Interval) -> Estimate:
    """Return a value and its interval with what the weights tell about them."""
    return Estimate(
        value,
        *ends,
        found.effective,
        found.largest,
        found.mean_weight[0],
        covered=_covered(found),
        caveat=_heavy(found) or found.caveat,
        details=found.details,
    )


def _heavy(found: Weighted) -> str | None:
    """Return that the weights have no finite variance, if their tail says so."""
    shape = tail_shape(found.weights)
    if shape < _HEAVY:
        return None
    return f"the largest weights have a tail of shape {shape:.2g}, so their variance is not finite: more may come"


def _same(found: Weighted, past: Weighted) -> bool:
    """Return True if every episode counts as it did for the policy that was logged."""
    slack = _ROUNDING * float(np.abs(past.influence).max())
    same = found.gain is None and bool((np.abs(found.influence - past.influence) <= slack).all())
    return same and abs(found.value - past.value) <= _ROUNDING * abs(past.value)


def _gain(best: Weighted, past: Weighted, level: float) -> Estimate:
    """Return by how much a policy is better than the one that was logged."""
    found = best.gain or replace(
        best, value=best.value - past.value, influence=best.influence - past.influence, members=None
    )
    ends = t_interval(found.value, found.influence, level)
    return _estimate(found, found.value, _with_spread(found, ends, level))


def _with_spread(found: Weighted, ends: Interval, level: float) -> Interval:
    return ends if found.members is None else widened(ends, found.value, found.members, level)


def _why_not_one(mean: float) -> str:
    """Return why a mean weight is not 1."""
    if mean < 1:
        why = "the data lack what the policy does, or their propensities are wrong"
    else:
        why = "the policy was trained on these episodes, or their propensities are wrong; judge it by others"
    return f"the weights have a mean of {mean:.3g}, not 1: {why}"


def _covered(found: Weighted) -> bool:
    """Return True if the mean weight is 1 but for chance."""
    mean, error = found.mean_weight
    return abs(mean - 1) <= _DEVIATIONS * error + _ROUNDING


def _interval(
    found: Weighted, name: str, level: float, bounds: tuple[float, float] | None, seed: int
) -> Interval:
    if name == "t":
        return _with_spread(found, t_interval(found.value, found.influence, level), level)
    if name == "bootstrap":
        ends = bootstrap_interval(found.resampled, len(found.influence), level, seed=seed)
        return _with_spread(found, ends, level)
    if found.terms is None or bounds is None:
        raise UsageError(
            "no mean of independent bounded terms, so no bernstein interval: choose bootstrap or t"
        )
    return bernstein_interval(found.terms, bounds, level)


def _notes(chosen: Counted, one_step: bool) -> list[str]:
    notes = []
    if chosen.fragments:
        notes.append(
            f"without {counted(chosen.fragments, 'fragment')} of episodes, whose returns are not known"
        )
    if chosen.cut:
        cut = counted(chosen.cut, "episode")
        notes.append(f"without {cut} cut off before the longest one's end: the returns are not known")
    if chosen.unseen > 0.01 and not one_step:
        notes.append(
            "episodes end at a time limit, and later rewards are not known: the returns are those up to the limit"
        )
    return notes
