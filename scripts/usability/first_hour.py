"""Walk a newcomer's first hour: run the commands of README and guide, and every command that a command prints.

    python scripts/usability/first_hour.py
    python scripts/usability/first_hour.py --only README --only csv
    python scripts/usability/first_hour.py --from selecting
    python scripts/usability/first_hour.py --list

A walk is a page of the guide, a shipped dataset, a CSV file, or a D4RL file. Each has a folder of its own, with spaces
in its name. A shell runs the commands as they are printed; only numbers of steps and episodes are smaller, and `train`
gets --steps where a page leaves them out. Commands that need another tool's file are listed and not run.

A command must end with exit code 0. Where a walk means a refusal, it must be one line that leads on. Where a run says
that an earlier policy was better, its evaluations must say so too, and no verdict of `info` may contradict the results
that ``scripts/learning/verdicts.py`` keeps. The exit code is 1 if a promise does not hold.
"""

from __future__ import annotations

import argparse
import csv
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import h5py
import numpy as np
from walk import Walk

from vinci_offline.data.shipped import shipped_datasets

ROOT = Path(__file__).resolve().parents[2]
GUIDE = (
    "collecting",
    "format",
    "quality",
    "checking",
    "selecting",
    "converting",
    "training",
    "agents",
    "networks",
    "evaluating",
    "logging",
)


def commands_of(page: Path) -> list[str]:
    """Return the commands in the console and indented blocks of a page."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    return [
        line.strip()
        for line in re.findall(r"^(?:\$ | {4})((?:vinci-offline|tensorboard) [^\n#]*)", text, re.MULTILINE)
    ]


class Places:
    """Folder of all walks, with small recordings that pages name as files of the reader."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.given = folder / "given files"
        self.given.mkdir(exist_ok=True)

    def walk(self, name: str) -> Walk:
        """Return a walk in a new folder."""
        folder = self.folder / f"{name} of my first hour"
        folder.mkdir(exist_ok=True)
        return Walk(name, folder)

    def give(self, walk: Walk, name: str, kind: str) -> None:
        """Put a file that a page takes for granted into its folder: ``pendulum``, ``hopper`` or ``policy``."""
        made = (
            self.given
            / {"pendulum": "pendulum.h5", "hopper": "hopper.h5", "policy": "run/policy.keras"}[kind]
        )
        if not made.exists():
            maker = Walk(f"{kind} for {walk.name}", self.given)
            if kind == "policy":
                self.give(walk, "recorded.h5", "pendulum")
                maker.shell("vinci-offline train pendulum.h5 --agent bc --steps 50 -o run")
            else:
                env = {"pendulum": "Pendulum-v1", "hopper": "Hopper-v5"}[kind]
                maker.shell(f"vinci-offline collect {env} -o {kind}.h5 --steps 6000")
        shutil.copy(made, walk.folder / name)


Way: TypeAlias = Callable[[Walk, Places], None]


def read_me(walk: Walk, places: Places) -> None:
    """Follow README, and the pages that go on with its files."""
    (walk.folder / "spec.yaml").write_text(small_spec((ROOT / "README.md").read_text(encoding="utf-8")))
    for line in commands_of(ROOT / "README.md"):
        walk.follow(line)
    places.give(walk, "policy.keras", "policy")
    for page in ("evaluating", "logging"):
        for line in commands_of(ROOT / "docs" / f"{page}.md"):
            walk.follow(line)


def small_spec(page: str) -> str:
    """Return the spec of a sweep that a page shows, with fewer steps."""
    spec = page.partition("```yaml\n# spec.yaml\n")[2].partition("```")[0]
    return re.sub(r"(?m)^(steps|eval_every): .*", r"\1: 200", spec)


def guide(page: str) -> Way:
    """Return the walk of a page."""
    given = {
        "agents": {"data.h5": "pendulum"},
        "checking": {"runs.h5": "hopper"},
        "collecting": {"policy.keras": "policy"},
        "training": {
            **dict.fromkeys(("medium.h5", "expert.h5", "part-1.h5", "part-2.h5", "data.h5"), "pendulum"),
            "expert.keras": "policy",
            "hopper.h5": "hopper",
        },
    }

    def follow(walk: Walk, places: Places) -> None:
        for name, kind in given.get(page, {}).items():
            places.give(walk, name, kind)
        if page == "converting":
            write_tables(walk.folder)
        for line in commands_of(ROOT / "docs" / f"{page}.md"):
            walk.follow(line)

    return follow


def shipped(name: str, agents: tuple[str, ...]) -> Way:
    """Return the walk of a shipped dataset with each agent that can learn from it."""

    def follow(walk: Walk, places: Places) -> None:
        for line in ("datasets", f"info {name}", f"validate {name}"):
            walk.follow(f"vinci-offline {line}")
        if "td3bc" not in agents:
            walk.refused(f"vinci-offline train {name}")
        for agent in agents:
            walk.follow(f"vinci-offline train {name} --agent {agent} --eval-every 100 -o 'my runs/{agent}'")
        half = "actor" if agents[-1] == "bc" else "critic"  # a critic's run leads to its actor's
        walk.follow(f"vinci-offline train {name} --agent {agents[-1]} --only {half} -o 'my runs/{half}'")
        walk.follow(f"vinci-offline select {name} -o 'the best.h5' --top-returns 0.1")
        walk.follow("vinci-offline info 'the best.h5'")

    return follow


