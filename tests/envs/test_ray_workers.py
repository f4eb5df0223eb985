"""Collection and evaluation on a Ray cluster of this machine: the same as local, even if a worker dies."""

import os
import signal
import threading
import time
from pathlib import Path

import evaluation_env
import pytest

from vinci_offline import collect, evaluate
from vinci_offline.errors import VinciError

ray = pytest.importorskip("ray")
pytestmark = pytest.mark.filterwarnings("ignore")  # Ray's own


@pytest.fixture(scope="module")
def cluster():
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()


def columns(data):
    return {path: values.tobytes() for path, values in data.columns.items()}


def test_ray_workers_record_the_same_data(cluster, tmp_path):
    options = {"steps": 3000, "lanes": 2, "progress": False}
    here = collect("Pendulum-v1", tmp_path / "here.h5", **options)
    there = collect("Pendulum-v1", tmp_path / "there.h5", workers=2, engine="ray", **options)
    assert columns(here) == columns(there)
    assert here.hash == there.hash
    assert not Path(tmp_path / "there.h5.shards").exists()


def ray_workers(task):
    """Return the processes that do a task."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if task in (process / "cmdline").read_bytes():
                found.append(int(process.name))
        except OSError:
            continue
    return found


def kill_one(task, killed):
    """Kill the first process that does a task, and note its number."""
    deadline = time.monotonic() + 60
    while not killed and time.monotonic() < deadline:
        for process in ray_workers(task)[:1]:
            os.kill(process, signal.SIGKILL)
            killed.append(process)
        time.sleep(0.01)


def test_killed_ray_worker_is_restarted(cluster, tmp_path, capsys):
    options = {"steps": 60_000, "lanes": 2, "progress": False}
    here = collect("Pendulum-v1", tmp_path / "here.h5", **options)
    killed = []

    thread = threading.Thread(target=kill_one, args=(b"ray::_Worker.record", killed))
    thread.start()
    there = collect("Pendulum-v1", tmp_path / "there.h5", workers=2, engine="ray", **options)
    thread.join()
    assert killed
    assert columns(here) == columns(there)
    assert not capsys.readouterr().out  # Ray tells of the dead worker elsewhere: results stand alone


def test_ray_worker_errors_keep_finished_shards(cluster, tmp_path):
    policy = tmp_path / "acting.py"
    policy.write_text("def act(observation):\n    raise ValueError('no idea')\n")
    with pytest.raises(VinciError, match="recording failed: ValueError: no idea") as caught:
        collect(
            "Pendulum-v1",
            tmp_path / "data.h5",
            steps=300,
            policy=f"{policy}:act",
            workers=2,
            engine="ray",
            progress=False,
        )
    assert "\n" not in str(caught.value)


SLOW = """
import time


class Slow(SeededLength):
    def step(self, action):
        time.sleep(0.004)
        return super().step(action)
"""


def test_ray_workers_return_the_same_even_if_one_dies(cluster, tmp_path):
    module = tmp_path / "slow.py"
    module.write_text(Path(evaluation_env.__file__).read_text() + SLOW)
    options = {"episodes": 64, "lanes": 2, "seed": 5}
    here = evaluate(evaluation_env.noisy, evaluation_env.SeededLength, **options)
    killed = []
    thread = threading.Thread(target=kill_one, args=(b"ray::_Worker.run", killed))
    thread.start()
    there = evaluate(f"{module}:noisy", f"{module}:Slow", workers=2, engine="ray", **options)
    thread.join()
    assert killed
    assert there.returns == here.returns
    assert there.lengths == here.lengths
