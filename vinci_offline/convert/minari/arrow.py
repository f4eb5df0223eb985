"""Minari's Arrow and Parquet storages: a folder for each episode, named by its number."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vinci_offline.convert.minari.episodes import Episode, stored
from vinci_offline.convert.minari.metadata import METADATA, Metadata
from vinci_offline.convert.minari.spaces import leaves
from vinci_offline.convert.sources.arrow import (
    arrow_errors,
    lists,
    numbers,
    part,
    pyarrow,
    read_table,
    single,
)
from vinci_offline.convert.sources.folders import read_json
from vinci_offline.convert.sources.images import frames
from vinci_offline.convert.trajectories import trajectories
from vinci_offline.data import layout
from vinci_offline.data.assembly.context import ImportContext
from vinci_offline.data.dataset import Dataset
from vinci_offline.data.episode_columns import SEED
from vinci_offline.errors import DatasetError
from vinci_offline.spec import BoxSpace, EnvironmentSpec
from vinci_offline.text import printable
from vinci_offline.types import Array, Columns

STORAGES = ("arrow", "parquet")

_DEEPEST = 8
_SHAPE = b"shape"
_FLAGS = ("terminations", "truncations")


def read_episodes(metadata: Metadata, spec: EnvironmentSpec, context: ImportContext) -> Iterator[Episode]:
    """Yield the episodes that the metadata count, one after the other.

    Raises:
        DatasetError: a file is damaged or missing.
        UsageError: pyarrow is not installed.
    """
    count = metadata.count("total_episodes")
    there = {int(each.name) for each in metadata.folder.iterdir() if each.is_dir() and each.name.isdecimal()}
    if absent := [number for number in range(min(count, len(there) + 1)) if number not in there]:
        raise DatasetError(
            f"{metadata.folder} has no episode {absent[0]}, and {metadata.file.name} counts {count}: it was copied in "
            "part"
        )
    if others := len(there) - count:
        context.decide(f"{others} episodes were left out: {metadata.file.name} does not count them")
    images: set[str] = set()
    found: list[Episode] = []
    for number in range(count):
        with context.episode():
            found.append(_episode(metadata.folder / str(number), metadata, spec, images))
        while found:
            yield found.pop()
    if images:
        context.decide(f"{', '.join(sorted(images))} were JPEG images: their pixels are not the very ones")


def _episode(folder: Path, metadata: Metadata, spec: EnvironmentSpec, images: set[str]) -> Episode:
    suffix = f".{metadata.entries['data_format']}"
    files = sorted(
        (each for each in folder.iterdir() if each.suffix == suffix),
        key=lambda each: (len(each.name), each.name),
    )
    if not files:
        raise DatasetError(f"{folder} has no {suffix} file: it was copied in part")
    tables = [read_table(each) for each in files]
    with arrow_errors(folder):
        table = pyarrow().concat_tables(tables)
    where = str(files[0])
    slots, columns = layout.spec_slots(spec), {}
    for root in (layout.OBSERVATIONS, layout.ACTIONS):
        for ours, theirs in leaves(metadata.space(root, spec), "{}").items():
            path = f"{root}/{ours}".rstrip("/")
            values = _column(table, root, where)
            for name in theirs.split("/") if theirs else ():
                if (values := part(values, name)) is None:
                    raise DatasetError(f"{where}: {printable(path)} is missing")
            if root == layout.ACTIONS:
                values = values[:-1]
            space = slots[path].space
            if isinstance(space, BoxSpace) and pyarrow().types.is_binary(values.type):
                columns[path] = frames(
                    [value.as_py() or b"" for value in values], space.shape, f"{where}: {path}"
                )
                images.add(path)
            else:
                columns[path] = numbers(values, f"{where}: {printable(path)}", slots[path].shape)
    steps = {
        name: numbers(_column(table, name, where)[:-1], f"{where}: {name}")
        for name in (layout.REWARDS, *_FLAGS)
    }
    infos: Columns = {}
    if layout.INFOS in table.column_names:
        infos = _infos(_column(table, layout.INFOS, where), where)
    return Episode(
        where,
        {path: values for path, values in columns.items() if path != layout.ACTIONS},
        {layout.ACTIONS: columns[layout.ACTIONS], layout.REWARDS: steps[layout.REWARDS]},
        steps["terminations"],
        steps["truncations"],
        infos,
        _seed(folder / METADATA),
    )


def _column(table: Any, name: str, where: str) -> Any:
    if table.column_names.count(name) != 1:
        raise DatasetError(f"{where}: {name} is missing")
    return single(table.column(name))


def _infos(values: Any, where: str, depth: int = 0) -> Columns:
    """Return arrays of numbers by path; leave all else out."""
    found: Columns = {}
    if depth >= _DEEPEST or not pyarrow().types.is_struct(values.type):
        return found
    for field in values.type:
        inner = part(values, field.name)
        if inner is None or not layout.is_name(field.name):
            continue
        if pyarrow().types.is_struct(field.type):
            found |= {f"{field.name}/{key}": array for key, array in _infos(inner, where, depth + 1).items()}
            continue
        try:
            rows = numbers(inner, where)
            text = (field.metadata or {}).get(_SHAPE)
            shape = (
                rows.shape[1:] if text is None else [int(size) for size in text.decode().split(",") if size]
            )
            found[field.name] = rows.reshape(len(rows), *shape)
        except (DatasetError, ValueError):
            continue
    return found


def _seed(path: Path) -> int | None:
    """Return the episode's seed; None if there is none."""
    try:
        seed = read_json(path).get("seed")
    except DatasetError:
        return None
    return seed if isinstance(seed, int) and not isinstance(seed, bool) and abs(seed) < 2**63 else None


