"""Formats that are recognised and not read, and what is said of unknown ones."""

import json
import pickle
import sqlite3
import tarfile
import zipfile

import h5py
import numpy as np
import pytest

from vinci_offline.convert.conversion import read
from vinci_offline.errors import DatasetError, UsageError

FILES = {
    "a.mat": (b"MATLAB 5.0 MAT-file, Platform: GLNXA64".ljust(128), "a MATLAB v5 .mat file, .* -v7.3"),
    "a.pkl": (pickle.dumps({"observations": [1]}), r"a pickle, .* can run code, .* numpy\.savez"),
    "a.npy": (b"\x93NUMPY\x01\x00", r"holds one array: save all arrays with numpy\.savez"),
    "a.feather": (b"ARROW1\0\0", "an Arrow or Feather file, .* as Parquet"),
    "a.tfrecord": (b"\x10\0\0\0\0\0\0\0\x9f\x4b", r"a TFRecord file, .* features\.json"),
    "a.7z": (b"7z\xbc\xaf\x27\x1c\0\x04", "a 7z archive, .* unpack it"),
    "a.xls": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Excel workbook, .* as CSV"),
    "a.rds": (b"\x1f\x8b\x08\0\0\0", "an R data file"),
    "a.parquet": (b"PAR1\x15\x04", "a Parquet file that was cut short"),
    "a.h5": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 2\n",
        "a Git LFS pointer, .* git lfs pull",
    ),
    "a.hdf5": (b"<!DOCTYPE html>\n<html><body>Log in</body></html>\n", "an HTML page, .* download it again"),
    "a.json": (b'[{"obs": 1,\n "action": 2}]\n', "a JSON document, .* JSON Lines"),
    "b.json": (
        json.dumps({"type": "SampleBatch", "obs": "BCJNGG", "dones": [0]}).encode(),
        "RLlib's JSON output",
    ),
    "empty": (b"", "an empty file"),
    "short.h5": (b"\x89HDF\r\n\x1a\n\0\0", "an HDF5 file that is damaged or empty"),
    "words.txt": (
        b"once upon a time\nthere was\n",
        "is a text without a table of two columns or more: the formats are",
    ),
    "a.bin": (
        b"\0\1\2\3\xff",
        r"of no known format \(it begins with the bytes 00 01 02 03 ff\): the formats are",
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_file_that_is_not_read(name, tmp_path):
    content, said = FILES[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=said):
        read(tmp_path / name)


FOLDERS = {
    ".zgroup": "a Zarr store",
    "meta_data/info.json": "a LeRobot 1.x dataset, .* convert_dataset_v1_to_v2",
    "state.json": "a Hugging Face dataset saved to disk",
    "train.tfrecord-00000-of-00001": "a folder of TFRecord files without features.json",
    "a.npz": "a folder of files, a dataset each, .* vinci-offline select",
    "1.0.0/features.json": "a folder that holds datasets in folders of its own",
    "notes.md": r"is a folder of notes\.md: the formats are",
}


@pytest.mark.parametrize("name", FOLDERS)
def test_folder_that_is_not_read(name, tmp_path):
    (tmp_path / "data" / name).parent.mkdir(parents=True)
    (tmp_path / "data" / name).write_bytes(b"?")
    with pytest.raises(UsageError, match=FOLDERS[name]):
        read(tmp_path / "data")


def test_empty_folder(tmp_path):
    with pytest.raises(UsageError, match="an empty folder"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("inside", "said"),
    [
        ("xl/workbook.xml", "an Excel workbook, .* as CSV"),
        ("archive/data.pkl", "a PyTorch file, .* is never opened"),
        ("model.weights.h5", "a Keras model"),
        ("data.bin", "a zip archive, .* unpack it"),
    ],
)
def test_zip_that_is_not_read(inside, said, tmp_path):
    with zipfile.ZipFile(tmp_path / "a.any", "w") as archive:
        archive.writestr(inside, "a,b\n1,2\n")
    with pytest.raises(UsageError, match=said):
        read(tmp_path / "a.any")


def test_tar_and_database(tmp_path):
    (tmp_path / "a.csv").write_text("a,b\n1,2\n")
    for name, mode in (("a.tar", "w"), ("a.tgz", "w:gz")):
        with tarfile.open(tmp_path / name, mode) as archive:
            archive.add(tmp_path / "a.csv", "a.csv")
        with pytest.raises(UsageError, match="a tar archive, which is not read: unpack it"):
            read(tmp_path / name)
    with sqlite3.connect(tmp_path / "a.db") as database:
        database.execute("create table rows (x)")
    with pytest.raises(UsageError, match=r"an SQLite database, .* as Parquet or CSV"):
        read(tmp_path / "a.db")


def test_pandas_store(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["frame/block0_values"] = np.zeros((3, 2))
    with pytest.raises(DatasetError, match=r"a pandas HDFStore: read it with pandas\.read_hdf"):
        read(tmp_path / "a.h5")
