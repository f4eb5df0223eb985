"""LeRobot's frames as rows: which features are columns, in which order, and where episodes end."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vinci_offline.convert.lerobot.features import (
    ACTION,
    DONE,
    NEXT,
    REWARD,
    TASK,
    TRUNCATED,
    feature_of,
    info_columns,
    is_vector,
    observation_columns,
)
from vinci_offline.convert.sources.arrow import arrow_errors, numbers, pyarrow, read_table, single
from vinci_offline.data import layout
from vinci_offline.data.assembly.ends import say_ends
from vinci_offline.data.assembly.flat import flags
from vinci_offline.data.assembly.logged import Logged
from vinci_offline.data.assembly.options import ImportOptions
from vinci_offline.data.problem import printable
from vinci_offline.errors import DatasetError, SpecError, UsageError
from vinci_offline.spec import EnvironmentSpec
from vinci_offline.types import Array, Columns

_DATA = "data"
_EPISODES = Path("meta", "episodes")
_TASKS = Path("meta", "tasks.parquet")


class Frames:
    """The frames of a dataset, episode after episode.

    Attributes:
        path: the dataset's folder.
        shapes: of a frame, by feature; only those that are numbers.
        lengths: ``[E]`` frames of each episode.
    """

    def __init__(self, path: Path, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self.path = path
        self._table = _read_all(path / _DATA, [*shapes, "episode_index", "frame_index"])
        there = set(self._table.column_names)
        self.shapes = {name: shape for name, shape in shapes.items() if name in there}
        episode, frame = (self._raw(name, ()) for name in ("episode_index", "frame_index"))
        self._order = np.lexsort((frame, episode))
        episode, frame = episode[self._order], frame[self._order]
        first = np.flatnonzero(np.diff(episode, prepend=episode[:1] - 1))
        self.lengths = np.diff(first, append=len(episode))
        if (frame != np.arange(len(frame)) - np.repeat(first, self.lengths)).any():
            row = int(np.argmax(frame != np.arange(len(frame)) - np.repeat(first, self.lengths)))
            raise DatasetError(
                f"{path}: episode_index {episode[row]} has no frame_index 0, 1, 2 …, or has one twice: it is damaged"
            )
        self._check_counts(np.unique(episode))

    def column(self, name: str, shape: tuple[int, ...] | None = None) -> Array:
        """A feature's frames ``[N, …]``, of its own shape or another of the same size."""
        return self._raw(name, self.shapes[name] if shape is None else shape)[self._order]

    def _raw(self, name: str, shape: tuple[int, ...]) -> Array:
        if self._table.column_names.count(name) != 1:
            raise DatasetError(f"{self.path / _DATA}: {printable(name)} is missing")
        return numbers(single(self._table.column(name)), f"{self.path / _DATA}: {printable(name)}", shape)

    def _check_counts(self, episodes: Array) -> None:
        """The frames must be those that ``meta/episodes`` lists."""
        folder = self.path / _EPISODES
        if not folder.is_dir():
            return
        table = _read_all(folder, ["episode_index", "length"])
        listed = {}
        for name in ("episode_index", "length"):
            if name not in table.column_names:
                raise DatasetError(f"{folder}: {name} is missing")
            listed[name] = numbers(single(table.column(name)), f"{folder}: {name}", ())
        order = np.argsort(listed["episode_index"])
        if not (
            np.array_equal(listed["episode_index"][order], episodes)
            and np.array_equal(listed["length"][order], self.lengths)
        ):
            raise DatasetError(
                f"{self.path}: {_DATA} holds other episodes than meta/episodes lists: it was copied in part"
            )


def logged(path: Path, info: Mapping[str, Any], options: ImportOptions, decisions: list[str]) -> Logged:
    """The rows of a dataset's features that are numbers.

    Args:
        path: the dataset's folder.
        info: its description.
        options: the spec, how episodes ended, ``reward=zero``.
        decisions: what is decided goes here.

    Raises:
        DatasetError: the dataset is damaged, or has no observations that are numbers.
        SpecError: the spec's spaces are not those of the features.
        UsageError: there are no rewards, or nobody says how episodes ended.
    """
    frames = Frames(path, _numeric(path, info, decisions))
    names = list(frames.shapes)
    observed = observation_columns(names) if options.spec is None else _given(frames, options.spec)
    if not observed or ACTION not in names:
        raise DatasetError(f"{path} has no {'actions' if observed else 'observations'} that are numbers")
    slots = {} if options.spec is None else layout.spec_slots(options.spec)
    shapes = {column: slot.shape for column, slot in slots.items()}
    columns: Columns = {column: frames.column(name, shapes.get(column)) for column, name in observed.items()}
    if all(NEXT + name in names for name in observed.values()):
        columns |= {
            f"next_{column}": frames.column(NEXT + name, shapes.get(column))
            for column, name in observed.items()
        }
    columns[layout.ACTIONS] = frames.column(ACTION, shapes.get(layout.ACTIONS))
    columns[layout.REWARDS] = _rewards(frames, options, decisions)
    for column, name in info_columns(names).items():
        if layout.is_name(column.rpartition("/")[2]):
            columns[column] = frames.column(name)
    tasks = _tasks(path)
    if len(tasks) > 1 and TASK in names:
        columns[f"{layout.INFOS}/{TASK}"] = frames.column(TASK)
    if any(values.dtype == np.float64 for values in columns.values()):
        decisions.append("float64 values became float32")
    lengths, terminated = _ends(frames, options, decisions)
    remarks = {"tasks": tasks, **{name: info[name] for name in ("fps", "robot_type") if name in info}}
    return Logged(columns, lengths, terminated, attributes={"lerobot": remarks})


