"""Walk a newcomer's first hour: run the commands of README and guide, and every command that a command prints.

    python scripts/usability/first_hour.py
    python scripts/usability/first_hour.py --only README --only csv
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
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import h5py
import numpy as np
from typer.main import get_command

from vinci_offline.cli.app import app
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
MOST = {
    "--steps": 400,
    "--eval-every": 200,
    "--log-every": 100,
    "--episodes": 4,
    "--eval-episodes": 4,
    "--seeds": 2,
    "--warmup": 50,
}
PATIENCE = 1_800.0

OTHERS = {
    "sb3:": "a file of Stable-Baselines3",
    "policy.onnx": "an ONNX file",
    "hopper/medium-v0": "a dataset of Minari",
    "pusht_keypoints": "a dataset of LeRobot",
    "bridge/1.0.0": "a dataset of RLDS",
    "all.csv": "the Open Bandit Dataset",
    "pendulum.jsonl.bz2": "a log of ReAgent",
}
"""Words of commands that need a file of another tool."""


@dataclass
class Walk:
    """One walk: a folder, and what was seen in it.

    Attributes:
        name: its name.
        folder: the folder in which its commands run.
        ran: commands that were run, each once.
        faults: promises that did not hold.
        left: commands that were not run, with the reason.
    """

    name: str
    folder: Path
    ran: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)

    def follow(self, line: str) -> None:
        """Run a command, and the commands that it prints."""
        line = shortened(line)
        if line in self.ran:
            return
        other = next((what for word, what in OTHERS.items() if word in line), None)
        if other is not None:
            self.left.append(f"{line} (needs {other})")
            return
        if line.startswith("tensorboard"):
            self.serve(line)
            return
        done = self.shell(line)
        if done.returncode:
            self.fault(line, f"exit code {done.returncode}: {done.stderr.strip() or done.stdout.strip()}")
        self.check_best(line, done.stdout)
        for printed in commands_in(done.stdout + done.stderr):
            self.follow(printed)

    def refused(self, line: str) -> str:
        """Run a command that must fail in one line of each stream; follow the command that it names, if any.

        Returns:
            What the command said.
        """
        done = self.shell(shortened(line))
        told = done.stdout.strip(), done.stderr.strip()
        if done.returncode == 0 or any(text.count("\n") for text in told):
            self.fault(line, f"is no refusal in one line: exit code {done.returncode}: {told}")
        for printed in commands_in("\n".join(told)):
            self.follow(printed)
        return "\n".join(told)

    def leads_on(self, line: str) -> None:
        """Run a command that must fail, with a line that names the command that helps."""
        if not commands_in(self.refused(line)):
            self.fault(line, "its refusal names no command")

    def shell(self, line: str) -> subprocess.CompletedProcess[str]:
        """Run a line in the folder."""
        self.ran.append(line)
        print(f"  {line}", flush=True)
        command = ["bash", "-c", line]
        try:
            return subprocess.run(
                command, cwd=self.folder, env=environment(self.folder), capture_output=True, text=True,
                timeout=PATIENCE, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return subprocess.CompletedProcess(command, 124, "", f"error: it took more than {PATIENCE:.0f} s")

    def serve(self, line: str) -> None:
        """Run a server until it says its address."""
        self.ran.append(line)
        print(f"  {line}", flush=True)
        with tempfile.TemporaryFile("w+") as told:
            server = subprocess.Popen(
                [*shlex.split(line), "--port", "0"],
                cwd=self.folder,
                env=environment(self.folder),
                stdout=told,
                stderr=told,
            )
            until, text = time.monotonic() + PATIENCE, ""
            while "http://" not in text and server.poll() is None and time.monotonic() < until:
                time.sleep(0.5)
                told.seek(0)
                text = told.read()
            server.terminate()
            server.wait()
        if "http://" not in text:
            self.fault(line, f"does not serve: {text}")

    def check_best(self, line: str, shown: str) -> None:
        """See that a policy which a run recommends has the best of its evaluations."""
        named = re.search(r"best return in evaluations was at step ([\d,]+)", shown)
        if named is None:
            return
        run = next(Path(words[2]) for text in commands_in(shown) if "--best" in (words := shlex.split(text)))
        with (self.folder / run / "evaluations.csv").open() as file:
            returns = {int(row["step"]): float(row["return_mean"]) for row in csv.DictReader(file)}
        if returns[int(named[1].replace(",", ""))] < max(returns.values()):
            self.fault(line, f"recommends step {named[1]}, but evaluations say {returns}")

    def fault(self, line: str, what: str) -> None:
        self.faults.append(f"{self.name}: {line}: {what}")
        print(f"  FAULT: {what}", flush=True)


def environment(folder: Path) -> dict[str, str]:
    """Return the environment of commands: this Python's programs first, and a home of their own."""
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    return {**os.environ, "PATH": path, "HOME": str(folder), "TF_CPP_MIN_LOG_LEVEL": "3", "COLUMNS": "200"}


