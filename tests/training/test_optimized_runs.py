"""Tests of runs with optimizer options: resume, saved policy, logs, refusals."""

import csv
import json

import keras
import numpy as np
import pytest

from vinci_offline import Dataset, UsageError, train
from vinci_offline.runs.checkpoint import latest_checkpoint

EVERYTHING = {
    "schedule": "actor:cosine",
    "warmup": 3,
    "clip_norm": 1.0,
    "weight_decay": 0.01,
    "policy_ema": 0.9,
    "precision": "bfloat16",
}


@pytest.fixture(scope="module")
def data():
    return Dataset.open("pendulum-mixed").select_episodes(range(5))


def run(data, output, **options):
    return train(
        data,
        "bc",
        output=output,
        settings={"hidden": (8,)},
        **{"steps": 20, "log_every": 10, "checkpoint_every": 10, "batch_size": 16} | options,
        jit="off",
        progress=False,
    )


def state(result):
    return latest_checkpoint(result.run / "checkpoints").state


def test_run_with_all_options_resumes_bitwise_and_saves_average(data, tmp_path):
    result = run(data, tmp_path / "run", **EVERYTHING)
    before = state(result)
    assert any(name.startswith("averages/actor/") for name in before)
    (result.run / "checkpoints" / "step-0000000020.npz").unlink()
    again = state(run(data, tmp_path / "run", **EVERYTHING, resume=True))
    assert set(before) == set(again)
    for name, value in before.items():
        np.testing.assert_array_equal(value, again[name], err_msg=name)

    policy, actor = (
        keras.saving.load_model(result.run / name, safe_mode=True)
        for name in ("policy.keras", "networks/actor.keras")
    )
    saved, online = policy.get_weights(), actor.get_weights()
    averages = [again[f"averages/actor/{i}"] for i in range(len(online))]
    assert all(np.array_equal(*pair) for pair in zip(saved, averages, strict=True))
    assert not all(np.array_equal(*pair) for pair in zip(saved, online, strict=True))
    states = data.columns["observations"][:4]
    assert policy.predict_on_batch(states).dtype == np.float32


def test_averages_start_from_init_networks(data, tmp_path):
    first = run(data, tmp_path / "first", steps=10)
    second = run(data, tmp_path / "second", steps=1, init=first.run, policy_ema=0.5)
    start, end = state(first), state(second)
    for name in [name for name in end if name.startswith("averages/")]:
        online = name.replace("averages", "networks")
        np.testing.assert_allclose(end[name], (start[online] + end[online]) / 2, atol=1e-7)


def test_compiler_and_compile_time_are_logged(data, tmp_path):
    result = run(data, tmp_path / "run")
    assert result.compiler == "TensorFlow graph"
    assert result.compile_seconds > 0
    assert json.loads((result.run / "config.json").read_text())["compiler"] == "TensorFlow graph"
    with (result.run / "metrics.csv").open(newline="") as file:
        told = [row["compile_seconds"] for row in csv.DictReader(file)]
    assert told == [str(result.compile_seconds), ""]


def test_cosine_run_cannot_be_extended(data, tmp_path):
    run(data, tmp_path / "run", steps=10, schedule="cosine")
    with pytest.raises(UsageError, match="schedule_steps was 10, is 20"):
        run(data, tmp_path / "run", steps=20, schedule="cosine", resume=True)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"precision": "float16"}, "precision must be float32 or bfloat16"),
        ({"schedule": "sine"}, "^schedule: 'sine' is not"),
        ({"schedule": "cosine", "warmup": 20}, "warmup=20 leaves no steps"),
    ],
)
def test_invalid_options_are_refused_before_writing(data, tmp_path, options, told):
    with pytest.raises(UsageError, match=told):
        run(data, tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()
