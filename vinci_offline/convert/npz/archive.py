"""NumPy archives in the layouts of OGBench, imitation and Stable-Baselines, or under D4RL's names."""

from __future__ import annotations

import io
import math
import warnings
import zipfile
import zlib
from pathlib import Path
from tokenize import TokenError
from typing import IO, Any

import numpy as np

from vinci_offline.convert.arrays.padded import PADDING
from vinci_offline.convert.arrays.reader import SETTINGS, Arrays, read_arrays
from vinci_offline.convert.format import Exported, ExportOptions, Format, Imported, refuse_dict
from vinci_offline.convert.npz import layouts
from vinci_offline.convert.sources.spool import Spool
from vinci_offline.convert.sources.zips import is_zip, untrusted_zip
from vinci_offline.convert.trajectories import as_pieces
from vinci_offline.data.assembly.actions import counted_actions
from vinci_offline.data.assembly.context import ImportContext
from vinci_offline.data.assembly.lazy import held, whole
from vinci_offline.data.assembly.logged import assemble
from vinci_offline.data.assembly.options import ImportOptions
from vinci_offline.data.columns import Column
from vinci_offline.data.dataset import Dataset
from vinci_offline.errors import DatasetError, UsageError
from vinci_offline.files import disk_errors, published, refuse_existing
from vinci_offline.recorded import RecordedFile, recorded
from vinci_offline.text import printable
from vinci_offline.types import Array

PICKLED = "holds pickled Python objects, and nothing is unpickled"

_BLOCK_BYTES = 2**20
_LARGEST_HEADER = 10_000
_BEST_RATIO = 1100
"""Deflate cannot do better. A member that claims more is not unfolded."""


class NpzFormat(Format):
    """An archive of arrays. Nothing in it is unpickled."""

    name = "npz"
    title = "a NumPy archive"
    suffixes = (".npz",)
    maps = True

    def recognises(self, path: Path) -> bool:
        """Tell whether it is a zip of arrays."""
        if not is_zip(path):
            return False
        try:
            with untrusted_zip(path) as archive:
                names = archive.namelist()
        except DatasetError:
            return path.suffix == ".npz"  # reading it says what is wrong
        except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError):
            return False
        return bool(names) and all(name.endswith(".npy") for name in names)

    def read(self, path: Path, options: ImportOptions) -> Imported:
        """Import. The names of the arrays tell the layout, or ``options.columns`` says which array is which.

        ``reward=zero`` says that rewards are zero where there are none; ``actions=N`` that whole numbers are choices
        of a Discrete space of N.
        """
        self.check_settings(options.settings, SETTINGS)
        context = ImportContext(path, options)
        arrays, pickled = _arrays(path, context)
        kind = None if options.columns or PADDING in options.settings else layouts.layout_of(arrays)
        if kind is None and pickled and not options.columns:
            raise DatasetError(
                f"{path}: {printable(', '.join(pickled))} {PICKLED}: load it with NumPy if you trust it, and save "
                "arrays of numbers"
            )
        if kind is None:
            every = Arrays(
                arrays,
                turned=lambda name: held(whole(arrays[name]).T),
                whole=lambda name: whole(arrays[name]),
            )
            return Imported.of(read_arrays(every, context))
        context.decide(f"the arrays are laid out as {kind.title}")
        logged = kind.read(arrays, context)
        spec, text = options.spec, context.setting("actions")
        if text is not None:
            if spec is not None:
                raise UsageError(f"{path}: --env says already what the actions are: leave --set actions out")
            spec = counted_actions(text, logged.columns)
        return Imported.of(assemble(logged, spec, context))

    def write(self, dataset: Dataset, path: Path, options: ExportOptions) -> Exported:
        """Export under D4RL's names; ``infos/KEY`` keep their paths."""
        self.check_settings(options.settings)
        refuse_dict(dataset, "a NumPy archive")
        refuse_existing(path, overwrite=options.overwrite)
        with disk_errors(path), published(path) as temporary, recorded(RecordedFile(temporary)) as file:
            _write_arrays(dataset, file)
        lost = ("the environment's spaces and id, the episode table, provenance",)
        return Exported(path, (f"{len(dataset):,} rows under D4RL's names",), lost)


def _write_arrays(dataset: Dataset, file: RecordedFile) -> None:
    """Write each column as a compressed array, in blocks."""
    dataset = as_pieces(dataset)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in dataset.columns:
            dtype = dataset.columns.dtype(name)
            description = {
                "descr": np.lib.format.dtype_to_descr(dtype),
                "fortran_order": False,
                "shape": dataset.columns.shape(name),
            }
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array_header_1_0(member, description)
                for _, block in dataset.columns.blocks(name):
                    member.write(np.ascontiguousarray(block).tobytes())
                    file.check()


