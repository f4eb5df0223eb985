"""Kill a sweep at random moments, resume it each time, and compare its table with that of an uninterrupted one.

    python scripts/faults/kill_sweep.py --kills 5
    python scripts/faults/kill_sweep.py --engine ray

The sweep has two agents, two datasets and three seeds, and few steps. With the local engine the whole sweep is killed
(SIGKILL); with Ray one of its two workers is, as often as ``--kills`` says. The exit code is 1 if a number of the
table differs.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

SWEEP = [sys.executable, "-c", "from vinci_offline.cli.app import main; main()", "sweep"]
SPEC = """
agents: [td3bc, bc]
datasets: [pendulum-mixed, mountaincar-mixed]
seeds: 3
steps: {steps}
eval_every: {steps}
eval_episodes: 2
checkpoint_every: {often}
log_every: {often}
batch_size: 32
set: {{hidden: [16, 16]}}
"""
CELLS = 12


def main() -> None:
    options = parse()
    chance = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        spec = Path(folder) / "spec.yaml"
        spec.write_text(SPEC.format(steps=options.steps, often=max(1, options.steps // 10)))
        began = time.monotonic()
        expected = finish(start(spec, Path(folder) / "whole", "local"))
        took = time.monotonic() - began
        print(f"uninterrupted: {took:.0f} s", flush=True)
        victim = Path(folder) / "victim"
        if options.engine == "ray":
            found = with_killed_workers(spec, victim, options.kills)
        else:
            found = with_kills(spec, victim, options.kills, took, chance)
    problems = differences(expected, found)
    for problem in problems:
        print(problem)
    if problems:
        raise SystemExit(1)
    print(f"{len(expected['groups'])} rows of the table, {CELLS} cells: all numbers are the same bit for bit")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--kills", type=int, default=3, help="kills of the whole sweep, or of a worker of Ray"
    )
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--engine", choices=("local", "ray"), default="local")
    parser.add_argument("--seed", type=int, default=0, help="seed of the moments")
    return parser.parse_args()


def start(spec: Path, folder: Path, engine: str, *more: str) -> subprocess.Popen[str]:
    """Begin a sweep in a process group of its own."""
    words = [*SWEEP, str(spec), "-o", str(folder), "--engine", engine, "--workers", "2", "--json", *more]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True, start_new_session=True)


def finish(process: subprocess.Popen[str]) -> dict[str, Any]:
    """Wait for a sweep and return what it prints.

    Raises:
        SystemExit: it failed.
    """
    told, _ = process.communicate()
    if process.returncode:
        raise SystemExit(f"the sweep failed with exit code {process.returncode}: {told}")
    try:
        found: dict[str, Any] = json.loads(told)
    except ValueError:
        raise SystemExit(f"the sweep printed no JSON: {told[:300]!r}") from None
    return found


def with_kills(spec: Path, folder: Path, kills: int, took: float, chance: random.Random) -> dict[str, Any]:
    """Kill the sweep at random moments and resume it; return what the last one prints."""
    resume: tuple[str, ...] = ()
    for number in range(kills):
        process = start(spec, folder, "local", *resume)
        saved = checkpoints(folder)
        while process.poll() is None and checkpoints(folder) <= saved:
            time.sleep(0.05)
        time.sleep(chance.uniform(0, took / kills))
        if process.poll() is not None:
            print(f"kill {number + 1} came too late")
            return finish(process)
        process.kill()
        process.wait()
        resume = ("--resume",) if (folder / "sweep.json").exists() else ()
        done = len(list(folder.glob("cells/*/result.json")))
        print(f"kill {number + 1}: {done} of {CELLS} cells were finished", flush=True)
    return finish(start(spec, folder, "local", *resume))


def with_killed_workers(spec: Path, folder: Path, kills: int) -> dict[str, Any]:
    """Kill one of Ray's two workers, again and again, each time when new checkpoints are there."""
    process = start(spec, folder, "ray")
    for number in range(kills):
        saved = len(checkpoints(folder))
        while process.poll() is None and len(checkpoints(folder)) < saved + 5:
            time.sleep(0.05)
        workers = ray_workers()
        if not workers:
            raise SystemExit("no worker of Ray was found to kill")
        os.kill(workers[0], signal.SIGKILL)
        done = len(list(folder.glob("cells/*/result.json")))
        print(
            f"kill {number + 1}: one of {len(workers)} workers; {done} of {CELLS} cells were finished",
            flush=True,
        )
    return finish(process)


def checkpoints(folder: Path) -> set[str]:
    """Return the names of all checkpoints, with their cells'."""
    return {str(path) for path in folder.glob("cells/*/checkpoints/step-*")}


def ray_workers() -> list[int]:
    """Return the processes that train a cell for Ray."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if b"ray::_Worker.train" in (process / "cmdline").read_bytes():
                found.append(int(process.name))
    return found


def differences(expected: dict[str, Any], found: dict[str, Any]) -> list[str]:
    """Say where two tables differ."""
    told = [
        f"{key} differ: {expected[key]} and {found[key]}"
        for key in ("groups", "duels")
        if expected[key] != found[key]
    ]
    for one, other in zip(expected["cells"], found["cells"], strict=True):
        metrics = [each["result"] and each["result"]["final_metrics"] for each in (one, other)]
        for each in metrics:
            each.pop("steps_per_second", None)
            each.pop("compile_seconds", None)
        if one["name"] != other["name"] or metrics[0] != metrics[1]:
            told.append(f"{one['name']}: {metrics[0]} and {metrics[1]}")
    return told


if __name__ == "__main__":
    main()
