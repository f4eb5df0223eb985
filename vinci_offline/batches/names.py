"""The columns that a batch can have, by name. An agent lists the ones it needs.

| name | content |
| --- | --- |
| `observation`, `action`, `reward`, `discount`, `next_observation` | the transition; every batch has it |
| `next_action` | the action recorded after the transition; `has_next_action` comes with it |
| `return_to_go` | the discounted sum of rewards to the end of the run; see `ReturnToGo` |
| `action_mask`, `next_action_mask` | the actions allowed at the two observations; see `IfRecorded` |
| `infos/…` | a column of the dataset as it is |

`batches/reader.py` says how each is made. This file imports neither Keras nor NumPy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, get_args

from vinci_offline.errors import UsageError

OBSERVATION = "observation"
ACTION = "action"
REWARD = "reward"
DISCOUNT = "discount"
NEXT_OBSERVATION = "next_observation"
TRANSITION = (OBSERVATION, ACTION, REWARD, DISCOUNT, NEXT_OBSERVATION)
"""The columns of every batch."""

NEXT_ACTION = "next_action"
HAS_NEXT_ACTION = "has_next_action"
"""float32: 1 where `next_action` is recorded or not needed, 0 where the run is cut. It comes with `next_action`."""
RETURN_TO_GO = "return_to_go"
ACTION_MASK: Final = "action_mask"
NEXT_ACTION_MASK: Final = "next_action_mask"
INFOS = "infos/"
"""Beginning of the names of columns that are taken from the dataset as they are."""

FIRST_ROW = "rows/first"
LAST_ROW = "rows/last"
"""int32: the first and the last pool row of each row's run. A pool has them where the agent needs trajectories."""
DRAWN_ROW = "rows/drawn"
"""int32: the pool row behind each number that is drawn. A pool without it is drawn from whole."""
POOL_ONLY = (FIRST_ROW, LAST_ROW, DRAWN_ROW)
"""Columns of a pool that are no columns of a batch."""

Unfinished: TypeAlias = Literal["refuse", "extend", "sum"]


@dataclass(frozen=True)
class ReturnToGo:
    """The column `return_to_go`: the discounted sum of rewards from a row to the end of its run.

    It is no estimate where the run ends in a terminal row. Where the run is cut (a timeout, the end of the recording, a
    row that is missing), the rewards after the cut are unknown, and ``unfinished`` says what to do.

    Attributes:
        discount: factor a step; None takes the training run's ``gamma``.
        unfinished: ``refuse`` raises an error; ``extend`` takes the last reward as paid for ever after,
            ``reward / (1 - discount)`` (Nakamoto et al., 2023, https://arxiv.org/abs/2303.05479, the authors' code for
            sparse rewards); ``sum`` ends the sum at the cut (Chen et al., 2021, https://arxiv.org/abs/2106.01345).
    """

    discount: float | None = None
    unfinished: Unfinished = "refuse"

    def __post_init__(self) -> None:
        if self.discount is not None and not 0.0 <= self.discount <= 1.0:
            raise UsageError(f"return_to_go: the discount must be from 0 to 1, not {self.discount}")
        if self.unfinished not in get_args(Unfinished):
            raise UsageError(
                f"return_to_go: unfinished must be {', '.join(get_args(Unfinished))}, not {self.unfinished!r}"
            )


@dataclass(frozen=True)
class IfRecorded:
    """A column that a batch has where the dataset holds it: `action_mask` or `next_action_mask`.

    A loss reads it by `Batch.get`. Continuous actions have no masks.
    """

    name: Literal["action_mask", "next_action_mask"]

    def __post_init__(self) -> None:
        if self.name not in (ACTION_MASK, NEXT_ACTION_MASK):
            raise UsageError(
                f"only masks are taken if they are recorded, not {self.name!r}: list its name alone"
            )


MASKS = (IfRecorded(ACTION_MASK), IfRecorded(NEXT_ACTION_MASK))
"""Both masks, for an agent of Discrete actions."""

ColumnWish: TypeAlias = str | ReturnToGo | IfRecorded
"""Entry of an agent's ``columns``."""


def column_name(wish: ColumnWish) -> str:
    """Return the name that the wished column has in a batch."""
    if isinstance(wish, IfRecorded):
        return wish.name
    return RETURN_TO_GO if isinstance(wish, ReturnToGo) else wish


def complete_wishes(wishes: Sequence[ColumnWish]) -> dict[str, ColumnWish]:
    """Return every wished column by name: the transition first, then the others in the order given.

    Raises:
        UsageError: a name is unknown, or a column is wished in two ways.
    """
    known = (*TRANSITION, NEXT_ACTION, HAS_NEXT_ACTION, RETURN_TO_GO, ACTION_MASK, NEXT_ACTION_MASK)
    complete: dict[str, ColumnWish] = {name: name for name in TRANSITION}
    for wish in wishes:
        name = column_name(wish)
        if name not in known and not (name.startswith(INFOS) and len(name) > len(INFOS)):
            raise UsageError(
                f"the agent asks for the column {name!r}, which does not exist: "
                f"name one of {', '.join(known)}, or a dataset column infos/NAME"
            )
        wanted = ReturnToGo() if wish == RETURN_TO_GO else wish
        if complete.setdefault(name, wanted) != wanted:
            raise UsageError(f"the agent asks for {name} in two ways: list it once")
    if HAS_NEXT_ACTION in complete:
        complete.setdefault(NEXT_ACTION, NEXT_ACTION)
    return complete
