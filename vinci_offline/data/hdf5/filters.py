"""Lossless compression of columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias, get_args

from vinci_offline.errors import UsageError
from vinci_offline.text import did_you_mean
from vinci_offline.types import Array

Compression: TypeAlias = Literal["auto", "none", "lzf", "gzip", "blosc2"]

IMAGE_FILTERS: Mapping[str, Any] = {"compression": "gzip", "compression_opts": 1}
"""Compression of images under ``auto``. Shuffling gains nothing on single bytes, and every HDF5 library reads gzip. On
a few rendered environments higher levels took twice the time for hardly smaller files."""
_SMALLEST_FILTERED = 4096


def filters(compress: str) -> dict[str, Any]:
    """Return the options of `h5py.Group.create_dataset` for a compression; empty for ``auto`` and ``none``.

    Raises:
        UsageError: there is no such compression, or it is not installed.
    """
    if compress not in get_args(Compression):
        raise UsageError(
            f"unknown compression {compress!r}; there are: {', '.join(get_args(Compression))}"
            + did_you_mean(compress, get_args(Compression))
        )
    if compress in {"auto", "none"}:
        return {}
    if compress != "blosc2":
        return {"compression": compress, "shuffle": True}
    try:
        import hdf5plugin
    except ImportError:
        raise UsageError("compression blosc2 needs hdf5plugin: pip install 'vinci-offline[blosc2]'") from None
    return dict(hdf5plugin.Blosc2(cname="zstd", clevel=5, filters=hdf5plugin.Blosc2.SHUFFLE))


def filters_of(chosen: Mapping[str, Any], values: Array, chunk_rows: int | None = None) -> dict[str, Any]:
    """Return the options for a dataset written in one piece; none where filtering would not pay.

    Args:
        chosen: as `filters` returned them.
        values: the whole content.
        chunk_rows: the most rows of a chunk; all of them where it is None.
    """
    if not chosen or values.nbytes <= _SMALLEST_FILTERED:
        return {}
    return {**chosen, "chunks": (min(len(values), chunk_rows or len(values)), *values.shape[1:])}
