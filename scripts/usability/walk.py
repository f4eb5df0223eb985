"""A walk through suggested commands: run each, follow what it prints, and keep the promises that did not hold."""

from __future__ import annotations

import csv
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from typer.main import get_command

from vinci_offline.cli.app import app

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
            print(f"  not run: {self.left[-1]}", flush=True)
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
