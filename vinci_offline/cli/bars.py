"""Bars in a terminal, drawn in eighths of a character, or in whole ones where the encoding has no eighths."""

from __future__ import annotations

import sys
from collections.abc import Sequence

_EIGHTHS = " ▏▎▍▌▋▊▉█"
_WIDTH = 32


def bars(values: Sequence[float], width: int = _WIDTH) -> list[str]:
    """Return a bar for each value. The largest is ``width`` characters wide; a value above zero has a visible bar."""
    most = max(values, default=0)
    drawn = _unicode if _has_blocks() else _ascii
    return [drawn(value / most * width if most > 0 else 0.0) for value in values]


def _has_blocks() -> bool:
    try:
        _EIGHTHS.encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _unicode(length: float) -> str:
    eighths = max(round(length * 8), 1 if length > 0 else 0)
    return _EIGHTHS[8] * (eighths // 8) + (_EIGHTHS[eighths % 8] if eighths % 8 else "")


def _ascii(length: float) -> str:
    return "#" * max(round(length), 1 if length > 0 else 0)
