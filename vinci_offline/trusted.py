"""What a file may name. This module alone decides it.

Data files and run directories come from strangers. A file may name an environment that is registered with Gymnasium
already, with plain arguments, and stock parts of Keras. All else is imported, called or constructed only where the user
names it himself, on the command line or in Python. Names of agents, policies and networks in a file are compared with
what the user gave, and never looked up.
"""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Collection, Mapping
from typing import Any

from vinci_offline.errors import UsageError, VinciError
from vinci_offline.text import one_line

_DEEPEST = 8
"""Levels of lists and objects in an argument of an environment."""
_LONGEST = 200
"""Characters of a word in an argument, and of arguments in a message."""
_WORD = re.compile(r"[\w+-]*(?: [\w+-]+|\.\d[\w+-]*)*")
"""Texts of an argument: words and version numbers. No path, no dotted or colonned name."""
_NOT_FROM_FILES = frozenset(
    {
        "additional_wrappers",
        "apply_api_compatibility",
        "autoreset",
        "disable_env_checker",
        "entry_point",
        "env",
        "env_fn",
        "env_id",
        "id",
        "order_enforce",
        "vector_entry_point",
        "vector_kwargs",
        "wrapper",
        "wrappers",
    }
)
"""Arguments by which Gymnasium, or an environment that holds another, finds what to make."""

_KERAS_VALUES = frozenset(
    {"__bytes__", "__ellipsis__", "__keras_tensor__", "__numpy__", "__slice__", "__tensor__"}
)
_KERAS_MODELS = frozenset({"DTypePolicy", "Functional", "Model", "Sequential"})
_KERAS_MODULES = (
    "keras.activations",
    "keras.constraints",
    "keras.dtype_policies",
    "keras.initializers",
    "keras.layers",
    "keras.losses",
    "keras.metrics",
    "keras.optimizers",
    "keras.quantizers",
    "keras.random",
    "keras.regularizers",
    "keras.src.ops",
)
"""Modules of Keras whose classes only compute. A module stands for those below it."""
_KERAS_LOADERS = frozenset(
    {"FlaxLayer", "JaxLayer", "Lambda", "TFSMLayer", "TorchModuleWrapper", "deserialize", "get"}
)
"""Members of these modules that run or load what their arguments name."""


def registered_id(name: str, kwargs: Mapping[str, Any]) -> str:
    """Return the id by which Gymnasium knows the environment that a file names. Nothing is imported.

    Args:
        name: the file's: an id, or ``module:EnvId`` of a module that is imported already.
        kwargs: the arguments that the file gives with it, for the message.

    Raises:
        UsageError: it is registered under no such id; the message says how to name it.
    """
    import gymnasium

    module, colon, own = name.rpartition(":")
    known = gymnasium.registry
    if (not colon and name in known) or (colon and module in sys.modules and own in known):
        return own
    why = (
        f"the file names the environment {_short(name)}, and what a file names is not imported"
        if colon
        else f"the file names the environment {_short(name)}, which is not registered with Gymnasium"
    )
    named = name if colon else f"MODULE:{name}"
    raise UsageError(f"{why}: if you know it, name it yourself with {spoken(named, kwargs)}")


def plain_kwargs(name: str, kwargs: Mapping[str, Any], own: Collection[str] = ()) -> dict[str, Any]:
    """Return the arguments of an environment that a file gives, without those that the user gives.

    Numbers, words, and lists and objects of them pass. ``render_mode="human"`` is dropped, because a file opens no
    window.

    Args:
        name: the environment's, for the message.
        kwargs: the file's.
        own: the names of arguments that the user gives.

    Raises:
        UsageError: an argument may name a file, a module or another environment.
    """
    found = {
        key: value
        for key, value in kwargs.items()
        if key not in own and not (key == "render_mode" and value == "human")
    }
    for key, value in found.items():
        if not (_plain_name(key) and _plain(value, _DEEPEST)) or (
            key == "max_episode_steps" and not (value is None or type(value) is int)
        ):
            shown = _short(json.dumps(value, default=repr))
            raise UsageError(
                f"the file gives {_short(name)} the argument {_short(str(key))} = {shown}, and a file gives numbers "
                f"and words only: if you know it, name it yourself with {spoken(name, kwargs)}"
            )
    return found


