"""Names that other tools and people give to the columns of a transition: the one table of them."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

DONE = "done"
"""The target for a flag that ends an episode and does not say how; never a column of a dataset."""

ALIASES: Mapping[str, tuple[str, ...]] = {
    "observation": ("obs", "observations", "state", "states", "ob", "obses", "observation.state"),
    "action": ("actions", "act", "acts"),
    "reward": ("rewards", "rew", "rews", "next.reward"),
    "next_observation": (
        "next_obs",
        "next_observations",
        "next_state",
        "next_states",
        "new_obs",
        "obs_next",
        "obs2",
        "next.observation.state",
    ),
    "terminal": ("terminals", "terminated", "terminateds", "terminations", "is_terminal"),
    "timeout": ("timeouts", "truncated", "truncateds", "truncations", "timed_out", "next.truncated"),
    DONE: ("dones", "is_done", "next.done"),
    "episode": (
        "episode_id",
        "episode_index",
        "episode_idx",
        "trajectory_id",
        "trajectory_index",
        "traj_id",
        "eps_id",
    ),
    "step": ("timestep", "time_step", "step_id", "step_index", "step_idx", "frame_index"),
}
"""The names of each role besides its own, in lower case. A name that could mean something else is not among them."""

LENGTHS = ("length", "lengths", "seq_lengths", "episode_lengths", "traj_lengths", "path_lengths", "ep_lens")
"""Names of the number of steps of each episode, beside padded arrays."""

MASKS = ("mask", "masks", "valid", "valid_mask")
"""Names of the mask of the steps that are no padding, beside padded arrays."""

_VECTORS = {"observation", "action", "next_observation"}


def root_of(name: str) -> str:
    """Return the part of a name before its entry of a vector or its key of a Dict: ``obs`` of ``obs_3``."""
    return re.split(r"_\d+$|/", name, maxsplit=1)[0]


def known_names(role: str) -> tuple[str, ...]:
    """Return the names of a role, its own first."""
    return (role, *ALIASES[role])


def role_of(name: str) -> str | None:
    """Return the role that a column's name stands for; None if it is no known name."""
    lower = name.lower()
    for role in ALIASES:
        found = root_of(lower) if role in _VECTORS else lower
        if found in known_names(role):
            return role
    return None


def recognised(names: Sequence[str], filled: Collection[str]) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Find columns by the names that others use.

    Args:
        names: the columns that nothing else names.
        filled: the roles that have a column already.

    Returns:
        The columns by their names in a frame; and for each role the roots that could all be meant, where there are
        several: none of them is taken.
    """
    by_role: dict[str, dict[str, list[str]]] = {}
    for name in names:
        role = role_of(name)
        if role is not None and role not in filled:
            by_role.setdefault(role, {}).setdefault(root_of(name) if role in _VECTORS else name, []).append(
                name
            )
    roles = {*filled, *by_role}
    if {"terminal", "timeout"} <= roles:
        by_role.pop(DONE, None)  # it says less than they do
    unclear = {role: list(roots) for role, roots in by_role.items() if len(roots) > 1}
    found: dict[str, str] = {}
    for role in ALIASES:
        if role in by_role and role not in unclear:
            ((root, members),) = by_role[role].items()
            found |= {role + name[len(root) :]: name for name in members}
    return found, unclear
