"""The best state of a run so far, and for how many looks it has stood."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass
class Standing:
    """The greatest of the scores offered so far.

    Attributes:
        score: the greatest, or None before the first.
        step: the global step it was reached at.
        since: how many were offered after it, none of them greater.
    """

    score: float | None = None
    step: int = 0
    since: int = 0

    def offer(self, step: int, score: float) -> bool:
        """Take note of a score; whether it is the greatest. One that is not finite never is."""
        if math.isfinite(score) and (self.score is None or score > self.score):
            self.score, self.step, self.since = score, step, 0
            return True
        self.since += 1
        return False

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)

    def restore(self, stored: Mapping[str, Any] | None) -> None:
        """Go on from what `to_json` gave."""
        if stored:
            self.score, self.step, self.since = stored["score"], int(stored["step"]), int(stored["since"])
