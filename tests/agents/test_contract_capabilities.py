"""Each capability of the agents' contract, shown by a minimal agent that needs it."""

import keras
import minimal_agents as minimal
import numpy as np
import pytest
from chains import chain
from keras import ops

from vinci_offline import train
from vinci_offline.batches.names import TRANSITION
from vinci_offline.batches.reader import load_columns
from vinci_offline.errors import DatasetError, UsageError, VinciError
from vinci_offline.runs.checkpoint import latest_checkpoint
from vinci_offline.testing.agent_contract import (
    BOX,
    DISCRETE,
    AgentContract,
    Trainer,
    bench,
    builder,
    columns,
    evaluate_loss,
    transitions,
)
from vinci_offline.testing.gradients import gradient as gradient_to_variables
from vinci_offline.training.engines import make_engine
from vinci_offline.training.learner import Learner
from vinci_offline.training.optimization import Optimization

QUICK = {"steps": 6, "batch_size": 8, "log_every": 3, "jit": "off", "progress": False}


@pytest.mark.parametrize(
    ("agent", "spec"),
    [
        pytest.param(minimal.SharedEncoder(), BOX, id="shared-encoder"),
        pytest.param(minimal.SlopePenalty(), BOX, id="slope-penalty"),
    ],
)
class TestMinimalAgents(AgentContract):
    pass


def changed(before, after):
    """Return the first parts of the names of arrays that differ: ``networks/critic``."""
    return {"/".join(name.split("/")[:2]) for name in before if not np.array_equal(before[name], after[name])}


def checkpoint(run):
    return latest_checkpoint(run / "checkpoints")


# Columns by name.


def test_an_agent_gets_the_columns_it_names(tmp_path):
    dataset, _ = chain(cost=np.ones(60, np.float32))
    result = train(dataset, minimal.Sarsa(), output=tmp_path / "run", **QUICK)
    assert np.isfinite(result.final_metrics["return/mean"])
    made = load_columns(dataset, minimal.Sarsa.columns)
    assert 0 < made["has_next_action"].mean() < 1


def test_next_actions_that_are_not_recorded_do_not_count():
    agent = minimal.Sarsa()
    made = bench(agent, BOX)
    known = np.array([1, 1, 0, 1, 0, 1, 1, 1], np.float32)
    rng = np.random.default_rng(1)
    base = columns(agent, BOX)["next_action"]
    losses = []
    for rows in (known == 0, known == 1):
        other = np.where(rows[:, None], rng.uniform(-1, 1, base.shape), base).astype(np.float32)
        batch = transitions(BOX, agent=agent, has_next_action=known, next_action=other)
        losses.append(evaluate_loss(made, made.updates[0], batch)[0])
    unchanged = transitions(BOX, agent=agent, has_next_action=known)
    expected = evaluate_loss(made, made.updates[0], unchanged)[0]
    assert losses[0] == expected
    assert losses[1] != expected


def test_a_column_that_the_dataset_lacks_is_named(tmp_path):
    dataset, _ = chain()
    with pytest.raises(DatasetError, match="asks for the column 'infos/cost', and the dataset has no infos"):
        train(dataset, minimal.Sarsa(), output=tmp_path / "run", **QUICK)


def test_a_column_that_the_agent_does_not_list_is_named(tmp_path):
    class Forgetful(minimal.Sarsa):
        columns = TRANSITION

    dataset, _ = chain(cost=np.ones(60, np.float32))
    with pytest.raises(VinciError, match="no column 'next_action': add it to the agent's columns"):
        train(dataset, Forgetful(), output=tmp_path / "run", **QUICK)


# Windows and goals.


@pytest.mark.parametrize("memory", ["device", "stream"])
def test_windows_are_cloned_by_their_mask(tmp_path, memory):
    dataset, _ = chain(rows=200)
    result = train(dataset, minimal.WindowCloning(), output=tmp_path / "run", memory=memory, **QUICK)
    assert 8 <= result.final_metrics["window/valid"] < 32


