"""A sweep on a Ray cluster of this machine: the same numbers as here, even if a worker dies."""

import os
import signal
import threading
import time
from pathlib import Path

import pytest

import vinci_offline as vinci
from vinci_offline.hooks.csv_log import last_values

ray = pytest.importorskip("ray")
pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.slow]  # warnings are Ray's own

SPEC = {
    "agents": ["bc"],
    "datasets": ["pendulum-mixed"],
    "seeds": 3,
    "steps": 40,
    "eval_every": 40,
    "eval_episodes": 1,
    "checkpoint_every": 5,
    "log_every": 5,
    "batch_size": 8,
    "set": {"hidden": [4]},
}


def kill_one(folder, killed):
    """Kill a worker of Ray when it has saved something."""
    deadline = time.monotonic() + 200
    while not killed and time.monotonic() < deadline:
        time.sleep(0.02)
        if not list(folder.glob("cells/*/checkpoints/step-*")):
            continue
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if b"ray::_Worker.train" in (process / "cmdline").read_bytes():
                    os.kill(int(process.name), signal.SIGKILL)
                    killed.append(process.name)
                    return
            except OSError:
                continue


def numbers(result):
    found = {cell.name: result.path / "cells" / cell.name / "metrics.csv" for cell in result.cells}
    metrics = {name: last_values(path) for name, path in found.items()}
    for each in metrics.values():
        each.pop("steps_per_second"), each.pop("compile_seconds", None)
    return metrics, [group.to_json() for group in result.groups]


def test_a_sweep_on_ray_with_a_killed_worker_has_the_same_table(tmp_path):
    here = vinci.sweep(SPEC, tmp_path / "here", workers=2, progress=False)
    killed = []
    thread = threading.Thread(target=kill_one, args=(tmp_path / "there", killed))
    thread.start()
    there = vinci.sweep(SPEC, tmp_path / "there", workers=2, engine="ray", progress=False)
    thread.join()
    assert killed
    assert not there.failures
    assert len(there.results) == 3
    assert numbers(here) == numbers(there)


def test_a_cell_that_fails_on_ray_is_told(tmp_path):
    networks = tmp_path / "nets.py"
    networks.write_text("def actor(env):\n    raise ValueError('no idea')\n")
    spec = {**SPEC, "seeds": 1, "networks": str(networks)}
    result = vinci.sweep(spec, tmp_path / "there", workers=1, engine="ray", progress=False)
    assert not result.results
    (reason,) = result.failures.values()
    assert "no idea" in reason
