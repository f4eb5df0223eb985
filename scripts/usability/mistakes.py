"""Make the mistakes of a newcomer at the command line and in Python, and time the answers.

Each is a process of its own, in a new folder. The promise: one line on standard error, with the nearest right name,
within a second on a machine that has nothing else to do. Exit code 1 means that it does not hold.

    python scripts/usability/mistakes.py [--seconds 1] [--rounds 3] [--processor]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Mistake:
    """A wrong command, or a wrong call.

    Attributes:
        words: the command's words, after the program's name; or the call, in Python.
        told: what the answer holds.
        environment: variables of the environment.
    """

    words: str
    told: str
    environment: dict[str, str] = field(default_factory=dict, hash=False)


MISTAKES = (
    # names of commands and options
    Mistake("trian pendulum-mixed", "did you mean 'train'?"),
    Mistake("pendulum-mixed", "the commands are collect, train"),
    Mistake("--versoin", "did you mean '--version'?"),
    Mistake("train pendulum-mixed --stpes 100", "did you mean '--steps'?"),
    Mistake("train pendulum-mixed -steps 100", "-steps takes two dashes: --steps"),
    Mistake("train pendulum-mixed --noise none", "no option --noise, which is one of collect"),
    Mistake("evaluate random --env Pendulum-v1 --episods 3", "did you mean '--episodes'?"),
    Mistake("agents td3bc --jsn", "did you mean '--json'?"),
    # values that are missing or cannot be read
    Mistake("train", "one of the shipped datasets: cartpole-mixed"),
    Mistake("collect Pendulum-v1 --steps 10", "collect needs -o FILE.h5"),
    Mistake("collect Pendulum-v1 -o new.h5", "--steps N or --episodes N"),
    Mistake("train pendulum-mixed --steps", "option '--steps' requires an argument"),
    Mistake("train pendulum-mixed --steps many", "'many' is not a whole number"),
    Mistake("train pendulum-mixed --gamma much", "'much' is not a number"),
    Mistake("train pendulum-mixed --batch-size 1e9", "--batch-size must be from 1"),
    Mistake("train pendulum-mixed --seeds 0", "--seeds must be at least 1"),
    Mistake("train pendulum-mixed --set alpha", "is not KEY=VALUE"),
    Mistake("train pendulum-mixed --set hidden=wide", "whole numbers, as 256,256"),
    Mistake("evaluate random --env Pendulum-v1 --env-kwargs {g:1}", "write it as '{\"g\": 9.81}'"),
    # names of agents, settings, parts and choices
    Mistake("train pendulum-mixed --agent td3b", "did you mean 'td3bc'?"),
    Mistake("train pendulum-mixed --agent mine.py", "as mine.py:Class"),
    Mistake("train pendulum-mixed --agent min.py:Mine", "did you mean 'mine.py'?"),
    Mistake("train pendulum-mixed --set alhpa=1", "did you mean 'alpha'?"),
    Mistake("train pendulum-mixed --only critc", "did you mean 'critic'?"),
    Mistake("train pendulum-mixed --phases critic:5,acto:5", "did you mean 'actor'?"),
    Mistake("train pendulum-mixed --schedule actr:cosine", "did you mean 'actor'?"),
    Mistake("train pendulum-mixed --memory devce", "did you mean 'device'?"),
    Mistake("train pendulum-mixed --backend jaxx", "did you mean 'jax'?"),
    Mistake("train pendulum-mixed", "KERAS_BACKEND must be tensorflow or jax", {"KERAS_BACKEND": "torch"}),
    Mistake("agents iqll", "did you mean 'iql'?"),
    Mistake("collect Pendulum-v1 -o new.h5 --steps 10 --noise gausian:0.1", "did you mean 'gaussian'?"),
    Mistake("collect Pendulum-v1 -o new.h5 --steps 10 --compress gzipp", "did you mean 'gzip'?"),
    Mistake("convert table.csv new.h5 --ends terminl", "did you mean 'terminal'?"),
    Mistake("convert pendulum-mixed new.h5 --to d4lr", "did you mean 'd4rl'?"),
    # data and environments
    Mistake("train pendulum-mixd", "did you mean 'pendulum-mixed'?"),
    Mistake("info not.txt", "did you mean 'notes.txt'?"),
    Mistake("train table.csv", "vinci-offline convert table.csv table.h5"),
    Mistake("train https://example.org/data.h5", "is a URL"),
    Mistake("select pendulum-mixed -o s3://bucket/data.h5", "s3://bucket/data.h5 is a URL"),
    Mistake("train minari:D4RL/pen/human-v2", "minari download D4RL/pen/human-v2"),
    Mistake("validate folder", "is an empty folder"),
    Mistake("info run", "is a run directory, not a dataset"),
    Mistake("train cartpole-mixed", "choose one of awac, bc, bcq, cql, "),
    Mistake("train pendulum-mixed --agent dqn", "choose one of awac, bc, bcq, "),
    Mistake("train pendulum-mixed cartpole-mixed", "take datasets of one environment"),
    Mistake("collect Pendulm-v1 -o new.h5 --steps 10", "did you mean Pendulum-v1?"),
    Mistake("train pendulum-mixed --env Pendulm-v1 --eval-every 10", "did you mean Pendulum-v1?"),
    Mistake("train pendulum-mixed --env CartPole-v1 --eval-every 10", "does not fit Pendulum-v1"),
    Mistake("train pendulum-mixed --env Pendulum-v1", "say how often with --eval-every"),
    # policies and runs
    Mistake("evaluate rndom --env Pendulum-v1", "did you mean 'random'?"),
    Mistake("evaluate random", "name one with --env ENV"),
    Mistake("evaluate pendulum-mixed", "train one from it with: vinci-offline train pendulum-mixed"),
    Mistake("evaluate folder", "is not a run directory"),
    Mistake("evaluate sb3:pppo:a.zip --env Pendulum-v1", "did you mean 'ppo'?"),
    Mistake("train pendulum-mixed --init rn", "did you mean 'run'?"),
    Mistake("train pendulum-mixed --networks notes.txt", "give a Python file"),
    # outputs
    Mistake("collect Pendulum-v1 -o new.csv --steps 10", "vinci-offline convert new.h5 new.csv"),
    Mistake("select pendulum-mixed -o new.parquet", "vinci-offline convert new.h5 new.parquet"),
    Mistake("collect Pendulum-v1 -o there.h5 --steps 10", "there.h5 exists already"),
    Mistake("convert pendulum-mixed there.h5", "there.h5 exists already"),
    Mistake("convert table.csv new.h6", "say what to write with --to"),
    Mistake("train pendulum-mixed -o taken", "choose another with -o"),
    Mistake("train pendulum-mixed -o taken --overwrite", "--overwrite replaces runs only"),
    Mistake("train pendulum-mixed -o taken --seeds 2", "choose another with -o"),
    Mistake("train pendulum-mixed -o notes.txt", "is a file, and a run is a folder"),
    Mistake("train pendulum-mixed --resume --overwrite", "give one of them"),
)

CALLS = (
    # names and types of arguments
    Mistake("vinci.train('pendulum-mixed', stepps=10)", "did you mean 'steps'?"),
    Mistake("vinci.train('pendulum-mixed', alpha=1)", "settings={'alpha': …}"),
    Mistake("vinci.train()", "missing a required argument: 'data'"),
    Mistake("vinci.train('pendulum-mixed', 'bc', 100)", "it takes data, agent in this order"),
    Mistake("vinci.train(None)", "data must be a text, a path, a Dataset or a list, not None"),
    Mistake("vinci.train(read().to_pandas())", "make a dataset of it, Dataset.from_pandas(frame)"),
    Mistake("vinci.train(vinci.Dataset)", "not the class Dataset: make one"),
    Mistake("vinci.train('pendulum-mixed', steps='100')", "not '100': write it without quotes"),
    Mistake("vinci.train('pendulum-mixed', steps=1e5)", "not 100000.0: write 100000"),
    Mistake("vinci.train('pendulum-mixed', hooks=vinci.Hook())", "not a Hook: write it in a list"),
    Mistake("vinci.train('pendulum-mixed', settings=['alpha=1'])", "settings must be a dictionary"),
    Mistake("vinci.TrainingConfig(gamma='much')", "gamma must be a number, not 'much'"),
    Mistake("vinci.collect('Pendulum-v1', steps=10)", "missing a required argument: 'path'"),
    Mistake("vinci.collect('Pendulum-v1', 'new.h5', steps=9, record_infos='x')", "write it in a list"),
    Mistake("vinci.evaluate('random', 'Pendulum-v1', episods=3)", "did you mean 'episodes'?"),
    Mistake("vinci.evaluate('random', 'Pendulum-v1', env_kwargs='g=1')", "env_kwargs must be a dictionary"),
    Mistake("vinci.read_pandas('pendulum-mixed', columns='rewards')", "write it in a list"),
    Mistake("vinci.Dataset.open(None)", "path must be a text or a path, not None"),
    Mistake("vinci.Dataset.from_pandas('table.csv')", "frame must be a DataFrame of pandas"),
    Mistake(
        "vinci.Dataset.from_pandas(read().to_pandas(), spec='Pendulum-v1')", "an EnvironmentSpec or None"
    ),
    # names of agents, settings, columns and choices
    Mistake("vinci.train('pendulum-mixed', 'td3b')", "did you mean 'td3bc'?"),
    Mistake("vinci.train('pendulum-mixed', settings={'alhpa': 1})", "did you mean 'alpha'?"),
    Mistake("vinci.train('pendulum-mixed', only='critc')", "did you mean 'critic'?"),
    Mistake("vinci.train('pendulum-mixed', jit='of')", "jit must be auto, on or off, not 'of'"),
    Mistake("vinci.collect('Pendulum-v1', 'new.h5', steps=9, noise='gausian:1')", "did you mean 'gaussian'?"),
    Mistake("vinci.collect('Pendulum-v1', 'new.h5', steps=9, compress='gzipp')", "did you mean 'gzip'?"),
    Mistake("read().to_pandas(['rewrds'])", "did you mean 'rewards'?"),
    Mistake("vinci.Dataset.from_pandas(read().to_pandas().rename(columns={'reward': 'rewrd'}))", "'rewrd'?"),
    Mistake("vinci.Dataset.from_pandas(read().to_pandas(), columns={'reward': 'rewrd'})", "'reward'?"),
    Mistake("vinci.Dataset.from_pandas(read().to_pandas(), ends='terminl')", "did you mean 'terminal'?"),
    Mistake(
        "vinci.Dataset.from_pandas(read().to_pandas(), settings={'stp': 'order'})", "did you mean 'step'?"
    ),
    # data, environments, policies and outputs
    Mistake("vinci.train('pendulum-mixd')", "did you mean 'pendulum-mixed'?"),
    Mistake("vinci.train('cartpole-mixed')", "choose one of awac, bc, bcq, cql, "),
    Mistake("vinci.train(['pendulum-mixed', 'cartpole-mixed'])", "take datasets of one environment"),
    Mistake("vinci.train('pendulum-mixed', env='Pendulum-v1')", "say how often with eval_every="),
    Mistake("vinci.train('pendulum-mixed', patience=3)", "hold out episodes with validation=0.1"),
    Mistake("vinci.train('pendulum-mixed', output='taken')", "choose another with output="),
    Mistake("vinci.train('pendulum-mixed', resume=True, overwrite=True)", "overwrite=True starts it anew"),
    Mistake(
        "vinci.train('pendulum-mixed', networks='notes.txt')", "networks='notes.txt': give a Python file"
    ),
    Mistake("vinci.collect('Pendulum-v1', 'new.h5')", "either steps=N or episodes=N"),
    Mistake("vinci.collect('Pendulm-v1', 'new.h5', steps=9)", "did you mean Pendulum-v1?"),
    Mistake("vinci.collect('Pendulum-v1', 'there.h5', steps=9)", "pass overwrite=True"),
    Mistake("vinci.evaluate('rndom', 'Pendulum-v1')", "did you mean 'random'?"),
    Mistake("vinci.evaluate('random')", "name one with env=ENV"),
    Mistake("read().save('there.h5')", "pass overwrite=True"),
    Mistake(
        "vinci.Dataset.concatenate([read(), 'pendulum-mixed'])", "must be a list of Dataset, not a list of"
    ),
)
"""Calls from Python. `read` opens a shipped dataset."""

CALL = """
import sys
import vinci_offline as vinci

