"""Numbers of an episode that its steps' infos tell, such as whether it succeeded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from vinci_offline.errors import UsageError

REDUCTIONS = ("last", "max", "mean", "sum")


@dataclass(frozen=True)
class WantedInfo:
    """One number of each episode.

    Attributes:
        name: as it was asked for: ``KEY`` or ``max:KEY``.
        key: the key in the steps' infos.
        reduction: of `REDUCTIONS`: which step's value counts, or what is made of all steps' values.
    """

    name: str
    key: str
    reduction: str = "last"

    @classmethod
    def parse(cls, name: str) -> Self:
        """Read ``KEY``, the value at the last step, or ``max:KEY``, ``mean:KEY``, ``sum:KEY`` over all steps."""
        before, colon, key = name.partition(":")
        if colon and before in REDUCTIONS:
            return cls(name, key, before)
        return cls(name, name)


class EpisodeInfos:
    """Values of an episode under way.

    Args:
        wanted: the numbers that are asked for.
    """

    def __init__(self, wanted: Sequence[WantedInfo] = ()) -> None:
        self._wanted = tuple(wanted)
        self.begin()

    def begin(self) -> None:
        """Start an episode."""
        self._last: Mapping[str, Any] = {}
        self._values: list[list[float]] = [[] for _ in self._wanted]

    def add(self, info: Mapping[str, Any]) -> None:
        """Take a step's info. A key may be missing in some steps of an episode."""
        if not self._wanted:
            return
        self._last = info
        for wanted, values in zip(self._wanted, self._values, strict=True):
            if wanted.key in info:
                value = _number(wanted.key, info[wanted.key])
                if wanted.reduction == "last":
                    values.clear()
                values.append(value)
            elif wanted.reduction == "last":
                values.clear()

    def finish(self) -> tuple[float, ...]:
        """Return the episode's numbers.

        Raises:
            UsageError: its last step, or for other reductions all of its steps, lack a key.
        """
        for wanted, values in zip(self._wanted, self._values, strict=True):
            if not values:
                where = "info at an episode's end" if wanted.reduction == "last" else "info"
                raise UsageError(
                    f"the environment's {where} has no {wanted.key!r}; it has: {', '.join(self._last) or 'nothing'}"
                )
        return tuple(
            _REDUCE[wanted.reduction](values)
            for wanted, values in zip(self._wanted, self._values, strict=True)
        )


_REDUCE = {
    "last": lambda values: float(values[-1]),
    "max": lambda values: float(max(values)),
    "mean": lambda values: float(np.mean(values)),
    "sum": lambda values: float(np.sum(values)),
}


def _number(key: str, given: Any) -> float:
    """Return a step's value as a number.

    Raises:
        UsageError: it is none.
    """
    try:
        value = np.asarray(given)
    except ValueError:  # rows of different lengths
        value = np.empty(0, np.object_)
    if value.dtype.kind not in "biuf" or value.size != 1:
        raise UsageError(
            f"info {key!r} is no number: it is of type {value.dtype}"
            + (f" and shape {value.shape}" if value.shape else "")
        )
    return float(value.reshape(()))
