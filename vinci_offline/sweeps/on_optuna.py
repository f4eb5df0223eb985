"""Draws of Optuna's samplers: they learn from the returns of earlier draws."""

from __future__ import annotations

import importlib.util
import json
import random
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from vinci_offline.errors import UsageError
from vinci_offline.sweeps.values import Range, Tried

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

Told: TypeAlias = tuple[Mapping[str, Any], float | None]
"""The values of an earlier draw, and its score; None where a run of it failed."""


def check_optuna(sampler: str) -> None:
    """Refuse to go on without Optuna. Import nothing.

    Raises:
        UsageError: it is not installed.
    """
    if importlib.util.find_spec("optuna") is None:
        raise UsageError(f"sampler: {sampler} needs Optuna: pip install 'vinci-offline[optuna]'")


def propose(
    tried: Mapping[str, Tried], told: Sequence[Told], numbers: Sequence[int], seed: str
) -> list[dict[str, Any]]:
    """Return the values of the next draws, by the tree-structured Parzen estimator (Bergstra et al., 2011).

    They depend on the arguments alone. The study lives in memory: nothing is kept on disk but the draws themselves.

    Args:
        tried: the values of each name, two or more.
        told: all earlier draws in order. One that failed counts as worse than all others.
        numbers: the numbers of the draws to make. Each knows that those before it are under way.
        seed: text that seeds the sampler, together with the number of each draw.
    """
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # it tells every study that it makes
    try:
        study = optuna.create_study(direction="maximize")
    finally:
        optuna.logging.set_verbosity(before)
    space = {name: _distribution(each) for name, each in tried.items()}
    for values, score in told:
        state = optuna.trial.TrialState.PRUNED if score is None else optuna.trial.TrialState.COMPLETE
        places = {name: _place(each, values[name]) for name, each in tried.items()}
        study.add_trial(
            optuna.trial.create_trial(state=state, value=score, params=places, distributions=space)
        )
    found = []
    for number in numbers:
        # A sampler for each draw: what it draws does not depend on how often it was asked before.
        bits = random.Random(f"{seed}/{number}").getrandbits(32)  # noqa: S311
        study.sampler = optuna.samplers.TPESampler(
            seed=bits, n_startup_trials=0, multivariate=True, constant_liar=True
        )
        places = study.ask(space).params
        found.append({name: _value(each, places[name]) for name, each in tried.items()})
    return found


def _distribution(tried: Tried) -> BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if not isinstance(tried, Range):
        return CategoricalDistribution(range(len(tried)))
    if tried.whole:
        return IntDistribution(int(tried.low), int(tried.high), log=tried.log)
    return FloatDistribution(tried.low, tried.high, log=tried.log)


def _place(tried: Tried, value: Any) -> Any:
    """Return what Optuna knows a value as: the number in a range, the place in a list."""
    if isinstance(tried, Range):
        return value
    return [json.dumps(each, default=str) for each in tried].index(json.dumps(value, default=str))


def _value(tried: Tried, place: Any) -> Any:
    return tried.rounded(place) if isinstance(tried, Range) else tried[place]
