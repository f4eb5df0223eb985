"""Pictures of off-policy estimates against online returns: a dot for each run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vinci_offline.evaluation.kept import Basis, Kept, kept
from vinci_offline.evaluation.members import Member
from vinci_offline.evaluation.ranking import Ranked, Ranking
from vinci_offline.hooks.csv_log import last_row
from vinci_offline.text import counted

MOST_PICTURES = 6
"""Of more bases those with the most runs are shown."""
_LEFT, _TOP, _SIDE = 58, 8, 236
_ROOM = 0.06


@dataclass(frozen=True)
class _Point:
    """A run with an estimate and an evaluation."""

    place: int
    name: str
    member: Member
    estimate: Kept
    online: tuple[float, float, float]


@dataclass(frozen=True)
class _Scale:
    """A linear scale from values to places in the picture."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 2)

    def ticks(self) -> list[dict[str, Any]]:
        """Return two to six round values with their places."""
        rough = (self.high - self.low) / 5
        size = 10.0 ** math.floor(math.log10(rough))
        step = next(factor * size for factor in (1, 2, 2.5, 5, 10) if factor * size >= rough)
        first = math.ceil(self.low / step)
        values = [number * step for number in range(first, math.floor(self.high / step) + 1)]
        return [{"at": self.at(value), "text": f"{value:.6g}"} for value in values]


def pictures(runs: Mapping[str, Sequence[Member]], places: Mapping[str, int]) -> list[dict[str, Any]]:
    """Return a picture for each way in which runs of a task were estimated, those of the most runs first.

    Args:
        runs: the runs by their groups.
        places: the place of each group among the colours.

    Raises:
        VinciError: estimates of a run are damaged.
    """
    found: dict[Basis, list[_Point]] = {}
    for name, each in runs.items():
        for member in each:
            online = _online(member)
            for estimate in kept(member.path) if online is not None else ():
                assert online is not None
                found.setdefault(estimate.basis, []).append(
                    _Point(places[name], name, member, estimate, online)
                )
    told = {
        basis: [point for point in points if math.isfinite(point.estimate.value)]
        for basis, points in found.items()
    }
    ordered = sorted((basis for basis in told if told[basis]), key=lambda basis: (-len(told[basis]), basis))
    return [
        {**_picture(basis, told[basis]), "refused": _refused(len(found[basis]) - len(told[basis]))}
        for basis in ordered[:MOST_PICTURES]
    ]


def _refused(count: int) -> str:
    return f"{counted(count, 'run')} not drawn: the data cannot tell how good the policy is." if count else ""


def _online(member: Member) -> tuple[float, float, float] | None:
    """Return the mean return of the last evaluation, and the ends of Student's 95% interval over its episodes."""
    row = last_row(member.path / "evaluations.csv")
    mean, deviation, count = (row.get(name, math.nan) for name in ("return_mean", "return_std", "episodes"))
    if not math.isfinite(mean):
        return None
    if not (math.isfinite(deviation) and count > 1):
        return mean, math.nan, math.nan
    from scipy.stats import t

    half = float(t.ppf(0.975, count - 1)) * deviation / math.sqrt(count)
    return mean, mean - half, mean + half


def _picture(basis: Basis, points: Sequence[_Point]) -> dict[str, Any]:
    estimates = [value for point in points for value in (point.estimate.value, *_interval(point.estimate))]
    returns = [value for point in points for value in point.online]
    same = basis.gamma == 1  # a discounted return has another scale than the environment's
    x = _scale([*estimates, *(returns if same else ())], _LEFT, _LEFT + _SIDE)
    y = _scale([*returns, *(estimates if same else ())], _TOP + _SIDE, _TOP)
    ranked = tuple(Ranked(point.member, point.name, point.estimate.value) for point in points)
    return {
        "title": f"{basis.method} on {basis.data}, gamma {basis.gamma:g}",
        "others": basis.others,
        "verdict": Ranking("", basis.method, ranked).verdict,
        "discounted": not same,
        "diagonal": [x.at(x.low), y.at(y.low), x.at(x.high), y.at(y.high)] if same else None,
        "x": x.ticks(),
        "y": y.ticks(),
        "frame": {"left": _LEFT, "top": _TOP, "side": _SIDE},
        "points": [_point(point, x, y) for point in points],
    }


def _scale(values: Sequence[float], start: float, end: float) -> _Scale:
    known = [value for value in values if math.isfinite(value)]
    low, high = min(known), max(known)
    room = _ROOM * (high - low) or max(abs(low), 1.0) * _ROOM
    return _Scale(low - room, high + room, start, end)


def _interval(estimate: Kept) -> tuple[float, float]:
    return estimate.low, estimate.high


def _point(point: _Point, x: _Scale, y: _Scale) -> dict[str, Any]:
    mean, low, high = point.online
    ends = _interval(point.estimate)
    return {
        "place": point.place,
        "name": f"{point.name}, seed {point.member.seed}",
        "x": x.at(point.estimate.value),
        "y": y.at(mean),
        "across": [x.at(end) for end in ends] if all(map(math.isfinite, ends)) else None,
        "up": [y.at(end) for end in (low, high)] if math.isfinite(low) else None,
        "estimate": f"{point.estimate.value:.4g}",
        "estimate_interval": _words(*ends),
        "online": f"{mean:.4g}",
        "online_interval": _words(low, high),
        "warning": point.estimate.warning or "",
    }


def _words(low: float, high: float) -> str:
    return f"{low:.4g} to {high:.4g}" if math.isfinite(low) and math.isfinite(high) else ""
