"""Formats that are folders: their descriptions, and when a folder may be replaced."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from vinci_offline.budget import check_nesting
from vinci_offline.convert.sources.text import text_lines
from vinci_offline.errors import DatasetError, UsageError
from vinci_offline.inputs import check_regular

_LARGEST = 2**24


def read_json(file: Path) -> dict[str, Any]:
    """Read the JSON object of a file that describes a dataset.

    Raises:
        DatasetError: it is missing, damaged, or larger than any description.
    """
    check_regular(file)
    try:
        if file.stat().st_size > _LARGEST:
            raise DatasetError(f"{file} is larger than any description of a dataset: the file is damaged")
        text = file.read_text(encoding="utf-8")
        check_nesting(str(file), "the text", text)
        content = json.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        raise DatasetError(f"{file} cannot be read as JSON: the file is damaged") from error
    if not isinstance(content, dict):
        raise DatasetError(f"{file} holds no JSON object: the file is damaged")
    return content


def read_json_lines(file: Path) -> list[dict[str, Any]]:
    """Read the JSON objects of a file that describes the parts of a dataset, one on each line.

    Raises:
        DatasetError: it is missing, damaged, or larger than any description.
    """
    with text_lines(file) as lines:
        found = []
        size = 0
        for line in lines:
            size += len(line)
            if size > _LARGEST:
                raise DatasetError(f"{file} is larger than any description of a dataset: the file is damaged")
            try:
                content = json.loads(line) if line.strip() else None
            except (ValueError, RecursionError) as error:
                raise DatasetError(f"{file} cannot be read as JSON: the file is damaged") from error
            if isinstance(content, dict):
                found.append(content)
            elif content is not None:
                raise DatasetError(f"{file} holds a line that is no JSON object: the file is damaged")
    return found


def refuse_replacing(path: Path, parts: Collection[str], what: str, *, there: bool, overwrite: bool) -> None:
    """Refuse to replace anything but a whole dataset.

    Args:
        path: where to write.
        parts: the names in the folder of a dataset.
        what: the kind of dataset, in words.
        there: whether ``path`` is one.
        overwrite: whether it may be replaced.

    Raises:
        UsageError: something is there that is not to be replaced.
    """
    if not path.exists():
        return
    if not overwrite:
        raise UsageError(f"{path} exists already: choose another name or pass --overwrite")
    others = [each for each in path.iterdir() if each.name not in parts] if path.is_dir() else [path]
    if others or not there:
        raise UsageError(f"{path} is not {what} alone, and is not replaced: choose another name")
