"""Join datasets: the environment and the attributes that all of them share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vinci_offline.errors import SpecError
from vinci_offline.spec import EnvironmentSpec, difference


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


def shared_attributes(attributes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the attributes that all datasets have with the same value."""
    return {
        key: value
        for key, value in attributes[0].items()
        if all(key in other and other[key] == value for other in attributes)
    }
