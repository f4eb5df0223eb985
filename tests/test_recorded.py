"""Files that keep the first error of the disk, and go on in memory."""

from __future__ import annotations

import errno
import os

import numpy as np
import pytest
from failing_writes import fail_pwrite

from vinci_offline.recorded import RecordedFile, recorded


def test_what_was_written_is_on_the_disk(tmp_path):
    with recorded(RecordedFile(tmp_path / "d")) as file:
        file.write(b"abcdef")
        file.seek(2)
        file.write(b"XY")
        file.truncate(5)
        file.seek(0)
        assert file.read(9) == b"abXYe"
    assert (tmp_path / "d").read_bytes() == b"abXYe"


def test_short_writes_are_completed(tmp_path, monkeypatch):
    real = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, content, place: real(fd, content[:3], place))
    with recorded(RecordedFile(tmp_path / "d")) as file:
        assert file.write(b"abcdefgh") == 8
    assert (tmp_path / "d").read_bytes() == b"abcdefgh"


def test_the_first_error_comes_as_the_block_ends(tmp_path, monkeypatch):
    calls = fail_pwrite(monkeypatch, at=2)
    with pytest.raises(OSError, match="Input/output error"), recorded(RecordedFile(tmp_path / "d")) as file:
        for text in (b"ab", b"cd", b"ef"):
            file.write(text)
        file.seek(1)
        assert file.read(4) == b"bcde"
    assert calls == [0, 2]
    assert (tmp_path / "d").read_bytes() == b"ab"


def test_an_error_of_the_disk_replaces_what_it_led_to(tmp_path, monkeypatch):
    fail_pwrite(monkeypatch, at=1, code=errno.ENOSPC)
    with pytest.raises(OSError, match="No space"), recorded(RecordedFile(tmp_path / "d")) as file:
        file.write(b"ab")
        raise ValueError


def test_an_error_of_closing_is_kept(tmp_path, monkeypatch):
    real = os.close

    def close(descriptor):
        real(descriptor)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with pytest.raises(OSError, match="Input/output error"), recorded(RecordedFile(tmp_path / "d")) as file:
        monkeypatch.setattr(os, "close", close)
    monkeypatch.undo()
    assert file.write(b"later") == 5  # as HDF5 may, when it ends


@pytest.mark.parametrize("at", [1, 2, 5])
def test_a_failed_write_of_an_archive_is_told(at, tmp_path, monkeypatch):
    fail_pwrite(monkeypatch, at=at)
    with (
        pytest.raises(OSError, match="Input/output error"),
        recorded(RecordedFile(tmp_path / "d.npz")) as file,
    ):
        np.savez(file, a=np.arange(4), b=np.arange(5))
