"""Datasets of chains: each next observation is the observation of the next row."""

from __future__ import annotations

import numpy as np

from vinci_offline import Dataset, EnvironmentSpec
from vinci_offline.spec import BoxSpace, DictSpace, DiscreteSpace

ROWS, LONGEST = 60, 9


def box(size, bound):
    limit = np.full(size, bound, np.float32)
    return BoxSpace((size,), "float32", -limit, limit)


CONTINUOUS = EnvironmentSpec(box(2, np.inf), box(1, 2))
DISCRETE = EnvironmentSpec(box(2, np.inf), DiscreteSpace(3, start=5))
MASKED = EnvironmentSpec(
    DictSpace({"position": box(2, np.inf), "action_mask": BoxSpace((3,), "uint8", np.zeros(3), np.ones(3))}),
    DiscreteSpace(3, start=5),
)


def chain(spec=CONTINUOUS, rows=ROWS, seed=0, cuts=True, **infos):
    """Return a dataset of runs of one to nine rows, and the last row of each run.

    With ``cuts`` runs end with a terminal, a timeout, or a missing row; otherwise with terminals only. The first
    observation entry is the row's number. Before a missing row, one half is added to the next observation.
    """
    generator = np.random.default_rng(seed)
    lengths = generator.integers(1, LONGEST + 1, rows)
    last = np.cumsum(lengths)[np.cumsum(lengths) < rows] - 1
    last = np.append(last, rows - 1)
    kinds = generator.permutation(len(last)) % 3 if cuts else np.zeros(len(last), int)
    terminals, timeouts = (np.isin(np.arange(rows), last[kinds == kind]) for kind in (0, 1))
    position = np.stack([np.arange(rows + 1), np.full(rows + 1, 7.0)], axis=1).astype(np.float32)
    following = position[1:].copy()
    following[last[kinds == 2], 1] += 0.5
    columns = {
        "rewards": generator.normal(size=rows).astype(np.float32),
        "terminals": terminals,
        "timeouts": timeouts,
        **{f"infos/{name}": values for name, values in infos.items()},
    }
    if isinstance(spec.action_space, DiscreteSpace):
        columns["actions"] = generator.integers(5, 8, rows)
    else:
        columns["actions"] = generator.uniform(-2, 2, (rows, 1)).astype(np.float32)
    if isinstance(spec.observation_space, DictSpace):
        masks = some_masks(rows + 1)
        columns |= {"observations/position": position[:-1], "next_observations/position": following}
        columns |= {"observations/action_mask": masks[:-1], "next_observations/action_mask": masks[1:]}
    else:
        columns |= {"observations": position[:-1], "next_observations": following}
    return Dataset.from_columns(columns, spec), last


def some_masks(rows):
    """Return ``[rows, 3]`` random masks. Each allows at least one action."""
    masks = np.random.default_rng(1).integers(0, 2, (rows, 3)).astype(np.uint8)
    masks[np.arange(rows), np.arange(rows) % 3] = 1
    return masks
