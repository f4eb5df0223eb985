"""Writer of LeRobot's folder: frames in files of bounded size, and their description in ``meta``."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from vinci_offline.convert.lerobot.features import BOOKKEEPING, feature_of
from vinci_offline.convert.sources.arrow import lists, pyarrow
from vinci_offline.convert.trajectories import Trajectory
from vinci_offline.data import layout
from vinci_offline.data.columns import LazyColumns
from vinci_offline.data.dataset import Dataset
from vinci_offline.errors import SpecError
from vinci_offline.types import Array

VERSION = "v3.0"

_CHUNK = "chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
_FILES_A_CHUNK = 1000
_FILE_MIB = 100
_ROWS_A_GROUP = 20_000
_STATISTICS_BYTES = 2**26
_QUANTILES = {"q01": 0.01, "q10": 0.1, "q50": 0.5, "q90": 0.9, "q99": 0.99}


class LerobotWriter:
    """Writer of episodes, used as a context; `describe` comes last.

    Raises:
        SpecError: two columns have the same name in LeRobot.
        UsageError: pyarrow is not installed.
    """

    def __init__(self, folder: Path, dataset: Dataset, fps: int, task: str) -> None:
        self._folder, self._fps, self._task = folder, fps, task
        self._names = {path: feature_of(path) for path in dataset.columns}
        if len({*self._names.values(), *BOOKKEEPING}) < len(self._names) + len(BOOKKEEPING):
            raise SpecError("columns whose names differ only in / and . are one in LeRobot: rename a key")
        self._features = {
            self._names[path]: _feature(dataset.columns.shape(path)[1:], dataset.columns.dtype(path))
            for path in sorted(dataset.columns, key=layout.column_order)
        }
        kinds = {"timestamp": np.float32}
        self._features |= {name: _feature((), np.dtype(kinds.get(name, np.int64))) for name in BOOKKEEPING}
        self._episodes: list[dict[str, Any]] = []
        self._rows = self._file = self._waiting_rows = 0
        self._waiting: list[Any] = []
        self._sink: Any = None
        self._writer: Any = None
        pyarrow()

    def append(self, trajectory: Trajectory) -> None:
        """Write an episode."""
        pa = pyarrow()
        count, number = len(trajectory), len(self._episodes)
        columns = self._columns(trajectory, number)
        self._episodes.append(
            {
                "episode_index": number,
                "tasks": [self._task],
                "length": count,
                "data/chunk_index": self._file // _FILES_A_CHUNK,
                "data/file_index": self._file % _FILES_A_CHUNK,
                "dataset_from_index": self._rows,
                "dataset_to_index": self._rows + count,
                "meta/episodes/chunk_index": 0,
                "meta/episodes/file_index": 0,
                **{
                    f"stats/{name}/{kind}": value
                    for name, values in columns.items()
                    for kind, value in statistics(values).items()
                },
            }
        )
        self._waiting.append(pa.table({name: _array(columns[name]) for name in self._features}))
        self._rows += count
        self._waiting_rows += count
        if self._waiting_rows >= _ROWS_A_GROUP:
            self._flush()

    def describe(self, dataset: Dataset) -> None:
        """Write ``meta``: the features, the tasks, each episode, statistics of the whole."""
        import pandas as pd

        pa, meta = pyarrow(), self._folder / "meta"
        episodes = meta / "episodes" / _CHUNK.format(chunk_index=0, file_index=0)
        episodes.parent.mkdir(parents=True)
        pa.parquet.write_table(pa.Table.from_pylist(self._episodes), episodes)
        pd.DataFrame({"task_index": [0]}, index=[self._task]).to_parquet(meta / "tasks.parquet")
        remarks = dataset.attributes.get("lerobot")
        info = {
            "codebase_version": VERSION,
            "robot_type": remarks.get("robot_type") if isinstance(remarks, dict) else None,
            "total_episodes": len(self._episodes),
            "total_frames": self._rows,
            "total_tasks": 1,
            "chunks_size": _FILES_A_CHUNK,
            "data_files_size_in_mb": _FILE_MIB,
            "video_files_size_in_mb": 200,
            "fps": self._fps,
            "splits": {"train": f"0:{len(self._episodes)}"},
            "data_path": f"data/{_CHUNK}",
            "video_path": None,
            "features": self._features,
        }
        (meta / "info.json").write_text(json.dumps(info, indent=4), encoding="utf-8")
        whole = {name: whole_statistics(dataset.columns, path) for path, name in self._names.items()}
        (meta / "stats.json").write_text(json.dumps(whole, indent=4), encoding="utf-8")

    def __enter__(self) -> LerobotWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            self._flush()
        self._close()

    def _columns(self, trajectory: Trajectory, number: int) -> dict[str, Array]:
        count, frame = len(trajectory), np.arange(len(trajectory))
        found = {self._names[path]: values for path, values in trajectory.steps.items()}
        for path, values in trajectory.observations.items():
            found |= {self._names[path]: values[:-1], self._names[f"next_{path}"]: values[1:]}
        last = frame == count - 1
        found[self._names[layout.TERMINALS]] = last & trajectory.terminated
        found[self._names[layout.TIMEOUTS]] = last & (not trajectory.terminated)
        found |= {"timestamp": (frame / self._fps).astype(np.float32), "frame_index": frame}
        found |= {"index": self._rows + frame, "task_index": np.zeros_like(frame)}
        return {**found, "episode_index": np.full_like(frame, number)}

    def _flush(self) -> None:
        """Write the waiting episodes as a group of rows; begin a new file if this one is large enough."""
        if not self._waiting:
            return
        pa = pyarrow()
        table = pa.concat_tables(self._waiting)
        self._waiting, self._waiting_rows = [], 0
        if self._writer is None:
            path = (
                self._folder
                / "data"
                / _CHUNK.format(
                    chunk_index=self._file // _FILES_A_CHUNK, file_index=self._file % _FILES_A_CHUNK
                )
            )
            path.parent.mkdir(parents=True, exist_ok=True)
            self._sink = pa.OSFile(str(path), "wb")
            self._writer = pa.parquet.ParquetWriter(self._sink, table.schema, compression="snappy")
        self._writer.write_table(table)
        if self._sink.tell() >= _FILE_MIB * 2**20:
            self._close()
            self._file += 1

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._sink.close()
            self._writer = self._sink = None


def statistics(values: Array) -> dict[str, list[float]]:
    """Return LeRobot's statistics of a feature, ``[dim]`` each; none if its frames have several axes."""
    if values.ndim > 2:
        return {}
    rows = values.reshape(len(values), -1).astype(np.float64)
    found = {
        "min": rows.min(axis=0),
        "max": rows.max(axis=0),
        "mean": rows.mean(axis=0),
        "std": rows.std(axis=0),  # of all frames, by n, as LeRobot computes it
        "count": np.array([len(rows)]),
    }
    found |= dict(zip(_QUANTILES, np.quantile(rows, list(_QUANTILES.values()), axis=0), strict=True))
    return {name: value.tolist() for name, value in found.items()}


