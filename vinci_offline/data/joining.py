"""Join datasets: the environment and the attributes that all of them share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vinci_offline.data.layout import ATTRIBUTE_CATEGORIES
from vinci_offline.errors import SpecError
from vinci_offline.spec import EnvironmentSpec, difference
from vinci_offline.text import printable


def joined_spec(specs: Sequence[EnvironmentSpec], names: Sequence[str]) -> EnvironmentSpec:
    """Return the environment of several datasets: the one that all have, or else their spaces alone.

    Args:
        specs: the environments.
        names: what messages call the datasets.

    Raises:
        SpecError: their spaces differ.
    """
    for name, spec in zip(names, specs, strict=True):
        for space in ("observation_space", "action_space"):
            mine, first = getattr(spec, space), getattr(specs[0], space)
            if mine != first:
                raise SpecError(
                    f"{name} cannot join {names[0]}: another {space.replace('_', ' ')} ({difference(mine, first)}); "
                    "take datasets of one environment"
                )
    if all(spec == specs[0] for spec in specs):
        return specs[0]
    return EnvironmentSpec(specs[0].observation_space, specs[0].action_space)


def check_codes(attributes: Sequence[Mapping[str, Any]], names: Sequence[str]) -> None:
    """Check that numbers that stand for texts stand for the same texts in all datasets.

    Args:
        attributes: of each dataset.
        names: what messages call the datasets.

    Raises:
        SpecError: two code lists differ.
    """
    first = _code_lists(attributes[0])
    for name, each in zip(names[1:], attributes[1:], strict=True):
        lists = _code_lists(each)
        if lists == first:
            continue
        column = min(key for key in {**first, **lists} if first.get(key) != lists.get(key))
        mine, theirs = _apart(lists.get(column), first.get(column))
        raise SpecError(
            f"{name} cannot join {names[0]}: the codes of {printable(column)} stand for {mine} there, and for {theirs} "
            "here: convert the sources again, all with one list: --set codes=FILE"
        )


def _code_lists(attributes: Mapping[str, Any]) -> dict[str, Any]:
    found = attributes.get(ATTRIBUTE_CATEGORIES)
    return dict(found) if isinstance(found, Mapping) else {}


def _apart(one: object, other: object) -> tuple[str, str]:
    """Return a few texts of each list, from the first on that differs."""
    lists = [found if isinstance(found, list) else [] for found in (one, other)]
    pairs = enumerate(zip(*lists, strict=False))
    first = next((place for place, (mine, theirs) in pairs if mine != theirs), min(map(len, lists)))
    mine, theirs = (_shown(texts, first) for texts in lists)
    return mine, theirs


def _shown(texts: list[object], first: int) -> str:
    if first >= len(texts):
        return f"{len(texts)} texts" if texts else "no texts"
    shown = ", ".join(printable(str(text))[:16] for text in texts[first : first + 3])
    return f"{shown} (from {first} on)"


def shared_attributes(attributes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the attributes that all datasets have with the same value."""
    return {
        key: value
        for key, value in attributes[0].items()
        if all(key in other and other[key] == value for other in attributes)
    }
