"""Tests of `train`: run directories, refusals, exact resume."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from vinci_offline import Dataset, Hook, SpecError, UsageError, VinciError, train
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


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    """Return the result of a run without special options; tests must not change its directory."""
    return run(data, tmp_path_factory.mktemp("whole") / "run")


@pytest.fixture
def copied(whole, tmp_path):
    """Return a copy of that run's directory, which a test may change."""
    return shutil.copytree(whole.run, tmp_path / "run")


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


def test_same_command_gives_same_networks(data, whole, tmp_path):
    assert_equal(state(whole), state(run(data, tmp_path / "again")))


def test_same_command_gives_same_networks_under_xla(data, tmp_path):
    first, second = (run(data, tmp_path / name, "bc", jit="on", steps=10) for name in ("a", "b"))
    assert_equal(state(first), state(second))


def test_periods_of_logs_and_checkpoints_do_not_change_networks(data, whole, tmp_path):
    often = run(data, tmp_path / "a", log_every=7, checkpoint_every=4, eval_every=13, eval_episodes=1)
    assert_equal(state(whole), state(often))


def test_run_without_last_checkpoint_resumes_to_same_networks(data, tmp_path):
    phases = "both:20,actor:10"
    whole = run(data, tmp_path / "run", phases=phases, checkpoint_every=7)
    before = state(whole)
    (whole.run / "checkpoints" / "step-0000000030.npz").unlink()
    assert latest_checkpoint(whole.run / "checkpoints").step == 28
    again = run(data, tmp_path / "run", phases=phases, checkpoint_every=7, resume=True)
    assert again.steps == 30
    assert_equal(before, state(again))


def test_finished_run_resumes_with_more_steps(data, whole, tmp_path):
    run(data, tmp_path / "run", steps=12)
    longer = run(data, tmp_path / "run", steps=30, resume=True)
    assert_equal(state(whole), state(longer))


def test_resuming_a_finished_run_changes_nothing(data, whole, copied):
    again = run(data, copied, resume=True)
    assert again.steps == 30
    assert_equal(state(whole), state(again))


LONG = {"steps": 400, "log_every": 5, "checkpoint_every": 20}
SCRIPT = """
import json, sys
from vinci_offline import train
train(sys.argv[1], "bc", output=sys.argv[2], **json.loads(sys.argv[3]))
"""


@pytest.fixture(scope="module")
def uncut(data, tmp_path_factory):
    """Return the result of the long run without an interruption."""
    return run(data, tmp_path_factory.mktemp("uncut") / "run", "bc", **LONG)


