"""Which agents fit a dataset: by the kind of its actions, and by what its rows hold. It says nothing on how well."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from vinci_offline.agents.agent import Agent
from vinci_offline.agents.registry import agents
from vinci_offline.batches.names import INFOS, NEXT_ACTION, RETURN_TO_GO, column_name
from vinci_offline.data.layout import is_image
from vinci_offline.spec import BoxSpace, DictSpace, DiscreteSpace, EnvironmentSpec, MultiDiscreteSpace, Space


@dataclass(frozen=True)
class Fit:
    """Whether an agent can learn from a dataset, and why.

    Attributes:
        agent: the agent's name.
        fits: True if it can.
        because: what it takes from the rows, or what they lack.
    """

    agent: str
    fits: bool
    because: str

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object."""
        return {"agent": self.agent, "fits": self.fits, "because": self.because}


def fitting_agents(spec: EnvironmentSpec, summary: Mapping[str, Any]) -> list[Fit]:
    """Return every agent that learns such actions, by name, and whether the rows hold what it reads.

    Args:
        spec: the dataset's environment.
        summary: ``rows, episodes, fragments, terminals, infos`` of `vinci_offline.quality.statistics.summarize`, and
            ``no_reward_signal`` of `vinci_offline.quality.assessment.quality`.

    Returns:
        The fits; none where the actions are several at once, which no agent learns.
    """
    if isinstance(spec.action_space, MultiDiscreteSpace | DictSpace):
        return []
    kind = "discrete" if isinstance(spec.action_space, DiscreteSpace) else "continuous"
    return [
        Fit(name, *_judged(cls, kind, spec, summary))
        for name, cls in agents().items()
        if kind in cls.action_kinds
    ]


def _judged(
    cls: type[Agent], kind: str, spec: EnvironmentSpec, summary: Mapping[str, Any]
) -> tuple[bool, str]:
    """Return whether an agent fits, and why."""
    if _learns_values(cls) and summary["no_reward_signal"] is not None:
        return False, str(summary["no_reward_signal"])
    taken = [f"{kind} actions"]
    for name in map(column_name, cls.columns):
        fits, told = _column(name, summary)
        if not fits:
            return False, told
        taken += [told] if told else []
    if _has_images(spec.observation_space):
        taken.append("images, which each network encodes first")
    return True, "; ".join(taken)


def _learns_values(cls: type[Agent]) -> bool:
    try:
        return any(update.role == "critic" for update in cls().updates())
    except Exception:  # noqa: BLE001 - an agent of another package may need arguments
        return True


def _column(name: str, summary: Mapping[str, Any]) -> tuple[bool, str]:
    """Return whether a column that an agent asks for can be made, and what is to be said of it."""
    rows, episodes, whole = summary["rows"], summary["episodes"], summary["episodes"] - summary["fragments"]
    if name == NEXT_ACTION:
        # The last row of an episode has no next action, and a terminal needs none.
        cut = episodes - summary["terminals"]
        if cut >= rows:
            return False, "no row has a next action: every one ends its episode"
        return True, f"next actions, of all rows but {cut:,}" if cut else "next actions, of all rows"
    if name == RETURN_TO_GO:
        if not whole:
            return False, "no episode is whole, so no return is known"
        return True, f"returns, of {whole:,} whole episodes" + (
            f"; of {episodes - whole:,} fragments they are guessed" if episodes > whole else ""
        )
    if name.startswith(INFOS) and name.removeprefix(INFOS) not in summary["infos"]:
        return False, f"the column {name} is not recorded"
    return True, ""


def _has_images(space: Space) -> bool:
    if isinstance(space, DictSpace):
        return any(map(_has_images, space.spaces.values()))
    return isinstance(space, BoxSpace) and is_image(space.shape, np.dtype(space.dtype))
