"""The role of each column of a table, which tells how its cells are read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

from vinci_offline.data.assembly import bounds
from vinci_offline.data.assembly.aliases import DONE
from vinci_offline.data.assembly.mapping import Choice, listed
from vinci_offline.data.assembly.moments import OBSERVED
from vinci_offline.errors import UsageError
from vinci_offline.text import printable

Role: TypeAlias = Literal["text", "flag", "step", "observed", "number"]
"""``text``: it tells episodes apart or stands for choices. ``flag``: true or false. ``step``, ``observed``: numbers or
times; those of steps are never filled."""

SETTINGS = ("actions", *bounds.SETTINGS, "categories", "codes", "reward", "step")
"""Settings of every table."""

_FLAGS = ("terminal", "timeout", DONE)
_NO_CATEGORY = {
    **dict.fromkeys(_FLAGS, "write true/false, yes/no or 1/0 in its cells"),
    "reward": "write numbers in its cells",
    "propensity": "write numbers in its cells",
    "step": "say --set step=order if its texts are dates or times that order rows",
}


def roles(choice: Choice, settings: Mapping[str, str]) -> dict[str, Role]:
    """Return the roles of the chosen columns, by the source's names.

    Raises:
        UsageError: ``categories`` names a column that is not taken, or one that cannot be a category.
    """
    found: dict[str, Role] = dict.fromkeys(choice.sources.values(), "number")
    for target, source in choice.sources.items():
        if OBSERVED.fullmatch(target):
            found[source] = "observed"
    if "step" in choice.sources:
        found[choice.sources["step"]] = "step"
    for name in _FLAGS:
        if name in choice.sources:
            found[choice.sources[name]] = "flag"
    for source in categories(choice, settings):
        found[source] = "text"
    if "episode" in choice.sources:
        found[choice.sources["episode"]] = "text"
    return found


def categories(choice: Choice, settings: Mapping[str, str]) -> dict[str, str]:
    """Return the columns of ``categories``, and the one of next observations for each of observations.

    Returns:
        For each source, the name of the code list that it shares with others: a frame name, without ``next_``.

    Raises:
        UsageError: ``categories`` names a column that is not taken, or one that cannot be a category.
    """
    names = category_names(settings)
    taken = list(choice.sources.values())
    if unknown := [name for name in names if name not in taken]:
        raise UsageError(
            f"--set categories={unknown[0]}: no such column is taken; there are {listed(dict.fromkeys(taken))}"
        )
    for target, source in choice.sources.items():
        if source in names and target in _NO_CATEGORY:
            raise UsageError(
                f"--set categories={printable(source)}: a {target} is no category: {_NO_CATEGORY[target]}"
            )
    found: dict[str, str] = {}
    for target, source in choice.sources.items():
        if source in names and target != "episode":
            shared = found.get(source, list_name(target))
            found[source] = shared
            for other in (shared, f"next_{shared}"):
                if other in choice.sources:
                    found.setdefault(choice.sources[other], shared)
    return found


def list_name(target: str) -> str:
    """Return the name of a column's code list: its frame name, for a next observation that of the observation."""
    return target.removeprefix("next_") if target.startswith("next_observation") else target


def category_names(settings: Mapping[str, str]) -> list[str]:
    """Return the names that the setting ``categories`` lists."""
    return [name.strip() for name in settings.get("categories", "").split(",") if name.strip()]