def test_killed_run_resumes_to_same_networks(data, uncut, tmp_path):
    cut, options = tmp_path / "cut", json.dumps({"settings": SMALL, **SHORT, **LONG})
    command = [sys.executable, "-c", SCRIPT, str(data), str(cut), options]
    process = subprocess.Popen(command, env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"})
    while len(list(cut.glob("checkpoints/step-*.npz"))) < 2 and process.poll() is None:
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert 0 < latest_checkpoint(cut / "checkpoints").step < 400
    assert_resumes(data, cut, uncut)


def test_interrupted_run_resumes_to_same_networks(data, uncut, tmp_path):
    class CtrlC(Hook):
        def metrics(self, step, metrics):
            if step == 100:
                signal.raise_signal(signal.SIGINT)

    assert run(data, tmp_path / "cut", "bc", hooks=[CtrlC()], **LONG).interrupted
    assert 100 <= latest_checkpoint(tmp_path / "cut" / "checkpoints").step < 400
    assert_resumes(data, tmp_path / "cut", uncut)


def assert_resumes(data, cut, uncut):
    again = run(data, cut, "bc", resume=True, **LONG)
    assert again.steps == 400
    assert_equal(state(uncut), state(again))
    steps = [line.split(",")[0] for line in (cut / "metrics.csv").read_text().split()[1:]]
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


def test_init_keeps_normalisation_of_earlier_run(whole, tmp_path):
    other = tmp_path / "other.h5"
    Dataset.open("pendulum-mixed").select_episodes(range(250, 260)).save(other)
    second = run(other, tmp_path / "second", init=whole.run, steps=1)
    configs = [json.loads((r.run / "config.json").read_text())["normalization"] for r in (whole, second)]
    assert configs[0] == configs[1]


@pytest.mark.parametrize(
    ("options", "error", "told"),
    [
        ({"only": "actor"}, UsageError, "only='critic'"),
        ({"phases": "actor:5,critic:5"}, UsageError, "trained critic"),
        ({"agent": "bc", "only": "critic"}, UsageError, "no critic"),
        ({"agent": "dqn"}, SpecError, "discrete actions and the dataset's are continuous"),
        ({"agent": "nobody"}, UsageError, "the agents are"),
        ({"settings": {"alhpa": 1}}, UsageError, "'alhpa'"),
        ({"settings": {"alpha": "much"}}, UsageError, "alpha"),
        ({"batch_size": 0}, UsageError, "batch_size"),
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


def test_existing_output_is_kept_without_overwrite(data, copied, tmp_path):
    kept = (copied / "policy.keras").read_bytes()
    with pytest.raises(UsageError, match="resume=True goes on"):
        run(data, copied, steps=5)
    assert (copied / "policy.keras").read_bytes() == kept
    assert run(data, copied, steps=5, overwrite=True).steps == 5
    assert latest_checkpoint(copied / "checkpoints").step == 5
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
def test_resuming_with_other_options_is_refused(data, copied, changed, told):
    with pytest.raises(UsageError, match=told):
        run(data, copied, resume=True, **changed)


def test_resuming_on_another_dataset_is_refused(copied, tmp_path):
    other = tmp_path / "other.h5"
    Dataset.open("pendulum-mixed").select_episodes([7]).save(other)
    with pytest.raises(UsageError, match="another dataset"):
        run(other, copied, resume=True)


def test_divergence_at_first_step_leaves_no_checkpoint(data, tmp_path):
    columns = dict(Dataset.open(data).columns)
    huge = {**columns, "rewards": np.full(len(columns["rewards"]), 3e38, np.float32)}
    source = Dataset.open(data)
    bad = Dataset.from_columns(huge, source.spec)
    with pytest.raises(VinciError, match="diverged at step 1 in the update of 'critic'"):
        run(bad, tmp_path / "run")
    assert latest_checkpoint(tmp_path / "run" / "checkpoints") is None


def test_several_files_train_as_one(data, whole, tmp_path):
    dataset = Dataset.open(data)
    for i, rows in enumerate((slice(0, 2), slice(2, 5))):
        dataset.select_episodes(rows).save(tmp_path / f"{i}.h5")
    # Periods beyond the end of the run change nothing either.
    rare = {"log_every": 100, "checkpoint_every": 100}
    parts = run([tmp_path / "0.h5", tmp_path / "1.h5"], tmp_path / "parts", **rare)
    assert_equal(state(whole), state(parts))


def test_n_step_returns_train(data, tmp_path):
    result = run(data, tmp_path / "run", steps=5, n_step=3)
    assert result.steps == 5


def test_policy_loads_with_plain_keras_without_package(data, whole, tmp_path):
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
        str(whole.run / "policy.keras"),
        *(str(tmp_path / f"{n}.npy") for n in ("observations", "actions")),
    ]
    subprocess.run(
        [sys.executable, "-c", script, *files], check=True, env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    )
    from vinci_offline.policies.named import load_policy

    policy = load_policy(whole.run, Dataset.open(data).spec)
    ours = policy.act(observations, [np.random.default_rng(0)] * 64).actions
    # NumPy acts here and compiled Keras there: they round the last digit of a sum differently.
    np.testing.assert_allclose(np.load(tmp_path / "actions.npy"), ours, rtol=1e-6, atol=1e-7)
