"""Tests of held-out episodes, patience and the best state, also after interruptions."""

import csv
import json
import shutil

import numpy as np
import pytest
from backends import every_compiler
from keras import ops
from minimal_agents import Annealed

from vinci_offline import Dataset, UsageError, evaluate, functional, train
from vinci_offline.agents.bc import BC
from vinci_offline.agents.iql import IQL
from vinci_offline.batches.batch import transition_columns
from vinci_offline.batches.first_read import first_read
from vinci_offline.runs.checkpoint import latest_checkpoint
from vinci_offline.testing.agent_contract import BATCH, BOX, builder, columns
from vinci_offline.training.config import TrainingConfig
from vinci_offline.training.engines import make_engine as make_engine_of_backend
from vinci_offline.training.held_out import HeldOut, deciding_loss, held_out_sample, split_episodes
from vinci_offline.training.learner import Learner
from vinci_offline.training.run import Run
from vinci_offline.training.standing import Standing

OPTIONS = {
    "steps": 120,
    "log_every": 10,
    "checkpoint_every": 25,
    "batch_size": 32,
    "jit": "off",
    "progress": False,
    "settings": {"hidden": (16, 16)},
    "validation": 0.34,
}


@pytest.fixture(scope="session")
def data():
    return Dataset.open("pendulum-mixed").select_episodes(range(0, 300, 50))


def run(data, output, agent="bc", **options):
    return train(data, agent, output=output, **{**OPTIONS, **options})


def table(result, name="metrics.csv"):
    with (result.run / name).open() as file:
        return list(csv.DictReader(file))


def state(result):
    return latest_checkpoint(result.run / "checkpoints").state


def assert_equal(left, right):
    assert left.keys() == right.keys()
    for name, value in left.items():
        np.testing.assert_array_equal(value, right[name], err_msg=name)


