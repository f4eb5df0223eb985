"""Find datasets in a stranger's HDF5 file, and check that their values can be read safely."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import h5py

from vinci_offline.data.problem import Problem

_DEEPEST = 8
_LARGEST_CHUNK = 2**26
_BLOSC2 = 32026
# Deflate cannot do better than 1032:1; Blosc2 stores a constant chunk in a few dozen bytes.
_BEST_RATIO = {h5py.h5z.FILTER_DEFLATE: 1100, h5py.h5z.FILTER_LZF: 300, _BLOSC2: 100_000}


def datasets_below(
    group: h5py.Group, path: str, problems: list[Problem], depth: int = 0
) -> Iterator[tuple[str, Any]]:
    """Yield every dataset at or below ``path``, over hard links alone.

    Args:
        group: the group that holds the last name of ``path``.
        path: where to look.
        problems: links and groups that are not followed are added here.
        depth: how deep the search is already.
    """
    name = path.rpartition("/")[2]
    link = group.get(name, getlink=True)
    if link is None:
        return
    if not isinstance(link, h5py.HardLink):
        kind = "an external" if isinstance(link, h5py.ExternalLink) else "a soft"
        problems.append(Problem(path, f"{kind} link, which is not followed", "copy the data into this file"))
        return
    node = group[name]
    if isinstance(node, h5py.Dataset):
        yield path, node
    elif isinstance(node, h5py.Group) and depth < _DEEPEST:
        for key in sorted(node):
            yield from datasets_below(node, f"{path}/{key}", problems, depth + 1)
    else:
        what = "groups nested too deep" if isinstance(node, h5py.Group) else "neither a dataset nor a group"
        problems.append(Problem(path, what, "a dataset has arrays here: see docs/format.md"))


def unreadable(path: str, dataset: Any, *, flag: bool = False) -> Problem | None:
    """Return why the values of a dataset cannot be read from this file, or None.

    Args:
        path: the dataset's path, for the message.
        dataset: the dataset.
        flag: True for a column of flags, which are no floating-point numbers.
    """
    # First, as HDF5 opens the files that a virtual dataset names to tell its shape.
    if dataset.is_virtual or dataset.external:
        return Problem(
            path, "its values lie in other files, which are not read", "copy the data into this file"
        )
    dtype = dataset.dtype
    if dataset.shape is None or dataset.shape == ():
        return Problem(path, "a single value, not an array with a row a transition", "see docs/format.md")
    if dtype.kind not in ("biu" if flag else "biuf") or dtype.subdtype is not None:
        wanted = "booleans" if flag else "numbers"
        return Problem(path, f"dtype {dtype} where {wanted} are expected", "convert the column")
    return _unavailable_filter(path, dataset) or _unbacked(path, dataset) or _unwieldy(path, dataset)


def _unwieldy(path: str, dataset: Any) -> Problem | None:
    """Return a problem for huge compressed chunks: any block that is read of one unfolds it whole."""
    size = math.prod(dataset.chunks or ()) * dataset.dtype.itemsize
    if size <= _LARGEST_CHUNK or not dataset.id.get_create_plist().get_nfilters():
        return None
    what = f"compressed in chunks of {size:,} bytes, of which any part needs the whole"
    return Problem(path, what, f"write it anew in chunks of at most {_LARGEST_CHUNK:,} bytes")


def _unavailable_filter(path: str, dataset: Any) -> Problem | None:
    """Return a problem for a compression filter that is not installed."""
    plist = dataset.id.get_create_plist()
    codes = [plist.get_filter(index)[0] for index in range(plist.get_nfilters())]
    if _BLOSC2 in codes and not h5py.h5z.filter_avail(_BLOSC2):
        try:
            import hdf5plugin  # noqa: F401 - registers its filters
        except ImportError:
            advice = "install hdf5plugin: pip install 'vinci-offline[blosc2]'"
            return Problem(path, "compressed with blosc2", advice)
    unknown = [code for code in codes if not h5py.h5z.filter_avail(code)]
    return (
        Problem(path, f"HDF5 filter {unknown[0]} is not available", "install its plugin") if unknown else None
    )


def _unbacked(path: str, dataset: Any) -> Problem | None:
    """Return a problem for a size that the file's bytes cannot hold: reading would allocate what a stranger wrote."""
    declared = math.prod(dataset.shape) * dataset.dtype.itemsize
    stored = dataset.id.get_storage_size()
    plist = dataset.id.get_create_plist()
    ratio = math.prod(_BEST_RATIO.get(plist.get_filter(i)[0], 1) for i in range(plist.get_nfilters()))
    if declared <= stored * ratio:
        return None
    what = f"{dataset.shape} {dataset.dtype} is declared ({declared:,} bytes) and {stored:,} bytes are stored"
    return Problem(path, what, "the file is damaged or was never finished")
