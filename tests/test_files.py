"""Publishing: files and folders appear whole or not at all; leftovers of a killed writer can be removed."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from vinci_offline import UsageError, VinciError
from vinci_offline.files import (
    disk_errors,
    drop_unfinished,
    drop_unfinished_of,
    make_folder,
    published,
    published_folder,
    refuse_existing,
)


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_when_it_is_whole(tmp_path):
    target = tmp_path / "d.csv.gz"
    target.write_text("old")
    with published(target) as temporary:
        temporary.write_text("new")
        assert target.read_text() == "old"
        assert temporary.suffix == ".gz"
        assert temporary.name.startswith(".d.csv.gz.")
    assert target.read_text() == "new"
    assert names_in(tmp_path) == ["d.csv.gz"]


def test_a_folder_appears_when_it_is_whole(tmp_path):
    target = tmp_path / "below" / "d"
    for content in ("old", "new"):
        with published_folder(target) as temporary:
            (temporary / "a").mkdir()
            (temporary / "a" / f"{content}.txt").write_text(content)
    assert names_in(target / "a") == ["new.txt"]
    assert names_in(tmp_path / "below") == ["d"]


@pytest.mark.parametrize("publish", [published, published_folder])
def test_an_exception_leaves_the_old_content_and_nothing_else(publish, tmp_path):
    target = tmp_path / "d"
    if publish is published:
        target.write_text("old")
    else:
        target.mkdir()
    with pytest.raises(KeyError), publish(target) as temporary:
        if publish is published:
            temporary.write_text("half")
        raise KeyError
    assert names_in(tmp_path) == ["d"]
    assert target.is_dir() or target.read_text() == "old"


def test_content_and_rename_are_flushed_in_this_order(tmp_path, monkeypatch):
    """After a power cut the name must not stand for an empty file."""
    calls = []
    sync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (calls.append(stat.S_ISDIR(os.fstat(fd).st_mode)), sync(fd)))
    monkeypatch.setattr(os, "replace", lambda *args: (calls.append("replace"), replace(*args)))
    with published(tmp_path / "d") as temporary:
        temporary.write_text("new")
    assert calls == [False, "replace", True]


def test_a_file_that_appeared_meanwhile_is_kept(tmp_path):
    target = tmp_path / "d"
    with pytest.raises(UsageError, match="exists already"), published(target, overwrite=False) as temporary:
        temporary.write_text("mine")
        target.write_text("another's")
    assert target.read_text() == "another's"
    assert names_in(tmp_path) == ["d"]


def test_a_folder_is_never_replaced_by_a_file(tmp_path):
    with pytest.raises(UsageError, match="is a folder"):
        refuse_existing(tmp_path, overwrite=True)


@pytest.mark.parametrize("publish", [published, published_folder, disk_errors])
def test_a_full_disk_is_told_in_one_line(publish, tmp_path):
    with pytest.raises(VinciError, match=r"/d: the disk is full; free some space"), publish(tmp_path / "d"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert names_in(tmp_path) == []


def test_errors_of_the_disk_are_one_line(tmp_path):
    with (
        pytest.raises(VinciError, match="/d cannot be written: Can't flush the file"),
        disk_errors(tmp_path / "d"),
    ):
        raise RuntimeError("Can't flush\n the file")


def test_writers_of_one_file_do_not_meet(tmp_path):
    with published(tmp_path / "d") as one, published(tmp_path / "d") as other:
        one.write_text("one")
        other.write_text("other")
    assert (tmp_path / "d").read_text() == "one"  # the outer one published last


def test_leftovers_of_a_killed_writer_are_removed(tmp_path):
    script = """
import os, sys
from pathlib import Path
from vinci_offline.files import published, published_folder
with published(Path(sys.argv[1])) as file, published_folder(Path(sys.argv[2])) as folder:
    file.write_text("half")
    (folder / "a").write_text("half")
    os._exit(9)
"""
    target, other = tmp_path / "d[1].h5", tmp_path / "e"
    subprocess.run([sys.executable, "-c", script, target, other], check=False)
    kept = tmp_path / ".notes.tmp"
    kept.write_text("mine")
    assert len(names_in(tmp_path)) == 3
    drop_unfinished_of(target)
    assert len(names_in(tmp_path)) == 2
    drop_unfinished(tmp_path)
    assert names_in(tmp_path) == [".notes.tmp"]


def fail_sync_of_folders(monkeypatch, at=1):
    """Let the flush of a folder fail, the ``at``-th one alone."""
    real, seen = os.fsync, []

    def fsync(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            seen.append(descriptor)
            if len(seen) == at:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)


def test_a_new_file_whose_name_is_not_on_the_disk_is_taken_back(tmp_path, monkeypatch):
    fail_sync_of_folders(monkeypatch)
    with (
        pytest.raises(VinciError, match="d cannot be written: Input/output error"),
        published(tmp_path / "d") as d,
    ):
        d.write_text("new")
    assert names_in(tmp_path) == []


def test_a_file_in_the_place_of_another_stays_whole(tmp_path, monkeypatch):
    (tmp_path / "d").write_text("old")
    fail_sync_of_folders(monkeypatch)
    with (
        pytest.raises(VinciError, match="d cannot be written: Input/output error"),
        published(tmp_path / "d") as d,
    ):
        d.write_text("new")
    assert names_in(tmp_path) == ["d"]
    assert (tmp_path / "d").read_text() == "new"


@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_folder_is_taken_back_with_what_it_replaced(at, tmp_path, monkeypatch):
    target = tmp_path / "d"
    (target / "a").mkdir(parents=True)
    (target / "a" / "old.txt").write_text("old")
    fail_sync_of_folders(monkeypatch, at)  # of the folder, of the one in it, of the one above it
    with pytest.raises(VinciError, match="d cannot be written"), published_folder(target) as folder:
        (folder / "b").mkdir()
    assert names_in(tmp_path) == ["d"]
    assert names_in(target) == ["a"]


def test_new_folders_are_flushed_to_the_disk(tmp_path, monkeypatch):
    flushed, real = [], os.fsync
    monkeypatch.setattr(
        os, "fsync", lambda fd: (flushed.append(str(Path(f"/proc/self/fd/{fd}").readlink())), real(fd))
    )
    make_folder(tmp_path / "a" / "b")
    assert flushed == [str(tmp_path / "a"), str(tmp_path)]
    make_folder(tmp_path / "a" / "b")
    assert len(flushed) == 2


def test_errors_of_the_blocks_own_files_pass(tmp_path):
    with pytest.raises(FileNotFoundError), published(tmp_path / "d"):
        (tmp_path / "missing").read_text()
