"""The ends of episodes, if the source does not tell their kind. The user says it; it is never guessed."""

from __future__ import annotations

import numpy as np

from vinci_offline.data.assembly.context import ImportContext
from vinci_offline.data.episode_columns import FRAGMENT
from vinci_offline.errors import UsageError
from vinci_offline.types import Array, Columns


def say_ends(lengths: Array, context: ImportContext, where: str | None = None) -> tuple[Array, str]:
    """Tell by the options alone which episodes terminated.

    Args:
        lengths: ``[E]`` rows of each episode.
        context: its options have ``ends``, and ``time_limit`` or the spec's for ``limit``.
        where: the episodes in question, for the message; by default the source.

    Returns:
        ``[E]`` booleans, and the decision in a line.

    Raises:
        UsageError: the options do not say it, or no time limit is known, or an episode is longer than it.
    """
    ends = context.options.ends
    if ends in {"terminal", "timeout"}:
        said = f"the end of every episode is a {ends}, as --ends says"
        return np.full(len(lengths), ends == "terminal"), said
    if ends is None:
        raise UsageError(
            f"{where or context.where} does not say whether its episodes terminated or ran out of time: say --ends "
            "terminal, timeout, or limit (those as long as --time-limit timed out)"
        )
    limit = time_limit(context)
    if len(lengths) and lengths.max() > limit:
        raise UsageError(
            f"{context.where}: an episode has {lengths.max()} steps, more than the time limit of {limit}"
        )
    ended = lengths < limit
    return (
        ended,
        f"episodes of {limit} steps timed out ({int((~ended).sum())}), shorter ones terminated ({int(ended.sum())})",
    )


def close_last(ends: Array, context: ImportContext) -> Columns:
    """End the last episode in the last row. Return a table in which it is a fragment if nothing else ended it.

    Args:
        ends: ``[N]`` marks of last rows; the last of them is set.
        context: the import.
    """
    fragment = np.zeros(int(ends[:-1].sum()) + min(1, len(ends)), np.bool_)
    if len(ends) and not ends[-1]:
        ends[-1] = fragment[-1] = True
        context.decide(
            "the last episode is not finished: it is cut at its last row, a timeout, and counts as a fragment"
        )
    return {FRAGMENT: fragment}


def time_limit(context: ImportContext) -> int:
    """Return the time limit in steps.

    Raises:
        UsageError: neither the options nor the environment has one.
    """
    spec = context.options.spec
    limit = context.options.time_limit or (spec.max_episode_steps if spec else None)
    if limit is None:
        raise UsageError(
            f"{context.where}: --ends limit needs the number of steps: --time-limit N, or --env ENV of a limited one"
        )
    return limit


def lengths_of(ends: Array) -> Array:
    """Return ``[E]`` lengths of the episodes whose last rows are marked in ``[N]``."""
    return np.diff(np.flatnonzero(ends) + 1, prepend=0)
