"""Run directories that were tampered with."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from hostile import models
from hostile.frame import ARTIFACT, Reading, attack, command


def tampered(folder: Path, config: bytes) -> Reading:
    """Return the evaluation of a run directory with a given configuration and a sound policy."""
    run = folder / "run"
    run.mkdir()
    (run / "config.json").write_bytes(config)
    models.members(folder)
    shutil.copy(folder / "sound.keras", run / "policy.keras")
    return command("evaluate", run, "--episodes", "1")


@attack
def nested(folder: Path) -> Reading:
    return tampered(folder, b'{"a":' * 10**6)


@attack
def nested_lists(folder: Path) -> Reading:
    return tampered(folder, b"[" * 10**7)


@attack
def endless(folder: Path) -> Reading:
    return tampered(folder, b'{"a": "' + b"x" * 2**30)


@attack
def not_text(folder: Path) -> Reading:
    return tampered(folder, bytes(range(256)) * 100)


@attack
def other_types(folder: Path) -> Reading:
    return tampered(folder, b'{"environment": 1, "agent": [], "training": null}')


@attack
def environment_that_runs_code(folder: Path) -> Reading:
    (folder / f"{ARTIFACT}.py").write_text("raise SystemExit", encoding="utf-8")
    space = {"type": "box", "shape": [4], "dtype": "float32", "low": None, "high": None}
    spec = {
        "id": f"{ARTIFACT}:make",
        "kwargs": {},
        "max_episode_steps": None,
        "observation_space": space,
        "action_space": {**space, "shape": [2]},
    }
    return tampered(folder, json.dumps({"environment": spec}).encode())


@attack
def huge_spaces(folder: Path) -> Reading:
    space = {"type": "box", "shape": [10**6, 10**6], "dtype": "float32", "low": -1, "high": 1}
    spec = {
        "id": "Pendulum-v1",
        "kwargs": {},
        "max_episode_steps": 10,
        "observation_space": space,
        "action_space": space,
    }
    return tampered(folder, json.dumps({"environment": spec}).encode())


@attack
def policy_of_gigabytes(folder: Path) -> Reading:
    reading = tampered(folder, b"{}")
    models.units_of_gigabytes(folder)
    shutil.copy(folder / "hostile.keras", folder / "run" / "policy.keras")
    return (
        command("evaluate", folder / "run", "--env", "Pendulum-v1", "--episodes", "1") if reading else reading
    )
