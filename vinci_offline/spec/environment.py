"""The description of an environment that a dataset keeps."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from vinci_offline.errors import SpecError
from vinci_offline.spec.spaces import Space, space_from_json


@dataclass(frozen=True)
class EnvironmentSpec:
    """The description of an environment that a dataset keeps.

    Attributes:
        observation_space: the space of observations.
        action_space: the space of actions.
        id: the Gymnasium id (``module:EnvId`` allowed); None where it is unknown.
        kwargs: keyword arguments of ``gymnasium.make``; JSON values only.
        max_episode_steps: the time limit in steps; None without one.
    """

    observation_space: Space
    action_space: Space
    id: str | None = None
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    max_episode_steps: int | None = None

    def to_json(self) -> str:
        """Return one line of JSON, which `from_json` reads back."""
        return json.dumps(self.to_object())

    def to_object(self) -> dict[str, Any]:
        """Return the description as a JSON object."""
        return {
            "id": self.id,
            "kwargs": dict(self.kwargs),
            "max_episode_steps": self.max_episode_steps,
            "observation_space": self.observation_space.to_json(),
            "action_space": self.action_space.to_json(),
        }

    @classmethod
    def from_json(cls, text: str) -> EnvironmentSpec:
        """Read the text that `to_json` wrote.

        Raises:
            SpecError: the text is not such a description.
        """
        try:
            content = json.loads(text)
            name, limit = content["id"], content["max_episode_steps"]
            return cls(
                observation_space=space_from_json(content["observation_space"]),
                action_space=space_from_json(content["action_space"]),
                id=None if name is None else str(name),
                kwargs=dict(content["kwargs"]),
                max_episode_steps=None if limit is None else int(limit),
            )
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            message = f"the environment description is not valid JSON of this format: {error}"
            raise SpecError(message) from error
