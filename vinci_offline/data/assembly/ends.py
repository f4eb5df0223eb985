"""How an episode ended where its source does not say: the user says, and it is never guessed."""

from __future__ import annotations

import numpy as np

from vinci_offline.data.assembly.options import ImportOptions
from vinci_offline.errors import UsageError
from vinci_offline.types import Array


def say_ends(lengths: Array, options: ImportOptions, where: str) -> tuple[Array, str]:
    """Which episodes terminated, by the options alone.

    Args:
        lengths: ``[E]`` rows of each episode.
        options: ``ends``, and ``time_limit`` or the spec's for ``limit``.
        where: the source, for the message.

    Returns:
        ``[E]`` booleans, and the decision in a line.

    Raises:
        UsageError: the options do not say it, or no time limit is known, or an episode is longer than it.
    """
    if options.ends == "terminal":
        return np.ones(len(lengths), np.bool_), "the end of every episode is a terminal, as --ends says"
    if options.ends == "timeout":
        return np.zeros(len(lengths), np.bool_), "the end of every episode is a timeout, as --ends says"
    if options.ends is None:
        raise UsageError(
            f"{where} does not say whether its episodes terminated or ran out of time: say --ends terminal, timeout, "
            "or limit (those as long as --time-limit timed out)"
        )
    limit = time_limit(options, where)
    if len(lengths) and lengths.max() > limit:
        raise UsageError(
            f"{where}: an episode has {lengths.max()} steps, more than the time limit of {limit}"
        )
    ended = lengths < limit
    return (
        ended,
        f"episodes of {limit} steps timed out ({int((~ended).sum())}), shorter ones terminated ({int(ended.sum())})",
    )


def time_limit(options: ImportOptions, where: str) -> int:
    """The time limit in steps.

    Raises:
        UsageError: nobody says it.
    """
    limit = options.time_limit or (options.spec.max_episode_steps if options.spec else None)
    if limit is None:
        raise UsageError(
            f"{where}: --ends limit needs the number of steps: --time-limit N, or --env ENV of a limited one"
        )
    return limit
