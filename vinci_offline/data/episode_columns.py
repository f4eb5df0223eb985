"""Names of the episode table's columns, which `vinci_offline.data.episodes` computes."""

from __future__ import annotations

START = "start"
"""The episode's first row."""
LENGTH = "length"
"""Its number of rows."""
RETURN = "return"
"""The undiscounted sum of its rewards."""
TERMINATED = "terminated"
"""The terminal flag of its last row."""
TRUNCATED = "truncated"
"""The timeout flag of its last row."""

FRAGMENT = "fragment"
"""Whether rows of the episode are missing before or after these, so that their rewards are not its return."""

DERIVED = (START, LENGTH, RETURN, TERMINATED, TRUNCATED)
"""Columns that follow from the rows. Every other column is something that the recorder knew besides: flags alone do not
tell a fragment."""

SEED = "seed"
"""The seed with which the environment was reset."""
POLICY = "policy"
"""The index of the policy that acted, among those of the collection."""
RELABELLED = "relabelled"
"""The number of the hindsight copy; 0 for a recorded episode."""