def spoken(name: str, kwargs: Mapping[str, Any]) -> str:
    """Return the options by which a user names an environment himself. Arguments that a file may not give are dots."""
    text = f"--env {shlex.quote(one_line(name))}"
    if not kwargs:
        return text
    given = ", ".join(
        f"{json.dumps(one_line(str(key)))}: {json.dumps(value) if _plain(value, _DEEPEST) else '...'}"
        for key, value in kwargs.items()
    )
    return f"{text} --env-kwargs {shlex.quote('{' + (given if len(given) <= _LONGEST else '...') + '}')}"


def check_keras_config(config: Any, where: object) -> None:
    """Refuse a stored Keras model that has more than Keras' stock parts and objects registered in this process.

    Args:
        config: the content of the model's ``config.json``.
        where: the file, for the message.

    Raises:
        VinciError: a part is another one, or one that loads or runs what the file names.
    """
    parts = [config]
    while parts:
        part = parts.pop()
        if isinstance(part, list):
            parts += part
        elif isinstance(part, dict):
            parts += part.values()
            if "class_name" in part and not _stock(part):
                module, name = part.get("module") or "", part["class_name"]
                shown = _short(".".join(str(each) for each in (module, name) if each))
                raise VinciError(
                    f"{where} cannot be loaded in safe mode: it has the part {shown}, and a file names stock parts of "
                    "Keras that only compute; save a model without it, or register your own class in Python first"
                )


def _stock(part: Mapping[str, Any]) -> bool:
    """Return True for a part of a stored model that a file may name."""
    name, module, config = part["class_name"], part.get("module"), part.get("config")
    if name == "function":
        # Keras looks for a function of "builtins" among its own activations, losses and the like.
        return _registered(config) or _computes(
            "keras.activations" if module == "builtins" else module, config
        )
    if not isinstance(name, str):
        return False
    if _registered(part.get("registered_name")) or name in _KERAS_VALUES:
        return True
    # A vocabulary is a list of words, or the path of a file to read.
    reads = isinstance(config, dict) and isinstance(config.get("vocabulary"), str)
    return not reads and _computes(module, name)


def _computes(module: Any, name: Any) -> bool:
    """Return True for a member of Keras that only computes."""
    if not isinstance(module, str) or not isinstance(name, str) or name in _KERAS_LOADERS:
        return False
    if module in ("keras", "keras.models") or module.startswith("keras.src.models."):
        return name in _KERAS_MODELS
    return any(module == each or module.startswith(f"{each}.") for each in _KERAS_MODULES)


def _registered(name: Any) -> bool:
    """Return True for a class or function that this process has registered with Keras."""
    import keras

    return isinstance(name, str) and keras.saving.get_registered_object(name) is not None


def _plain(value: Any, depth: int) -> bool:
    """Return True for numbers, words, and lists and objects of them."""
    if isinstance(value, str):
        return len(value) <= _LONGEST and _WORD.fullmatch(value) is not None
    if isinstance(value, list | tuple):
        return depth > 0 and all(_plain(each, depth - 1) for each in value)
    if isinstance(value, dict):
        return depth > 0 and all(_plain_name(key) and _plain(each, depth - 1) for key, each in value.items())
    return value is None or isinstance(value, bool | int | float)


def _plain_name(key: Any) -> bool:
    return isinstance(key, str) and _WORD.fullmatch(key) is not None and key not in _NOT_FROM_FILES


def _short(text: str) -> str:
    """Return a file's text for a message."""
    text = one_line(text)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
