"""The fault script sees differences of outputs, and its failing calls fail as they are told."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

SOURCE = Path(__file__).resolve().parents[2] / "scripts" / "faults" / "failing_calls.c"
WRITER = """
import os, sys
for name in sys.argv[1:]:
    try:
        with open(name, "wb", buffering=0) as file:
            file.write(b"abc")
            os.fsync(file.fileno())
        os.rename(name, name + ".new")
        print("written", end=" ")
    except OSError as error:
        print(error.errno, end=" ")
"""


@pytest.fixture(scope="module")
def shim(tmp_path_factory):
    if not shutil.which("cc") or not sys.platform.startswith("linux"):
        pytest.skip("needs Linux and cc")
    path = tmp_path_factory.mktemp("shim") / "failing_calls.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", str(path), str(SOURCE), "-ldl"], check=True)
    return path


@pytest.mark.parametrize(
    ("at", "for_ever", "wanted"),
    [
        (0, 0, "written written"),
        (1, 0, "5 written"),
        (2, 0, "5 written"),
        (3, 0, "5 written"),
        (4, 0, "5 written"),
        (5, 0, "written 5"),
        (3, 1, "5 5"),
    ],
)
def test_the_call_that_was_named_fails(at, for_ever, wanted, shim, tmp_path):
    """Each file takes four calls: write, fsync, close, rename."""
    (tmp_path / "in").mkdir()
    settings = {
        "LD_PRELOAD": str(shim),
        "FAILING_FOLDER": f"{tmp_path}/in/",
        "FAILING_AT": str(at),
        "FAILING_FOREVER": str(for_ever),
    }
    names = [str(tmp_path / "in" / name) for name in ("a", "b")]
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", WRITER, str(tmp_path / "outside"), *names],
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == f"written {wanted}"


def test_equal_outputs_have_no_differences(fail_writes, tmp_path):
    for name in ("a", "b"):
        folder = tmp_path / name
        folder.mkdir()
        np.savez(folder / "d.npz", x=np.array([1.0, np.nan]))
        with h5py.File(folder / "d.h5", "w") as file:
            file["g/x"] = np.arange(3)
            file.attrs["seed"] = 1
        (folder / "metrics.csv").write_text(name)
    assert list(fail_writes.differences(tmp_path / "a", tmp_path / "b")) == []
    with h5py.File(tmp_path / "b" / "d.h5", "r+") as file:
        file["g/x"][1] = 7
        file.attrs["seed"] = 2
    np.savez(tmp_path / "b" / "d.npz", x=np.array([2.0, np.nan]))
    (tmp_path / "b" / "more").touch()
    assert list(fail_writes.differences(tmp_path / "a", tmp_path / "b")) == [
        "more is on one side only",
        "d.h5: @seed differs",
        "d.h5: g/x differs",
        "d.npz: x.npy the content differs",
    ]


@pytest.mark.parametrize(
    ("code", "text", "count"),
    [
        (0, "", 0),
        (1, "error: d.h5 cannot be written", 0),
        (1, "error: a\nerror: b", 1),
        (1, "Traceback (most recent call last):", 2),
        (-11, "", 1),
    ],
)
def test_an_end_is_one_line_or_success(code, text, count, fail_writes):
    assert len(list(fail_writes._told(fail_writes.End(code, text)))) == count


def test_faults_are_all_or_a_draw(fail_writes):
    assert len(fail_writes.chosen(5, 0, None)) == 20
    assert len({str(fault) for fault in fail_writes.chosen(5, 0, None)}) == 20
