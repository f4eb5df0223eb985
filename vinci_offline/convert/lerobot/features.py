"""LeRobot's names of features, to and from our columns."""

from __future__ import annotations

from vinci_offline.data import layout

ACTION = "action"
REWARD = "next.reward"
DONE = "next.done"
TRUNCATED = "next.truncated"
TASK = "task_index"
NEXT = "next."
BOOKKEEPING = ("timestamp", "frame_index", "episode_index", "index", TASK)

_ALONE = "observation.state"
_OBSERVATION = "observation."
_INFOS = "infos."
_ROLES = {ACTION: layout.ACTIONS, REWARD: layout.REWARDS, DONE: layout.TERMINALS, TRUNCATED: layout.TIMEOUTS}


def feature_of(path: str) -> str:
    """Return the feature that holds a column."""
    known = {column: name for name, column in _ROLES.items()}
    if path in known:
        return known[path]
    if path.startswith(layout.NEXT_OBSERVATIONS):
        return NEXT + feature_of(path.removeprefix("next_"))
    if path == layout.OBSERVATIONS:
        return _ALONE
    root, _, rest = path.partition("/")
    return (_OBSERVATION if root == layout.OBSERVATIONS else f"{root}.") + rest.replace("/", ".")


def is_vector(name: str) -> bool:
    """Tell whether a feature of shape ``(1,)`` is a vector of one number; otherwise it is a number."""
    return name.startswith((_OBSERVATION, NEXT + _OBSERVATION, ACTION))


def observation_columns(features: list[str]) -> dict[str, str]:
    """Return the features of observations by column: a single state, or a Dict of all of them."""
    found = sorted(name for name in features if name.startswith(_OBSERVATION))
    if found == [_ALONE]:
        return {layout.OBSERVATIONS: _ALONE}
    return {f"{layout.OBSERVATIONS}/{name.removeprefix(_OBSERVATION)}": name for name in found}


def info_columns(features: list[str]) -> dict[str, str]:
    """Return the features of infos by column: all that are no other part of a transition."""
    others = [
        name
        for name in features
        if name not in _ROLES
        and name not in BOOKKEEPING
        and not name.startswith((_OBSERVATION, NEXT + _OBSERVATION))
    ]
    return {
        f"{layout.INFOS}/"
        + (name.removeprefix(_INFOS).replace(".", "/") if name.startswith(_INFOS) else name): name
        for name in others
    }
