"""Formats that are recognised and not read: what they are, and what to do. The one table of them."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from vinci_offline.convert.sources.text import first_lines
from vinci_offline.errors import DatasetError
from vinci_offline.text import printable

_HEAD = 2**12
_TAR_MAGIC = slice(257, 262)
_MOST_NAMES = 10_000


@dataclass(frozen=True)
class Unread:
    """A format.

    Attributes:
        what: its name, with an article.
        advice: what to do.
        magics: the bytes that such a file begins with, one of them.
        suffixes: the endings of such files, where no bytes tell.
        holds: names, one of which lies in such a folder or zip archive; a pattern of `Path.match`.
    """

    what: str
    advice: str
    magics: tuple[bytes, ...] = ()
    suffixes: tuple[str, ...] = ()
    holds: tuple[str, ...] = ()


_ARRAYS = "save its arrays with numpy.savez, and convert the .npz"
_TABLE = "write it as Parquet or CSV, and convert that"
_UNPACK = "unpack it, and convert what is inside"

_FOLDERS = (
    Unread(
        "a LeRobot 1.x dataset",
        "convert it with LeRobot's convert_dataset_v1_to_v2",
        holds=("meta_data/info.json",),
    ),
    Unread("a Zarr store", _ARRAYS, holds=(".zgroup", ".zarray", "zarr.json", ".zmetadata")),
    Unread(
        "a Hugging Face dataset saved to disk (Arrow)",
        "load it with datasets.load_from_disk, write it with to_parquet, and convert that",
        holds=("state.json", "dataset_dict.json"),
    ),
    Unread(
        "a Hugging Face dataset in Arrow files",
        "write it with to_parquet, and convert that",
        holds=("*.arrow",),
    ),
    Unread(
        "a folder of TFRecord files without features.json",
        "nothing tells what they hold: rebuild the dataset with TFDS, which writes features.json",
        holds=("*.tfrecord", "*.tfrecord-*", "*.tfrecords"),
    ),
    Unread("a TensorFlow SavedModel", "that is a model, not a dataset", holds=("saved_model.pb",)),
    Unread("a ROS 2 bag", "write its topics as CSV or Parquet, and convert that", holds=("*.mcap", "*.db3")),
    Unread("an LMDB database", _ARRAYS, holds=("data.mdb",)),
    Unread("a folder of Dopamine's replay", _ARRAYS, holds=("$store$_*",)),
    Unread(
        "a folder that holds datasets in folders of its own",
        "give one of those: the folder that holds the files",
        holds=("*/*.parquet", "*/features.json", "*/data/metadata.json", "*/meta/info.json"),
    ),
    Unread(
        "a folder of files, a dataset each",
        "convert each of them, then merge them: vinci-offline select A.h5 B.h5 -o ALL.h5",
        holds=("*.h5", "*.hdf5", "*.npz", "*.csv", "*.csv.gz", "*.jsonl", "*.mat"),
    ),
    Unread(
        "a folder of pickles",
        f"a pickle can run code, and is never opened here: {_ARRAYS}",
        holds=("*.pkl", "*.pickle"),
    ),
)

_ZIPS = (
    Unread("an Excel workbook", "save the sheet as CSV, and convert that", holds=("xl/*",)),
    Unread("an OpenDocument file", "save the sheet as CSV, and convert that", holds=("content.xml",)),
    Unread(
        "a PyTorch file",
        "it is a pickle, which can run code, and is never opened here: load it yourself, and "
        "save its arrays with numpy.savez",
        holds=("*/data.pkl", "data.pkl"),
    ),
    Unread("a Keras model", "that is a model, not a dataset", holds=("model.weights.h5",)),
    Unread(
        "a Stable-Baselines3 model",
        "that is a policy, not a dataset: see collect --policy sb3:…",
        holds=("policy.pth",),
    ),
    Unread("a zip archive", _UNPACK, holds=("*",)),
)

_FILES = (
    Unread(
        "a MATLAB v5 .mat file", "save it in MATLAB with -v7.3, and convert that", magics=(b"MATLAB 5.0",)
    ),
    Unread(
        "a NumPy .npy file", "it holds one array: save all arrays with numpy.savez", magics=(b"\x93NUMPY",)
    ),
    Unread(
        "a pickle",
        f"a pickle can run code, and is never opened here: load it yourself, and {_ARRAYS}",
        magics=(b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"),
        suffixes=(".pkl", ".pickle", ".pkl.gz", ".pt", ".pth", ".joblib"),
    ),
    Unread("an Arrow or Feather file", "write it as Parquet, and convert that", magics=(b"ARROW1", b"FEA1")),
    Unread("an Arrow stream", "write it as Parquet, and convert that", magics=(b"\xff\xff\xff\xff",)),
    Unread("an SQLite database", _TABLE, magics=(b"SQLite format 3\0",)),
    Unread("an ORC file", _TABLE, magics=(b"ORC",)),
    Unread("an Avro file", _TABLE, magics=(b"Obj\x01",)),
    Unread("an old Excel workbook", "save the sheet as CSV, and convert that", magics=(b"\xd0\xcf\x11\xe0",)),
    Unread("a Parquet file that was cut short", "copy it again", magics=(b"PAR1",)),
    Unread(
        "a ROS bag", "write its topics as CSV or Parquet, and convert that", magics=(b"#ROSBAG", b"\x89MCAP")
    ),
    Unread("a Stata file", _TABLE, suffixes=(".dta",)),
    Unread("an SPSS or SAS file", _TABLE, suffixes=(".sav", ".sas7bdat", ".xpt")),
    Unread("an R data file", _TABLE, suffixes=(".rds", ".rdata", ".rda")),
    Unread("a MATLAB v4 .mat file", "save it in MATLAB with -v7.3, and convert that", suffixes=(".mat",)),
    Unread(
        "a TFRecord file",
        "give the folder of an RLDS dataset, with features.json; a record alone does not tell its features",
        suffixes=(".tfrecord", ".tfrecords"),
    ),
    Unread("a TensorBoard log", "that is a log of training, not a dataset", suffixes=(".tfevents",)),
    Unread("a safetensors file", _ARRAYS, suffixes=(".safetensors",)),
    Unread("a MessagePack file", _ARRAYS, suffixes=(".msgpack", ".mpk")),
    Unread("a 7z archive", _UNPACK, magics=(b"7z\xbc\xaf\x27\x1c",)),
    Unread("a RAR archive", _UNPACK, magics=(b"Rar!",)),
    Unread("an xz file of no table", _UNPACK, magics=(b"\xfd7zXZ\0",)),
    Unread("a Zstandard file of no table, or one that needs pyarrow", _UNPACK, magics=(b"\x28\xb5\x2f\xfd",)),
    Unread("an LZ4 file", _UNPACK, magics=(b"\x04\x22\x4d\x18",)),
    Unread(
        "a video or sound",
        "that is no table of transitions",
        suffixes=(".mp4", ".avi", ".mkv", ".webm", ".wav"),
    ),
    Unread("an image", "that is no table of transitions", magics=(b"\x89PNG", b"\xff\xd8\xff", b"GIF8")),
    Unread("a PDF", "that is no table of transitions", magics=(b"%PDF",)),
    Unread("a zip archive that is damaged", "copy it again", magics=(b"PK\x03\x04",)),
    Unread(
        "an HDF5 file that is damaged or empty", "copy or record it again", magics=(b"\x89HDF\r\n\x1a\n",)
    ),
)

_TEXTS = (
    Unread(
        "a Git LFS pointer, not the data",
        "fetch the data with git lfs pull",
        magics=(b"version https://git-lfs",),
    ),
    Unread(
        "an HTML page",
        "the download gave a page, such as a log-in, in place of the data: download it again",
        magics=(b"<!doctype html", b"<html"),
    ),
    Unread("an XML file", _TABLE, magics=(b"<?xml",)),
)


def unread(path: Path) -> Unread | None:
    """Return what a file or folder is, if it is a known format that is not read. Never raises."""
    looks: tuple[Callable[[Path], Unread | None], ...] = (_folder,) if path.is_dir() else (_zip, _file, _text)
    for look in looks:
        with suppress(OSError, ValueError, DatasetError, RecursionError):
            if (found := look(path)) is not None:
                return found
    return None


def _folder(path: Path) -> Unread | None:
    if not any(path.iterdir()):
        return Unread("an empty folder", "give a dataset")
    return next((each for each in _FOLDERS if any(next(path.glob(name), None) for name in each.holds)), None)


def _zip(path: Path) -> Unread | None:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()[:_MOST_NAMES]
    except (zipfile.BadZipFile, NotImplementedError):
        return None
    return next(
        (
            each
            for each in _ZIPS
            if any(Path(name).match(pattern) for pattern in each.holds for name in names)
        ),
        None,
    )


def _file(path: Path) -> Unread | None:
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if not head:
        return Unread("an empty file", "copy or record it again")
    if head[_TAR_MAGIC] == b"ustar" or path.name.lower().endswith(
        (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
    ):
        return Unread("a tar archive", _UNPACK)
    begins = next((each for each in _FILES if each.magics and head.startswith(each.magics)), None)
    return begins or next(
        (each for each in _FILES if each.suffixes and path.name.lower().endswith(each.suffixes)), None
    )


def _text(path: Path) -> Unread | None:
    lines = first_lines(path, 2)
    if not lines:
        return None
    first = lines[0].lstrip()
    if found := next((e for e in _TEXTS if first.lower().encode().startswith(e.magics)), None):
        return found
    if first.startswith("{"):
        with suppress(ValueError):
            if is_rllib(json.loads(first)):
                return _RLLIB
    if first.startswith(("{", "[")):
        return Unread(
            "a JSON document", "write JSON Lines: an object a step on each line, or an object an episode"
        )
    return None


def described(path: Path) -> str:
    """Return what can be said of a file or folder of no known format."""
    try:
        if path.is_dir():
            names = sorted(each.name for each in path.iterdir())
            return f"is a folder of {', '.join(map(printable, names[:5]))}{' …' if len(names) > 5 else ''}"
        with path.open("rb") as file:
            head = file.read(16)
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    if first_lines(path, 1):
        return "is a text without a table of two columns or more"
    return f"is of no known format (it begins with the bytes {head.hex(' ')})"


_RLLIB = Unread(
    "RLlib's JSON output",
    "its columns are packed: read it with RLlib's JsonReader, and write JSON Lines or Parquet",
)


def is_rllib(content: object) -> bool:
    """Tell whether a line of JSON is one of RLlib's batches."""
    return isinstance(content, dict) and content.get("type") in {"SampleBatch", "MultiAgentBatch"}
