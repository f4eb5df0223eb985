"""The options of selecting rows."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from vinci_offline.errors import UsageError
from vinci_offline.options import check_options, option

_WHICH = "Which rows, in this order"
_DRAW = "How many"


def _slice(text: str) -> slice:
    match = re.fullmatch(r"(-?\d*):(-?\d*)", text.strip())
    if match is None or "-" in (match[1], match[2]):
        raise UsageError(f"--episodes {text}: write it as 0:100, :100, or -100:")
    return slice(*(int(part) if part else None for part in match.groups()))


def _weights(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"--weight {text}: write one number for each source, as in 1,2") from None


@dataclass(frozen=True)
class Selection:
    """Rows to keep of each source; the fields apply in their order.

    ``where`` is a condition on rows (the frame's columns, ``step``, ``episode``) or on episodes (``return``,
    ``length``, ``seed``, ``policy`` …, ``episode.NAME``), as `Expression` describes it. A condition on episodes alone
    keeps whole episodes. ``top_returns`` ranks the whole episodes of all sources together; ``sample_episodes`` draws
    whole episodes. Fragments of episodes are left out of both, and their return meets no condition. ``weights`` are the
    sources' shares of what is drawn; without a number to draw, as many rows are kept as the shares allow.
    """

    episodes: slice = option(
        slice(None),
        "These of each source's episodes; -100: are the last hundred.",
        panel=_WHICH,
        metavar="A:B",
        parse=_slice,
    )
    where: str | None = option(
        None,
        "A condition on rows ('reward > 0 and abs(action_0) < 0.5', 'step < 50') or on episodes "
        "('return >= 100', 'policy in (0, 2)').",
        panel=_WHICH,
        metavar="EXPR",
    )
    top_returns: float | None = option(
        None, "The fraction of whole episodes with the highest returns.", panel=_WHICH, metavar="F"
    )
    sample_episodes: int | None = option(
        None, "Draw this many whole episodes.", panel=_DRAW, metavar="N", low=1
    )
    sample: int | None = option(None, "Draw this many rows.", panel=_DRAW, metavar="N", low=1)
    weights: Sequence[float] | None = option(
        None,
        "The sources' shares of what is drawn; without a number to draw, as many as the shares allow.",
        panel=_DRAW,
        flags=("--weight",),
        metavar="W,W,...",
        parse=_weights,
    )
    seed: int = option(0, "Seed of the draws.", panel=_DRAW, low=0)

    def check(self, sources: int) -> None:
        """Check the numbers against each other and against the number of sources.

        Raises:
            UsageError: a number is out of range, or there is not one weight for each source.
        """
        check_options(self)
        if self.top_returns is not None and not 0 < self.top_returns <= 1:
            raise UsageError(f"--top-returns {self.top_returns}: give a fraction above 0, at most 1")
        if self.sample is not None and self.sample_episodes is not None:
            raise UsageError("--sample draws rows and --sample-episodes whole episodes: give one of them")
        if self.weights is not None and len(self.weights) != sources:
            raise UsageError(
                f"--weight: {len(self.weights)} weights for {sources} sources: give one weight for each"
            )
        if self.weights is not None and (min(self.weights) < 0 or not 0 < sum(self.weights) < math.inf):
            raise UsageError("--weight: give numbers of at least 0, not all of them 0")

    def described(self) -> dict[str, object]:
        """Return the choice as a JSON object, without the fields that were not given."""
        start, stop = self.episodes.start, self.episodes.stop
        said: dict[str, object] = {
            "episodes": None if (start, stop) == (None, None) else [start, stop],
            "where": self.where,
            "top_returns": self.top_returns,
            "sample_episodes": self.sample_episodes,
            "sample": self.sample,
            "weights": None if self.weights is None else list(self.weights),
        }
        if self.sample or self.sample_episodes or self.weights:
            said["seed"] = self.seed
        return {name: value for name, value in said.items() if value is not None}
