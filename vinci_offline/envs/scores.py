"""Normalised scores: returns on a scale from a random policy, 0, to an expert, 100."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

if TYPE_CHECKING:
    from vinci_offline.types import FloatArray

REFERENCE_RETURNS = "reference_returns"
"""Attribute of a data file, and entry of a run's ``dataset.json``."""

_PUBLISHED = Path(__file__).with_name("references.toml")


@dataclass(frozen=True)
class Reference:
    """Mean returns that stand for the scores 0 and 100.

    Attributes:
        random: that of a random policy.
        expert: that of an expert.
        source: where they come from.
        approximate: True if they were measured on another version of the environment.
    """

    random: float
    expert: float
    source: str
    approximate: bool = False

    @overload
    def score(self, mean_return: float) -> float: ...

    @overload
    def score(self, mean_return: FloatArray) -> FloatArray: ...

    def score(self, mean_return: float | FloatArray) -> float | FloatArray:
        """Return 100 (R - random) / (expert - random), of one mean return or of several.

        The map is affine: apply it to returns and their means, never to a standard deviation.
        """
        return 100 * (mean_return - self.random) / (self.expert - self.random)

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object of the references."""
        return asdict(self)


def normalized_score(env: str | None, mean_return: float) -> float | None:
    """Return a mean return as a score by published references; None for environments without them."""
    reference = published_reference(env)
    return None if reference is None else reference.score(mean_return)


def published_reference(env: str | None) -> Reference | None:
    """Return the published references of an environment, of ``references.toml``; None if there are none."""
    name = (env or "").rpartition(":")[2].rpartition("/")[2].lower()
    for patterns, reference in _published():
        if any(fnmatchcase(name, pattern) for pattern in patterns):
            return reference
    return None


def recorded_reference(content: Mapping[str, Any]) -> Reference | None:
    """Return the references that a dataset keeps; None if it has none, or no two finite numbers that differ.

    Args:
        content: its attributes, or a run's ``dataset.json``. A dataset of Minari has references of its own.
    """
    own, minari = content.get(REFERENCE_RETURNS), content.get("minari")
    if isinstance(own, Mapping):
        return _reference(own.get("random"), own.get("expert"), str(own.get("source", "the dataset")))
    if isinstance(minari, Mapping):
        source = f"Minari {minari.get('dataset_id', '')}".rstrip()
        return _reference(minari.get("ref_min_score"), minari.get("ref_max_score"), source)
    return None


def _reference(random: Any, expert: Any, source: str) -> Reference | None:
    sound = all(
        isinstance(each, int | float) and not isinstance(each, bool) and math.isfinite(each)
        for each in (random, expert)
    )
    return Reference(float(random), float(expert), source) if sound and random != expert else None


@cache
def _published() -> tuple[tuple[tuple[str, ...], Reference], ...]:
    with _PUBLISHED.open("rb") as file:
        entries = tomllib.load(file)["references"]
    return tuple((tuple(entry.pop("ids")), Reference(**entry)) for entry in entries)
