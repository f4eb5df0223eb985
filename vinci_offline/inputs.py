"""Check what is at a path before it is opened: a pipe waits for ever, a device never ends, a link may lead anywhere.

A URL is no path, and reading it as one gives a name that nobody wrote.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from vinci_offline.errors import DatasetError, UsageError
from vinci_offline.text import did_you_mean, nearest

_KINDS = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}
_URL = re.compile(r"([a-z][a-z0-9+.-]+):/(/?)(.*)", re.IGNORECASE | re.DOTALL)


def check_local(path: str | os.PathLike[str]) -> None:
    """Refuse a URL in place of a path.

    Raises:
        UsageError: it is one.
    """
    # A Path that was made of a URL has lost one of its slashes.
    if (match := _URL.fullmatch(os.fspath(path))) is None or not (match[2] or isinstance(path, Path)):
        return
    if match[1].lower() == "file":
        raise UsageError(f"{match[1]}://{match[3]} is a URL: give the path, /{match[3].lstrip('/')}")
    raise UsageError(
        f"{match[1]}://{match[3]} is a URL, and nothing is downloaded: fetch it, and give the file"
    )


def check_regular(path: Path) -> None:
    """Refuse what is there and is neither a file nor a folder.

    Raises:
        DatasetError: it is a pipe, a device or a socket.
    """
    if (kind := _irregular(path)) is not None:
        raise DatasetError(f"{path} is {kind}: give a file on a disk")


def refuse_irregular(arguments: Iterable[object]) -> None:
    """Refuse a command whose arguments name a URL, a pipe, a device or a socket, as ``PATH`` or ``PATH:object``.

    Raises:
        UsageError: one does.
    """
    for argument in arguments:
        if isinstance(argument, list | tuple):
            refuse_irregular(argument)
        elif isinstance(argument, str | Path):
            check_local(argument)
            text = os.fspath(argument)
            for path in {text, text.rpartition(":")[0]} - {""}:
                if (kind := _irregular(path)) is not None:
                    raise UsageError(f"{path} is {kind}: give a file on a disk")


def meant_path(path: Path) -> str:
    """Return the question that ends a message about a path that does not exist; nothing if no name there is like it."""
    try:
        names = [each.name for each in path.parent.iterdir()]
    except (OSError, ValueError):
        return ""
    close = nearest(path.name, names)
    return "" if close is None else did_you_mean(str(path), [str(path.with_name(close))])


def check_folder(folder: Path) -> None:
    """Refuse a dataset's folder in which a link leads outside, or lies a pipe, a device or a socket.

    Names that begin with a dot are not looked at. Links to the ``blobs`` beside ``snapshots`` are those of the cache of
    Hugging Face's Hub, and are followed.

    Raises:
        DatasetError: it names the first such entry.
    """
    roots = [folder.resolve()]
    if roots[0].parent.name == "snapshots":
        roots.append(roots[0].parent.parent / "blobs")
    for entry in _entries(roots[0]):
        path = Path(entry.path)
        if entry.is_symlink() and not any(path.resolve().is_relative_to(root) for root in roots):
            raise DatasetError(
                f"{path} is a link to a place outside of {folder}: copy the file that is meant there"
            )
        check_regular(path)


def bytes_at(path: Path) -> int:
    """Return the bytes of a file, or of all files in a folder; 0 if there is nothing."""
    try:
        if not path.is_dir():
            return path.stat().st_size
        return sum(each.stat().st_size for each in path.rglob("*") if each.is_file())
    except (OSError, ValueError):
        return 0


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    """Yield what is in a folder and below; folders that are links are not entered."""
    with os.scandir(folder) as found:
        for entry in found:
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from _entries(Path(entry.path))
            elif entry.is_symlink() or not entry.is_file(follow_symlinks=False):
                yield entry


def _irregular(path: str | Path) -> str | None:
    """Return what is at a path if it is there and neither a file nor a folder."""
    try:
        return _KINDS.get(stat.S_IFMT(Path(path).stat().st_mode))
    except (OSError, ValueError):  # nothing there, or no path at all
        return None