def read():
    return vinci.Dataset.open("pendulum-mixed").rows(slice(9))

try:
    {}
except vinci.VinciError as error:
    sys.exit(f"error: {{error}}")
"""


def prepare(folder: Path) -> None:
    """Fill a folder with the files that the mistakes name."""
    for name in ("folder", "run", "taken"):
        (folder / name).mkdir()
    for name in ("run/config.json", "run/dataset.json"):
        (folder / name).write_text("{}")
    for name in ("taken/letter.txt", "notes.txt", "there.h5"):
        (folder / name).write_text("mine\n")
    (folder / "table.csv").write_text("a,b\n1,2\n")
    (folder / "mine.py").write_text("class Mine: ...\n")


def fault(mistake: Mistake, code: int, said: str) -> str | None:
    """Return what is wrong with an answer; None if it is right."""
    lines = said.splitlines()
    if code not in (1, 2):
        return f"exit code {code}"
    if len(lines) != 1 or not lines[0].startswith("error: "):
        return f"{len(lines)} lines"
    return None if mistake.told in lines[0] else f"it does not say {mistake.told!r}"


def answer(mistake: Mistake, folder: Path) -> tuple[float, float, int, str]:
    """Run the command or the call; return its seconds, those of the processor, its exit code and its standard error."""
    called = mistake in CALLS
    words = ["-c", CALL.format(mistake.words)] if called else ["-m", "vinci_offline", *mistake.words.split()]
    command = [sys.executable, *words]
    before, began = os.times(), time.perf_counter()
    done = subprocess.run(
        command, cwd=folder, env=os.environ | mistake.environment, capture_output=True, text=True, check=False
    )
    seconds, after = time.perf_counter() - began, os.times()
    processor = after.children_user + after.children_system - before.children_user - before.children_system
    return seconds, processor, done.returncode, done.stderr


def main() -> int:
    """Make every mistake, print a table, and return 1 if an answer is wrong or late."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=1.0, help="longest time of an answer")
    parser.add_argument(
        "--rounds", type=int, default=3, help="times that each mistake is made; the best one counts"
    )
    parser.add_argument(
        "--processor", action="store_true", help="judge the processor's time: the machine is busy"
    )
    options = parser.parse_args()
    faults, slowest = [], 0.0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder)
        print("seconds  processor  command and answer")
        for mistake in MISTAKES + CALLS:
            answers = [answer(mistake, folder) for _ in range(options.rounds)]
            seconds, processor = min(each[0] for each in answers), min(each[1] for each in answers)
            judged = processor if options.processor else seconds
            slowest = max(slowest, judged)
            found = fault(mistake, *answers[0][2:])
            if found is None and judged > options.seconds:
                found = f"it took {judged:.2f} s"
            print(f"{seconds:7.2f}  {processor:9.2f}  {mistake.words}\n{'':20}{answers[0][3].rstrip()}")
            if found is not None:
                faults.append(f"{mistake.words}: {found}")
    print(
        f"\n{len(MISTAKES + CALLS)} mistakes, the slowest answer after {slowest:.2f} s, {len(faults)} faults"
    )
    print("\n".join(faults))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