def test_split_takes_each_episode_once(data):
    split = split_episodes(data, 0.34)
    assert (len(split.training.episodes), len(split.held_out.episodes)) == (4, 2)
    assert len(split.training) + len(split.held_out) == len(data)
    returns = sorted([*split.training.episodes["return"], *split.held_out.episodes["return"]])
    assert returns == sorted(data.episodes["return"])
    for path, column in split.training.columns.items():
        np.testing.assert_array_equal(column, data.columns[path][split.rows])
    again = split_episodes(data, 0.34)
    np.testing.assert_array_equal(again.rows, split.rows)
    assert split_episodes(data, None).training is data
    for fraction, held in ((1e-6, 1), (0.999, 5)):
        assert len(split_episodes(data, fraction).held_out.episodes) == held


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"validation": 0.0}, "validation must be"),
        ({"validation": 1.0}, "validation must be"),
        ({"validation": None, "patience": 3}, "^patience= needs"),
        ({"patience": 0}, "patience must be at least 1"),
    ],
)
def test_invalid_validation_options_are_refused(data, tmp_path, options, told):
    with pytest.raises(UsageError, match=told):
        run(data, tmp_path / "run", **options)
    with pytest.raises(UsageError, match="the dataset has one"):
        run(data.select_episodes([0]), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@every_compiler
def test_held_out_losses_equal_losses_and_change_nothing(trainer_of, transitions, jit):
    learner, engine = trainer_of(jit).learner, trainer_of(jit).engine
    held_out = HeldOut(engine, transition_columns(transitions))
    updates = learner.select(None)
    before = learner.state()
    first, second = held_out.losses(updates, 0), held_out.losses(updates, 0)
    assert first == second
    assert_equal(before, learner.state())
    assert set(first) == {"validation/critic", "validation/actor"}
    observation = ops.convert_to_tensor(transitions.observation)
    values = learner.nets.critic([observation, learner.nets.actor(observation)])
    # The loss adds noise of 0.1 to the actions.
    assert first["validation/actor"] == pytest.approx(-float(ops.mean(values)), abs=0.02)
    engine.run(updates, 0, 3)
    assert held_out.losses(updates, 3) != first
    assert set(held_out.losses(learner.select("actor"), 3)) == {"validation/actor"}
    assert deciding_loss(updates, first) == first["validation/actor"]
    assert deciding_loss(learner.select("critic"), first) == first["validation/critic"]


@pytest.mark.parametrize("deterministic", [False, True])
def test_held_out_loss_of_weighted_regression_has_no_weights(deterministic):
    agent = IQL(hidden=(8,), deterministic_actor=deterministic)
    learner = Learner(agent, builder(BOX), seed=0)
    rows = columns(agent, BOX)
    engine = make_engine_of_backend(learner, rows, batch_size=4, seed=0, jit="off")
    engine.check()
    held_out, updates = HeldOut(engine, rows), learner.select("actor")
    found = held_out.losses(updates, 1)
    policy = learner.nets.actor(rows["observation"])
    if deterministic:
        errors = np.square(np.asarray(policy) - rows["action"]).sum(axis=1)
    else:
        errors = -np.asarray(functional.gaussian_log_prob(rows["action"], policy["mean"], policy["log_std"]))
    assert found["validation/actor"] == pytest.approx(errors.mean(), rel=1e-5)
    # Other values change the weights, and so the loss that trains; what decides stays.
    trained = engine.losses(updates, [np.arange(BATCH)], held_out._pool, step=1)
    for variable in learner.nets.value.variables:
        variable.assign(variable - 1.0)
    assert engine.losses(updates, [np.arange(BATCH)], held_out._pool, step=1) != trained
    assert held_out.losses(updates, 1) == found
    assert (
        deciding_loss(learner.select(None), held_out.losses(learner.select(None), 1))
        == found["validation/actor"]
    )


def test_held_out_losses_see_the_global_step():
    agent = Annealed()
    learner = Learner(agent, builder(BOX), seed=0)
    rows = columns(agent, BOX)
    held_out = HeldOut(make_engine_of_backend(learner, rows, batch_size=4, seed=0, jit="off"), rows)
    first, later = (held_out.losses(learner.select(None), step)["validation/actor"] for step in (0, 9))
    assert first == pytest.approx(10 * later, rel=1e-5)  # the loss is divided by 1 + step


def test_evaluations_in_training_have_starting_states_of_their_own(data, tmp_path):
    result = run(data, tmp_path / "run", steps=10, eval_every=10, eval_episodes=2, validation=None)
    (row,) = table(result, "evaluations.csv")
    chosen, scored = (evaluate(result.run, episodes=2, selection=selection) for selection in (True, False))
    assert float(row["return_mean"]) == pytest.approx(chosen.return_mean)
    assert not set(chosen.returns) & set(scored.returns)


def test_large_held_out_set_is_sampled_evenly(make_learner, make_engine):
    whole = Dataset.open("pendulum-mixed")
    sample = held_out_sample(whole, BC(), TrainingConfig(validation=0.5), first_read(whole))
    found = sample["reward"]
    assert len(found) == 16_384 < len(whole)
    rewards = whole.columns["rewards"]
    np.testing.assert_array_equal(found[:256], rewards[:256])
    np.testing.assert_array_equal(found[-256:], rewards[-256:])
    assert found.mean() == pytest.approx(rewards.mean(), rel=0.05)
    batches = HeldOut(make_engine(make_learner()), sample)._batches
    assert [len(batch) for batch in batches] == [4096] * 4
    few = {name: column[:4099] for name, column in sample.items()}
    assert [len(batch) for batch in HeldOut(make_engine(make_learner()), few)._batches] == [2049] * 2


def test_held_out_rows_affect_neither_training_nor_moments(data, tmp_path):
    with_all = run(data, tmp_path / "held", agent="td3bc")
    learned = split_episodes(data, 0.34).training
    alone = run(learned, tmp_path / "alone", agent="td3bc", validation=None)
    assert_equal(state(with_all), state(alone))
    rows = table(with_all)
    assert [int(row["step"]) for row in rows if row["validation/critic"]] == list(range(10, 121, 10))
    assert all(row["validation/actor"] for row in rows if int(row["step"]) % 10 == 0)


def test_patience_counts_from_last_improvement(data, tmp_path):
    # The learning rate is too high for cloning, so the held-out loss soon rises.
    wild = {"hidden": (16, 16), "learning_rate": 0.5}
    result = run(data, tmp_path / "run", patience=3, settings=wild, steps=600)
    losses = {
        int(row["step"]): float(row["validation/actor"]) for row in table(result) if row["validation/actor"]
    }
    assert result.stopped_early
    assert not result.interrupted
    assert result.steps < 600
    best = min(losses, key=losses.get)
    assert result.best_step == best
    assert result.steps == best + 30
    assert latest_checkpoint(result.run / "checkpoints").step == result.steps
    again = run(data, tmp_path / "run", patience=3, settings=wild, steps=600, resume=True)
    assert (again.steps, again.stopped_early) == (result.steps, True)
    assert_equal(state(result), state(again))
    longer = run(data, tmp_path / "run", patience=100, settings=wild, steps=600, resume=True)
    assert longer.steps == 600


class KilledError(Exception):
    """Stand-in for the death of the process."""


@pytest.mark.parametrize("by", ["validation", "return"])
def test_best_state_survives_interruption(data, tmp_path, monkeypatch, by):
    options = {"settings": {"hidden": (16, 16), "learning_rate": 0.1}}
    if by == "return":
        options |= {"eval_every": 30, "eval_episodes": 1, "validation": None}
    whole = run(data, tmp_path / "whole", **options)
    if by == "return":
        scores = {int(r["step"]): float(r["return_mean"]) for r in table(whole, "evaluations.csv")}
    else:
        scores = {
            int(r["step"]): -float(r["validation/actor"]) for r in table(whole) if r["validation/actor"]
        }
    best = max(scores, key=scores.get)
    assert whole.best_step == best
    kept = latest_checkpoint(whole.run / "best" / "checkpoints")
    assert kept.step == best
    assert len(list((whole.run / "best" / "checkpoints").iterdir())) == 1

    save = Run._save
    saved = []

    def die_at_the_second(self):
        if len(saved) == 2:
            raise KilledError
        saved.append(self.step)
        save(self)

    monkeypatch.setattr(Run, "_save", die_at_the_second)
    with pytest.raises(KilledError):
        run(data, tmp_path / "cut", **options)
    monkeypatch.undo()
    stopped = latest_checkpoint(tmp_path / "cut" / "checkpoints")
    # An evaluation saves before and after it: this run has evaluated, and its last checkpoint does not know.
    assert (stopped.step, stopped.evaluation_due) == ((30, True) if by == "return" else (50, False))
    resumed = run(data, tmp_path / "cut", resume=True, **options)
    assert resumed.best_step == best
    again = latest_checkpoint(tmp_path / "cut" / "best" / "checkpoints")
    assert again.step == best
    assert_equal(kept.state, again.state)
    ends = [latest_checkpoint(r.run / "checkpoints").standings for r in (whole, resumed)]
    assert ends[0] == ends[1]


def test_best_is_a_run_directory(data, tmp_path):
    result = run(data, tmp_path / "run")
    best = result.run / "best"
    assert {"config.json", "dataset.json", "policy.keras"} <= {path.name for path in best.iterdir()}
    assert evaluate(best, episodes=1).env == "Pendulum-v1"
    started = run(data, tmp_path / "next", init=best, steps=10)
    assert started.steps == 10
    shutil.rmtree(tmp_path / "next")
    plain = run(data, tmp_path / "plain", validation=None, steps=10)
    assert plain.best_step is None
    assert not (plain.run / "best").exists()


def test_only_last_phase_decides_best(data, tmp_path):
    result = run(data, tmp_path / "run", agent="iql", phases="critic:60,actor:60", patience=1)
    assert result.steps > 60
    assert result.best_step > 60
    rows = table(result)
    assert all(row["validation/value"] and row["validation/critic"] for row in rows if int(row["step"]) == 30)


def test_standing_takes_last_of_equal_scores():
    standing = Standing()
    improved = [
        standing.offer(step, score) for step, score in enumerate([float("nan"), 1.0, 1.0, 0.5, 2.0, 1.5])
    ]
    assert improved == [False, True, True, False, True, False]
    assert (standing.score, standing.step, standing.since) == (2.0, 4, 1)
    assert standing.offer(7, 2.0)
    assert (standing.step, standing.since) == (7, 2)  # a tie is no improvement
    other = Standing()
    other.restore(json.loads(json.dumps(standing.to_json())))
    assert other == standing