def _numeric(path: Path, info: Mapping[str, Any], decisions: list[str]) -> dict[str, tuple[int, ...]]:
    """The shapes of features that are numbers, ``()`` where one is a single number; what is left out is said."""
    found: dict[str, tuple[int, ...]] = {}
    others = []
    try:
        for name, feature in info["features"].items():
            if feature["dtype"] in {"video", "image", "string"}:
                others.append(f"{name} ({feature['dtype']})")
            else:
                found[str(name)] = _shape(name, feature)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        reason = printable(" ".join(str(error).split()))[:100]
        raise DatasetError(
            f"{path}: meta/info.json does not describe the features ({reason}): the file is damaged"
        ) from error
    if others:
        decisions.append(f"{printable(', '.join(others))} were left out: only numbers are rows")
    return found


def _shape(name: str, feature: Mapping[str, Any]) -> tuple[int, ...]:
    shape = tuple(int(size) for size in feature["shape"])
    if np.dtype(feature["dtype"]).kind not in "biuf" or min(shape, default=1) < 1:
        raise ValueError(f"{name} of {feature['dtype']} and shape {shape}")
    return () if shape == (1,) and not is_vector(name) else shape


def _read_all(folder: Path, columns: list[str]) -> Any:
    """The tables of a folder's chunks, end to end."""
    files = sorted(folder.glob("*/*.parquet"))
    if not files:
        raise DatasetError(f"{folder} has no chunk-*/file-*.parquet: the dataset was copied in part")
    tables = [read_table(file, columns) for file in files]
    with arrow_errors(folder):
        return pyarrow().concat_tables(tables)


def _given(frames: Frames, spec: EnvironmentSpec) -> dict[str, str]:
    """The features that the spec's spaces ask for."""
    asked = {
        column: feature_of(column)
        for column in layout.spec_slots(spec)
        if column.partition("/")[0] in {layout.OBSERVATIONS, layout.ACTIONS}
    }
    for column, name in asked.items():
        shape = layout.spec_slots(spec)[column].shape
        if name not in frames.shapes or math.prod(frames.shapes[name]) != math.prod(shape):
            there = f"of shape {frames.shapes[name]}" if name in frames.shapes else "not there"
            raise SpecError(
                f"{frames.path}: the environment has {printable(column)} of shape {shape}, and the feature "
                f"{printable(name)} is {there}"
            )
    del asked[layout.ACTIONS]
    return asked


def _rewards(frames: Frames, options: ImportOptions, decisions: list[str]) -> Array:
    said = options.settings.get("reward")
    if REWARD in frames.shapes:
        if said is not None:
            raise UsageError(f"{frames.path} has rewards ({REWARD}): leave --set reward out")
        return frames.column(REWARD)
    if said != "zero":
        raise UsageError(f"{frames.path} has no rewards ({REWARD}): say --set reward=zero")
    decisions.append("rewards are zero, as --set reward says")
    return np.zeros(int(frames.lengths.sum()), np.float32)


def _ends(frames: Frames, options: ImportOptions, decisions: list[str]) -> tuple[Array, Array]:
    """Lengths of episodes, cut where a frame says that one is over, and which of them terminated.

    ``next.done`` alone marks how far a demonstration goes in many datasets; LeRobot's own replay buffer
    (``ReplayBuffer.from_lerobot_dataset``) takes it for a terminal, and so does this unless ``--ends`` says otherwise.
    """
    count = int(frames.lengths.sum())
    last = np.zeros(count, np.bool_)
    last[np.cumsum(frames.lengths) - 1] = True
    done, truncated = (
        flags(frames.column(name), frames.path, name) if name in frames.shapes else np.zeros(count, np.bool_)
        for name in (DONE, TRUNCATED)
    )
    if TRUNCATED not in frames.shapes:
        if options.ends is not None:
            terminated, said = say_ends(frames.lengths, options, str(frames.path))
            decisions.append(said)
            return frames.lengths, terminated
        if done.any():
            decisions.append(f"{DONE} is a terminal; --ends says otherwise of every episode")
    else:
        decisions.append(f"{TRUNCATED} is a timeout, {DONE} without it a terminal")
    told = done | truncated
    if going_on := int((told & ~last).sum()):
        decisions.append(f"episodes that go on after their end were cut there ({going_on})")
    ends = np.flatnonzero(told | last)
    lengths = np.diff(ends + 1, prepend=0)
    terminated = (done & ~truncated)[ends]
    untold = ~told[ends]
    if untold.any():
        terminated[untold], said = say_ends(lengths[untold], options, str(frames.path))
        decisions.append(f"{int(untold.sum())} episodes end without {DONE}: {said}")
    return lengths, terminated


def _tasks(path: Path) -> list[str]:
    """What is done, by ``task_index``; empty where nobody says."""
    if not (path / _TASKS).is_file():
        return []
    table = read_table(path / _TASKS)
    texts = [name for name in table.column_names if pyarrow().types.is_string(table.schema.field(name).type)]
    texts += [
        name for name in table.column_names if pyarrow().types.is_large_string(table.schema.field(name).type)
    ]
    if not texts or TASK not in table.column_names:
        raise DatasetError(f"{path / _TASKS} does not list tasks by {TASK}: the file is damaged")
    order = np.argsort(numbers(single(table.column(TASK)), f"{path / _TASKS}: {TASK}", ()))
    names = table.column(texts[0]).to_pylist()
    return [str(names[number]) for number in order]
