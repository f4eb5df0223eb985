"""Measure the time and memory of converting other tools' datasets, by their number of rows.

Each conversion runs in a process of its own, so that its peak memory is its own. The column `import` is the memory of
the libraries alone. Our exporters write the sources, in episodes of 1,000 rows.

    python scripts/bench/conversion.py --rows 100000,1000000,10000000 --markdown docs/performance.md
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tables import keep, made_by, table

from datasets import write
from vinci_offline import Dataset
from vinci_offline.convert import conversion

FORMATS = {
    "D4RL HDF5": ("d4rl", "data.hdf5"),
    "Minari HDF5": ("minari", "data-v0"),
    "LeRobot": ("lerobot", "data"),
    "Parquet": ("parquet", "data.parquet"),
}
WORK = """
import sys, time
from pathlib import Path
from vinci_offline.convert import conversion
def peak():  # getrusage would include the peak of the process that started this one
    return Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]
kind, source, target = sys.argv[1:]
if kind in {"lerobot", "parquet"}:
    import pyarrow.parquet
before = peak()
began = time.perf_counter()
conversion.write(conversion.read(source, kind=kind).dataset, target)
print(time.perf_counter() - began, before, peak())
"""


def main() -> None:
    options = parse()
    lines = []
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        os.environ["TMPDIR"] = name
        for rows in (int(each) for each in options.rows.split(",")):
            if shutil.disk_usage(name).free < 1000 * rows:
                raise SystemExit(
                    f"{rows:,} rows need up to {rows / 1e6:.1f} GB, and {name} has less: pass --folder"
                )
            own = folder / "own.h5"
            write(own, rows)
            for title, (kind, file) in FORMATS.items():
                source, target = folder / file, folder / "back.h5"
                conversion.write(Dataset.open(own), source, kind=kind)
                seconds, before, peak = measured(kind, source, target)
                assert Dataset.open(target).hash == Dataset.open(own).hash, title
                lines.append(
                    (
                        title,
                        f"{rows:,}",
                        f"{seconds:.3g}",
                        f"{rows / seconds:,.0f}",
                        f"{before:,.0f} MiB",
                        f"{peak:,.0f} MiB",
                    )
                )
                print(*lines[-1], sep=" | ", flush=True)
                shutil.rmtree(source) if source.is_dir() else source.unlink()
                target.unlink()
            own.unlink()
    order = list(FORMATS)
    lines.sort(key=lambda line: order.index(line[0]))
    text = table(("from", "rows", "seconds", "rows a second", "import", "peak memory"), lines)
    summary = "Rows of 17 + 6 dimensions in episodes of 1,000, to a `.h5` file; peak resident memory of the process."
    print(f"{summary}\n\n{text}")
    if options.markdown:
        keep(options.markdown, "conversion", f"{made_by()}\n\n{summary}\n\n{text}")


def measured(kind: str, source: Path, target: Path) -> tuple[float, float, float]:
    """Convert in a new process; return its seconds, and its MiB before and at the peak."""
    command = [sys.executable, "-c", WORK, kind, str(source), str(target)]
    shown = subprocess.run(command, capture_output=True, text=True, check=True)
    seconds, before, peak = map(float, shown.stdout.split())
    return seconds, before / 1024, peak / 1024


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", default="100000,1000000,10000000")
    parser.add_argument("--folder", type=Path, help="folder of the temporary files, up to 10 GB")
    parser.add_argument("--markdown", type=Path, help="write the table to this page")
    return parser.parse_args()


if __name__ == "__main__":
    main()
