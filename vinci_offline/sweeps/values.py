"""Values that a sweep tries: lists of a grid, and ranges of a random search."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vinci_offline.errors import UsageError
from vinci_offline.text import did_you_mean

_KEYS = ("low", "high", "log", "whole")
_DIGITS = 4
"""Significant digits of a draw: names of cells stay readable."""


@dataclass(frozen=True)
class Range:
    """Range of a random search.

    Attributes:
        low: least value.
        high: greatest value.
        log: draw the logarithm uniformly, for learning rates and weights.
        whole: draw whole numbers, both ends among them.
    """

    low: float
    high: float
    log: bool = False
    whole: bool = False

    @classmethod
    def of(cls, name: str, given: Mapping[str, Any]) -> Range:
        """Read ``{low: 0.1, high: 10, log: true}``.

        Args:
            name: the setting, for messages.
            given: the mapping.

        Raises:
            UsageError: it is no range.
        """
        for key in given:
            if key not in _KEYS:
                near = did_you_mean(str(key), _KEYS)
                raise UsageError(
                    f"set: {name} has {key!r}, and a range has {', '.join(_KEYS)}{near}; settings of one agent stand "
                    "under a name that agents lists"
                )
        try:
            low, high = float(given["low"]), float(given["high"])
        except KeyError as error:
            raise UsageError(
                f"set: {name} needs {error.args[0]}: a range is {{low: 0.1, high: 10}}"
            ) from error
        except (TypeError, ValueError) as error:
            raise UsageError(f"set: the ends of {name} must be numbers, as {{low: 0.1, high: 10}}") from error
        found = cls(low, high, given.get("log", False) is True, given.get("whole", False) is True)
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise UsageError(f"set: {name} must have a low end below its high end, not {low:g} and {high:g}")
        if found.log and low <= 0:
            raise UsageError(
                f"set: {name} is drawn by its logarithm: its low end must be above 0, not {low:g}"
            )
        if found.whole and not (low.is_integer() and high.is_integer()):
            raise UsageError(f"set: {name} is whole: its ends must be whole numbers")
        return found

    def at(self, place: float) -> float | int:
        """Return the value at a place from 0 to 1, rounded to four digits."""
        low, high = (self.low, self.high + 1) if self.whole and not self.log else (self.low, self.high)
        value = (
            math.exp(math.log(low) + place * math.log(high / low)) if self.log else low + place * (high - low)
        )
        return self.rounded(math.floor(value) if self.whole and not self.log else value)

    def rounded(self, value: float) -> float | int:
        """Return a value of the range, rounded to a whole number or to four digits."""
        if self.whole:
            return int(min(max(round(value), self.low), self.high))
        return min(max(float(f"{value:.{_DIGITS}g}"), self.low), self.high)

    def to_json(self) -> dict[str, Any]:
        """Return the mapping that `of` reads."""
        shown: dict[str, Any] = {"low": self.low, "high": self.high}
        return shown | {name: True for name in ("log", "whole") if getattr(self, name)}


Tried = Sequence[Any] | Range
"""The values of one setting: a list, or a range."""


def draw(tried: Tried, name: str, number: int, seed: int) -> Any:
    """Return one value of a random search.

    It depends on the arguments alone. So more draws keep the earlier ones, and a new setting does not change the
    others'.

    Args:
        tried: a list or a range.
        name: the setting.
        number: the number of the draw.
        seed: the search's seed.
    """
    # Seeded by a text, Python's generator gives the same numbers in every version and process.
    place = random.Random(f"{seed}/{number}/{name}").random()  # noqa: S311
    return tried.at(place) if isinstance(tried, Range) else tried[int(place * len(tried))]
