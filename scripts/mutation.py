"""Test the tests of the mathematics: change one expression at a time, and list the changes that no test notices.

mutmut makes the changes and runs the tests that cover each of them. Each group works on a copy of the tree under
``build/mutation``. An interrupted run goes on where it stopped; after an edit only changed functions are tested again.
Each group writes a Markdown table of survivors, ``survivors.md``, to its copy.

    python scripts/mutation.py functional agents
    python scripts/mutation.py --list
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WORKSPACES = ROOT / "build" / "mutation"
COPIED = ("vinci_offline", "tests", "datasets", "docs", "scripts")
UNNOTICED = ("survived", "no tests", "timeout", "suspicious", "segfault")


@dataclass(frozen=True)
class Group:
    """Modules that the same few tests cover.

    Attributes:
        modules: patterns of the files to change, below ``vinci_offline/``.
        tests: files or folders below ``tests/`` that cover them.
        backend: the Keras backend that they run on.
    """

    modules: tuple[str, ...]
    tests: tuple[str, ...]
    backend: str = "tensorflow"


GROUPS = {
    "functional": Group(("functional/[a-z]*.py",), ("functional",)),
    "agents": Group(
        ("agents/[a-z]*.py",),
        ("agents/test_agent_losses.py", "agents/test_settings.py", "agents/test_own_agent.py"),
    ),
    "batches": Group(("batches/[a-z]*.py",), ("batches",)),
    "learner": Group(
        ("training/learner.py",),
        ("training/test_engine.py", "training/test_optimization.py", "agents/test_own_agent.py"),
    ),
    "engine": Group(
        (
            "training/engines/engine.py",
            "training/engines/metrics.py",
            "training/engines/tensorflow.py",
            "training/engines/tracing.py",
        ),
        ("training/test_engine.py", "training/test_tracing.py", "training/test_held_out.py"),
    ),
    "engine-jax": Group(
        ("training/engines/jax.py",),
        ("training/test_engine.py", "training/test_spans.py", "training/test_side_by_side.py"),
        backend="jax",
    ),
}

# A fork of a process that has computed with TensorFlow or JAX can hang. So a fork server only imports, and each run of
# tests forks from it. Error messages are not changed: the tests of the commands cover them.
SETTINGS = """
[tool.mutmut]
source_paths = ["vinci_offline"]
only_mutate = {modules}
also_copy = {copied}
pytest_add_cli_args_test_selection = {tests}
pytest_add_cli_args = ["-p", "no:cacheprovider", "-p", "no:xdist"]
do_not_mutate_patterns = ['raise \\w+']
process_isolation = "forkserver"
timeout_multiplier = 5.0
timeout_constant = 10.0
track_dependencies = false
use_git_change_detection = false
use_setproctitle = false
"""


def main() -> None:
    options = parse()
    if options.list:
        for name, group in GROUPS.items():
            print(f"{name}: {', '.join(group.modules)}")
        return
    if unknown := set(options.groups) - set(GROUPS):
        sys.exit(f"unknown group {min(unknown)!r}: choose from {', '.join(GROUPS)}")
    for name in options.groups or GROUPS:
        workspace = prepare(name, GROUPS[name])
        again = [mutant for mutant, status in outcomes(workspace, GROUPS[name]) if status in UNNOTICED]
        run = ["run", "--max-children", str(options.workers), *(again if options.again else [])]
        mutmut(workspace, GROUPS[name], *run, check=False, shown=True)
        text = report(name, workspace, GROUPS[name])
        (workspace / "survivors.md").write_text(text, encoding="utf-8")
        print(text)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("groups", nargs="*", metavar="GROUP", help="groups to run; all by default")
    parser.add_argument("--list", action="store_true", help="show the groups and their modules")
    parser.add_argument("--again", action="store_true", help="only test the survivors of the last run again")
    parser.add_argument("--workers", type=int, default=2, help="tests that run at once")
    return parser.parse_args()


def prepare(name: str, group: Group) -> Path:
    """Copy the tree into the group's workspace; mutmut's earlier results stay there."""
    workspace = WORKSPACES / name
    for folder in COPIED:
        shutil.rmtree(workspace / folder, ignore_errors=True)
        shutil.copytree(ROOT / folder, workspace / folder, ignore=shutil.ignore_patterns("__pycache__"))
    settings = SETTINGS.format(
        modules=toml([f"vinci_offline/{module}" for module in group.modules]),
        tests=toml([f"tests/{test}" for test in group.tests]),
        copied=toml([folder for folder in COPIED if folder not in ("vinci_offline", "tests")]),
    )
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    (workspace / "pyproject.toml").write_text(project + settings, encoding="utf-8")
    return workspace


def toml(values: Sequence[str]) -> str:
    return "[" + ", ".join(f'"{value}"' for value in values) + "]"


def mutmut(workspace: Path, group: Group, *arguments: str, check: bool = True, shown: bool = False) -> str:
    """Run mutmut in the workspace and return what it prints; ``shown`` prints it here instead."""
    environment = {
        **os.environ,
        "KERAS_BACKEND": group.backend,
        "CI": "1",  # property tests use the same examples in every run
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "TF_NUM_INTRAOP_THREADS": "1",
        "TF_NUM_INTEROP_THREADS": "1",
    }
    environment.pop("PYTHONPATH", None)  # tests must import the changed copy
    done = subprocess.run(
        [sys.executable, "-m", "mutmut", *arguments],
        cwd=workspace,
        env=environment,
        stdout=None if shown else subprocess.PIPE,
        text=True,
        check=check,
    )
    return done.stdout or ""


def outcomes(workspace: Path, group: Group) -> list[tuple[str, str]]:
    """Return every change so far with its outcome; none before the first run."""
    if not (workspace / "mutants").exists():
        return []
    return re.findall(r"^\s*(\S+): (.+)$", mutmut(workspace, group, "results", "--all", "true"), re.MULTILINE)


def report(name: str, workspace: Path, group: Group) -> str:
    """Return the counts and a Markdown table of the survivors."""
    results = outcomes(workspace, group)
    counts = {
        status: sum(each == status for _, each in results) for status in dict.fromkeys(s for _, s in results)
    }
    lines = [
        f"**{name}**: {len(results)} changes, "
        + ", ".join(f"{count} {status}" for status, count in counts.items()),
        "",
        "| function | change | outcome |",
        "| --- | --- | --- |",
    ]
    for mutant, status in results:
        if status not in UNNOTICED:
            continue
        before, after = change(mutmut(workspace, group, "show", mutant))
        if before.lower() != after.lower():  # letter case in a shape's text changes nothing
            lines.append(f"| {function_of(mutant)} | `{before}` → `{after}` | {status} |")
    return "\n".join(lines) + "\n"


def function_of(mutant: str) -> str:
    """Return ``module.function`` or ``module.Class.method`` of mutmut's name of a change."""
    module, _, name = mutant.removeprefix("vinci_offline.").rpartition(".")
    name = re.sub(r"__mutmut_[0-9]+$", "", name)
    plain = name.removeprefix("xǁ").replace("ǁ", ".") if "ǁ" in name else name.removeprefix("x_")
    return f"{module}.{plain}"


def change(diff: str) -> tuple[str, str]:
    """Return the removed and the added text of a diff, each as one line."""
    lines = [line for line in diff.splitlines() if not line.startswith(("---", "+++"))]
    removed = " ".join(line[1:].strip() for line in lines if line.startswith("-"))
    added = " ".join(line[1:].strip() for line in lines if line.startswith("+"))
    return removed.replace("|", "\\|"), added.replace("|", "\\|")


if __name__ == "__main__":
    main()
