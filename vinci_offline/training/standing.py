"""Best score of a run so far, and the number of scores since."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass
class Standing:
    """Greatest score so far.

    Attributes:
        score: the greatest score; None before the first.
        step: global step of the greatest score, the last of equal ones.
        since: number of scores after the first that was as great.
    """

    score: float | None = None
    step: int = 0
    since: int = 0

    def offer(self, step: int, score: float) -> bool:
        """Record a score; return True if none was greater. NaN and infinite scores never count.

        Of equal scores the later state counts: it has learned from more. It is no improvement, though.
        """
        if math.isfinite(score) and (self.score is None or score > self.score):
            self.score, self.step, self.since = score, step, 0
            return True
        self.since += 1
        if score != self.score:
            return False
        self.step = step
        return True

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return asdict(self)

    def restore(self, stored: Mapping[str, Any] | None) -> None:
        """Restore the fields from the values of `to_json`."""
        if stored:
            self.score, self.step, self.since = stored["score"], int(stored["step"]), int(stored["since"])