def whole_statistics(columns: LazyColumns, path: str) -> dict[str, list[float]]:
    """Return LeRobot's statistics of a whole column.

    Quantiles need all values of a dimension. So dimensions are read as many at a time as fit into 64 MiB, at least one.
    """
    count, *shape = columns.shape(path)
    if len(shape) > 1:
        return {}
    width = math.prod(shape)
    step = max(1, _STATISTICS_BYTES // (8 * count))
    found: dict[str, list[float]] = {}
    for first in range(0, width, step):
        values = np.empty((count, min(step, width - first)))
        for row, block in columns.blocks(path):
            values[row : row + len(block)] = block.reshape(len(block), width)[:, first : first + step]
        for kind, numbers in statistics(values).items():
            found[kind] = numbers if kind == "count" else found.get(kind, []) + numbers
    return found


def _feature(shape: tuple[int, ...], dtype: np.dtype[Any]) -> dict[str, Any]:
    return {"dtype": dtype.name, "shape": list(shape) or [1], "names": None}


def _array(values: Array) -> Any:
    """Return a feature's frames for Arrow: single numbers, lists of one length, or lists of lists."""
    pa = pyarrow()
    if values[0].size == 1 and values.ndim <= 2:
        return pa.array(values.reshape(-1))
    return lists(values) if values.ndim == 2 else _nested(values)


def _nested(values: Array) -> Any:
    pa = pyarrow()
    if values.ndim == 1:
        return pa.array(np.ascontiguousarray(values))
    offsets = np.arange(0, values.shape[0] * values.shape[1] + 1, values.shape[1], dtype=np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), _nested(values.reshape(-1, *values.shape[2:])))
