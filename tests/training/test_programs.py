"""Runs of one process share what is compiled, and give their memory back."""

import gc
from pathlib import Path

import keras
import numpy as np
import pytest
from tensorflow.python.framework.func_graph import FuncGraph

from vinci_offline import train
from vinci_offline.agents.bc import BC
from vinci_offline.hooks.csv_log import last_values
from vinci_offline.hooks.hook import Hook
from vinci_offline.runs.checkpoint import latest_checkpoint
from vinci_offline.training.engines import tensorflow as engine
from vinci_offline.training.engines.programs import Programs

OPTIONS = {"steps": 4, "log_every": 4, "batch_size": 8, "jit": "off", "progress": False}


@pytest.fixture
def programs(monkeypatch):
    made = Programs()
    monkeypatch.setattr(engine, "SHARED", made)
    return made


def run(path, agent="bc", seed=0, **options):
    settings = {} if not isinstance(agent, str) else {"settings": {"hidden": (4,)}}
    return train("pendulum-mixed", agent, output=path, seed=seed, **{**OPTIONS, **settings, **options})


def resident_mebibytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20


def test_ten_runs_compile_once_and_give_memory_back(tmp_path, programs, caplog):
    at_fourth = None
    for seed in range(10):
        run(tmp_path / str(seed), seed=seed)
        if seed == 3:
            at_fourth = resident_mebibytes(), graphs()
    assert programs.traces == 1
    assert graphs() == at_fourth[1]
    assert resident_mebibytes() - at_fourth[0] < 30  # MiB; runs that compile take 20 and more each
    assert "retracing" not in caplog.text


def graphs():
    gc.collect()
    return sum(issubclass(type(each), FuncGraph) for each in gc.get_objects())


def test_dropped_programs_give_their_graphs_back(tmp_path, programs, monkeypatch):
    monkeypatch.setattr("vinci_offline.training.engines.programs._KEPT", 1)
    counts = []
    for batch_size in (4, 5, 6):
        run(tmp_path / str(batch_size), batch_size=batch_size)
        counts.append(graphs())
    assert programs.traces == 3
    assert counts[1] == counts[2]


def test_shared_program_trains_as_its_own_does(tmp_path, monkeypatch):
    """The actor is reset in each step, and so takes its initial weights, which differ by the seed."""
    settings = {"hidden": (4,), "actor_reset_below": 1e9}
    options = {"settings": settings, "seed": 1, "validation": 0.5}
    monkeypatch.setattr(engine, "SHARED", alone := Programs())
    run(tmp_path / "alone", "ddpg", **options)
    monkeypatch.setattr(engine, "SHARED", shared := Programs())
    run(tmp_path / "first", "ddpg", **{**options, "seed": 0})
    run(tmp_path / "second", "ddpg", **options)
    assert shared.traces == alone.traces > 1
    states = {name: latest_checkpoint(tmp_path / name / "checkpoints").state for name in ("alone", "second")}
    for name, values in states["alone"].items():
        np.testing.assert_array_equal(values, states["second"][name])
    losses = {last_values(tmp_path / name / "metrics.csv")["validation/actor"] for name in states}
    assert len(losses) == 1


def test_later_run_leaves_networks_of_an_earlier_one(tmp_path, programs):
    kept = []

    class Keep(Hook):
        def start(self, run):
            kept.append(run.policy)

    run(tmp_path / "a", hooks=[Keep()])
    before = kept[0].get_weights()
    run(tmp_path / "b", seed=1, hooks=[Keep()])
    assert programs.traces == 1
    for old, now in zip(before, kept[0].get_weights(), strict=True):
        np.testing.assert_array_equal(old, now)
    assert not np.array_equal(before[-2], kept[1].get_weights()[-2])


def test_other_settings_compile_anew(tmp_path, programs):
    run(tmp_path / "a")
    run(tmp_path / "b", settings={"hidden": (4,), "learning_rate": 0.1})
    assert programs.traces == 2
    run(tmp_path / "c", log_every=2, steps=2)
    assert programs.traces == 2


def test_users_agent_is_shared_by_the_seeds_of_one_call_alone(tmp_path, programs):
    class Own(BC):
        name = "own"

    run(tmp_path / "a", Own(hidden=(4,)), seeds=2)
    assert programs.traces == 1
    run(tmp_path / "b", Own(hidden=(4,)))
    assert programs.traces == 2


def test_least_recently_used_program_goes_first(monkeypatch):
    monkeypatch.setattr("vinci_offline.training.engines.programs._KEPT", 2)
    kept = Programs()
    for key in ("a", "b", "a", "c", "a", "b"):
        kept.run(key, lambda x: [x + 1], False, [], [keras.ops.zeros(2)])
    assert kept.traces == 4


def test_function_of_other_variables_is_not_shared():
    def add(mine, hidden):
        return lambda x: [x + mine.value + hidden.value]

    kept, results = Programs(), []
    for value in (1.0, 2.0):
        mine, hidden = keras.Variable([value]), keras.Variable([10 * value])
        for _ in range(2):
            (result,) = kept.run("same", add(mine, hidden), False, [mine], [keras.ops.zeros(1)])
            results.append(float(result[0]))
    assert results == [11.0, 11.0, 22.0, 22.0]
    assert kept.traces == 2
