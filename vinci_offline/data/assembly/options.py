"""What a user says of a source that the source does not say itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from vinci_offline.spec import EnvironmentSpec

Ends: TypeAlias = Literal["terminal", "timeout", "limit"]
"""How the end of an episode is read where the source does not say: see `ImportOptions`."""


@dataclass(frozen=True)
class ImportOptions:
    """Facts that a source cannot tell by itself, given by the user.

    Attributes:
        spec: the environment, where the source does not hold it, or instead of what it holds.
        ends: what the end of an episode is where the source does not say: ``terminal`` (nothing is bootstrapped
            past it), ``timeout`` (it goes on unseen), or ``limit``: an episode as long as ``time_limit`` timed
            out, a shorter one terminated. None refuses what is ambiguous.
        time_limit: steps; None takes the environment's own.
        columns: of a table: the dataset's column by frame name (``observation_0``, ``action``, ``reward`` …) to
            the source's name.
        settings: whatever else one format asks for, by name; a format refuses names that it does not know.
    """

    spec: EnvironmentSpec | None = None
    ends: Ends | None = None
    time_limit: int | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
