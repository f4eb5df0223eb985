"""LeRobot's features as columns, and how its episodes ended."""

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
from vinci_offline.convert.lerobot.frames import Frames
from vinci_offline.convert.sources.arrow import numbers, pyarrow, read_table, single
from vinci_offline.convert.sources.folders import read_json_lines
from vinci_offline.data import layout
from vinci_offline.data.assembly.context import ImportContext
from vinci_offline.data.assembly.ends import lengths_of, say_ends
from vinci_offline.data.assembly.flat import flag_column
from vinci_offline.data.assembly.lazy import zeros
from vinci_offline.data.assembly.logged import Logged
from vinci_offline.data.columns import Column
from vinci_offline.errors import DatasetError, SpecError, UsageError
from vinci_offline.spec import EnvironmentSpec
from vinci_offline.text import printable
from vinci_offline.types import Array

_TASKS = Path("meta", "tasks.parquet")
_TASK_LINES = Path("meta", "tasks.jsonl")
"""Of version 2."""


def logged(path: Path, info: Mapping[str, Any], context: ImportContext) -> Logged:
    """Return the rows of a dataset's features that are numbers.

    Args:
        path: the dataset's folder.
        info: its description.
        context: the import; its options have the spec, how episodes ended, ``reward=zero``.

    Raises:
        DatasetError: the dataset is damaged, or has no observations that are numbers.
        SpecError: the spec's spaces are not those of the features.
        UsageError: there are no rewards, or the ends of episodes are unknown.
    """
    spec = context.options.spec
    frames = Frames(path, _numeric(path, info, context), context)
    names = list(frames.shapes)
    observed = observation_columns(names) if spec is None else _given(frames, spec)
    if not observed or ACTION not in names:
        raise DatasetError(f"{path} has no {'actions' if observed else 'observations'} that are numbers")
    slots = {} if spec is None else layout.spec_slots(spec)
    shapes = {column: slot.shape for column, slot in slots.items()}
    columns = {column: frames.column(name, shapes.get(column)) for column, name in observed.items()}
    if all(NEXT + name in names for name in observed.values()):
        columns |= {
            f"next_{column}": frames.column(NEXT + name, shapes.get(column))
            for column, name in observed.items()
        }
    columns[layout.ACTIONS] = frames.column(ACTION, shapes.get(layout.ACTIONS))
    columns[layout.REWARDS] = _rewards(frames, context)
    for column, name in info_columns(names).items():
        if layout.is_name(column.rpartition("/")[2]):
            columns[column] = frames.column(name)
    tasks = _tasks(path)
    if len(tasks) > 1 and TASK in names:
        columns[f"{layout.INFOS}/{TASK}"] = frames.column(TASK)
    lengths, terminated = _ends(frames, context)
    remarks = {"tasks": tasks, **{name: info[name] for name in ("fps", "robot_type") if name in info}}
    return Logged(columns, lengths, terminated, attributes={"lerobot": remarks})


def _numeric(path: Path, info: Mapping[str, Any], context: ImportContext) -> dict[str, tuple[int, ...]]:
    """Return the shapes of features that are numbers, ``()`` where one is a single number; say what is left out."""
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
        context.decide(f"{printable(', '.join(others))} were left out: only numbers are rows")
    return found


def _shape(name: str, feature: Mapping[str, Any]) -> tuple[int, ...]:
    shape = tuple(int(size) for size in feature["shape"])
    if np.dtype(feature["dtype"]).kind not in "biuf" or min(shape, default=1) < 1:
        raise ValueError(f"{name} of {feature['dtype']} and shape {shape}")
    return () if shape == (1,) and not is_vector(name) else shape


def _given(frames: Frames, spec: EnvironmentSpec) -> dict[str, str]:
    """Return the features that the spec's spaces ask for, by column."""
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


def _rewards(frames: Frames, context: ImportContext) -> Column:
    said = context.setting("reward")
    if REWARD in frames.shapes:
        if said is not None:
            raise UsageError(f"{frames.path} has rewards ({REWARD}): leave --set reward out")
        return frames.column(REWARD)
    if said != "zero":
        raise UsageError(f"{frames.path} has no rewards ({REWARD}): say --set reward=zero")
    context.decide("rewards are zero, as --set reward says")
    return zeros(int(frames.lengths.sum()))


def _ends(frames: Frames, context: ImportContext) -> tuple[Array, Array]:
    """Return lengths of episodes, cut where a frame says that one is over, and which of them terminated.

    ``next.done`` alone marks how far a demonstration goes in many datasets; LeRobot's own replay buffer
    (``ReplayBuffer.from_lerobot_dataset``) takes it for a terminal, and so does this unless ``--ends`` says otherwise.
    """
    count = int(frames.lengths.sum())
    last = np.zeros(count, np.bool_)
    last[np.cumsum(frames.lengths) - 1] = True
    done, truncated = (
        flag_column(frames.column(name), context, name)
        if name in frames.shapes
        else np.zeros(count, np.bool_)
        for name in (DONE, TRUNCATED)
    )
    if TRUNCATED not in frames.shapes:
        if context.options.ends is not None:
            terminated, said = say_ends(frames.lengths, context)
            context.decide(said)
            return frames.lengths, terminated
        if done.any():
            context.decide(f"{DONE} is a terminal; --ends says otherwise of every episode")
    else:
        context.decide(f"{TRUNCATED} is a timeout, {DONE} without it a terminal")
    told = done | truncated
    if going_on := int((told & ~last).sum()):
        context.decide(f"episodes that go on after their end were cut there ({going_on})")
    ends = told | last
    lengths, terminated, untold = lengths_of(ends), (done & ~truncated)[ends], ~told[ends]
    if untold.any():
        terminated[untold], said = say_ends(lengths[untold], context)
        context.decide(f"{int(untold.sum())} episodes end without {DONE}: {said}")
    return lengths, terminated


def _tasks(path: Path) -> list[str]:
    """Return the tasks by ``task_index``; empty if the dataset lists none."""
    if (path / _TASK_LINES).is_file():
        listed = {each.get(TASK): each.get("task") for each in read_json_lines(path / _TASK_LINES)}
        if set(listed) != set(range(len(listed))):
            raise DatasetError(f"{path / _TASK_LINES} does not list tasks by {TASK}: the file is damaged")
        return [str(listed[number]) for number in range(len(listed))]
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
