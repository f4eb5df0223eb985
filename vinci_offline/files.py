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
        _explain_full(path, error)
        raise
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def published_folder(path: Path) -> Iterator[Path]:
    """A temporary folder beside ``path`` to fill; on leaving it takes the place of ``path``, whole.

    An exception removes it and leaves ``path`` as it was. What was at ``path`` is removed once its successor stands
    there; a folder cannot be replaced in one step, so whoever is killed just then leaves it there, under a hidden name.

    Raises:
        VinciError: the disk is full.
    """
    temporary, aside = (
        path.with_name(f".{path.name}.{os.getpid()}.{word}") for word in ("unfinished", "replaced")
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.mkdir()
        yield temporary
        for each in temporary.rglob("*"):
            if each.is_file():
                with each.open("rb+") as file:
                    os.fsync(file.fileno())
        if path.exists():
            path.rename(aside)
        try:
            temporary.rename(path)
        except OSError:
            if aside.exists():
                aside.rename(path)
            raise
        shutil.rmtree(aside, ignore_errors=True)
    except OSError as error:
        _explain_full(path, error)
        raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _explain_full(path: Path, error: OSError) -> None:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        free = shutil.disk_usage(path.parent).free // 2**20
        raise VinciError(
            f"no room left to write {path} ({free} MiB free there): free some space and run the command again"
        ) from error


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
