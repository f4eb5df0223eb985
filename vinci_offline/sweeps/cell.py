"""A cell of a sweep: one run, its name and all that it is trained with."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vinci_offline.text import text_of

_LONGEST = 120
_NO_NAME = re.compile(r"[^\w.=,+-]")


@dataclass(frozen=True)
class Cell:
    """One run of a sweep.

    Attributes:
        name: name of its run directory, which says what the run is.
        agent: the agent.
        dataset: its file, or a shipped dataset's name.
        seed: the seed.
        settings: hyperparameters of the agent, as JSON values.
        options: options of `train` by their names in Python, ``steps`` among them.
    """

    name: str
    agent: str
    dataset: str
    seed: int
    settings: Mapping[str, Any]
    options: Mapping[str, Any]

    @property
    def steps(self) -> int:
        """Number of gradient steps."""
        return int(self.options["steps"])

    @property
    def group(self) -> str:
        """Text that cells share which differ in their seeds alone."""
        return json.dumps([self.agent, self.dataset, self.settings, self.options], sort_keys=True)

    def to_json(self) -> dict[str, Any]:
        """Return the cell's object in ``sweep.json``."""
        return {**vars(self), "settings": dict(self.settings), "options": dict(self.options)}


def name_of(
    agent: str, dataset: str, seed: int, settings: Mapping[str, Any], options: Mapping[str, Any]
) -> str:
    """Return a cell's name: ``DATASET-AGENT-KEY=VALUE…-seed-SEED``, in characters that every file system takes.

    Args:
        agent: the agent's name.
        dataset: the dataset's short name.
        seed: the seed.
        settings: the settings that the sweep names.
        options: the options of which it tries several values.
    """
    short = agent.rpartition(":")[2].lower() if ":" in agent else agent
    parts = [dataset, short, *(f"{key}={text_of(value)}" for key, value in {**settings, **options}.items())]
    stem = _NO_NAME.sub("_", "-".join(parts)).lstrip(".-") or "cell"
    if len(stem) > _LONGEST:
        stem = f"{stem[: _LONGEST - 9]}-{_digest(parts)}"
    return f"{stem}-seed-{seed}"


def short_names(datasets: Iterable[str]) -> dict[str, str]:
    """Return a short name for each dataset: its file's, with the folder's before it where two files have one name."""
    found = {each: Path(each).stem for each in datasets}
    for each in _doubles(found):
        found[each] = f"{Path(each).resolve().parent.name}-{found[each]}"
    for each in _doubles(found):
        found[each] = f"{found[each]}-{_digest(each)}"
    return found


def _doubles(named: Mapping[str, str]) -> list[str]:
    counts = Counter(named.values())
    return [each for each, name in named.items() if counts[name] > 1]


def without_doubles(cells: Sequence[Cell]) -> tuple[Cell, ...]:
    """Return the cells once each, and give those that would share a name names of their own."""
    found: dict[str, Cell] = {}
    for cell in cells:
        name = cell.name
        if name in found and (found[name].group, found[name].seed) != (cell.group, cell.seed):
            name = f"{cell.name}-{_digest(cell.group)}"
        found.setdefault(name, replace(cell, name=name))
    return tuple(found.values())


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:8]
