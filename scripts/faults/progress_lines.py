"""Tell the lines of progress, which commands show where standard error is no terminal, from what they say."""

from __future__ import annotations

import re

_PROGRESS = re.compile(
    r"compiling$|compiled in |step [\d,]+( of [\d,]+,|: return )|recorded |evaluated |.*, since \d+ (s|min)$"
)


def without_progress(text: str) -> str:
    """Return the other lines."""
    return "".join(line for line in text.splitlines(keepends=True) if not _PROGRESS.match(line))
