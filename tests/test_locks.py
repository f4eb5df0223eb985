"""One process writes a folder or a file; a second one is refused, whatever it was asked to do."""

import errno
import os
import signal
import socket
import subprocess
import sys

import pytest

from vinci_offline import locks
from vinci_offline.envs.collect.collector import collect
from vinci_offline.errors import UsageError
from vinci_offline.locks import LOCK, Locks, refuse_used_folder
from vinci_offline.runs.run_directory import RunDirectory
from vinci_offline.runs.seeds_directory import SeedsDirectory
from vinci_offline.training.trainer import train

HOLD = """
import pathlib, sys, time
from vinci_offline.locks import Locks
with Locks() as locks:
    locks.take_folder(pathlib.Path(sys.argv[1]))
    print("held", flush=True)
    time.sleep(60)
"""
FORK = """
    import os
    reading, writing = os.pipe()
    if os.fork():
        os.read(reading, 1)
    else:
        os.write(writing, b"x")
        sys.stdin.read()
    os._exit(0)
"""


@pytest.fixture
def no_kernel_locks(monkeypatch):
    def flock(_descriptor, _operation):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(locks.fcntl, "flock", flock)


def take(folder):
    with Locks() as held:
        held.take_folder(folder)
        return sorted(each.name for each in folder.iterdir())


def leave(folder, pid, host):
    folder.mkdir()
    (folder / LOCK).write_text(f"{pid} {host}\n")


def test_second_process_is_refused_until_first_is_killed(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(UsageError, match=rf"is in use by process {holder.pid} on .*kill {holder.pid}, "):
            take(tmp_path)
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    assert (tmp_path / LOCK).read_text().startswith(f"{holder.pid} ")
    assert take(tmp_path) == [LOCK]
    assert list(tmp_path.iterdir()) == []


def test_lock_makes_missing_folder_and_leaves_nothing_in_it(tmp_path):
    assert take(tmp_path / "a" / "b") == [LOCK]
    assert list((tmp_path / "a" / "b").iterdir()) == []


def test_lock_may_be_taken_twice_by_its_holder_alone(tmp_path):
    with Locks() as held:
        held.take_folder(tmp_path)
        held.take_folder(tmp_path)
        with pytest.raises(UsageError, match=f"by process {os.getpid()} on"):
            take(tmp_path)
    refuse_used_folder(tmp_path)


def test_lock_ends_with_its_process_though_a_forked_child_lives(tmp_path):
    """The child has let go of the lock when its parent ends, and lives until its standard input ends."""
    script = HOLD.replace("time.sleep(60)", FORK)
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout.readline() == "held\n"
        assert holder.wait(timeout=30) == 0
        assert (tmp_path / LOCK).exists()
        assert take(tmp_path) == [LOCK]
        holder.stdin.close()


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe", b"x" * 5000, b"99999999999999999999 host\n", b"1 \x1b[2J\n"]
)
def test_damaged_lock_is_taken_over(tmp_path, content):
    (tmp_path / LOCK).write_bytes(content)
    assert take(tmp_path) == [LOCK]


def test_folder_that_takes_no_lock_is_left_to_its_writer(tmp_path):
    (tmp_path / LOCK).symlink_to(tmp_path / "elsewhere")
    assert take(tmp_path) == [LOCK]
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.usefixtures("no_kernel_locks")
class TestWithoutKernelLocks:
    def test_living_process_is_refused(self, tmp_path):
        leave(tmp_path / "run", os.getppid(), socket.gethostname())
        with pytest.raises(UsageError, match=f"by process {os.getppid()}"):
            take(tmp_path / "run")

    def test_process_of_another_host_is_refused_with_the_file_to_delete(self, tmp_path):
        leave(tmp_path / "run", 1, "elsewhere")
        with pytest.raises(UsageError, match=r"on elsewhere: .*if it has ended, delete .*run/\.lock\)"):
            take(tmp_path / "run")

    def test_ended_process_is_not(self, tmp_path):
        ended = subprocess.Popen(["true"])
        ended.wait()
        leave(tmp_path / "run", ended.pid, socket.gethostname())
        assert take(tmp_path / "run") == [LOCK]

    def test_holder_in_the_same_process_is_refused(self, tmp_path):
        with Locks() as held:
            held.take_folder(tmp_path)
            with pytest.raises(UsageError, match="in use"):
                take(tmp_path)
        assert take(tmp_path) == [LOCK]


@pytest.mark.parametrize(
    "options", [{}, {"resume": True}, {"overwrite": True}, {"overwrite": True, "seeds": 2}]
)
def test_training_is_refused_beside_a_living_run(tmp_path, options):
    (tmp_path / "config.json").write_text("{}")
    with Locks() as held:
        held.take_folder(tmp_path)
        with pytest.raises(UsageError, match="in use by process"):
            train("cartpole-mixed", "bc", output=tmp_path, **options)
        assert sorted(each.name for each in tmp_path.iterdir()) == [LOCK, "config.json"]


def test_seeds_are_not_overwritten_beside_a_living_run_of_one(tmp_path):
    directory = SeedsDirectory(tmp_path / "seeds")
    directory.claim([0, 1], resume=False, overwrite=False)
    with Locks() as held:
        held.take_folder(directory.member(1).path)
        with pytest.raises(UsageError, match=r"seed-1 is in use by process"):
            directory.claim([0, 1], resume=False, overwrite=True)
    directory.claim([0, 1], resume=False, overwrite=True)
    assert [each.name for each in directory.path.iterdir()] == ["seeds.json"]


@pytest.mark.parametrize("kind", [RunDirectory, SeedsDirectory])
def test_overwritten_folder_keeps_its_lock(tmp_path, kind):
    content = ([0],) if kind is SeedsDirectory else ({"a": 1}, {"hash": "0"})
    kind(tmp_path).claim(*content, resume=False, overwrite=False)
    (tmp_path / "checkpoints").mkdir()
    with Locks() as held:
        held.take_folder(tmp_path)
        kind(tmp_path).claim(*content, resume=False, overwrite=True)
        assert (tmp_path / LOCK).is_file()
        assert not (tmp_path / "checkpoints").exists()


@pytest.mark.parametrize("kind", [RunDirectory, SeedsDirectory])
def test_folder_with_a_lock_alone_is_empty(tmp_path, kind):
    content = ([0],) if kind is SeedsDirectory else ({"a": 1}, {"hash": "0"})
    leave(tmp_path / "run", 1, "elsewhere")
    kind(tmp_path / "run").claim(*content, resume=False, overwrite=False)
    assert kind(tmp_path / "run").exists()


@pytest.mark.parametrize("options", [{}, {"resume": True}, {"overwrite": True}])
def test_collection_is_refused_beside_a_living_one(tmp_path, options):
    with Locks() as held:
        held.take_file(tmp_path / "data.h5")
        with pytest.raises(
            UsageError, match=r"data\.h5 is in use by process \d+ on .*choose another with path="
        ):
            collect("CartPole-v1", tmp_path / "data.h5", steps=20, progress=False, **options)
        assert [each.name for each in tmp_path.iterdir()] == [".data.h5.lock"]
    collect("CartPole-v1", tmp_path / "data.h5", steps=20, progress=False, **options)
    assert [each.name for each in tmp_path.iterdir()] == ["data.h5"]
