"""Tests of the guard against divergence: it names the step, the update and the rows."""

import json
import math

import numpy as np
import pytest

from vinci_offline import Dataset, VinciError, train
from vinci_offline.runs.checkpoint import latest_checkpoint
from vinci_offline.training.engines import make_engine as engine_of_the_backend
from vinci_offline.training.guards import FiniteGuard

SHORT = {"batch_size": 16, "jit": "off", "progress": False, "settings": {"hidden": (8,)}}
POISONED = 321


@pytest.fixture
def poisoned(transitions):
    """Return transitions with one row whose squared error overflows."""
    reward = transitions.reward.copy()
    reward[POISONED] = 3e38
    return transitions._replace(reward=reward)


def first_step_with(engine, row):
    return next(step for step in range(1, 1000) if row in engine.drawn(step)[0])


@pytest.mark.parametrize("jit", ["off", "on"])
def test_guard_finds_step_update_and_row(make_learner, poisoned, jit):
    learner = make_learner()
    initial = learner.state()
    engine = engine_of_the_backend(learner, poisoned, batch_size=16, seed=3, jit=jit)
    expected = first_step_with(engine, POISONED)
    assert expected > 2  # something to search
    guard = FiniteGuard(learner, engine, rows=np.arange(1000, 1500))
    updates, count = learner.select(None), expected + 37
    found = guard.check(updates, 0, count, engine.run(updates, 0, count))
    assert (found.step, found.update) == (expected, "critic")
    assert found.names[0] == "loss/critic"
    assert found.rows[0] == 1000 + POISONED
    assert not math.isfinite(found.losses[0])
    assert len(found.rows) == 5
    assert all(math.isfinite(loss) for loss in found.losses[1:])
    assert f"at step {expected} in the update of 'critic': loss/critic" in str(found)
    left = learner.state()
    learner.restore(initial)
    engine.run(updates, 0, expected - 1)
    for name, value in learner.state().items():
        np.testing.assert_array_equal(value, left[name], err_msg=name)


def test_finite_chunk_passes_and_changes_nothing(trainer_of):
    trainer = trainer_of()
    learner, guard = trainer.learner, FiniteGuard(trainer.learner, trainer.engine)
    metrics = trainer.run(5)
    before = learner.state()
    assert guard.check(learner.select(None), 0, 5, metrics) is None
    assert all(np.array_equal(before[name], value) for name, value in learner.state().items())


def test_infinite_parameter_is_found(trainer_of):
    trainer = trainer_of()
    learner, guard = trainer.learner, FiniteGuard(trainer.learner, trainer.engine)
    trainer.run(2)
    broken = learner.state()
    broken["networks/target_actor/0"][0] = np.inf
    learner.restore(broken)
    found = guard.check(learner.select(None), 0, 2, {"loss/critic": 1.0})
    assert found.update == "actor"
    assert found.names == ("networks/target_actor/0",)
    assert "networks/target_actor not finite" in str(found)


def test_diverged_run_keeps_earlier_checkpoint(tmp_path):
    """Train on a reward near the greatest float32: its squared error overflows when its row is drawn."""
    source = Dataset.open("pendulum-mixed").select_episodes(range(3))
    rewards = source.columns["rewards"].copy()
    rewards[77] = 3e38
    dataset = Dataset.from_columns({**source.columns, "rewards": rewards}, source.spec)
    with pytest.raises(
        VinciError, match=r"diverged at step \d+ in the update of 'critic'.* 77 \(loss inf\)"
    ) as told:
        train(dataset, "td3bc", output=tmp_path / "run", steps=500, log_every=50, checkpoint_every=5, **SHORT)
    step = int(str(told.value).split("at step ")[1].split()[0])
    kept = latest_checkpoint(tmp_path / "run" / "checkpoints")
    assert kept.step == (step - 1) // 5 * 5
    assert f"checkpoint of step {kept.step} is kept" in str(told.value)
    assert all(np.isfinite(value).all() for value in kept.state.values())
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("memory", ["device", "stream"])
def test_guard_names_dataset_rows_with_held_out_episodes(tmp_path, memory):
    source = Dataset.open("pendulum-mixed").select_episodes(range(6))
    from vinci_offline.training.held_out import split_episodes

    bad = int(split_episodes(source, 0.3).rows[450])
    assert bad != 450
    rewards = source.columns["rewards"].copy()
    rewards[bad] = 3e38
    dataset = Dataset.from_columns({**source.columns, "rewards": rewards}, source.spec, source.episodes)
    with pytest.raises(VinciError, match=rf" {bad} \(loss inf\)"):
        train(
            dataset,
            "td3bc",
            output=tmp_path / "run",
            steps=500,
            validation=0.3,
            memory=memory,
            memory_budget=16_000,
            **SHORT,
        )
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["training"]["validation"] == 0.3
