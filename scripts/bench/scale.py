"""Measure the time and memory of opening, validating, summarising and reading a file, by its number of rows.

Each command runs in a process of its own, so that its peak memory is its own. The column `import` is the memory of the
libraries alone.

    python scripts/bench/scale.py --rows 100000,1000000,10000000 --markdown docs/performance.md
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from tables import keep, made_by, table

from datasets import write

WORK = {
    "import": "",
    "open": "Dataset.open(path)",
    "validate": "assert not validate(path)",
    "info": "summarize(Dataset.open(path))",
    "read in blocks": "[block.sum() for c in [Dataset.open(path).columns] for p in c for _, block in c.blocks(p)]",
}
IMPORTS = """
import resource, sys, time
import pandas
from vinci_offline import Dataset
from vinci_offline.quality.statistics import summarize
from vinci_offline.quality.validation import validate
path = sys.argv[1]
began = time.perf_counter()
"""
REPORT = """
print(time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def main() -> None:
    options = parse()
    sizes = [int(rows) for rows in options.rows.split(",")]
    lines = []
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        for rows in sizes:
            path = Path(name) / f"{rows}.h5"
            needed = 180 * rows
            if shutil.disk_usage(name).free < 2 * needed:
                raise SystemExit(
                    f"{rows:,} rows need {2 * needed / 1e9:.1f} GB, and {name} has less: pass --folder"
                )
            write(path, rows)
            cells = [f"{rows:,}", f"{path.stat().st_size / 2**20:,.0f} MiB"]
            for work in WORK.values():
                seconds, memory = measured(work, path, options.rounds)
                cells.append(f"{seconds:.3g} s, {memory:,.0f} MiB" if work else f"{memory:,.0f} MiB")
            lines.append(cells)
            path.unlink()
    text = table(("rows", "file", *WORK), lines)
    print(text)
    if options.markdown:
        keep(
            options.markdown,
            "scale",
            f"{made_by()}\n\nMedians of {options.rounds}; seconds and peak memory.\n\n{text}",
        )


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", default="100000,1000000,10000000")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="folder of the temporary files")
    parser.add_argument("--markdown", type=Path, help="write the table to this page")
    return parser.parse_args()


def measured(work: str, path: Path, rounds: int) -> tuple[float, float]:
    """Return the median seconds and MiB of a process that does the work."""
    command = [sys.executable, "-c", IMPORTS + work + REPORT, str(path)]
    found = []
    for _ in range(rounds):
        done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ})
        seconds, kilobytes = map(float, done.stdout.split())
        found.append((seconds, kilobytes / 1024))
    return statistics.median(each[0] for each in found), statistics.median(each[1] for each in found)


if __name__ == "__main__":
    main()
