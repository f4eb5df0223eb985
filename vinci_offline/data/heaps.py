"""HDF5's global heaps, where texts of variable length lie: some damaged ones keep the library for ever."""

from __future__ import annotations

import mmap
from pathlib import Path

from vinci_offline.errors import DatasetError

_WHOLE = 2**26
"""Files up to this size are searched whole; of larger ones both ends, where a writer puts what it writes last."""
_END = 2**22
_HEADER = 16


def check_heaps(path: Path) -> None:
    """Refuse a file one of whose global heaps does not add up.

    HDF5 1.14 reads a heap object after object, and for ever where one of free space has no size. The layout is that
    of https://support.hdfgroup.org/documentation/hdf5/latest/_f_m_t3.html, section III.E.

    Raises:
        DatasetError: the heap is damaged.
    """
    with path.open("rb") as file:
        try:
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (ValueError, OSError):  # an empty file, which others refuse
            return
    with content:
        size = len(content)
        parts = [(0, size)] if size <= _WHOLE else [(0, _END), (size - _END, size)]
        for first, last in parts:
            place = content.find(b"GCOL\x01", first, last)
            while place >= 0:
                if not _adds_up(content, place):
                    raise DatasetError(
                        f"{path} is damaged (the heap of texts at byte {place}): copy or record it again"
                    )
                place = content.find(b"GCOL\x01", place + 1, last)


def _adds_up(content: mmap.mmap, start: int) -> bool:
    """Whether the objects of a heap fill it; a heap beyond the file's end is for HDF5 to refuse."""
    end = start + _number(content, start + 8)
    place = start + _HEADER
    while place + _HEADER <= min(end, len(content)):
        index, size = int.from_bytes(content[place : place + 2], "little"), _number(content, place + 8)
        taken = _HEADER + (size + 7) // 8 * 8 if index else size
        if taken < _HEADER or taken > end - place:
            return False
        place += taken
    return True


def _number(content: mmap.mmap, place: int) -> int:
    return int.from_bytes(content[place : place + 8], "little")
