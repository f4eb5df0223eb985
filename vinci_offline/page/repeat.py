"""Commands that train a run again, from what its directory says."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vinci_offline.data.shipped import shipped_datasets
from vinci_offline.options import flag_of, options_of
from vinci_offline.runs.run_directory import RunDirectory
from vinci_offline.text import command, text_of
from vinci_offline.training.config import TrainingConfig
from vinci_offline.training.named import OBJECTS

_NOT_GIVEN = {"memory_budget"}  # no result depends on it


def train_command(run: RunDirectory) -> str:
    """Return the command that trains a run again, with every setting written out.

    Raises:
        VinciError: a file of the run is damaged.
    """
    config, dataset = run.config(), run.dataset()
    with run.explained("dataset.json"):
        files = [_name(str(file)) for file in dataset["files"]]
    with run.explained("config.json"):
        named = dict(config.get("named") or {})
        words = [*files, "--agent", str(named.get("agent", run.agent())), *_options(config)]
        for key, value in dict(config["hyperparameters"]).items():
            words += ["--set", f"{key}={text_of(value)}"]
        for name in ("networks", "init"):
            if isinstance(value := config.get(name), str):
                words += [f"--{name}", value]
        if "env" in named:
            words += ["--env", str(named["env"])]
        if "env_kwargs" in named:
            words += ["--env-kwargs", json.dumps(named["env_kwargs"])]
        if (backend := config.get("backend", "tensorflow")) != "tensorflow":
            words += ["--backend", str(backend)]
    return command("train", *words, "-o", run.path)


def left_out(run: RunDirectory) -> str:
    """Return what the command of a run lacks: objects of Python that it was trained with. Empty if it lacks nothing."""
    config = run.config()
    with run.explained("config.json"):
        objects = [str(name) for name in dict(config.get("named") or {}).get(OBJECTS, [])]
        if isinstance(config.get("networks"), list):
            objects.append("networks")
    return ", ".join(objects)


def versions(runs: Sequence[RunDirectory]) -> list[str]:
    """Return the packages that trained the runs, each with its version, as ``keras 3.14.0``."""
    found: dict[str, None] = {}
    for run in runs:
        config = run.config()
        with run.explained("config.json"):
            found |= dict.fromkeys(
                f"{name} {version}" for name, version in config.get("versions", {}).items()
            )
    return list(found)


def _options(config: Mapping[str, Any]) -> list[str]:
    training = dict(config["training"])
    words = [] if training.get("phases") else ["--steps", str(config["steps"])]
    for name, declared in options_of(TrainingConfig).items():
        value, default = training.get(name), getattr(TrainingConfig, name)
        if name == "steps" or name in _NOT_GIVEN or value is None or (value == default and name != "seed"):
            continue
        words += [flag_of(name, declared), str(value)]
    return words


def _name(file: str) -> str:
    """Return the name of a shipped dataset in place of its path."""
    path = Path(file)
    return path.stem if shipped_datasets().get(path.stem) == path else file
