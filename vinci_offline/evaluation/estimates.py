"""Off-policy estimates: how good a policy is, from stored data alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vinci_offline.calls import from_python, told
from vinci_offline.data.dataset import Dataset
from vinci_offline.errors import DatasetError, SpecError, UsageError
from vinci_offline.evaluation import kept
from vinci_offline.evaluation.estimators.importance import Weighted, logged
from vinci_offline.evaluation.evidence.evidence import Evidence, Fitting, settings_by_agent
from vinci_offline.evaluation.evidence.ratios import Counted, counted_episodes
from vinci_offline.evaluation.findings import Estimate, Estimates, Refused
from vinci_offline.evaluation.intervals import (
    t_interval,
)
from vinci_offline.evaluation.judgement import gain_over, judged, same_as, with_interval
from vinci_offline.evaluation.methods import METHODS
from vinci_offline.policies.named import load_policy
from vinci_offline.text import counted, did_you_mean

BEHAVIOURS = ("logged", "fit")
INTERVALS = ("bootstrap", "bernstein", "t")


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
    keep: bool = False,
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
        keep: write the estimates into the run directory ``policy``, as ``estimates.json``; `report` compares them with
            online returns. They replace those of the same methods, data and options.

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
    run = kept.check_keeps(policy) if keep else None
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
    by = _most_trusted(found, [name for name, each in made.items() if same_as(each, past)])
    gain = gain_over(made[by], past, level) if by else None
    first = with_interval(past, t_interval(past.value, past.influence, level))
    notes, model = _notes(chosen, one_step) + evidence.notes, evidence.fitted
    result = Estimates(
        first, found, gain, by, len(chosen.lengths), tuple(notes), level, model, evidence.overlap
    )
    if run is not None:
        options: dict[str, Any] = {
            "gamma": gamma,
            "interval": interval,
            "stochastic": stochastic,
            "behaviour": behaviour,
        }
        kept.keep(run, dataset, result, **options)
    return result


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
