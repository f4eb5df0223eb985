"""Tests of `train`: run directories, refusals, exact resume."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from vinci_offline import Dataset, SpecError, UsageError, VinciError, train
from vinci_offline.runs.checkpoint import latest_checkpoint

SMALL = {"hidden": (16, 16)}
SHORT = {
    "steps": 30,
    "log_every": 10,
    "checkpoint_every": 10,
    "batch_size": 32,
    "jit": "off",
    "progress": False,
}


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """Return a file with some episodes of the shipped Pendulum data."""
    path = tmp_path_factory.mktemp("data") / "pendulum.h5"
    Dataset.open("pendulum-mixed").select_episodes(range(0, 300, 60)).save(path)
    return path


def run(data, output, agent="td3bc", **options):
    return train(data, agent, output=output, **{"settings": SMALL, **SHORT, **options})


def state(result):
    return latest_checkpoint(result.run / "checkpoints").state


def assert_equal(left, right, prefix=""):
    names = [name for name in left if name.startswith(prefix)]
    assert names
    for name in names:
        np.testing.assert_array_equal(left[name], right[name], err_msg=name)


def test_run_directory_has_documented_files(data, tmp_path):
    result = run(data, tmp_path / "run", eval_every=30, eval_episodes=2)
    assert result.steps == 30
    assert result.steps_per_second > 0
    assert {"loss/critic", "loss/actor", "return/mean"} <= set(result.final_metrics)
    for name in ("config.json", "dataset.json", "policy.keras", "metrics.csv", "evaluations.csv"):
        assert (result.run / name).is_file(), name
    assert {path.stem for path in (result.run / "networks").iterdir()} == {
        "actor", "critic", "target_actor", "target_critic",
    }  # fmt: skip
    assert list(result.run.glob("events.out.tfevents.*"))
    assert json.loads((result.run / "dataset.json").read_text())["hash"] == Dataset.open(data).hash


@pytest.mark.parametrize("jit", ["on", "off"])
def test_same_command_gives_same_networks(data, tmp_path, jit):
    first, second = (run(data, tmp_path / name, jit=jit) for name in ("a", "b"))
    assert_equal(state(first), state(second))


def test_periods_of_logs_and_checkpoints_do_not_change_networks(data, tmp_path):
    often = run(data, tmp_path / "a", log_every=7, checkpoint_every=4, eval_every=13, eval_episodes=1)
    seldom = run(data, tmp_path / "b", log_every=100, checkpoint_every=100)
    assert_equal(state(often), state(seldom))


@pytest.mark.parametrize("phases", ["critic:10,both:20", "both:20,actor:10"])
def test_run_without_last_checkpoint_resumes_to_same_networks(data, tmp_path, phases):
    whole = run(data, tmp_path / "run", phases=phases, checkpoint_every=7)
    before = state(whole)
    (whole.run / "checkpoints" / "step-0000000030.npz").unlink()
    assert latest_checkpoint(whole.run / "checkpoints").step == 28
    again = run(data, tmp_path / "run", phases=phases, checkpoint_every=7, resume=True)
    assert again.steps == 30
    assert_equal(before, state(again))


def test_finished_run_resumes_with_more_steps(data, tmp_path):
    run(data, tmp_path / "run", steps=12)
    longer = run(data, tmp_path / "run", steps=30, resume=True)
    assert_equal(state(run(data, tmp_path / "whole", steps=30)), state(longer))


def test_resuming_a_finished_run_changes_nothing(data, tmp_path):
    first = run(data, tmp_path / "run")
    before = state(first)
    again = run(data, tmp_path / "run", resume=True)
    assert again.steps == 30
    assert_equal(before, state(again))


SCRIPT = """
import sys
from vinci_offline import train
train(sys.argv[1], "td3bc", output=sys.argv[2], settings={"hidden": (16, 16)}, steps=400, log_every=5,
      checkpoint_every=20, batch_size=32, jit="off", progress=False, resume=True)
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_killed_run_resumes_to_same_networks(data, tmp_path, how):
    def start(name):
        command = [sys.executable, "-c", SCRIPT, str(data), str(tmp_path / name)]
        return subprocess.Popen(command, env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"})

    whole, cut = start("whole"), start("cut")
    deadline = time.monotonic() + 120
    while len(list((tmp_path / "cut").glob("checkpoints/step-*.npz"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    cut.send_signal(how)
    cut.wait()
    stopped = latest_checkpoint(tmp_path / "cut" / "checkpoints").step
    assert 0 < stopped < 400
    assert start("cut").wait() == 0
    assert whole.wait() == 0
    final = latest_checkpoint(tmp_path / "cut" / "checkpoints")
    assert final.step == 400
    assert_equal(latest_checkpoint(tmp_path / "whole" / "checkpoints").state, final.state)
    steps = [line.split(",")[0] for line in (tmp_path / "cut" / "metrics.csv").read_text().split()[1:]]
    assert steps == [str(step) for step in range(5, 401, 5)]


def test_only_critic_then_only_actor_freezes_the_other(data, tmp_path):
    critic = run(data, tmp_path / "critic", only="critic")
    start = run(data, tmp_path / "start", steps=1, only="critic")
    for frozen in ("networks/actor/", "networks/target_actor/", "optimizers/actor/"):
        assert_equal(state(start), state(critic), frozen)
    actor = run(data, tmp_path / "actor", only="actor", init=critic.run)
    for frozen in ("networks/critic/", "networks/target_critic/"):
        assert_equal(state(critic), state(actor), frozen)
    moved = [n for n in state(actor) if n.startswith("networks/actor/")]
    assert any(not np.array_equal(state(critic)[name], state(actor)[name]) for name in moved)


def test_init_keeps_normalisation_of_earlier_run(data, tmp_path):
    first = run(data, tmp_path / "first")
    other = tmp_path / "other.h5"
    Dataset.open("pendulum-mixed").select_episodes(range(250, 260)).save(other)
    second = run(other, tmp_path / "second", init=first.run)
    configs = [json.loads((r.run / "config.json").read_text())["normalization"] for r in (first, second)]
    assert configs[0] == configs[1]


@pytest.mark.parametrize(
    ("options", "error", "told"),
    [
        ({"only": "actor"}, UsageError, "--only critic"),
        ({"phases": "actor:5,critic:5"}, UsageError, "trained critic"),
        ({"agent": "bc", "only": "critic"}, UsageError, "no critic"),
        ({"agent": "dqn"}, SpecError, "discrete actions and the dataset's are continuous"),
        ({"agent": "nobody"}, UsageError, "the agents are"),
        ({"settings": {"alhpa": 1}}, UsageError, "'alhpa'"),
        ({"settings": {"alpha": "much"}}, UsageError, "alpha"),
        ({"batch_size": 0}, UsageError, "batch-size"),
        ({"gamma": 1.5}, UsageError, "gamma"),
        ({"jit": "maybe"}, UsageError, "jit"),
        ({"init": "nowhere"}, VinciError, "nowhere"),
        ({"eval_every": 10, "env": "CartPole-v1"}, SpecError, "action"),
        ({"eval_every": 10, "env": "Pendulun-v1"}, UsageError, "Pendulum-v1"),
        ({"networks": {"actor": lambda env: None}}, VinciError, "actor"),
    ],
)
def test_invalid_options_are_refused_before_writing(data, tmp_path, options, error, told):
    with pytest.raises(error, match=told) as raised:
        run(data, tmp_path / "run", **{"agent": "td3bc", **options})
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "run").exists()


def test_existing_output_is_kept_without_overwrite(data, tmp_path):
    first = run(data, tmp_path / "run")
    with pytest.raises(UsageError, match="--resume goes on"):
        run(data, tmp_path / "run")
    assert_equal(state(first), state(run(data, tmp_path / "run", overwrite=True)))
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.txt").write_text("years of work")
    for flags in ({}, {"overwrite": True}, {"resume": True}):
        with pytest.raises(UsageError):
            run(data, precious, **flags)
    assert (precious / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize(
    ("changed", "told"), [({"seed": 1}, "seed"), ({"settings": {"hidden": (8,)}}, "hidden")]
)
def test_resuming_with_other_options_is_refused(data, tmp_path, changed, told):
    run(data, tmp_path / "run")
    with pytest.raises(UsageError, match=told):
        run(data, tmp_path / "run", resume=True, **changed)


def test_resuming_on_another_dataset_is_refused(data, tmp_path):
    run(data, tmp_path / "run")
    other = tmp_path / "other.h5"
    Dataset.open("pendulum-mixed").select_episodes([7]).save(other)
    with pytest.raises(UsageError, match="another dataset"):
        run(other, tmp_path / "run", resume=True)


def test_divergence_at_first_step_leaves_no_checkpoint(data, tmp_path):
    columns = dict(Dataset.open(data).columns)
    huge = {**columns, "rewards": np.full(len(columns["rewards"]), 3e38, np.float32)}
    source = Dataset.open(data)
    bad = Dataset.from_columns(huge, source.spec)
    with pytest.raises(VinciError, match="diverged at step 1 in the update of 'critic'"):
        run(bad, tmp_path / "run")
    assert latest_checkpoint(tmp_path / "run" / "checkpoints") is None


def test_several_files_train_as_one(data, tmp_path):
    whole = Dataset.open(data)
    for i, rows in enumerate((slice(0, 2), slice(2, 5))):
        whole.select_episodes(rows).save(tmp_path / f"{i}.h5")
    parts = run([tmp_path / "0.h5", tmp_path / "1.h5"], tmp_path / "parts")
    assert_equal(state(run(data, tmp_path / "whole")), state(parts))


def test_n_step_returns_train(data, tmp_path):
    result = run(data, tmp_path / "run", n_step=3)
    assert result.steps == 30


def test_policy_loads_with_plain_keras_without_package(data, tmp_path):
    result = run(data, tmp_path / "run")
    observations = Dataset.open(data).columns["observations"][:64]
    np.save(tmp_path / "observations.npy", observations)
    script = (
        "import sys, numpy as np\n"
        "sys.modules['vinci_offline'] = None\n"  # makes importing the package fail
        "import keras\n"
        "policy = keras.saving.load_model(sys.argv[1], safe_mode=True)\n"
        "np.save(sys.argv[3], policy.predict_on_batch(np.load(sys.argv[2])))\n"
    )
    files = [
        str(result.run / "policy.keras"),
        *(str(tmp_path / f"{n}.npy") for n in ("observations", "actions")),
    ]
    subprocess.run(
        [sys.executable, "-c", script, *files], check=True, env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    )
    from vinci_offline.policies.named import load_policy

    policy = load_policy(result.run, Dataset.open(data).spec)
    ours = policy.act(observations, [np.random.default_rng(0)] * 64).actions
    np.testing.assert_array_equal(np.load(tmp_path / "actions.npy"), ours)
