"""Seeds of `train --seeds` in processes: the numbers of one process, kills, mistakes, and where they are taken."""

import json
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from backends import tensorflow_only

from vinci_offline import Dataset, TrainResult, UsageError, VinciError, train
from vinci_offline.errors import ResumableError
from vinci_offline.runs.checkpoint import latest_checkpoint
from vinci_offline.sweeps import machine, seeds
from vinci_offline.sweeps.seeds import SeedsOrder, train_seeds
from vinci_offline.training.config import TrainingConfig

pytestmark = tensorflow_only
FEW = {"log_every": 5, "checkpoint_every": 10, "batch_size": 16, "jit": "off"}


def order_of(data, output, count=2, networks=None, settings=None, **options):
    configs = [TrainingConfig(**{"steps": 20, **FEW, **options}, seed=4 + number) for number in range(count)]
    given = settings or {"hidden": "[8]"}
    return SeedsOrder((str(data),), "bc", given, networks, None, None, None, Path(output), configs, None)


def state(folder, seed):
    return latest_checkpoint(Path(folder) / f"seed-{seed}" / "checkpoints").state


def assert_same(one, other, seed):
    left, right = state(one, seed), state(other, seed)
    assert set(left) == set(right)
    for name, value in left.items():
        np.testing.assert_array_equal(value, right[name], err_msg=name)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "pendulum.h5"
    Dataset.open("pendulum-mixed").select_episodes(range(0, 300, 60)).save(path)
    return path


def test_processes_end_where_one_process_does(data, tmp_path):
    apart = train_seeds(order_of(data, tmp_path / "apart"), 2, resume=False, overwrite=False)
    options = {**FEW, "steps": 20, "seed": 4, "settings": {"hidden": (8,)}, "progress": False}
    here = train(data, "bc", output=tmp_path / "here", seeds=3, **options)
    for seed in (4, 5):
        assert_same(apart.run, here.run, seed)
    contents = [json.loads((each.run / "seeds.json").read_text()) for each in (apart, here)]
    assert contents[0]["seeds"] == [4, 5]
    for one, other in zip(contents[0]["members"], contents[1]["members"], strict=False):
        assert one["final_metrics"]["loss/actor"] == other["final_metrics"]["loss/actor"]
    assert apart.steps_per_second > 0
    # Settings that changed are refused also where the seeds left to train have not begun.
    other = order_of(data, apart.run, count=3, settings={"hidden": "[4]"})
    with pytest.raises(UsageError, match=r"hyperparameters\.hidden"):
        train_seeds(other, 2, resume=True, overwrite=False)
    assert not (apart.run / "seed-6").exists()
    # What can go wrong before a step leaves the old runs as they are, also with overwrite.
    networks = tmp_path / "nets.py"
    networks.write_text("def actor(env):\n    raise ValueError('no idea')\n")
    with pytest.raises(VinciError, match="no idea"):
        train_seeds(order_of(data, apart.run, networks=networks), 2, resume=False, overwrite=True)
    assert_same(apart.run, here.run, 5)
    longer = train_seeds(order_of(data, apart.run, count=3), 2, resume=True, overwrite=False)
    assert [member.steps for member in longer.members] == [20, 20, 20]
    assert_same(apart.run, here.run, 6)


COMMAND = [sys.executable, "-c", "from vinci_offline.cli.app import main; main()", "train"]


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGKILL])
def test_interrupted_seeds_go_on_to_the_same_networks(data, tmp_path, signum):
    words = "--agent bc --set hidden=[8] --seed 4 --seeds 2 --workers 2 --batch-size 16 --jit off --json"
    often = "--steps 300 --log-every 5 --checkpoint-every 10"
    command = [*COMMAND, str(data), "-o", str(tmp_path / "cut"), *words.split(), *often.split()]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    while not list(tmp_path.glob("cut/seed-4/checkpoints/step-*.npz")) and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signum)
    told, _ = process.communicate()
    assert process.returncode == (130 if signum == signal.SIGINT else -signal.SIGKILL)
    stopped = latest_checkpoint(tmp_path / "cut" / "seed-4" / "checkpoints").step
    assert 0 < stopped < 300
    if signum == signal.SIGINT:
        assert json.loads(told)["members"][0]["steps"] == stopped
    done = subprocess.run([*command, "--resume"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["steps"] == 300
    options = {**FEW, "steps": 300, "settings": {"hidden": (8,)}}
    alone = train(data, "bc", output=tmp_path / "alone", seed=4, seeds=1, progress=False, **options)
    assert_same(tmp_path / "cut", alone.run, 4)


class Pool:
    """Stand-in for processes: seed 5 diverges, the others are finished at once."""

    def __init__(self, queue, order, workers, listener, claim):
        self._queue, self._listener, self._claim = queue, listener, claim

    def run(self):
        self._claim()
        while (cell := self._queue.take()) is not None:
            if cell.seed == 5:
                self._listener.failed(cell, VinciError("training diverged at step 3"))
            else:
                self._listener.finished(cell, TrainResult(Path(cell.name), 20, 100.0, {}))


def test_a_seed_that_fails_does_not_stop_the_others(data, monkeypatch, tmp_path):
    monkeypatch.setattr(seeds, "Pool", Pool)
    with pytest.raises(VinciError, match=r"^seed 5: training diverged at step 3 \(the others are in"):
        train_seeds(order_of(data, tmp_path / "run", count=3), 2, resume=False, overwrite=False)
    members = json.loads((tmp_path / "run" / "seeds.json").read_text())["members"]
    assert [member["steps"] for member in members] == [20, 0, 20]
    assert [member["seed"] for member in members if "error" in member] == [5]


def test_processes_are_taken_on_a_cpu_alone(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)
    monkeypatch.setattr(machine, "has_a_gpu", lambda backend=None: False)
    assert [machine.workers_for_seeds(count) for count in (1, 3, 9)] == [1, 3, 4]
    assert machine.workers_for_seeds(9, 1) == 1
    assert machine.workers_for_seeds(9, 6) == 6
    monkeypatch.setattr(machine, "has_a_gpu", lambda backend=None: True)
    assert machine.workers_for_seeds(9) == 1
    assert machine.workers_for_seeds(9, 2) == 2


@pytest.mark.parametrize(
    ("there", "variables", "expected"),
    [
        (True, {}, True),
        (False, {}, False),
        (True, {"CUDA_VISIBLE_DEVICES": ""}, False),
        (True, {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}, False),
        (True, {"JAX_PLATFORMS": "cpu"}, True),  # TensorFlow does not look there
    ],
)
def test_a_gpu_is_found_by_its_device(monkeypatch, there, variables, expected):
    monkeypatch.setattr(machine, "Path", lambda _: SimpleNamespace(exists=lambda: there))
    for name in ("CUDA_VISIBLE_DEVICES", "KERAS_BACKEND", "JAX_PLATFORMS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert machine.has_a_gpu() is expected


def test_an_error_that_can_be_resumed_passes_between_processes():
    error = pickle.loads(pickle.dumps(ResumableError("the disk is full")))
    assert (str(error), error.reason) == (
        "the disk is full: go on with --resume",
        "the disk is full",
    )
