"""Measure the time and memory of reading a table from CSV, beside the same rows from Parquet and pandas alone.

Each reading runs in a process of its own, so that its peak memory is its own, and the readings take turns. The
conversions write a ``.h5`` file. pandas reads the whole table into memory, and checks and writes nothing.

    python scripts/bench/tables_text.py --rows 508000 --markdown docs/performance.md
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from tables import keep, made_by, table

COLUMNS = 56
EPISODE_ROWS = 500
WORK = """
import sys, time
from pathlib import Path
import pandas, pyarrow.parquet
from vinci_offline.convert import conversion
from vinci_offline.data.assembly.options import ImportOptions
def peak():  # getrusage would include the peak of the process that started this one
    return Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]
reader, source, target = sys.argv[1:]
before = peak()
began = time.perf_counter()
if reader == "pandas":
    pandas.read_csv(source)
else:
    conversion.write(conversion.read(source, options=ImportOptions(ends="terminal")).dataset, target)
print(time.perf_counter() - began, before, peak())
"""
READINGS = (
    ("Parquet", "vinci-offline", "rows.parquet"),
    ("CSV", "vinci-offline", "rows.csv"),
    ("CSV, gzip", "vinci-offline", "rows.csv.gz"),
    ("CSV", "pandas", "rows.csv"),
)


def main() -> None:
    options = parse()
    lines, parquet = [], 1.0
    found: dict[tuple[str, str, str], list[tuple[float, float, float]]] = {each: [] for each in READINGS}
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        os.environ["TMPDIR"] = name
        write(folder, options.rows)
        load = os.getloadavg()[0]
        for reading in READINGS * options.repeats:  # in turn, so that all meet the same machine
            found[reading].append(measured(reading[1], folder / reading[2], folder / "back.h5"))
        for title, reader, file in READINGS:
            source = folder / file
            seconds, before, peak = map(statistics.median, zip(*found[title, reader, file], strict=True))
            parquet = seconds if title == "Parquet" else parquet
            size = f"{source.stat().st_size / 2**20:,.0f} MiB"
            memory = (f"{before:,.0f} MiB", f"{peak:,.0f} MiB")
            lines.append((title, reader, size, f"{seconds:.3g}", f"{seconds / parquet:.2f}", *memory))
            print(*lines[-1], sep=" | ", flush=True)
    text = table(("from", "read by", "file", "seconds", "to Parquet", "import", "peak memory"), lines)
    summary = (
        f"{options.rows:,} rows of {COLUMNS} columns, floats of up to 9 digits, to a `.h5` file; the median of "
        f"{options.repeats}. The load of the machine was {load:.1f} before."
    )
    print(f"{summary}\n\n{text}")
    if options.markdown:
        keep(options.markdown, "text tables", f"{made_by()}\n\n{summary}\n\n{text}")


def write(folder: Path, rows: int) -> None:
    """Write the same rows as CSV, packed and not, and as Parquet."""
    generator, number = np.random.default_rng(0), np.arange(rows)
    values = generator.normal(size=(rows, COLUMNS - 4)).astype(np.float32)
    frame = pd.DataFrame(values[:, :-2], columns=[f"observation_{i}" for i in range(COLUMNS - 6)])
    frame = frame.assign(action_0=values[:, -2], reward=values[:, -1])
    frame = frame.assign(episode=number // EPISODE_ROWS, step=number % EPISODE_ROWS)
    frame = frame.assign(terminal=(number + 1) % EPISODE_ROWS == 0, cost=number % 7)
    frame.to_parquet(folder / "rows.parquet", index=False)
    frame.to_csv(folder / "rows.csv", index=False)
    frame.to_csv(folder / "rows.csv.gz", index=False, compression={"method": "gzip", "compresslevel": 1})


def measured(reader: str, source: Path, target: Path) -> tuple[float, float, float]:
    """Read in a new process; return its seconds, and its MiB before and at the peak."""
    command = [sys.executable, "-c", WORK, reader, str(source), str(target)]
    shown = subprocess.run(command, capture_output=True, text=True, check=True)
    target.unlink(missing_ok=True)
    seconds, before, peak = map(float, shown.stdout.split())
    return seconds, before / 1024, peak / 1024


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=508_000)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="folder of the temporary files, 2 GB for all rows")
    parser.add_argument("--markdown", type=Path, help="write the table to this page")
    return parser.parse_args()


if __name__ == "__main__":
    main()
