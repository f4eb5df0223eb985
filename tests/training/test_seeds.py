"""Tests of several seeds in one run: each equals its single run, also after interruptions."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass

import keras
import numpy as np
import pytest
from backends import tensorflow_only

from vinci_offline import Dataset, Hook, UsageError, VinciError, evaluate, train
from vinci_offline.agents.registry import agent_class
from vinci_offline.networks.builder import NetworkBuilder
from vinci_offline.runs.checkpoint import latest_checkpoint
from vinci_offline.training.learner import Learner

OPTIONS = {
    "settings": {"hidden": (8,)},
    "log_every": 5,
    "checkpoint_every": 10,
    "batch_size": 16,
    "jit": "off",
    "progress": False,
}
AT_ONCE = keras.backend.backend() == "jax"


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """Return a file with some episodes of the shipped Pendulum data."""
    path = tmp_path_factory.mktemp("data") / "pendulum.h5"
    Dataset.open("pendulum-mixed").select_episodes(range(0, 300, 60)).save(path)
    return path


def run(data, output, agent="bc", steps=20, **options):
    return train(data, agent, output=output, steps=steps, **{**OPTIONS, **options})


def state(directory):
    return latest_checkpoint(directory / "checkpoints").state


def assert_same(left, right, exact=not AT_ONCE):
    """Compare bitwise; on JAX with a tolerance, since stacked products may round differently."""
    assert set(left) == set(right)
    for name, value in left.items():
        if exact:
            np.testing.assert_array_equal(value, right[name], err_msg=name)
        else:
            np.testing.assert_allclose(value, right[name], rtol=1e-3, atol=1e-5, err_msg=name)


@pytest.fixture(scope="module")
def three(data, tmp_path_factory):
    """Return the result of seeds 4, 5 and 6 with one evaluation."""
    output = tmp_path_factory.mktemp("three") / "run"
    return run(data, output, "td3bc", seed=4, seeds=3, eval_every=20, eval_episodes=2)


def test_each_seed_equals_single_run(data, three, tmp_path):
    alone = run(data, tmp_path / "alone", "td3bc", seed=5, eval_every=20, eval_episodes=2)
    member = three.members[1]
    assert member.run.name == "seed-5"
    assert_same(state(member.run), state(alone.run))
    assert not np.allclose(
        state(member.run)["networks/actor/0"], state(three.members[0].run)["networks/actor/0"]
    )
    for name, value in alone.final_metrics.items():
        if not name.endswith(("_second", "_seconds")):
            assert member.final_metrics[name] == pytest.approx(value, rel=1e-3), name
    configs = [json.loads((path / "config.json").read_text()) for path in (member.run, alone.run)]
    assert configs[0] == configs[1]
    files = [
        {p.relative_to(path).as_posix() for path in [r] for p in r.rglob("*") if "tfevents" not in p.name}
        for r in (member.run, alone.run)
    ]
    assert files[0] == files[1]


def test_seeds_with_stream_and_validation_equal_single_run(data, tmp_path):
    options = {
        "memory": "stream",
        "memory_budget": "32KiB",
        "validation": 0.4,
        "patience": 2,
        "policy_ema": 0.9,
        "schedule": "actor:cosine",
    }
    together = run(data, tmp_path / "both", "td3bc", seed=7, seeds=2, **options)
    alone = run(data, tmp_path / "alone", "td3bc", seed=8, **options)
    member = together.members[1]
    assert member.steps == alone.steps
    assert member.best_step == alone.best_step
    assert_same(state(member.run), state(alone.run))


@tensorflow_only
def test_summary_has_members_mean_and_deviation(three):
    content = json.loads((three.run / "seeds.json").read_text())
    assert content["seeds"] == [4, 5, 6]
    assert content["steps"] == three.steps == 20
    assert three.steps_per_second > 0
    returns = [member["final_metrics"]["return/mean"] for member in content["members"]]
    assert len(set(returns)) == 3
    assert content["final_metrics"]["return/mean"] == pytest.approx(np.mean(returns))
    assert content["final_metrics_std"]["return/mean"] == pytest.approx(np.std(returns, ddof=1))
    assert three.final_metrics["return/mean"] == pytest.approx(np.mean(returns))


@tensorflow_only
def test_member_run_can_be_evaluated_and_used_as_init(data, three, tmp_path):
    member = three.members[2].run
    assert evaluate(member, episodes=1).episodes == 1
    assert run(data, tmp_path / "next", init=member, steps=5, only="actor").steps == 5


def test_unfinished_seeds_resume_to_same_networks(data, tmp_path):
    whole = run(data, tmp_path / "run", seeds=3)
    before = [state(member.run) for member in whole.members]
    metrics = [member.final_metrics["loss/actor"] for member in whole.members]
    # State after a kill while saving: seed 0 is done, seed 1 lacks its last checkpoint, seed 2 has none.
    (whole.members[1].run / "checkpoints" / "step-0000000020.npz").unlink()
    for path in (whole.members[2].run / "checkpoints").iterdir():
        path.unlink()
    done = whole.members[0].run / "policy.keras"
    written = done.stat().st_mtime_ns
    again = run(data, tmp_path / "run", seeds=3, resume=True)
    assert not again.interrupted
    assert done.stat().st_mtime_ns == written
    for member, expected in zip(again.members, before, strict=True):
        assert member.steps == 20
        # Seed 2 starts anew, so at first it is stepped alone.
        assert_same(state(member.run), expected)
    assert [m.final_metrics["loss/actor"] for m in again.members] == pytest.approx(metrics, rel=1e-3)


@tensorflow_only
def test_resume_accepts_more_steps_and_seeds_but_not_fewer(data, tmp_path):
    run(data, tmp_path / "run", steps=10, seeds=2)
    longer = run(data, tmp_path / "run", steps=20, seeds=3, resume=True)
    assert [member.steps for member in longer.members] == [20, 20, 20]
    with pytest.raises(UsageError, match="holds the seeds 0 to 2"):
        run(data, tmp_path / "run", seeds=2, resume=True)
    again = run(data, tmp_path / "run", seeds=3, resume=True)
    assert again.final_metrics["loss/actor"] == longer.final_metrics["loss/actor"]


SCRIPT = """
import json, sys
from vinci_offline import train
train(*json.loads(sys.argv[1]), resume=True, **json.loads(sys.argv[2]))
"""


@pytest.fixture(scope="module")
def uncut(data, tmp_path_factory):
    """Return the result of two seeds without an interruption."""
    return run(data, tmp_path_factory.mktemp("uncut") / "run", steps=300, seeds=2)


@tensorflow_only
def test_killed_seeds_resume_to_same_networks(data, uncut, tmp_path):
    output = tmp_path / "cut"
    options = {"output": str(output), "steps": 300, "seeds": 2, **OPTIONS}
    command = [sys.executable, "-c", SCRIPT, json.dumps([str(data), "bc"]), json.dumps(options)]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    process = subprocess.Popen(command, env=environment)
    while not list(output.glob("seed-0/checkpoints/step-*.npz")) and process.poll() is None:
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert 0 < latest_checkpoint(output / "seed-0" / "checkpoints").step < 300
    assert_resumes(data, output, uncut)


@tensorflow_only
def test_interrupted_seeds_resume_to_same_networks(data, uncut, tmp_path):
    output = tmp_path / "cut"
    cut = run(data, output, steps=300, seeds=2, hooks=lambda seed: [CtrlC()])
    assert cut.interrupted
    stopped = latest_checkpoint(output / "seed-0" / "checkpoints").step
    assert 100 <= stopped < 300
    assert json.loads((output / "seeds.json").read_text())["members"][0]["steps"] == stopped
    assert_resumes(data, output, uncut)


class CtrlC(Hook):
    """Hook that sends this process SIGINT after 100 steps."""

    def metrics(self, step, metrics):
        if step == 100:
            signal.raise_signal(signal.SIGINT)


def assert_resumes(data, output, uncut):
    again = run(data, output, steps=300, seeds=2, resume=True)
    assert not again.interrupted
    for member, expected in zip(again.members, uncut.members, strict=True):
        assert_same(state(member.run), state(expected.run))
        rows = (member.run / "metrics.csv").read_text().split()[1:]
        assert [row.split(",")[0] for row in rows] == [str(step) for step in range(5, 301, 5)]


@dataclass(frozen=True)
class Fussy(agent_class("bc")):
    """Agent that diverges if its first weight is above a limit."""

    name = "fussy"
    limit: float = 0.0

    def actor_loss(self, nets, batch, key):
        loss, metrics = super().actor_loss(nets, batch, key)
        return loss + keras.ops.where(first_weight(nets) > self.limit, np.float32("inf"), 0.0), metrics


def first_weight(nets):
    return keras.ops.ravel(nets.actor.trainable_variables[0])[0]


def test_diverged_seed_does_not_stop_others(data, tmp_path):
    build = NetworkBuilder(Dataset.open(data).spec)
    weights = [float(first_weight(Learner(Fussy(hidden=(8,)), build, seed).nets)) for seed in range(3)]
    bad = int(np.argmax(weights))
    agent = Fussy(hidden=(8,), limit=float(np.mean(sorted(weights)[1:])))
    options = {name: value for name, value in OPTIONS.items() if name != "settings"}
    with pytest.raises(VinciError, match=rf"^seed {bad}: .*diverge.*the others are in") as raised:
        train(data, agent, output=tmp_path / "run", steps=10, seeds=3, **options)
    assert "\n" not in str(raised.value)
    members = json.loads((tmp_path / "run" / "seeds.json").read_text())["members"]
    assert [member["seed"] for member in members if "error" in member] == [bad]
    assert [member["steps"] for member in members if "error" not in member] == [10, 10]


class Listener(Hook):
    """Hook that records the steps of metrics."""

    def __init__(self, seed):
        self.seed, self.steps = seed, []

    def start(self, run):
        assert run.config["training"]["seed"] == self.seed

    def metrics(self, step, metrics):
        self.steps.append(step)


@tensorflow_only
def test_each_seed_has_its_own_hooks(data, tmp_path):
    made = []

    def listeners(seed):
        made.append(Listener(seed))
        return made[-1:]

    run(data, tmp_path / "run", steps=10, seeds=2, hooks=listeners)
    assert [(hook.seed, hook.steps) for hook in made] == [(0, [5, 10]), (1, [5, 10])]
    with pytest.raises(UsageError, match="hooks must be a function"):
        run(data, tmp_path / "other", seeds=2, hooks=[Listener(0)])


@tensorflow_only
def test_existing_output_is_kept_without_overwrite(data, tmp_path):
    single, several, precious = (tmp_path / name for name in ("single", "several", "precious"))
    run(data, single, steps=5)
    run(data, several, steps=5, seeds=1)
    precious.mkdir()
    (precious / "thesis.txt").write_text("years of work")
    for output, told in (
        (single, "a run of one seed"),
        (several, "resume=True goes on"),
        (precious, "is no run"),
    ):
        with pytest.raises(UsageError, match=told):
            run(data, output, steps=5, seeds=2)
    with pytest.raises(UsageError, match="a run of one seed"):
        run(data, single, steps=5, seeds=2, resume=True)
    for flags in ({"overwrite": True}, {"resume": True}):
        with pytest.raises(UsageError):
            run(data, precious, seeds=2, **flags)
    with pytest.raises(UsageError):
        run(data, several, steps=5)
    assert (precious / "thesis.txt").read_text() == "years of work"
    assert run(data, single, steps=5, seeds=1, overwrite=True).members[0].steps == 5
    assert not (single / "config.json").exists()


@tensorflow_only
@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"seeds": 0}, "seeds must be at least 1, not 0"),
        ({"seeds": 2, "only": "critic"}, "no critic"),
        ({"seeds": 2, "resume": True, "overwrite": True}, "give one of them"),
    ],
)
def test_invalid_options_are_refused_before_writing(data, tmp_path, options, told):
    with pytest.raises(UsageError, match=told):
        run(data, tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()
