"""The demonstrations of a robomimic file: their names, observations and columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from vinci_offline.convert.sources.hdf5 import Hdf5Tree
from vinci_offline.data import layout
from vinci_offline.data.assembly.context import ImportContext
from vinci_offline.data.assembly.flat import flags
from vinci_offline.errors import DatasetError, SpecError, UsageError
from vinci_offline.spec import DictSpace
from vinci_offline.text import printable
from vinci_offline.types import Columns

DONES = "dones"
FLAT = "flat"
"""robomimic's name for the only observation of an environment."""


class Demos:
    """The chosen demonstrations.

    Attributes:
        names: of their groups, in robomimic's order.
        keys: of their observations.

    Args:
        tree: the file.
        context: the import; what all demonstrations have, and what is left out, is noted there.

    Raises:
        DatasetError: there are none, or they are no transitions.
        UsageError: they have no rewards and no setting says what those are, or a setting asks for what is not there.
    """

    def __init__(self, tree: Hdf5Tree, context: ImportContext) -> None:
        self._tree = tree
        self.names = _names(tree, context.setting("mask"))
        skips = context.options.skip_bad
        whole = (name for name in self.names if skips and tree.names(f"data/{name}/obs"))
        first = f"data/{next(whole, self.names[0])}"
        held = tree.names(first)
        if not tree.names(f"{first}/obs"):
            raise DatasetError(
                f"{tree.path}: {printable(first)} has {', '.join(map(printable, held)) or 'nothing'}, but no obs: a "
                "simulator's raw states are no transitions; make observations of them with robomimic's "
                "dataset_states_to_obs.py"
            )
        self.keys = _chosen(tree, f"{first}/obs", context.setting("observations"))
        self._following = bool(tree.names(f"{first}/next_obs"))
        infos = tree.paths(f"{first}/{layout.INFOS}") if layout.INFOS in held else []
        self._infos = [key for key in infos if key and tree.is_numbers(f"{first}/{layout.INFOS}/{key}")]
        if texts := [key for key in infos if key and key not in self._infos]:
            context.decide(f"infos {', '.join(map(printable, texts))} were left out: they hold no numbers")
        self._every = any if skips else all  # with --skip-bad, a demonstration without them is a bad one
        self._rewards = self._has_rewards(context)
        self._dones = self._every(tree.has(f"data/{name}/{DONES}") for name in self.names)
        known = {"obs", "next_obs", layout.ACTIONS, layout.REWARDS, DONES, layout.INFOS}
        if left := sorted(set(held) - known):
            context.decide(f"{', '.join(map(printable, left))} were left out: they are no observations")

    def columns(self, name: str, paths: Mapping[str, str]) -> Columns:
        """Return the columns of a demonstration.

        Args:
            name: of its group.
            paths: the column's path by the observation's key.

        Raises:
            DatasetError: some are missing or damaged.
        """
        group = f"data/{name}"
        columns = {path: self._tree.array(f"{group}/obs/{key}") for key, path in paths.items()}
        if self._following:
            for key, path in paths.items():
                columns[f"next_{path}"] = self._tree.array(f"{group}/next_obs/{key}")
        columns[layout.ACTIONS] = self._tree.array(f"{group}/{layout.ACTIONS}")
        columns[layout.REWARDS] = np.zeros(len(columns[layout.ACTIONS]), np.float32)
        if self._rewards:
            columns[layout.REWARDS] = self._tree.numbers(f"{group}/{layout.REWARDS}")
        if self._dones:
            where = f"{group}/{DONES}"
            columns[DONES] = flags(self._tree.array(where), str(self._tree.path), where)
        infos = [f"{layout.INFOS}/{key}" for key in self._infos]
        return columns | {path: self._tree.array(f"{group}/{path}") for path in infos}

    def _has_rewards(self, context: ImportContext) -> bool:
        setting = context.setting("reward")
        if setting not in {None, "zero"}:
            raise UsageError(f"--set reward={setting}: there is only reward=zero")
        if self._every(self._tree.has(f"data/{name}/{layout.REWARDS}") for name in self.names):
            return True
        if setting is None:
            raise UsageError(
                f"{self._tree.path} has no rewards: say --set reward=zero if they are to be zero, or add them with "
                "robomimic's dataset_states_to_obs.py"
            )
        context.decide("rewards are zero, as --set reward says: the file has none")
        return False


def observation_paths(keys: Iterable[str], context: ImportContext) -> dict[str, str]:
    """Return the column's path by the key of ``obs``.

    Args:
        keys: those that there are, or that were chosen.
        context: the import. Of its spec the Dict keys are taken; without one, a single key that is called ``flat``, or
            was chosen, is no Dict.

    Raises:
        SpecError: the spec's observations are not among them.
    """
    keys, spec = list(keys), context.options.spec
    space = spec.observation_space if spec else None
    named = {key: f"{layout.OBSERVATIONS}/{key}" for key in keys}
    if space is None:
        single = len(keys) == 1 and (keys == [FLAT] or context.setting("observations") is not None)
        return {keys[0]: layout.OBSERVATIONS} if single else named
    if not isinstance(space, DictSpace):
        if FLAT in keys or len(keys) == 1:
            return {FLAT if FLAT in keys else keys[0]: layout.OBSERVATIONS}
        raise SpecError(
            f"{context.where} observes {', '.join(map(printable, keys))}, the environment a single array: say which "
            "with --set observations=KEY"
        )
    wanted = set(layout.space_slots(layout.OBSERVATIONS, space))
    if missing := sorted(wanted - set(named.values())):
        raise SpecError(f"{context.where} has no {', '.join(missing)}, which the environment has")
    if left := [key for key, path in named.items() if path not in wanted]:
        context.decide(f"obs {', '.join(map(printable, left))} were left out: the environment has none such")
    return {key: path for key, path in named.items() if path in wanted}


def _names(tree: Hdf5Tree, mask: str | None) -> list[str]:
    there = [name for name in tree.names("data") if name.startswith("demo_")]
    if mask is not None:
        listed = tree.texts(f"mask/{mask}")
        if not listed:
            masks = ", ".join(map(printable, tree.names("mask"))) or "none"
            raise UsageError(f"{tree.path} has no mask {mask}: there are {masks}")
        if missing := sorted(set(listed) - set(there)):
            raise DatasetError(f"{tree.path}: mask/{mask} lists {printable(missing[0])}, which is not there")
        there = sorted(set(listed))
    if not there:
        raise DatasetError(f"{tree.path} has no data/demo_0 or other demonstrations: no robomimic file")
    return sorted(
        there, key=lambda name: (not name[5:].isdecimal(), int(name[5:]) if name[5:].isdecimal() else 0)
    )


def _chosen(tree: Hdf5Tree, group: str, setting: str | None) -> list[str]:
    there = tree.paths(group)
    if setting is None:
        return there
    keys = [key.strip() for key in setting.split(",")]
    if unknown := [key for key in keys if key not in there]:
        raise UsageError(
            f"{tree.path} observes no {', '.join(unknown)}: there are {', '.join(map(printable, there))}"
        )
    return keys