def _arrays(path: Path, context: ImportContext) -> tuple[dict[str, Column], list[str]]:
    """Return the archive's arrays of numbers, unfolded to a spool, and the names of those that are pickled."""
    if not path.is_file():
        raise DatasetError(f"{path} does not exist" if not path.exists() else f"{path} is not a file")
    found: dict[str, Column] = {}
    pickled: list[str] = []
    try:
        with untrusted_zip(path) as archive:
            for info in archive.infolist():
                name = info.filename.removesuffix(".npy")
                if info.file_size > _BEST_RATIO * max(1, info.compress_size):
                    raise DatasetError(
                        f"{path}: {printable(info.filename)} claims a size that its bytes cannot unfold to"
                    )
                with archive.open(info) as member:
                    column = _array(member, info.file_size, context)
                if isinstance(column, Column):
                    found[name] = column
                else:
                    context.decide(f"{printable(name)} was left out: it {column}")
                    pickled += [name] * (column == PICKLED)
    except (
        zipfile.BadZipFile,
        MemoryError,  # of Python's parser, on a header of many brackets
        SyntaxError,
        TokenError,
        ValueError,
        OSError,
        EOFError,
        KeyError,
        RuntimeError,  # of a member that is encrypted, or compressed in a way that is not known
        zlib.error,
    ) as error:
        reason = printable(" ".join(str(error).split()))
        raise DatasetError(
            f"{path} is no NumPy archive, or damaged ({reason}): copy or record it again"
        ) from error
    return found, pickled


def _array(member: IO[bytes], size: int, context: ImportContext) -> Column | str:
    """Return an array of numbers, or why it is left out.

    Args:
        member: the array's file.
        size: its bytes.
        context: the import.

    Raises:
        ValueError: it is no array of that size.
    """
    shape, is_fortran, dtype = _header(member)
    if dtype.hasobject:
        return PICKLED
    if not shape:
        return "is a single value, not rows"
    if dtype.kind not in "biuf":
        return f"holds {printable(str(dtype))[:100]} values, not numbers"
    if not all(shape[1:]):
        return "has empty rows"
    if math.prod(shape) * dtype.itemsize > size:
        raise ValueError(f"an array of shape {shape}, which {size:,} bytes cannot hold")
    if is_fortran or not math.prod(shape):
        # Column by column: the rows are there once all of it is.
        whole = np.frombuffer(_exactly(member, math.prod(shape) * dtype.itemsize), dtype)
        return held(_native(whole.reshape(shape, order="F" if is_fortran else "C")))
    spool, row_bytes = Spool(context.where), math.prod(shape[1:]) * dtype.itemsize
    step, first = max(1, _BLOCK_BYTES // row_bytes), 0
    while first < shape[0]:
        count = min(step, shape[0] - first)
        block = np.frombuffer(_exactly(member, count * row_bytes), dtype).reshape(count, *shape[1:])
        spool.append({"": _native(block)})
        first += count
    if member.read(1):
        raise ValueError("an array with more bytes than its shape says")
    return spool.columns()[""]


def _header(member: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Read the header of an array; NumPy would read one of any length before it looks at it.

    Raises:
        ValueError: it is too long, or tells of no array.
    """
    version = np.lib.format.read_magic(member)
    if version not in {(1, 0), (2, 0)}:
        raise ValueError(f"an array of the format's version {version}")
    prefix = _exactly(member, 2 if version == (1, 0) else 4)
    length = int.from_bytes(prefix, "little")
    if length > _LARGEST_HEADER:
        raise ValueError(f"an array with a header of {length:,} bytes")
    text = io.BytesIO(prefix + _exactly(member, length))
    with warnings.catch_warnings(action="ignore"):  # of headers that Python 2 wrote, which are right
        shape, is_fortran, dtype = (
            np.lib.format.read_array_header_1_0(text)
            if version == (1, 0)
            else np.lib.format.read_array_header_2_0(text)
        )
    if min(shape, default=0) < 0:
        raise ValueError(f"an array of shape {shape}")
    return shape, is_fortran, dtype


def _exactly(member: IO[bytes], size: int) -> bytes:
    content = member.read(size)
    if len(content) < size:
        raise EOFError("an array with fewer bytes than its shape says")
    return content


def _native(values: Array) -> Array:
    return values.astype(values.dtype.newbyteorder("="), copy=False)
