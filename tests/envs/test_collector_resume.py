import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vinci_offline import Dataset, collect
from vinci_offline.errors import UsageError, VinciError

SCRIPT = """
import sys
from vinci_offline import collect
if __name__ == "__main__":
    collect("Pendulum-v1", sys.argv[1], steps=60_000, lanes=2, workers=int(sys.argv[2]), progress=False)
"""
OPTIONS = {"steps": 60_000, "lanes": 2, "progress": False}


def columns(data):
    return {path: values.tobytes() for path, values in data.columns.items()}


def start(tmp_path, workers):
    script = tmp_path / "record.py"
    script.write_text(SCRIPT)
    command = [sys.executable, str(script), str(tmp_path / "data.h5"), str(workers)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)


def wait_for_shards(folder, process, count=2):
    deadline = time.monotonic() + 60
    while len(list(folder.glob("shard-*.npz"))) < count:
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("workers", [1, 2])
def test_resume_after_kill_gives_the_same_data(tmp_path, workers):
    process = start(tmp_path, workers)
    folder = tmp_path / "data.h5.shards"
    wait_for_shards(folder, process)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    process.stderr.close()
    assert not (tmp_path / "data.h5").exists()
    # A damaged shard, as after a power cut, is recorded again.
    (folder / "shard-000001.npz").write_bytes(b"PK torn")
    resumed = collect("Pendulum-v1", tmp_path / "data.h5", resume=True, **OPTIONS)
    whole = collect("Pendulum-v1", tmp_path / "whole.h5", **OPTIONS)
    assert columns(resumed) == columns(whole)
    assert resumed.episodes.equals(whole.episodes)
    assert not folder.exists()


def test_ctrl_c_keeps_finished_shards(tmp_path):
    process = start(tmp_path, 2)
    wait_for_shards(tmp_path / "data.h5.shards", process)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode != 0
    assert "go on with resume=True" in errors
    assert len(list((tmp_path / "data.h5.shards").glob("shard-*.npz"))) >= 2


def interrupted(tmp_path, **options):
    """Return the folder of an interrupted collection."""
    path = tmp_path / "data.h5"
    collect("Pendulum-v1", path, steps=500, progress=False, **options)
    configuration = Dataset.open(path).attributes["collection"]
    path.unlink()
    folder = tmp_path / "data.h5.shards"
    folder.mkdir()
    (folder / "collection.json").write_text(json.dumps(dict(configuration)))
    (folder / "shard-000000.npz").write_bytes(b"whatever")
    return path


def test_resume_refuses_another_configuration(tmp_path):
    path = interrupted(tmp_path)
    with pytest.raises(UsageError, match=r"seed was 0, now 7.*overwrite=True"):
        collect("Pendulum-v1", path, steps=500, seed=7, resume=True, progress=False)
    with pytest.raises(UsageError, match=r"steps was 500, now 400"):
        collect("Pendulum-v1", path, steps=400, resume=True, progress=False)


def test_resume_refuses_a_changed_policy_file(tmp_path):
    policy = tmp_path / "policy.py"
    policy.write_text("def act(observation):\n    return [0.0]\n")
    path = interrupted(tmp_path, policy=f"{policy}:act")
    policy.write_text("def act(observation):\n    return [1.0]\n")
    with pytest.raises(UsageError, match="policy was"):
        collect("Pendulum-v1", path, steps=500, policy=f"{policy}:act", resume=True, progress=False)


def test_interrupted_collection_needs_resume_or_overwrite(tmp_path):
    path = interrupted(tmp_path)
    with pytest.raises(UsageError, match=r"resume=True.*overwrite=True"):
        collect("Pendulum-v1", path, steps=500, progress=False)
    assert len(collect("Pendulum-v1", path, steps=500, overwrite=True, progress=False)) == 500


def test_resume_removes_only_unfinished_files(tmp_path):
    path = interrupted(tmp_path)
    left, other = tmp_path / f".{path.name}.0a1b2c3d.tmp", tmp_path / ".other.h5.0a1b2c3d.tmp"
    for file in (left, other):
        file.write_bytes(b"half")
    collect("Pendulum-v1", path, steps=500, resume=True, progress=False)
    assert not left.exists()
    assert other.exists()


def test_resume_of_a_finished_collection_does_nothing(tmp_path):
    path = tmp_path / "data.h5"
    collect("Pendulum-v1", path, steps=300, progress=False)
    before = path.stat()
    collect("Pendulum-v1", path, steps=300, resume=True, progress=False)
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    with pytest.raises(UsageError, match="steps was 300, now 301"):
        collect("Pendulum-v1", path, steps=301, resume=True, progress=False)


def test_foreign_folder_is_not_deleted(tmp_path):
    folder = tmp_path / "data.h5.shards"
    folder.mkdir()
    (folder / "thesis.tex").write_text("precious")
    with pytest.raises(UsageError, match="not a folder of shards"):
        collect("Pendulum-v1", tmp_path / "data.h5", steps=5, overwrite=True, progress=False)
    assert (folder / "thesis.tex").exists()


def test_dead_worker_keeps_finished_shards(toys, tmp_path):
    path = tmp_path / "data.h5"
    with pytest.raises(VinciError, match=r"worker process died.*resume=True"):
        collect("vinci_toys:Fatal", path, episodes=60, workers=2, lanes=1, progress=False)
    shards = Path(f"{path}.shards")
    assert shards.is_dir()
    # What a worker was writing when it was stopped does not stay.
    half_written = shards / ".shard-000001.npz.0123abcd.tmp.npz"
    half_written.write_bytes(b"PK")
    with pytest.raises(VinciError, match=r"worker process died.*resume=True"):
        collect("vinci_toys:Fatal", path, episodes=60, workers=2, lanes=1, resume=True, progress=False)
    assert not half_written.exists()


@pytest.mark.parametrize(
    "text", ["{", "[]", "[" * 100_000, "9" * 5000], ids=["cut", "list", "nested", "digits"]
)
def test_damaged_configuration_of_shards_is_one_line(tmp_path, text):
    folder = tmp_path / "data.h5.shards"
    folder.mkdir()
    (folder / "shard-000000.npz").write_bytes(b"")
    (folder / "collection.json").write_text(text)
    with pytest.raises(UsageError, match=r"collection\.json is damaged \(.+\): start again") as raised:
        collect("Pendulum-v1", tmp_path / "data.h5", resume=True, **OPTIONS)
    assert str(raised.value).isprintable()
