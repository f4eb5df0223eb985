"""Everything that an estimator may look at: the data, the policy, and what is worked out of them once."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import numpy as np

from vinci_offline.data.dataset import Dataset
from vinci_offline.errors import DatasetError, SpecError, UsageError
from vinci_offline.evaluation.evidence.behaviour import FittedBehaviour, fit_behaviour
from vinci_offline.evaluation.evidence.logged_episodes import LoggedEpisodes
from vinci_offline.evaluation.evidence.overlap import Overlap
from vinci_offline.evaluation.evidence.ratios import Counted, rows_of, with_ratios, without_ratios
from vinci_offline.evaluation.evidence.smoothed import Smoothed
from vinci_offline.policies.policy import HistoryPolicy, Policy
from vinci_offline.spec import BoxSpace, is_countable

_LARGEST_LOG = 600.0
_Made = TypeVar("_Made")
FITTING = ("fqe", "bc", "switch", "shrinkage", "kernel")
"""Agents that fit models, and methods, which have settings."""


@dataclass(frozen=True)
class Fitting:
    """Options of models that estimators fit.

    Attributes:
        steps: gradient steps of a network.
        settings: settings by the name of the agent that fits, or of the method.
        progress: show the progress of training.
        behaviour: fit a behaviour model, whose densities stand for those of the data.
    """

    steps: int = 50_000
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    progress: bool = False
    behaviour: bool = False


@dataclass(frozen=True)
class Evidence:
    """The data and the policy of one call of `estimate`.

    Attributes:
        dataset: the data.
        policy: the policy to judge.
        counted: the episodes that count.
        gamma: the discount a step.
        seed: seed of all draws.
        reference: the policy as the caller named it.
        stochastic: True if the policy samples from its own distribution.
        fitting: options of models that are fitted.
    """

    dataset: Dataset
    policy: Policy
    counted: Counted
    gamma: float
    seed: int = 0
    reference: Any = None
    stochastic: bool = False
    fitting: Fitting = field(default_factory=Fitting)
    _kept: dict[str, Any] = field(default_factory=dict, repr=False)

    def once(self, name: str, make: Callable[[], _Made]) -> _Made:
        """Return what ``make`` returned, or raise what it raised, when it was first called under this name."""
        if name not in self._kept:
            try:
                self._kept[name] = make()
            except (DatasetError, SpecError) as error:
                self._kept[name] = error
        found: _Made = self._kept[name]
        if isinstance(found, DatasetError | SpecError):
            raise found
        return found

    def behaviour(self) -> FittedBehaviour:
        """Return the fitted behaviour model; it is fitted once, when a method first asks for ratios."""
        options = self.fitting.settings.get("bc", {})
        return self.once(
            "behaviour",
            lambda: fit_behaviour(
                self.dataset, settings=options, seed=self.seed, progress=self.fitting.progress
            ),
        )

    def setting(self, owner: str, name: str) -> float | None:
        """Return the only setting of a method or a kernel, a number from 0 on; None if it is not given.

        Raises:
            UsageError: another one is given, or no such number.
        """
        given = self.fitting.settings.get(owner, {})
        if wrong := [key for key in given if key != name]:
            raise UsageError(f"{owner} has no setting {wrong[0]!r}: its only one is {owner}.{name}")
        if (text := given.get(name)) is None:
            return None
        try:
            value = float(text)  # the command line gives texts
        except (TypeError, ValueError):
            value = math.nan
        if not value >= 0:
            raise UsageError(f"{owner}.{name} must be a number from 0 on, not {text!r}")
        return value

    def smoothed(self) -> Smoothed | None:
        """Return a deterministic policy smoothed by a kernel, for continuous actions of one step; None for others.

        Raises:
            SpecError: there are too many action dimensions.
        """
        space, policy = self.dataset.spec.action_space, self.policy
        needed = (
            isinstance(space, BoxSpace)
            and not is_countable(space)
            and policy.deterministic
            and not isinstance(policy, HistoryPolicy)
            and bool((self.counted.lengths == 1).all())
        )
        if not needed:
            return None
        scale = self.setting("kernel", "bandwidth")
        return self.once("smoothed", lambda: Smoothed.of(policy, self.dataset, rows_of(self.counted), scale))

    @property
    def notes(self) -> list[str]:
        """What to know of the estimates that were made."""
        kernel, model = self._kept.get("smoothed"), self.fitted
        told = [kernel.note] if isinstance(kernel, Smoothed) else []
        return told + list(model.notes if model is not None else ())

    @property
    def fitted(self) -> FittedBehaviour | None:
        """The behaviour model, if a method asked for it and it could be fitted."""
        found = self._kept.get("behaviour")
        return found if isinstance(found, FittedBehaviour) else None

    @property
    def overlap(self) -> Overlap | None:
        """How far the data overlap with the policy, if a method asked for ratios and they are known."""
        found = self._kept.get("weighted")
        return Overlap.of(found) if isinstance(found, LoggedEpisodes) else None

    @cached_property
    def logged(self) -> LoggedEpisodes:
        """The episodes as the policy that was logged sees them: every ratio is 1."""
        return without_ratios(self.dataset, self.counted, self.gamma)

    @property
    def weighted(self) -> LoggedEpisodes:
        """The episodes with the ratios of the judged policy.

        Raises:
            DatasetError: the data do not tell the ratios, or no weight is a number above 0.
            SpecError: the policy does not tell them.
        """

        def make() -> LoggedEpisodes:
            fitted = (lambda: self.behaviour().log_probs) if self.fitting.behaviour else None
            episodes = with_ratios(
                self.dataset, self.smoothed() or self.policy, self.counted, self.gamma, fitted
            )
            check_weights(episodes)
            return episodes

        return self.once("weighted", make)


def check_weights(episodes: LoggedEpisodes) -> None:
    """Refuse weights that are all 0, or larger than any number.

    Raises:
        DatasetError: they are.
    """
    largest = float(episodes.log_weights.max())
    if np.isneginf(largest) or not (episodes.last_weights > 0).any():
        raise DatasetError(
            "no overlap: in each episode is an action that the policy never takes; judge a policy that takes the "
            "logged actions too (--stochastic), or record data nearer to it"
        )
    if largest > _LARGEST_LOG:
        raise DatasetError(
            f"horizon too long: a weight is a product of {episodes.lengths.max():,} ratios and exceeds any number; "
            "record with a policy that is nearer to this one, or shorter episodes"
        )


def settings_by_agent(texts: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return settings by agent, from names such as ``fqe.hidden``.

    Raises:
        UsageError: a name has no agent before its dot.
    """
    found: dict[str, dict[str, Any]] = {}
    for name, value in texts.items():
        agent, dot, key = name.partition(".")
        if not dot or agent not in FITTING:
            raise UsageError(
                f"setting {name!r}: name whose it is, {' or '.join(FITTING)}, as in {FITTING[0]}.{key or name}"
            )
        found.setdefault(agent, {})[key] = value
    return found
