"""Training plans: which half of the agent learns, for how many steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vinci_offline.errors import UsageError

if TYPE_CHECKING:
    from vinci_offline.agents.agent import Role

_ROLES: dict[str, Role | None] = {"critic": "critic", "actor": "actor", "both": None}


@dataclass(frozen=True)
class Phase:
    """Global steps ``start + 1 … stop`` with the updates of one role, or of both where ``role`` is None."""

    role: Role | None
    start: int
    stop: int


def plan_phases(steps: int, only: str | None = None, phases: str | None = None) -> tuple[Phase, ...]:
    """The phases of a run.

    Args:
        steps: the number of steps of a run without explicit phases.
        only: ``critic`` or ``actor`` trains that half alone.
        phases: ``critic:20000,actor:10000,both:70000``: halves and their steps, in order.

    Raises:
        UsageError: not such a plan, or both ``only`` and ``phases`` given.
    """
    if only is not None and phases is not None:
        raise UsageError("--only and --phases exclude each other: give one")
    text = phases if phases is not None else f"{only or 'both'}:{steps}"
    planned: list[Phase] = []
    for part in text.split(","):
        role, _, count = part.strip().partition(":")
        number = count.replace("_", "").strip()
        if role not in _ROLES or not number.isdecimal() or int(number) == 0:
            what = "--phases" if phases is not None else "--steps" if role in _ROLES else "--only"
            raise UsageError(
                f"{what}: {part.strip()!r} is not ROLE:STEPS with a role of critic, actor, both and steps >= 1"
            )
        start = planned[-1].stop if planned else 0
        planned.append(Phase(_ROLES[role], start, start + int(number)))
    return tuple(planned)
