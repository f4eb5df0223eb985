"""Sizes in bytes, as people write them."""

from __future__ import annotations

import re

from vinci_offline.errors import UsageError

_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


def parse_bytes(size: str | int, option: str) -> int:
    """Return a size in bytes: ``2GiB`` is 2 * 1024**3, ``2GB`` is 2 * 1000**3, a plain number counts bytes.

    Args:
        size: the text, or a number of bytes. Fractions and spaces are allowed.
        option: name of the option, for the message.

    Raises:
        UsageError: the text is no size, or the size is below one byte.
    """
    match = re.fullmatch(r"([0-9_]*\.?[0-9_]+)\s*([kmgt]?)(i?)b?", str(size).strip().lower())
    if match is not None and (match[2] or not match[3]):
        try:
            count = int(float(match[1]) * (1024 if match[3] else 1000) ** _POWERS[match[2]])
        except ValueError:
            count = 0
        if count >= 1:
            return count
    raise UsageError(f"{option} {size!r} is no size: write for instance 512MiB, 2GB, or a number of bytes")
