"""Compare reading every column of a million-row file through Dataset with bare h5py reads.

The two take turns in one process, and medians are compared. Run: python scripts/bench/datasets.py
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

from vinci_offline import Dataset, EnvironmentSpec
from vinci_offline.data.hdf5.writer import DatasetWriter
from vinci_offline.quality.statistics import summarize
from vinci_offline.spec import BoxSpace

OBSERVATION, ACTION, EPISODE = 17, 6, 1000
CHUNK = 100_000
GOAL = 1.2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=9)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bench.h5"
        written = seconds(lambda: write(path, arguments.rows))
        columns = list(Dataset.open(path).columns)
        bare, ours = [], []
        for _ in range(arguments.repeats):
            bare.append(seconds(lambda: read_bare(path, columns)))
            ours.append(seconds(lambda: read_dataset(path)))
        frame = statistics.median(seconds(Dataset.open(path).to_pandas) for _ in range(3))
        summary = statistics.median(seconds(lambda: summarize(Dataset.open(path))) for _ in range(3))
        opened = statistics.median(seconds(lambda: Dataset.open(path)) for _ in range(9))
        size = path.stat().st_size / 1e6
    ratio = statistics.median(ours) / statistics.median(bare)
    print(f"{arguments.rows:,} rows, {OBSERVATION}+{ACTION} dimensions, {size:.0f} MB; medians in seconds\n")
    for name, value in (
        ("write in appends of one episode", written),
        ("open, no column read", opened),
        ("bare h5py, all columns", statistics.median(bare)),
        ("Dataset, all columns", statistics.median(ours)),
        ("to_pandas, from the file", frame),
        ("summarize, from the file", summary),
    ):
        print(f"{name:32} {value:8.4f}")
    print(f"\nDataset / bare h5py: {ratio:.2f} (goal: at most {GOAL})")


def write(path: Path, rows: int) -> None:
    spec = EnvironmentSpec(box(OBSERVATION, np.inf), box(ACTION, 1.0), id="Bench-v0")
    rng = np.random.default_rng(0)
    observations = rng.standard_normal((CHUNK, OBSERVATION), dtype=np.float32)
    columns = {
        "observations": observations,
        "actions": rng.uniform(-1, 1, (CHUNK, ACTION)).astype(np.float32),
        "rewards": rng.standard_normal(CHUNK, dtype=np.float32),
        "next_observations": np.roll(observations, -1, axis=0),
        "terminals": np.zeros(CHUNK, np.bool_),
        "timeouts": np.arange(1, CHUNK + 1) % EPISODE == 0,
    }
    with DatasetWriter(path, spec) as writer:
        for start in range(0, rows, EPISODE):
            count = min(EPISODE, rows - start)
            first = start % CHUNK
            part = {name: values[first : first + count] for name, values in columns.items()}
            part["rewards"] = part["rewards"] + start // CHUNK  # no row repeats another
            writer.append(part, {"length": np.array([count])})


def box(size: int, bound: float) -> BoxSpace:
    return BoxSpace((size,), "float32", np.full(size, -bound, np.float32), np.full(size, bound, np.float32))


def read_bare(path: Path, columns: list[str]) -> int:
    with h5py.File(path, "r") as file:
        return sum(file[name][:].nbytes for name in columns)


def read_dataset(path: Path) -> int:
    dataset = Dataset.open(path)
    return sum(dataset.columns[name].nbytes for name in dataset.columns)


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
