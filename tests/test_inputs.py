"""Pipes, devices and links in place of files are refused before anything is opened."""

import os

import pytest

from vinci_offline.errors import DatasetError, UsageError
from vinci_offline.inputs import bytes_at, check_folder, check_regular, refuse_irregular


def test_pipes_and_devices_are_refused(tmp_path):
    pipe, file = tmp_path / "data.npz", tmp_path / "data.csv"
    os.mkfifo(pipe)
    file.touch()
    for each in (file, tmp_path, tmp_path / "missing"):
        check_regular(each)
    with pytest.raises(DatasetError, match=r"data.npz is a pipe: give a file on a disk"):
        check_regular(pipe)
    refuse_irregular([1, None, "td3bc", file, [str(file)], "x" * 10_000, "a\0b"])
    for argument in (pipe, str(pipe), f"{pipe}:Policy", [str(file), str(pipe)]):
        with pytest.raises(UsageError, match=r"is a pipe"):
            refuse_irregular([argument])
    with pytest.raises(UsageError, match=r"/dev/zero is a device"):
        refuse_irregular(["/dev/zero"])


def test_links_that_leave_a_folder_are_refused(tmp_path):
    outside, folder = tmp_path / "private", tmp_path / "dataset"
    (folder / "data").mkdir(parents=True)
    outside.mkdir()
    (folder / "data" / "a.parquet").touch()
    (folder / "data" / "b.parquet").symlink_to("a.parquet")
    (folder / ".cache").symlink_to(outside)
    check_folder(folder)
    (folder / "data" / "c.parquet").symlink_to(outside)
    with pytest.raises(DatasetError, match=r"c.parquet is a link to a place outside of .*dataset"):
        check_folder(folder)


def test_links_of_the_hubs_cache_are_followed(tmp_path):
    blob, snapshot = tmp_path / "blobs" / "1a2b", tmp_path / "snapshots" / "main"
    for folder in (blob.parent, snapshot):
        folder.mkdir(parents=True)
    blob.touch()
    (snapshot / "info.json").symlink_to("../../blobs/1a2b")
    check_folder(snapshot)


def test_bytes_of_files_and_folders(tmp_path):
    (tmp_path / "a").write_bytes(b"123")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "c").write_bytes(b"45")
    assert (bytes_at(tmp_path / "a"), bytes_at(tmp_path), bytes_at(tmp_path / "none")) == (3, 5, 0)
