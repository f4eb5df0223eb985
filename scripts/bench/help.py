"""Compare the processor time of every `--help` and of `import vinci_offline` with their limits.

The time is user and system time of one core, the median of several new interpreters. The exit code is 1 if a median is
above its limit. Run on a quiet machine:

    python scripts/bench/help.py
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys

from tables import made_by, table

from vinci_offline.cli.app import app

HELP_LIMIT, IMPORT_LIMIT = 0.4, 0.2
RUN = "from vinci_offline.cli.app import main; main()"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=10)
    options = parser.parse_args()
    names = [
        command.name or command.callback.__name__ for command in app.registered_commands if command.callback
    ]
    calls = {"import vinci_offline": (["-c", "import vinci_offline"], IMPORT_LIMIT)}
    calls |= {f"{name} --help": (["-c", RUN, *name.split(), "--help"], HELP_LIMIT) for name in ["", *names]}
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(options.rounds):
        for name, (arguments, _) in calls.items():
            times[name].append(processor_seconds(arguments))
    medians = {name: statistics.median(each) for name, each in times.items()}
    rows = [(name.strip(), f"{medians[name]:.3f}", f"{limit:.1f}") for name, (_, limit) in calls.items()]
    print(f"{made_by()}\n\n{table(('', 'seconds of one core', 'limit'), rows)}")
    slow = [name.strip() for name, (_, limit) in calls.items() if medians[name] > limit]
    if slow:
        sys.exit(f"slower than the limit: {', '.join(slow)}")


def processor_seconds(arguments: list[str]) -> float:
    """Return the user and system time of a new interpreter."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
