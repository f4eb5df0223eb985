"""Find datasets in a stranger's HDF5 file, and check that their values can be read safely."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py

from vinci_offline.budget import STREAMED_FLOOR, STREAMED_RATIO, TRUST, size_text, trusted
from vinci_offline.data.hdf5.chunks import BLOSC2, chunk_fault
from vinci_offline.data.problem import Problem

_DEEPEST = 8
_LARGEST_CHUNK = 2**26
_LARGEST_ROW = 2**25
"""Bytes of one row, of which a block has at least one; its statistics take eight times as much."""
# Deflate cannot do better than 1032:1; Blosc2 stores a constant chunk in a few dozen bytes.
_BEST_RATIO = {h5py.h5z.FILTER_DEFLATE: 1100, h5py.h5z.FILTER_LZF: 300, BLOSC2: 100_000}


def datasets_below(
    group: h5py.Group, path: str, problems: list[Problem], seen: set[int] | None = None, depth: int = 0
) -> Iterator[tuple[str, Any]]:
    """Yield every dataset at or below ``path``, over hard links alone. Each group is entered once.

    Args:
        group: the group that holds the last name of ``path``.
        path: where to look.
        problems: links and groups that are not followed are added here.
        seen: the addresses of the groups that were entered already.
        depth: how deep the search is already.
    """
    name, seen = path.rpartition("/")[2], set() if seen is None else seen
    encoded = name.encode(errors="surrogateescape")
    if not group.id.links.exists(encoded):
        return
    link = group.id.links.get_info(encoded)
    if link.type != h5py.h5l.TYPE_HARD:
        kind = "an external" if link.type == h5py.h5l.TYPE_EXTERNAL else "a soft"
        problems.append(Problem(path, f"{kind} link, which is not followed", "copy the data into this file"))
        return
    node = group[name]
    if isinstance(node, h5py.Dataset):
        yield path, node
    elif isinstance(node, h5py.Group) and depth < _DEEPEST:
        # Links that meet again make exponentially many paths of a few groups.
        if link.u in seen:
            problems.append(Problem(path, "a group that another path leads to", "link each group once"))
            return
        seen.add(link.u)
        for key in sorted(node):
            yield from datasets_below(node, f"{path}/{key}", problems, seen, depth + 1)
    else:
        what = "groups nested too deep" if isinstance(node, h5py.Group) else "neither a dataset nor a group"
        problems.append(Problem(path, what, "a dataset has arrays here: see docs/format.md"))


def unreadable(path: str, dataset: Any, *, flag: bool = False, turned: bool = False) -> Problem | None:
    """Return why the values of a dataset cannot be read from this file, or None.

    Args:
        path: the dataset's path, for the message.
        dataset: the dataset.
        flag: True for a column of flags, which are no floating-point numbers.
        turned: its last axis counts the rows.
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
    # The number of chunks first: HDF5 walks through all of them to tell the bytes that are stored.
    return (
        _unavailable_filter(path, dataset)
        or _impossible_chunks(path, dataset)
        or _unbacked(path, dataset)
        or _unwieldy(path, dataset, turned=turned)
    )


def unfolded_problem(path: Path, size: int) -> Problem | None:
    """Return a problem for columns that unfold to far more than the file's bytes, even if they are read in blocks.

    Args:
        path: the file.
        size: the bytes of all columns together.
    """
    present = path.stat().st_size
    if size <= max(STREAMED_FLOOR, STREAMED_RATIO * present) or trusted():
        return None
    what = f"all together unfold to {size_text(size)}, and the file has {size_text(present)}"
    return Problem("columns", what, TRUST)


def _impossible_chunks(path: str, dataset: Any) -> Problem | None:
    fault = chunk_fault(dataset, dataset.file.id.get_filesize())
    return Problem(path, fault, "the file is damaged: copy or record it again") if fault else None


def _unwieldy(path: str, dataset: Any, *, turned: bool) -> Problem | None:
    """Return a problem for huge rows, or huge compressed chunks: any block that is read of one unfolds it whole."""
    row = math.prod(dataset.shape[:-1] if turned else dataset.shape[1:]) * dataset.dtype.itemsize
    if row > _LARGEST_ROW and not trusted():
        return Problem(
            path, f"one row takes {size_text(row)}, at most {size_text(_LARGEST_ROW)} are read", TRUST
        )
    size = math.prod(dataset.chunks or ()) * dataset.dtype.itemsize
    if size <= _LARGEST_CHUNK or not dataset.id.get_create_plist().get_nfilters():
        return None
    what = f"compressed in chunks of {size:,} bytes, of which any part needs the whole"
    return Problem(path, what, f"write it anew in chunks of at most {_LARGEST_CHUNK:,} bytes")


def _unavailable_filter(path: str, dataset: Any) -> Problem | None:
    """Return a problem for a compression filter that is not installed."""
    plist = dataset.id.get_create_plist()
    codes = [plist.get_filter(index)[0] for index in range(plist.get_nfilters())]
    if BLOSC2 in codes and not h5py.h5z.filter_avail(BLOSC2):
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
    stored = min(dataset.id.get_storage_size(), dataset.file.id.get_filesize())
    plist = dataset.id.get_create_plist()
    ratio = math.prod(_BEST_RATIO.get(plist.get_filter(i)[0], 1) for i in range(plist.get_nfilters()))
    if declared <= stored * ratio:
        return None
    what = f"{dataset.shape} {dataset.dtype} is declared ({declared:,} bytes) and {stored:,} bytes are stored"
    return Problem(path, what, "the file is damaged or was never finished")