def write_episodes(dataset: Dataset, folder: Path, storage: str) -> int:
    """Write a dataset's episodes, and return their number.

    Args:
        dataset: the rows.
        folder: where to.
        storage: ``arrow`` or ``parquet``.

    Raises:
        UsageError: pyarrow is not installed.
    """
    pa, number = pyarrow(), -1
    for number, each in enumerate(trajectories(dataset)):
        place = folder / str(number)
        place.mkdir()
        table = pa.Table.from_batches([_batch(stored(each, dataset.spec), len(each), dataset.spec)])
        file = place / f"part-0.{storage}"
        if storage == "parquet":
            pa.parquet.write_table(table, file)
        else:
            with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
                writer.write_table(table)
        known: dict[str, Any] = {"id": number, "total_steps": len(each)}
        if SEED in each.facts:
            known["seed"] = int(each.facts[SEED])
        (place / METADATA).write_text(json.dumps(known), encoding="utf-8")
    return number + 1


def _batch(columns: Mapping[str, Array], steps: int, spec: EnvironmentSpec) -> Any:
    """Return an episode as a batch of T + 1 rows. Columns of T rows end in a row of zeros, as in Minari."""
    slots, pa = layout.spec_slots(spec), pyarrow()
    tree: dict[str, Any] = {}
    for path, rows in columns.items():
        values = rows if len(rows) > steps else np.concatenate([rows, np.zeros_like(rows[:1])])
        as_lists = values.ndim > 1 or (path in slots and isinstance(slots[path].space, BoxSpace))
        array, remark = (lists(values), {}) if as_lists else (pa.array(values), {})
        if path.startswith(f"{layout.INFOS}/") and values.ndim > 1:
            remark = {_SHAPE: ",".join(map(str, values.shape[1:])).encode()}
        *groups, name = path.split("/")
        place = tree
        for group in groups:
            place = place.setdefault(group, {})
        place[name] = (array, remark)
    return pa.RecordBatch.from_struct_array(_struct(tree))


def _struct(tree: Mapping[str, Any]) -> Any:
    pa = pyarrow()
    arrays, fields = [], []
    for name, node in tree.items():
        array, remark = (_struct(node), {}) if isinstance(node, dict) else node
        arrays.append(array)
        fields.append(pa.field(name, array.type, metadata=remark or None))
    return pa.StructArray.from_arrays(arrays, fields=fields)
