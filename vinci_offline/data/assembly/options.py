"""Options of an import: facts that the source does not tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from vinci_offline.calls import check_call, speaking_python
from vinci_offline.spec import EnvironmentSpec

Ends: TypeAlias = Literal["terminal", "timeout", "limit"]
"""The kind of an episode's end, if the source does not tell it: see `ImportOptions`."""


@dataclass(frozen=True)
class ImportOptions:
    """Facts that the user tells of a source.

    Attributes:
        spec: the environment, if the source does not hold it, or in its place.
        ends: the kind of an episode's end, if the source does not tell it: ``terminal`` (nothing is bootstrapped
            past it), ``timeout`` (it goes on unseen), or ``limit``: an episode as long as ``time_limit`` timed
            out, a shorter one terminated. None refuses what is ambiguous.
        time_limit: steps; None takes the environment's own.
        columns: of a table or of arrays: the dataset's column by frame name (``observation_0``, ``action``,
            ``reward`` …) to the source's name.
        settings: options of one format, by name; a format refuses unknown names.
        float64: keep float64 values; otherwise they become float32.
        skip_bad: leave out an episode that is bad, and count it; otherwise it refuses the source.
    """

    spec: EnvironmentSpec | None = None
    ends: Ends | None = None
    time_limit: int | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    float64: bool = False
    skip_bad: bool = False

    def __post_init__(self) -> None:
        with speaking_python(ImportOptions):
            check_call(ImportOptions, (), vars(self))