def table(walk: Walk, places: Places) -> None:
    """Follow a CSV file without an environment, and one of a known environment."""
    data = walk.folder / "my data"
    data.mkdir()
    rng = np.random.default_rng(0)
    with (data / "clinic.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["episode", "step", "observation_0", "observation_1", "action_0", "reward", "terminal"])
        for row in range(400):
            seen = rng.normal(size=2).round(3)
            rows.writerow([row // 20, row % 20, *seen, round(rng.uniform(0, 5), 2), seen[0], row % 20 == 19])
    for command in ("train", "info", "validate"):
        walk.leads_on(f"vinci-offline {command} 'my data/clinic.csv'")
    converted = next((path for path in data.glob("clinic*.h5")), data / "clinic.h5").relative_to(walk.folder)
    for line in (
        "info {}",
        "validate {}",
        "train {} --agent bc",
        "train {}",
        "train {} --agent iql --only critic",
    ):
        walk.follow("vinci-offline " + line.format(shlex.quote(str(converted))))
        shutil.rmtree(walk.folder / "runs", ignore_errors=True)


def d4rl(walk: Walk, places: Places) -> None:
    """Follow a D4RL file without next observations."""
    rng = np.random.default_rng(0)
    for name, actions in (("halfcheetah medium.hdf5", 1), ("medium-v2.h5", 1)):
        with h5py.File(walk.folder / name, "w") as file:
            file["observations"] = rng.normal(size=(600, 3)).astype("f4")
            file["actions"] = rng.uniform(-1, 1, (600, actions)).astype("f4")
            file["rewards"] = rng.normal(size=600).astype("f4")
            file["terminals"] = np.zeros(600, bool)
            file["timeouts"] = np.arange(600) % 100 == 99
        for command in ("info", "train", "validate"):
            walk.leads_on(f"vinci-offline {command} {shlex.quote(name)}")
        converted = shlex.quote(str(max(walk.folder.glob("*.h5"), key=os.path.getmtime).name))
        for line in ("info {}", "train {} -o 'runs of {}'"):
            walk.follow("vinci-offline " + line.format(converted, converted.strip("'")))


def write_tables(folder: Path) -> None:
    """Write the tables that the page on conversion names."""
    (folder / "visits.csv").write_text(
        "episode,step,observation_0,action_0,reward,terminal\n"
        + "".join(f"{e},{7 * s + e},{0.5 * s},{0.25 * s},{s},{s == 4}\n" for e in range(3) for s in range(5))
    )
    (folder / "doses.csv").write_text(
        "patient,date,age,dose,gain\n"
        + "".join(
            f"{who},2024-05-{day:02},{40 + 5 * i},{0.5 * day},{day % 3}\n"
            for i, who in enumerate("ab")
            for day in range(1, 6)
        )
    )
    for name in ("north", "south"):
        moods = ("Fled", "Hit", "Normal")
        (folder / f"{name}.csv").write_text(
            "episode,step,state,action,reward,next_state,terminal\n"
            + "".join(
                f"{e},{s},{moods[(e + s) % 3]},{s % 2},{s},{moods[(e + s + 1) % 3]},{s == 4}\n"
                for e in range(3)
                for s in range(5)
            )
        )


def walks() -> dict[str, Way]:
    """Return all walks by name."""
    pages = {page: guide(page) for page in GUIDE if page not in {"evaluating", "logging"}}
    agents = {
        name: ("dqn", "bc") if "cartpole" in name else ("bc", "td3bc", "iql") for name in shipped_datasets()
    }
    return {
        "README": read_me,
        **{page: walk for page, walk in pages.items() if commands_of(ROOT / "docs" / f"{page}.md")},
        **{name: shipped(name, suited) for name, suited in agents.items()},
        "csv": table,
        "d4rl": d4rl,
    }


def main() -> int:
    """Walk, and return 1 if a promise does not hold."""
    options = arguments()
    if options.list:
        print("\n".join(walks()))
        return 0
    names = options.only or list(walks())[list(walks()).index(options.start) :]
    with tempfile.TemporaryDirectory(prefix="my first hour ") as folder:
        seen = [walked(name, Places(Path(folder))) for name in names]
    if not options.only:
        seen.append(verdicts())
    faults = [fault for walk in seen for fault in walk.faults]
    for fault in faults:
        print(f"FAULT: {fault}")
    ran, left = sum(len(walk.ran) for walk in seen), sum(len(walk.left) for walk in seen)
    print(f"{ran} commands of {len(seen)} walks, {left} not run, {len(faults)} faults")
    return int(bool(faults))


def arguments() -> argparse.Namespace:
    """Return what was asked for."""
    names = list(walks())
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument("--only", action="append", choices=names, help="this walk; repeat it for more")
    chosen.add_argument(
        "--from", dest="start", default=names[0], choices=names, help="this walk and all after it"
    )
    parser.add_argument("--list", action="store_true", help="print the names of the walks")
    return parser.parse_args()


def walked(name: str, places: Places) -> Walk:
    """Take a walk, and say how it was."""
    print(name, flush=True)
    start, walk = time.monotonic(), places.walk(name)
    walks()[name](walk, places)
    took = f"{(time.monotonic() - start) / 60:.1f} minutes"
    print(
        f"{name}: {len(walk.ran)} commands in {took}, {len(walk.left)} not run, {len(walk.faults)} faults",
        flush=True,
    )
    return walk


def verdicts() -> Walk:
    """Compare the verdicts of `info` with the results that are kept."""
    print("verdicts", flush=True)
    walk = Walk("verdicts", ROOT)
    command = [sys.executable, str(ROOT / "scripts/learning/verdicts.py"), "--check"]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    if checked.returncode:
        walk.fault("verdicts.py --check", checked.stdout + checked.stderr)
    return walk


if __name__ == "__main__":
    sys.exit(main())
