"""Measurement of the references of normalised scores, which are kept with the data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vinci_offline.envs.collect.job import Job
from vinci_offline.envs.collect.references import describe_reference
from vinci_offline.envs.evaluator import evaluate
from vinci_offline.envs.options import CollectOptions
from vinci_offline.envs.scores import Reference
from vinci_offline.errors import UsageError

if TYPE_CHECKING:
    import gymnasium

EPISODES = 100


def measured_reference(
    job: Job, env: gymnasium.Env[Any, Any], options: CollectOptions, *, show: bool
) -> Reference:
    """Return the mean returns of the random policy and of the expert, as `evaluate` measures them.

    Args:
        job: the collection.
        env: its environment.
        options: its options, with an expert.
        show: show progress.

    Raises:
        UsageError: they are equal, so they give no scale.
    """
    given = job.environment
    common: dict[str, Any] = {
        "episodes": EPISODES,
        "seed": options.seed,
        "workers": options.workers,
        "lanes": options.lanes,
        "env_kwargs": None if given is env else job.kwargs,
        "progress": show,
    }
    random, expert = (evaluate(policy, given, **common).return_mean for policy in ("random", options.expert))
    if random == expert:
        raise UsageError(
            f"--expert {options.expert} earns {expert:.4g}, as the random policy does: the two give no scale"
        )
    source = f"measured by collect, {EPISODES} episodes, expert {describe_reference(options.expert)}"
    return Reference(random, expert, source)
