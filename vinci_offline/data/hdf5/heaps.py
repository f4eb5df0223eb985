"""HDF5's global heaps, which hold texts of variable length. HDF5 reads some damaged heaps for ever."""

from __future__ import annotations

from pathlib import Path

from vinci_offline.errors import DatasetError

_WHOLE = 2**24
"""Files up to this size are searched whole; larger ones at both ends, where writers put texts."""
_END = 2**20
_HEADER = 16
_SIGNATURE = b"GCOL\x01"


def check_heaps(path: Path) -> None:
    """Refuse a file with a damaged global heap.

    HDF5 1.14 reads a heap object after object, and for ever if a free space has no size. The layout is that of
    https://support.hdfgroup.org/documentation/hdf5/latest/_f_m_t3.html, section III.E.

    Raises:
        DatasetError: a heap is damaged.
    """
    with path.open("rb") as file:
        size = path.stat().st_size
        parts = [(0, size)] if size <= _WHOLE else [(0, _END), (size - _END, _END)]
        for first, length in parts:
            steps = 0
            file.seek(first)
            content = file.read(length)
            place = content.find(_SIGNATURE)
            while place >= 0:
                objects = _objects(content, place)
                steps += objects or 0
                # Heaps do not overlap; those that a stranger nests would take quadratic time.
                if objects is None or steps > len(content) // 4:
                    where = first + place
                    raise DatasetError(
                        f"{path} is damaged (the heap of texts at byte {where}): copy or record it again"
                    )
                place = content.find(_SIGNATURE, place + 1)


def _objects(content: bytes, start: int) -> int | None:
    """Return the number of objects of a heap, as far as ``content`` holds it, or None where they do not fill it.

    HDF5 itself refuses a cut heap.
    """
    end = start + _number(content, start + 8)
    place, count = start + _HEADER, 0
    while place + _HEADER <= min(end, len(content)):
        index, size = int.from_bytes(content[place : place + 2], "little"), _number(content, place + 8)
        taken = _HEADER + (size + 7) // 8 * 8 if index else size
        if taken < _HEADER or taken > end - place:
            return None
        place, count = place + taken, count + 1
    return count


def _number(content: bytes, place: int) -> int:
    return int.from_bytes(content[place : place + 8], "little")