def commands_in(text: str) -> list[str]:
    """Return the commands that a text suggests."""
    names = "|".join(get_command(app).commands)  # type: ignore[attr-defined]
    found = re.findall(rf"(?:vinci-offline (?:{names}) |tensorboard --logdir )[^\n]+", text)
    return [line.strip() for line in found]


def shortened(line: str) -> str:
    """Return a command with smaller numbers of steps and episodes."""
    for flag, most in MOST.items():
        line = re.sub(rf"(?<={flag} )\d+", lambda found, most=most: str(min(int(found[0]), most)), line)  # type: ignore[misc]
    line = re.sub(r"(?<=critic:|.actor:|..both:)\d+", "100", line)
    if re.match(r"vinci-offline train ", line) and "--steps" not in line and "--phases" not in line:
        line = line.replace("vinci-offline train ", f"vinci-offline train --steps {MOST['--steps']} ", 1)
    return line


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
        self.given.mkdir()

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
    for line in commands_of(ROOT / "README.md"):
        walk.follow(line)
    places.give(walk, "policy.keras", "policy")
    for page in ("evaluating", "logging"):
        for line in commands_of(ROOT / "docs" / f"{page}.md"):
            walk.follow(line)


def guide(page: str) -> Way:
    """Return the walk of a page."""
    given = {
        "agents": {"data.h5": "pendulum"},
        "checking": {"runs.h5": "hopper"},
        "collecting": {"policy.keras": "policy"},
        "training": {
            **dict.fromkeys(("medium.h5", "expert.h5", "part-1.h5", "part-2.h5", "data.h5"), "pendulum"),
            "expert.keras": "policy",
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
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--only", action="append", choices=list(walks()), help="this walk; repeat it for more"
    )
    parser.add_argument("--list", action="store_true", help="print the names of the walks")
    options = parser.parse_args()
    if options.list:
        print("\n".join(walks()))
        return 0
    seen: list[Walk] = []
    with tempfile.TemporaryDirectory(prefix="my first hour ") as folder:
        places = Places(Path(folder))
        for name in options.only or walks():
            print(name, flush=True)
            seen.append(places.walk(name))
            walks()[name](seen[-1], places)
    if not options.only:
        verdicts = [sys.executable, str(ROOT / "scripts/learning/verdicts.py"), "--check"]
        checked = subprocess.run(verdicts, capture_output=True, text=True, check=False)
        if checked.returncode:
            seen.append(Walk("verdicts", ROOT, faults=[checked.stdout + checked.stderr]))
    faults = [fault for walk in seen for fault in walk.faults]
    left = [line for walk in seen for line in walk.left]
    for line in left:
        print(f"not run: {line}")
    for fault in faults:
        print(f"FAULT: {fault}")
    ran = sum(len(walk.ran) for walk in seen)
    print(f"{ran} commands of {len(seen)} walks, {len(left)} not run, {len(faults)} faults")
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
