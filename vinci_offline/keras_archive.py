"""What a ``.keras`` file asks for, looked at before Keras builds anything of it, and counted while it builds.

A file of two kilobytes can hold weights that unfold to gigabytes, or a configuration that names layers of any size.
"""

from __future__ import annotations

import io
import json
import math
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py

from vinci_offline.budget import Tally, afford, check_nesting, limit
from vinci_offline.errors import VinciError

_CONFIG, _WEIGHTS = "config.json", "model.weights.h5"
_MEMBERS = {_CONFIG, "metadata.json", _WEIGHTS}
_MOST_LAYERS = 2000
_MOST_WEIGHTS = 20_000
_JSON_GROWTH = 20
"""A list of empty lists takes this many times its text."""


def check_archive(path: Path) -> None:
    """Refuse a ``.keras`` file that unfolds to far more than its bytes, or that holds what `model.save` never writes.

    Raises:
        DatasetError: it asks for more memory, layers or weights than the budget.
        VinciError: it is damaged, or holds something else.
    """
    tally = Tally(str(path), path.stat().st_size)
    try:
        with zipfile.ZipFile(path) as archive:
            _check_members(path, archive)
            for name in archive.namelist():
                size = archive.getinfo(name).file_size
                tally.add(name, size * (_JSON_GROWTH if name.endswith(".json") else 1))
            text = archive.read(_CONFIG)
            check_nesting(str(path), _CONFIG, text)
            limit(str(path), "layers", _count_layers(json.loads(text)), _MOST_LAYERS)
            with h5py.File(io.BytesIO(archive.read(_WEIGHTS)), "r") as weights:
                _check_weights(path, weights, tally)
    except (
        zipfile.BadZipFile,
        KeyError,
        OSError,
        RuntimeError,
        ValueError,
        TypeError,
        NotImplementedError,
    ) as error:
        reason = (" ".join(str(error).split()) or type(error).__name__)[:200]
        raise VinciError(f"{path} is damaged ({reason}): save the model again") from error


def _check_members(path: Path, archive: zipfile.ZipFile) -> None:
    names = archive.namelist()
    others = [name for name in names if name not in _MEMBERS]
    if others or len(set(names)) < len(names):
        what = repr(others[0][:50]) if others else "a name twice"
        raise VinciError(f"{path} holds {what}: only {', '.join(sorted(_MEMBERS))} of model.save are read")


def _count_layers(config: Any) -> int:
    count, left = 0, [config]
    while left:
        part = left.pop()
        if isinstance(part, dict):
            count += "class_name" in part and "config" in part
            left.extend(part.values())
        elif isinstance(part, list):
            left.extend(part)
    return count


def _check_weights(path: Path, weights: h5py.File, tally: Tally) -> None:
    """Check each array of the weights: plain bytes of this file, which no path leads to twice."""
    seen: set[int] = set()
    left: list[tuple[str, Any]] = [("", weights)]
    while left:
        name, group = left.pop()
        for key in group:
            place = f"{name}/{key}"
            link = group.id.links.get_info(key.encode(errors="surrogateescape"))
            if link.type != h5py.h5l.TYPE_HARD or link.u in seen:
                raise VinciError(f"{path}: weights {place!r} are linked, not stored: save the model again")
            seen.add(link.u)
            limit(str(path), "weights", len(seen), _MOST_WEIGHTS)
            node = group[key]
            if isinstance(node, h5py.Group):
                left.append((place, node))
                continue
            tally.add(f"the array {place!r}", node.nbytes)
            if node.is_virtual or node.external or node.chunks or node.id.get_storage_size() < node.nbytes:
                raise VinciError(
                    f"{path}: weights {place!r} are not stored as model.save does: save the model again"
                )


@contextmanager
def counted_variables(path: Path) -> Iterator[None]:
    """Count the variables that Keras makes inside the block, and refuse what is beyond the budget of the file.

    A layer's size follows from the shapes of all layers before it, which Keras alone knows: so variables are counted
    where they are made, before they take memory.

    Raises:
        DatasetError: the variables take far more memory than the file has bytes.
    """
    from unittest.mock import patch

    import keras

    tally = Tally(str(path), path.stat().st_size)
    make = keras.Variable.__init__

    def counted(variable: Any, initializer: Any, shape: Any = None, *arguments: Any, **options: Any) -> None:
        if shape is not None and all(isinstance(size, int) for size in shape):
            tally.add("the model", 4 * math.prod(shape))
        make(variable, initializer, shape, *arguments, **options)

    with patch.object(keras.Variable, "__init__", counted):
        yield


def check_outputs(path: Path, model: Any) -> None:
    """Refuse a model in which one row takes far more memory than the file has bytes.

    Raises:
        DatasetError: it does.
    """
    import keras

    library: Any = keras
    for operation in [*getattr(model, "operations", ()), *model.layers]:
        try:
            outputs = library.tree.flatten(operation.output)
        except (AttributeError, ValueError):
            continue  # it is not part of a graph, or of several
        for output in outputs:
            sizes = [size for size in output.shape[1:] if isinstance(size, int)]
            afford(
                str(path),
                "one observation in the model",
                asked=4 * math.prod(sizes),
                present=path.stat().st_size,
            )