def test_the_end_of_a_window_does_not_count():
    agent = minimal.WindowCloning()
    made = bench(agent, BOX)
    batch = transitions(BOX, agent=agent)
    valid = ops.convert_to_numpy(batch.valid)
    assert valid.sum(axis=1).tolist() == [4, 3, 2, 1] * 2
    junk = ops.where(batch.valid[..., None] > 0, batch.action, 100.0)
    assert (
        evaluate_loss(made, made.updates[0], batch)[0]
        == evaluate_loss(made, made.updates[0], batch.replace(action=junk))[0]
    )


def test_goals_are_later_rows_of_the_run(tmp_path):
    batch = transitions(BOX, agent=minimal.GoalReaching())
    here, there = ops.convert_to_numpy(batch.here), ops.convert_to_numpy(batch.there)
    assert ((there > here) | (here % 4 == 3)).all()
    assert (there // 4 == here // 4).all()
    dataset, _ = chain(rows=200)
    result = train(dataset, minimal.GoalReaching(), output=tmp_path / "run", **QUICK)
    assert 0 < result.final_metrics["goal/distance"] < 9


# Updates that train several networks.


def test_an_encoder_moves_with_the_critic_and_not_with_the_actor():
    trainer = Trainer(minimal.SharedEncoder(), BOX)
    before = trainer.learner.state()
    assert changed(before, trainer.run(3, role="actor")) == {"networks/actor", "optimizers/actor"}
    trainer.restart()
    assert changed(before, trainer.run(3, role="critic")) == {
        "networks/critic",
        "networks/encoder",
        "networks/target_critic",
        "networks/target_encoder",
        "optimizers/encoder",
    }


def test_each_variable_has_one_owner_and_one_optimizer():
    learner = Learner(minimal.SharedEncoder(), builder(BOX), 0)
    variables = list(learner.variables().values())
    assert len({id(variable) for variable in variables}) == len(variables)
    moved = [id(variable) for bound in learner.updates for variable in bound.variables]
    assert len(set(moved)) == len(moved)
    online = ("encoder", "critic", "actor")
    trainable = {id(v) for name in online for v in learner.nets[name].trainable_variables}
    assert set(moved) == trainable


def test_a_target_of_a_critic_follows_its_encoder_too():
    trainer = Trainer(minimal.SharedEncoder(), BOX)
    old = [np.array(w) for w in trainer.learner.nets.critic.get_weights()]
    assert len(old) == 10  # two of the encoder, four of each member
    trainer.run(1)
    new, target = (trainer.learner.nets[name].get_weights() for name in ("critic", "target_critic"))
    for before, online, follower in zip(old, new, target, strict=True):
        assert not np.array_equal(before, online)
        np.testing.assert_allclose(follower, (before + online) / 2, rtol=1e-5, atol=1e-7)


def test_one_update_moves_two_targets_each_at_its_period():
    trainer = Trainer(minimal.SharedEncoder(target_every=3), BOX)
    before = trainer.learner.state()
    after = trainer.run(2)
    assert "networks/target_critic" not in changed(before, after)
    encoder = [name for name in after if name.startswith("networks/encoder/")]
    for name in encoder:
        np.testing.assert_array_equal(after[name], after[name.replace("encoder", "target_encoder")])
    assert "networks/target_critic" in changed(after, trainer.run(1))


def test_a_target_that_cannot_follow_at_its_period_is_refused():
    class Uneven(minimal.SharedEncoder):
        def updates(self):
            critic, actor = super().updates()
            return (
                minimal.Update(critic.loss, critic.trains, critic.optimizer, target=critic.target, every=2),
                actor,
            )

    with pytest.raises(UsageError, match="follows every 3 steps, and its update runs every 2"):
        Learner(Uneven(target_every=3), builder(BOX), 0)


def test_two_updates_of_the_same_variables_are_refused():
    with pytest.raises(UsageError, match="'actor' and 'again' share"):
        Learner(minimal.SharedModel(), builder(BOX), 0)


def test_a_shared_encoder_resumes_exactly(tmp_path):
    dataset, _ = chain()
    agent = minimal.SharedEncoder()
    train(dataset, agent, output=tmp_path / "whole", **QUICK)
    train(dataset, agent, output=tmp_path / "parts", **(QUICK | {"steps": 3}))
    train(dataset, agent, output=tmp_path / "parts", resume=True, **QUICK)
    whole, parts = (checkpoint(tmp_path / name) for name in ("whole", "parts"))
    assert whole.step == parts.step == 6
    assert changed(whole.state, parts.state) == set()


def test_the_averaged_policy_of_a_shared_encoder_follows_both_networks():
    learner = Learner(minimal.SharedEncoder(), builder(BOX), 0, Optimization(policy_ema=0.5))
    engine = make_engine(learner, columns(None, BOX), batch_size=4, seed=0, jit="off")
    expected = learner.nets.actor.get_weights()
    for step in range(3):
        engine.run(learner.updates[:1], step, 1)
        engine.run(learner.updates[1:], step, 1)
        expected = [
            0.5 * a + 0.5 * w for a, w in zip(expected, learner.nets.actor.get_weights(), strict=True)
        ]
    average = learner.averages["actor"].get_weights()
    for found, wanted in zip(average, expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-7)
    assert {id(v) for v in learner.policy.variables} >= {id(v) for v in learner.averages["actor"].variables}


# Learned scalars.


def test_a_learned_scalar_trains_resumes_and_is_taken_over(tmp_path):
    dataset, _ = chain()
    agent = minimal.Temperature()
    train(dataset, agent, output=tmp_path / "whole", **QUICK)
    train(dataset, agent, output=tmp_path / "parts", **(QUICK | {"steps": 3}))
    train(dataset, agent, output=tmp_path / "parts", resume=True, **QUICK)
    whole, parts = (checkpoint(tmp_path / name) for name in ("whole", "parts"))
    assert changed(whole.state, parts.state) == set()
    learned = whole.state["networks/log_alpha/0"]
    assert learned.shape == ()
    assert learned != 0.5
    init = tmp_path / "whole"
    result = train(
        dataset, agent, output=tmp_path / "next", init=init, **(QUICK | {"steps": 1, "log_every": 1})
    )
    assert result.final_metrics["alpha/value"] == pytest.approx(float(np.exp(learned)), rel=1e-5)


def test_losses_see_a_learned_scalar_as_a_tensor():
    nets = bench(minimal.Temperature(), BOX).nets
    assert not isinstance(nets.log_alpha, keras.Variable)
    assert float(nets.log_alpha) == 0.5
    assert set(nets.models()) == {"actor"}


# Ensembles as one batched product.


def numpy_ensemble(model, x, layer_norm=False):
    """Return ``[E, B, outputs]``, member by member, from the weights of a batched ensemble of one hidden layer."""
    weights = {layer.name: layer.get_weights() for layer in model.layers if layer.get_weights()}
    (first,), (last,) = ([name for name in weights if name.endswith(end)] for end in ("_dense_1", "_output"))
    found = []
    for member in range(len(weights[first][0])):
        kernel, bias = weights[first]
        hidden = x @ kernel[member] + bias[member]
        if layer_norm:
            (norm,) = (values for name, values in weights.items() if name.endswith("_scale"))
            centred = hidden - hidden.mean(axis=-1, keepdims=True)
            hidden = centred / np.sqrt(hidden.var(axis=-1, keepdims=True) + 1e-6)
            hidden = hidden * norm[0][member] + norm[1][member]
        kernel, bias = weights[last]
        found.append(np.maximum(hidden, 0) @ kernel[member] + bias[member])
    return np.stack(found)


@pytest.mark.parametrize("layer_norm", [False, True])
def test_a_batched_ensemble_equals_its_members_by_hand(layer_norm):
    keras.utils.set_random_seed(1)
    build = builder(BOX)
    model = build.critics("critic", (8,), 10, layer_norm)
    if layer_norm:
        layer = model.get_layer("critic_norm_1_scale")
        rng = np.random.default_rng(2)
        layer.set_weights([rng.normal(size=w.shape).astype(np.float32) for w in layer.get_weights()])
    rng = np.random.default_rng(0)
    observation, action = (rng.normal(size=(5, n)).astype(np.float32) for n in (3, 2))
    normalised = (observation - 0.1) / (1.5 + 1e-3)
    expected = numpy_ensemble(model, np.concatenate([normalised, action], axis=1), layer_norm)[..., 0]
    found = ops.convert_to_numpy(model([observation, action]))
    np.testing.assert_allclose(found, expected, rtol=2e-4, atol=1e-5)
    assert len({row.tobytes() for row in found}) == 10


def test_batched_discrete_critics_equal_their_members_by_hand():
    keras.utils.set_random_seed(1)
    model = builder(DISCRETE).discrete_critics("critic", (8,), 6)
    observation = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    expected = numpy_ensemble(model, (observation - 0.1) / (1.5 + 1e-3))
    found = ops.convert_to_numpy(model(observation))
    assert found.shape == (6, 5, 3)
    np.testing.assert_allclose(found, expected, rtol=2e-4, atol=1e-5)


def test_one_member_of_a_batched_ensemble():
    class Many(minimal.Cloning):
        def networks(self, build):
            return {**super().networks(build), "critic": build.critics("critic", (8,), 10)}

    batch = transitions(BOX)
    given = [batch.observation, batch.action]
    nets, other = (bench(Many(), BOX, seed=seed).nets for seed in (0, 1))
    whole = ops.convert_to_numpy(nets.critic(given))
    np.testing.assert_allclose(ops.convert_to_numpy(nets.member("critic", 7)(given)), whole[7], rtol=1e-5)
    assert not np.array_equal(whole, ops.convert_to_numpy(other.critic(given)))


# Gradients inside losses.


def test_a_gradient_inside_a_loss_agrees_with_finite_differences():
    agent = minimal.SlopePenalty()
    nets = bench(agent, BOX).nets
    batch = transitions(BOX, agent=agent)
    action = np.array(ops.convert_to_numpy(batch.action))

    def value(moved):
        q = nets.critic([batch.observation, ops.convert_to_tensor(moved)])[0]
        return ops.convert_to_numpy(q).astype(np.float64)

    step = 1e-2
    slopes = [
        (value(action + step * unit) - value(action - step * unit)) / (2 * step)
        for unit in np.eye(2, dtype="f4")
    ]
    slope = np.stack(slopes, axis=-1)
    expected = np.mean((np.sum(slope**2, axis=-1) - 1) ** 2)
    assert float(agent.penalty(nets, batch)) == pytest.approx(expected, rel=0.05)


def test_the_gradient_of_a_gradient_agrees_with_finite_differences():
    agent = minimal.SlopePenalty()
    nets = bench(agent, BOX).nets
    batch = transitions(BOX, agent=agent)
    variables = nets.trainable("critic")
    found = gradient_to_variables(lambda: agent.penalty(nets, batch), variables)
    kernel = variables[0]
    before, step, direction = (
        np.array(kernel.numpy() if hasattr(kernel, "numpy") else kernel.value),
        1e-3,
        found[0],
    )
    direction = direction / np.linalg.norm(direction)
    values = []
    for sign in (1, -1):
        kernel.assign(before + sign * step * direction)
        values.append(float(agent.penalty(nets, batch)))
    kernel.assign(before)
    assert (values[0] - values[1]) / (2 * step) == pytest.approx(np.linalg.norm(found[0]), rel=0.05)
    assert np.linalg.norm(found[0]) > 1e-4


@pytest.mark.parametrize("agent", [minimal.SlopePenalty(), minimal.SharedEncoder()], ids=lambda a: a.name)
def test_compiled_steps_agree_with_uncompiled_ones(agent):
    states = []
    for jit in ("off", "on"):
        learner = Learner(agent, builder(BOX), 0)
        make_engine(learner, columns(agent, BOX), batch_size=4, seed=0, jit=jit).run(learner.updates, 0, 3)
        states.append(learner.state())
    for name, value in states[0].items():
        np.testing.assert_allclose(states[1][name], value, rtol=1e-3, atol=1e-5, err_msg=name)


# Annealing.


def test_a_loss_sees_the_global_step(tmp_path):
    dataset, _ = chain()
    agent = minimal.Annealed()
    whole = train(dataset, agent, output=tmp_path / "whole", **QUICK)
    assert whole.final_metrics["anneal/step"] == 5  # the mean of 4, 5 and 6
    train(dataset, agent, output=tmp_path / "parts", **(QUICK | {"steps": 2, "log_every": 1}))
    parts = train(dataset, agent, output=tmp_path / "parts", resume=True, **(QUICK | {"log_every": 1}))
    assert parts.final_metrics["anneal/step"] == 6
    left, right = (checkpoint(tmp_path / name).state for name in ("whole", "parts"))
    assert changed(left, right) == set()
