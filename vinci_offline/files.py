"""Publish files whole: a reader sees the old content or the new, whenever the writer dies.

Everything that the package writes goes through `published` or `published_folder`. Both write under a hidden temporary
name beside the target, flush to the disk, rename, and flush the folder. `drop_unfinished` removes what a
killed writer left.
"""

from __future__ import annotations

import errno
import glob
import os
import re
import secrets
import shutil
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vinci_offline.errors import UsageError, VinciError

_DISK_ERRORS = {
    errno.EIO,
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EROFS,
    errno.EFBIG,
    errno.ENXIO,
    errno.ENODEV,
    errno.ESTALE,
    errno.ETIMEDOUT,
}
"""What a disk reports of a write, wherever the file is; other errors are those of a name or of a permission."""
_own: deque[Path] = deque(maxlen=64)
"""Temporary names that this process gave last."""
_UNFINISHED = re.compile(r"\..+\.[0-9a-f]{8}\.tmp(\.[^.]+)?", re.DOTALL)


@contextmanager
def published(path: Path, *, overwrite: bool = True) -> Iterator[Path]:
    """Give a temporary path beside ``path`` to write to; on leaving, it replaces ``path`` in one step.

    An exception removes the temporary file and leaves ``path`` as it was. The temporary name keeps the suffix, because
    some writers choose their format by it.

    Args:
        path: the file; its folder exists.
        overwrite: replace an existing file; otherwise one that appeared meanwhile is kept.

    Raises:
        UsageError: a file appeared under the name and ``overwrite`` is not set, or ``path`` is a folder.
        VinciError: the disk is full or fails.
    """
    temporary = _beside(path, f"tmp{path.suffix}")
    with _disk_explained(path):
        try:
            yield temporary
            _flush(temporary)
            refuse_existing(path, overwrite=overwrite)
            is_new = not path.exists()
            temporary.replace(path)
            try:
                _flush_folder(path.parent)
            except OSError:
                # A file that replaced another stays: it is whole, and the other one is gone.
                if is_new:
                    path.unlink(missing_ok=True)
                raise
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def published_folder(path: Path) -> Iterator[Path]:
    """Give a temporary folder beside ``path`` to fill; on leaving, it takes the place of ``path``.

    An exception removes it and leaves ``path`` as it was. The old folder is removed after the new one stands in its
    place. A folder cannot be replaced in one step: a writer killed at that moment leaves the old folder under a hidden
    name that ends in ``.replaced``.

    Raises:
        VinciError: the disk is full or fails.
    """
    temporary, aside = _beside(path, "tmp"), _beside(path, "replaced")
    with _disk_explained(path):
        try:
            make_folder(path.parent)
            temporary.mkdir()
            yield temporary
            for each in (temporary, *temporary.rglob("*")):
                (_flush_folder if each.is_dir() else _flush)(each)
            if path.exists():
                path.rename(aside)
            try:
                temporary.rename(path)
                _flush_folder(path.parent)
            except OSError:
                if path.exists():
                    path.rename(temporary)
                if aside.exists():
                    aside.rename(path)
                raise
            shutil.rmtree(aside, ignore_errors=True)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def make_folder(path: Path) -> None:
    """Make a folder and those above it that are missing, so that their names are on the disk too."""
    missing = [each for each in (path, *path.parents) if not each.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for each in missing:
        _flush_folder(each.parent)


def settle(path: Path) -> None:
    """Wait until a file and its name are on the disk.

    Raises:
        OSError: the disk fails.
    """
    _flush(path)
    _flush_folder(path.parent)


def publish_text(path: Path, text: str) -> None:
    """Replace the content of ``path`` in one step."""
    with published(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def refuse_existing(path: Path, *, overwrite: bool) -> None:
    """Refuse to write over a file that exists, and over any folder.

    Raises:
        UsageError: there is a folder of that name, or a file and ``overwrite`` is not set.
    """
    if path.is_dir():
        raise UsageError(f"{path} is a folder: name a file in it")
    if path.exists() and not overwrite:
        raise UsageError(f"{path} exists already: choose another name or pass --overwrite")


def is_unfinished(path: Path) -> bool:
    """Return True for what a writer has not finished yet, by its name."""
    return _UNFINISHED.fullmatch(path.name) is not None


def drop_unfinished(folder: Path) -> None:
    """Remove what killed writers left in ``folder`` and below. Nobody may be writing there now."""
    for path in sorted(folder.rglob(".*.tmp*")):
        _drop(path)


def clear_folder(path: Path, *, keep: str) -> None:
    """Remove everything in a folder but the file with the name ``keep``."""
    for each in path.iterdir():
        if each.is_dir() and not each.is_symlink():
            shutil.rmtree(each)
        elif each.name != keep:
            each.unlink()


def drop_own() -> None:
    """Remove what this process is writing. It is about to end at once."""
    for path in list(_own):
        _drop(path)


def drop_unfinished_of(path: Path) -> None:
    """Remove what killed writers of ``path`` left beside it. Nobody may be writing it now."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.tmp*"):
        _drop(left)


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn what the disk refused while ``path`` was written into one line.

    Raises:
        VinciError: in place of an OSError, or of the RuntimeError that a library raises.
    """
    try:
        yield
    except (OSError, RuntimeError) as error:
        raise _explained(path, error) from error


@contextmanager
def _disk_explained(path: Path) -> Iterator[None]:
    """Turn what the disk reported into one line. Other errors, such as those of the block's own files, pass."""
    try:
        yield
    except OSError as error:
        if error.errno in _DISK_ERRORS:
            raise _explained(path, error) from error
        raise


def _explained(path: Path, error: OSError | RuntimeError) -> VinciError:
    """Return the line for the user. Some libraries put the cause into their text rather than into errno."""
    code = error.errno if isinstance(error, OSError) else None
    if code in {errno.ENOSPC, errno.EDQUOT} or "No space left on device" in str(error):
        return VinciError(f"{path}: the disk is full; free some space or write elsewhere")
    text = (error.strerror if code in _DISK_ERRORS and isinstance(error, OSError) else None) or str(error)
    return VinciError(
        f"{path} cannot be written: {' '.join(text.split())}; check the disk, or write elsewhere"
    )


def _beside(path: Path, ending: str) -> Path:
    """Return a hidden name beside ``path`` that no other writer has."""
    # Not tempfile's: its files are readable by their owner alone.
    name = path.with_name(f".{path.name}.{secrets.token_hex(4)}.{ending}")
    if ending != "replaced":
        _own.append(name)
    return name


def _flush(path: Path) -> None:
    """Wait until the content of a file is on the disk."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _flush_folder(path: Path) -> None:
    """Wait until a rename in a folder is on the disk."""
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _drop(path: Path) -> None:
    if not is_unfinished(path):
        return
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
