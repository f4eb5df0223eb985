"""Named faults of the core, each with the tests that must fail with it.

`scripts/mutation.py` changes every expression of a module and takes hours. These mutants are few and stand for faults
that this field knows: a timeout loaded as a terminal, tau the wrong way round, a reset that keeps Adam's moments. Each
is applied to a copy of the tree under ``build/mutants``, and its tests run there. It dies if each of its tests fails.

    python scripts/mutants.py
    python scripts/mutants.py timeout-is-terminal reset-keeps-moments
    python scripts/mutants.py --list
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue

from mutants_of_core import MUTANTS, Mutant
from mutation import COPIED, ROOT

WORKSPACES = ROOT / "build" / "mutants"
_FAILED = 1  # pytest's exit code for failed tests; others mean that the tests could not run


def main() -> None:
    options = parse()
    known = {mutant.name: mutant for mutant in MUTANTS}
    if options.list:
        for mutant in MUTANTS:
            print(f"{mutant.name:36} {mutant.file}")
        return
    if unknown := set(options.names) - set(known):
        sys.exit(f"unknown mutant {min(unknown)!r}: see --list")
    chosen = [known[name] for name in options.names] or list(MUTANTS)
    spaces: SimpleQueue[Path] = SimpleQueue()
    for number in range(options.workers):
        spaces.put(prepare(WORKSPACES / str(number)))
    if wrong := run(spaces, sorted({test for mutant in chosen for test in mutant.tests}))[1]:
        sys.exit(f"without a mutant these tests fail already: {' '.join(sorted(wrong))}")
    with ThreadPoolExecutor(options.workers) as pool:
        outcomes = list(pool.map(lambda mutant: (mutant, outcome(spaces, mutant)), chosen))
    alive = [mutant.name for mutant, text in outcomes if text]
    print(f"{len(chosen) - len(alive)} of {len(chosen)} mutants died")
    sys.exit(f"alive: {', '.join(alive)}" if alive else 0)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="MUTANT", help="all of them unless given")
    parser.add_argument("--list", action="store_true", help="show the mutants and their files")
    parser.add_argument("--workers", type=int, default=2, help="mutants that are tested at once")
    return parser.parse_args()


def prepare(workspace: Path) -> Path:
    """Copy the tree into a workspace."""
    for folder in COPIED:
        shutil.rmtree(workspace / folder, ignore_errors=True)
        shutil.copytree(ROOT / folder, workspace / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", workspace / "pyproject.toml")
    return workspace


def outcome(spaces: SimpleQueue[Path], mutant: Mutant) -> str:
    """Return why a mutant is alive, and print it; the empty string if it died."""
    code, failed, output = run(spaces, mutant.tests, mutant)
    passed = [test for test in mutant.tests if not any(each.startswith(test) for each in failed)]
    text = ""
    if code not in (0, _FAILED):
        text = f"its tests could not run: {output.strip().splitlines()[-1]}"
    elif passed:
        text = f"passed: {' '.join(passed)}"
    print(f"{mutant.name:36} {'died' if not text else f'ALIVE, {text}'}", flush=True)
    return text


def run(
    spaces: SimpleQueue[Path], tests: Sequence[str], mutant: Mutant | None = None
) -> tuple[int, set[str], str]:
    """Run tests in a free workspace, with a mutant in place of the sound code.

    Returns:
        pytest's exit code, the tests that failed, and what it printed.
    """
    workspace = spaces.get()
    try:
        with applied(workspace, mutant):
            done = subprocess.run(
                [
                    *(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist"),
                    *("--tb=no", "-rfE", *(f"tests/{test}" for test in tests)),
                ],
                cwd=workspace,
                env=environment(),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
            )
    finally:
        spaces.put(workspace)
    failed = re.findall(r"^(?:FAILED|ERROR) tests/(\S+)", done.stdout, re.MULTILINE)
    return done.returncode, set(failed), done.stdout


@contextmanager
def applied(workspace: Path, mutant: Mutant | None) -> Iterator[None]:
    """Change the mutant's file in a workspace, and change it back."""
    if mutant is None:
        yield
        return
    path = workspace / "vinci_offline" / mutant.file
    sound = path.read_text(encoding="utf-8")
    path.write_text(mutant.change(sound), encoding="utf-8")
    try:
        yield
    finally:
        path.write_text(sound, encoding="utf-8")


def environment() -> dict[str, str]:
    """Return the environment of the tests: one thread, the same examples each time, no other copy of the package."""
    found = {
        **os.environ,
        "CI": "1",
        "PYTHONDONTWRITEBYTECODE": "1",  # a file that changes twice in a second would be taken from the cache
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "TF_NUM_INTRAOP_THREADS": "1",
        "TF_NUM_INTEROP_THREADS": "1",
        "OMP_NUM_THREADS": "1",
    }
    found.pop("PYTHONPATH", None)
    return found


if __name__ == "__main__":
    main()
