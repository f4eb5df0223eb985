"""Minari's HDF5 storage: a group for each episode in ``main_data.hdf5``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from vinci_offline.convert.minari.episodes import Episode, stored
from vinci_offline.convert.minari.metadata import EPISODES, Metadata
from vinci_offline.convert.minari.spaces import leaves, space_to_minari
from vinci_offline.convert.sources.hdf5 import Hdf5Tree, hdf5_tree
from vinci_offline.convert.sources.images import frames
from vinci_offline.convert.sources.new_hdf5 import new_hdf5, put
from vinci_offline.convert.trajectories import trajectories
from vinci_offline.data import layout
from vinci_offline.data.assembly.context import ImportContext
from vinci_offline.data.dataset import Dataset
from vinci_offline.data.episode_columns import SEED
from vinci_offline.errors import DatasetError
from vinci_offline.spec import BoxSpace, EnvironmentSpec
from vinci_offline.text import printable
from vinci_offline.types import Columns

_DEEPEST = 8
_INDEX = "_index_{}"


def read_episodes(metadata: Metadata, spec: EnvironmentSpec, context: ImportContext) -> Iterator[Episode]:
    """Yield the episodes that the metadata count, one after the other.

    Raises:
        DatasetError: the file is damaged, or an episode is not in it.
    """
    with hdf5_tree(metadata.folder / EPISODES) as tree:
        count, there = metadata.count("total_episodes"), set(tree.names())
        groups = [f"episode_{number}" for number in range(min(count, len(there) + 1))]
        if absent := [group for group in groups if group not in there]:
            raise DatasetError(
                f"{tree.path} has no {absent[0]}, and {metadata.file.name} counts {count}: it was copied in part"
            )
        if others := sum(name.startswith("episode_") for name in there) - len(groups):
            context.decide(f"{others} episodes were left out: {metadata.file.name} does not count them")
        images: set[str] = set()
        found: list[Episode] = []
        for group in groups:
            with context.episode():
                found.append(_episode(tree, group, metadata, spec, images))
            while found:
                yield found.pop()
        if images:
            context.decide(
                f"{', '.join(sorted(images))} were JPEG images: their pixels are not the very ones"
            )


def _episode(
    tree: Hdf5Tree, group: str, metadata: Metadata, spec: EnvironmentSpec, images: set[str]
) -> Episode:
    slots, columns = layout.spec_slots(spec), {}
    for root in (layout.OBSERVATIONS, layout.ACTIONS):
        for ours, theirs in leaves(metadata.space(root, spec), _INDEX).items():
            path, stored = f"{root}/{ours}".rstrip("/"), f"{group}/{root}/{theirs}".rstrip("/")
            space = slots[path].space
            if isinstance(space, BoxSpace) and _is_encoded(tree, stored, space):
                columns[path] = frames(tree.blobs(stored), space.shape, f"{tree.path}: {printable(stored)}")
                images.add(path)
            else:
                columns[path] = tree.array(stored)
    seed = tree.attributes(group).get("seed")
    known = isinstance(seed, int) and not isinstance(seed, bool) and abs(seed) < 2**63
    return Episode(
        f"{tree.path}: {group}",
        {path: values for path, values in columns.items() if path != layout.ACTIONS},
        {
            layout.ACTIONS: columns[layout.ACTIONS],
            layout.REWARDS: tree.array(f"{group}/{layout.REWARDS}"),
        },
        tree.array(f"{group}/terminations"),
        tree.array(f"{group}/truncations"),
        _infos(tree, f"{group}/{layout.INFOS}"),
        seed if known else None,
    )


def _is_encoded(tree: Hdf5Tree, path: str, space: BoxSpace) -> bool:
    """Tell whether images are stored as rows of bytes; Minari does so from 32 x 32 pixels on."""
    return space.dtype == "uint8" and len(space.shape) in {2, 3} and len(tree.shape(path)) in {1, 2}


def _infos(tree: Hdf5Tree, group: str, depth: int = 0) -> Columns:
    """Return arrays of numbers by path; leave texts out."""
    found: Columns = {}
    for name in tree.names(group) if depth < _DEEPEST else ():
        path = f"{group}/{name}"
        if not tree.has(path):
            found |= {f"{name}/{key}": values for key, values in _infos(tree, path, depth + 1).items()}
        elif tree.is_numbers(path):
            found[name] = tree.array(path)
    return found


def write_episodes(dataset: Dataset, folder: Path, storage: str) -> int:
    """Write a dataset's episodes, and return their number. ``storage`` is always ``hdf5``; see `arrow.write_episodes`.

    Raises:
        VinciError: the disk is full or fails.
    """
    number, names = -1, leaves(space_to_minari(dataset.spec.observation_space), _INDEX)
    paths = {f"{layout.OBSERVATIONS}/{ours}": f"{layout.OBSERVATIONS}/{part}" for ours, part in names.items()}
    with new_hdf5(folder / EPISODES, overwrite=False) as file:
        for number, each in enumerate(trajectories(dataset)):
            group = file.create_group(f"episode_{number}")
            group.attrs.update({"id": number, "total_steps": len(each)})
            if SEED in each.facts:
                group.attrs["seed"] = int(each.facts[SEED])
            for path, values in stored(each, dataset.spec).items():
                put(group, paths.get(path, path), values, chunks=True, maxshape=(None, *values.shape[1:]))
    return number + 1
