"""Training plans: the roles that learn, and for how many steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vinci_offline.errors import UsageError
from vinci_offline.text import did_you_mean

ALL = "both"
"""Name for all roles in a plan. Most agents have two."""


@dataclass(frozen=True)
class Phase:
    """Global steps ``start + 1 … stop`` with the updates of one role; None means all roles."""

    role: str | None
    start: int
    stop: int


def plan_phases(steps: int, only: str | None = None, phases: str | None = None) -> tuple[Phase, ...]:
    """Return the phases of a run. `check_roles` compares their roles with an agent's.

    Args:
        steps: the number of steps of a run without explicit phases.
        only: the only role to train: ``critic``, ``actor``, or another role of the agent.
        phases: ``critic:20000,actor:10000,both:70000``: roles and their steps, in order; ``both`` trains all roles.

    Raises:
        UsageError: the plan is malformed, or both ``only`` and ``phases`` are given.
    """
    if only is not None and phases is not None:
        raise UsageError("--only and --phases exclude each other: give one of them")
    text = phases if phases is not None else f"{only or ALL}:{steps}"
    planned: list[Phase] = []
    for part in text.split(","):
        role, _, count = part.strip().partition(":")
        number = count.replace("_", "").strip()
        if not role.isidentifier() or not number.isdecimal() or int(number) == 0:
            what = "--phases" if phases is not None else "--steps" if role.isidentifier() else "--only"
            raise UsageError(
                f"{what}: {part.strip()!r} is not ROLE:STEPS with a role such as critic, actor, both and steps >= 1"
            )
        start = planned[-1].stop if planned else 0
        planned.append(Phase(None if role == ALL else role, start, start + int(number)))
    return tuple(planned)


def check_roles(agent: str, roles: Sequence[str], phases: Sequence[Phase]) -> None:
    """Check that an agent has the roles of a plan.

    Args:
        agent: its name, for the message.
        roles: its roles.
        phases: the plan.

    Raises:
        UsageError: the agent lacks a role.
    """
    for phase in phases:
        if phase.role is not None and phase.role not in roles:
            raise UsageError(
                f"--only and --phases: agent {agent!r} has no role {phase.role!r}; it has {', '.join(roles)} "
                f"({ALL} for all){did_you_mean(phase.role, [*roles, ALL])}"
            )
