"""Roles beyond critic and actor, and policies that only sample, from training to evaluation."""

import minimal_agents as minimal
import numpy as np
import pytest
from chains import chain

from vinci_offline import collect, evaluate, train
from vinci_offline.errors import UsageError
from vinci_offline.hooks.hook import Hook
from vinci_offline.keras_setup import load_keras_model
from vinci_offline.runs.checkpoint import latest_checkpoint

QUICK = {"batch_size": 8, "log_every": 5, "jit": "off", "progress": False}
ROLES = ("behaviour", "critic", "actor")


def checkpoint(run):
    return latest_checkpoint(run / "checkpoints")


def moved(before, after):
    """Return the names of the networks that differ."""
    return {
        name.split("/")[1]
        for name in before
        if name.startswith("networks/") and not np.array_equal(before[name], after[name])
    }


class Cut(Hook):
    """Hook that fails at step 10: the last checkpoint is older."""

    def metrics(self, step, metrics):
        if step == 10:
            raise RuntimeError("cut")


@pytest.fixture(scope="module")
def phased(tmp_path_factory):
    """Train three roles in turn, in one go and in two, and return the folder of both runs."""
    folder = tmp_path_factory.mktemp("roles")
    dataset, _ = chain()
    agent = minimal.ThreeRoles()
    plan = "behaviour:5,critic:5,actor:5"
    options = {"phases": plan, "checkpoint_every": 8, **QUICK}
    train(dataset, agent, output=folder / "whole", **options)
    with pytest.raises(RuntimeError, match="cut"):
        train(dataset, agent, output=folder / "parts", hooks=[Cut()], **options)
    assert checkpoint(folder / "parts").step == 8
    train(dataset, agent, output=folder / "parts", resume=True, **options)
    return folder


def test_phases_of_three_roles_count_the_steps_of_each(phased):
    found = checkpoint(phased / "whole")
    assert found.trained == dict.fromkeys(ROLES, 5)


def test_phases_of_three_roles_resume_exactly(phased):
    whole, parts = (checkpoint(phased / name) for name in ("whole", "parts"))
    assert parts.trained == whole.trained
    assert moved(whole.state, parts.state) == set()


def test_only_one_of_three_roles_is_trained(tmp_path, phased):
    dataset, _ = chain()
    origin = phased / "whole"
    options = {"only": "behaviour", "steps": 5, **QUICK}
    train(dataset, minimal.ThreeRoles(), output=tmp_path / "run", init=origin, **options)
    found = checkpoint(tmp_path / "run")
    assert moved(checkpoint(origin).state, found.state) == {"behaviour"}
    assert found.trained == {"behaviour": 10, "critic": 5, "actor": 5}


def test_an_unknown_role_is_refused_with_the_roles_there_are(tmp_path):
    dataset, _ = chain()
    with pytest.raises(UsageError, match="has no role 'value'; it has behaviour, critic, actor"):
        train(dataset, minimal.ThreeRoles(), output=tmp_path / "run", phases="value:5", **QUICK)


@pytest.mark.parametrize("plan", ["actor:5", "behaviour:5,actor:5"])
def test_an_actor_alone_needs_a_trained_critic(tmp_path, plan):
    dataset, _ = chain()
    with pytest.raises(UsageError, match="needs a trained critic"):
        train(dataset, minimal.ThreeRoles(), output=tmp_path / "run", phases=plan, **QUICK)


@pytest.fixture(scope="module")
def sampling_run(tmp_path_factory):
    """Train a policy that only samples on the shipped Pendulum data, and return its run."""
    run = tmp_path_factory.mktemp("sampler") / "run"
    return train("pendulum-mixed", minimal.NoisyCloning(), output=run, steps=5, **QUICK).run


def test_a_sampler_is_written_and_loads_in_safe_mode(sampling_run):
    sampler = load_keras_model(sampling_run / "sampler.keras", use="the test")
    policy = load_keras_model(sampling_run / "policy.keras", use="the test")
    observation = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    zero, drawn = (
        np.asarray(sampler({"observation": observation, "noise": noise}))
        for noise in (np.zeros((4, 3), np.float32), np.ones((4, 3), np.float32))
    )
    np.testing.assert_allclose(np.asarray(policy(observation)), zero, rtol=1e-5, atol=1e-6)
    assert not np.allclose(zero, drawn)


def test_sampled_returns_repeat_and_differ_from_those_of_the_policy(sampling_run):
    one, two = (evaluate(sampling_run, episodes=2, lanes=2, stochastic=True) for _ in range(2))
    np.testing.assert_array_equal(one.returns, two.returns)
    fixed = evaluate(sampling_run, episodes=2, lanes=2)
    assert not np.array_equal(one.returns, fixed.returns)


def test_sampled_collections_do_not_depend_on_workers(sampling_run, tmp_path):
    found = [
        collect(
            "Pendulum-v1",
            tmp_path / f"{workers}.h5",
            policy=str(sampling_run),
            steps=60,
            noise="sample",
            workers=workers,
            progress=False,
        )
        for workers in (1, 2)
    ]
    first, second = (dataset.columns["actions"] for dataset in found)
    np.testing.assert_array_equal(first, second)
