"""Publishing files whole: a reader sees the old content or the new, whenever the writer dies."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vinci_offline.errors import UsageError, VinciError

_UNFINISHED = re.compile(r"^\..*\.\d+\.tmp(\.\w+)?$")


@contextmanager
def published(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path`` to write to; on leaving it replaces ``path`` in one step.

    An exception removes the temporary file and leaves ``path`` as it was. The temporary name keeps the suffix,
    which some writers choose their format by.

    Raises:
        VinciError: the disk is full.
    """
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            free = shutil.disk_usage(path.parent).free // 2**20
            raise VinciError(
                f"no room left to write {path} ({free} MiB free there): free some space and run the command again"
            ) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


def refuse_existing(path: Path, *, overwrite: bool) -> None:
    """Keep a file that is there, and any folder.

    Raises:
        UsageError: there is a folder of that name, or a file and ``overwrite`` is not set.
    """
    if path.is_dir():
        raise UsageError(f"{path} is a directory: name a file in it")
    if path.exists() and not overwrite:
        raise UsageError(f"{path} exists already: choose another name or pass --overwrite")


def drop_unfinished(folder: Path) -> None:
    """Remove what writers that were killed before publishing left in ``folder`` and below."""
    for path in folder.rglob(".*.tmp*"):
        if _UNFINISHED.search(path.name):
            path.unlink(missing_ok=True)


def publish_text(path: Path, text: str) -> None:
    """Replace the content of ``path`` in one step."""
    with published(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
