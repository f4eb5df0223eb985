"""Tests of schedules, clipping, weight decay and the averaged policy: against hand-computed values and in the loop."""

from functools import partial

import keras
import numpy as np
import pytest
from backends import every_compiler

from vinci_offline import UsageError
from vinci_offline.agents.agent import Update
from vinci_offline.agents.bc import BC
from vinci_offline.agents.dqn import DQN
from vinci_offline.agents.iql import IQL
from vinci_offline.networks.builder import NetworkBuilder
from vinci_offline.testing.agent_contract import BOX, DISCRETE
from vinci_offline.training.learner import Learner
from vinci_offline.training.optimization import Optimization
from vinci_offline.training.phases import plan_phases

EVERYTHING = {
    "schedule": "cosine",
    "warmup": 2,
    "clip_norm": 0.5,
    "weight_decay": 0.1,
    "policy_ema": 0.9,
}


def update(optimizer=None, role="actor", every=1):
    optimizer = optimizer or partial(keras.optimizers.Adam, 0.01)
    return Update(lambda *_: None, "net", optimizer, role=role, every=every)


def rates(optimizer, *iterations):
    found = []
    for iteration in iterations:
        optimizer.iterations.assign(iteration)
        found.append(float(optimizer.learning_rate))
    return found


def stepped(optimizer, start, *gradients):
    variable = keras.Variable(np.array(start, "f4"))
    optimizer.build([variable])
    for gradient in gradients:
        optimizer.apply([keras.ops.convert_to_tensor(np.array(gradient, "f4"))], [variable])
    return keras.ops.convert_to_numpy(variable)


def run(learner, engine, *chunks, role=None, start=0):
    for count in chunks:
        metrics = engine.run(learner.select(role), start, count)
        start += count
    return metrics


def assert_same(left, right):
    assert set(left) == set(right)
    for name in left:
        np.testing.assert_array_equal(left[name], right[name], err_msg=name)


def test_no_options_keep_agents_optimizer():
    made = keras.optimizers.Adam(0.01)
    assert Optimization(plan_phases(8)).optimizer(update(lambda: made)) is made


def test_cosine_falls_to_zero():
    # 0.01 (1 + cos(pi t / 8)) / 2, eq. 5 of the paper.
    optimizer = Optimization(plan_phases(8), "cosine").optimizer(update())
    assert rates(optimizer, 0, 2, 4, 8, 9) == pytest.approx([0.01, 0.0085355339, 0.005, 0, 0], abs=1e-9)


def test_warmup_rises_linearly_before_cosine():
    constant = Optimization(plan_phases(8), warmup=4).optimizer(update())
    assert rates(constant, 0, 1, 2, 4, 100) == pytest.approx([0, 0.0025, 0.005, 0.01, 0.01])
    cosine = Optimization(plan_phases(8), "cosine", warmup=2).optimizer(update())
    assert rates(cosine, 0, 1, 2, 5, 8) == pytest.approx([0, 0.005, 0.01, 0.005, 0], abs=1e-9)


def test_cosine_counts_steps_of_its_update():
    phases = plan_phases(0, phases="critic:5,both:6,actor:4")
    options = Optimization(phases)
    assert options.steps_of(update(role="critic")) == 11
    assert options.steps_of(update(role="actor", every=2)) == 5  # steps 6, 8, 10; 12, 14


def test_schedule_of_one_role_leaves_others_unchanged():
    options = Optimization(plan_phases(8), "actor:cosine")
    made = keras.optimizers.Adam(0.01)
    assert options.optimizer(update(lambda: made, "critic")) is made
    assert rates(options.optimizer(update(role="actor")), 4) == pytest.approx([0.005])


def test_clipping_bounds_norm_and_keeps_direction():
    sgd = update(partial(keras.optimizers.SGD, 1.0))
    clipped = Optimization(clip_norm=1.0).optimizer(sgd)
    assert stepped(clipped, [0, 0], [3, 4]) == pytest.approx([-0.6, -0.8])
    assert stepped(Optimization(clip_norm=6.0).optimizer(sgd), [0, 0], [3, 4]) == pytest.approx([-3, -4])


def test_weight_decay_is_adamw():
    # Algorithm 2 of the paper by hand, rate 0.1, decay 0.01, gradients 0.5 and -1:
    # 2 - 0.1 (1 + 0.01 * 2) = 1.898; then m = -0.055 / 0.19, v = 0.00124975 / 0.001999.
    adam = update(partial(keras.optimizers.Adam, 0.1))
    optimizer = Optimization(weight_decay=0.01).optimizer(adam)
    assert stepped(optimizer, [2.0], [0.5]) == pytest.approx([1.898], rel=1e-6)
    optimizer = Optimization(weight_decay=0.01).optimizer(adam)
    assert stepped(optimizer, [2.0], [0.5], [-1.0]) == pytest.approx([1.9327124], rel=1e-6)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"schedule": "linear"}, "'linear' is not constant or cosine"),
        ({"schedule": "the actor:cosine"}, "'the actor:cosine'"),
        ({"warmup": -1}, "^--warmup must"),
        ({"clip_norm": 0.0}, "^--clip-norm must"),
        ({"clip_norm": float("nan")}, "^--clip-norm must"),
        ({"weight_decay": -0.1}, "^--weight-decay must"),
        ({"policy_ema": 1.0}, "^--policy-ema must"),
    ],
)
def test_values_out_of_range_are_refused(options, told):
    with pytest.raises(UsageError, match=told):
        Optimization(**options)


def test_schedule_names_roles_of_the_agent():
    schedule = Optimization(schedule="critic:cosine")
    schedule.check_roles("td3bc", ("critic", "actor"))
    with pytest.raises(UsageError, match="--schedule: agent 'bc' has no role 'critic'; it has actor"):
        schedule.check_roles("bc", ("actor",))


def test_options_that_optimizer_cannot_take_are_refused():
    with pytest.raises(UsageError, match="--warmup 8 leaves no steps"):
        Optimization(plan_phases(8), "cosine", warmup=8).optimizer(update())
    own = IQL(actor_cosine_steps=100).updates()[1]
    with pytest.raises(UsageError, match="a schedule of its own"):
        Optimization(plan_phases(8), "cosine").optimizer(own)
    clipping = update(partial(keras.optimizers.Adam, clipnorm=1.0))
    with pytest.raises(UsageError, match="'net', Adam, does not take global_clipnorm"):
        Optimization(clip_norm=1.0).optimizer(clipping)


@every_compiler
def test_all_options_are_independent_of_chunks_and_interruptions(make_learner, make_engine, jit):
    options = Optimization(plan_phases(9), **EVERYTHING)
    learner = make_learner(optimization=options)
    initial, engine = learner.state(), make_engine(learner, jit)
    run(learner, engine, 9)
    whole = learner.state()
    learner.restore(initial)
    run(learner, engine, 1, 4)
    stored = learner.state()
    for _ in range(2):  # the second time from the stored state
        run(learner, engine, 4, start=5)
        assert_same(whole, learner.state())
        learner.restore(stored)


def test_logged_rate_is_rate_of_step(make_learner, make_engine, trainer_of):
    scheduled = make_learner(optimization=Optimization(plan_phases(8), "cosine"))
    left, right = run(scheduled, make_engine(scheduled), 2), trainer_of().run(2)
    # The critic's first two steps of eight, the actor's first of four.
    assert left["learning_rate/critic"] == pytest.approx(0.01 * (1 + 0.5 * (1 + np.cos(np.pi / 8))) / 2)
    assert left["learning_rate/actor"] == pytest.approx(0.01)
    assert "learning_rate/critic" not in right


def test_logged_norm_is_norm_before_clipping(make_learner, make_engine):
    found = []
    for optimization in (None, Optimization(clip_norm=1e-3)):
        # An actor with a reset logs its norm at every step. The first norm is from before any update.
        learner = make_learner(optimization=optimization, every=1, reset_below=0.0)
        found.append(make_engine(learner).run(learner.select("actor"), 0, 1)["gradient_norm/actor"])
    assert found[0] > 2e-3
    assert found[0] == pytest.approx(found[1], rel=1e-6)


def test_reset_restarts_schedule(make_learner, make_engine):
    learner = make_learner(optimization=Optimization(plan_phases(8), "cosine"), every=1, reset_below=1e9)
    metrics = run(learner, make_engine(learner), 4)
    assert metrics["learning_rate/actor"] == pytest.approx(0.01)


def test_averaged_policy_follows_actor_updates(make_learner, make_engine):
    learner = make_learner(optimization=Optimization(policy_ema=0.75))
    before = learner.state()
    assert {name.split("/")[1] for name in before if name.startswith("averages/")} == {"actor"}
    engine = make_engine(learner)
    run(learner, engine, 1)
    first = learner.state()  # the actor updates at even steps
    run(learner, engine, 3, role="critic", start=1)
    run(learner, engine, 1, start=3)
    after = learner.state()
    names = [name for name in before if name.startswith("averages/")]
    for name in names:
        np.testing.assert_array_equal(before[name], first[name])
        online = after[name.replace("averages", "networks")]
        np.testing.assert_allclose(after[name], 0.75 * before[name] + 0.25 * online, atol=1e-7)
    assert any(not np.array_equal(before[name], after[name]) for name in names)


def test_policy_uses_averages_and_losses_use_networks(make_learner, make_engine, trainer_of):
    averaged, plain = make_learner(optimization=Optimization(policy_ema=0.75)), trainer_of().learner
    run(averaged, make_engine(averaged), 4)
    trainer_of().run(4)
    states = np.ones((5, 3), "f4")

    def act(model):
        return keras.ops.convert_to_numpy(model(states))

    np.testing.assert_array_equal(act(averaged.nets.actor), act(plain.nets.actor))
    np.testing.assert_array_equal(act(averaged.policy), act(averaged.averages["actor"]))
    assert not np.allclose(act(averaged.policy), act(averaged.nets.actor))
    averaged.start_averages()
    np.testing.assert_array_equal(act(averaged.policy), act(averaged.nets.actor))


@pytest.mark.parametrize(
    ("agent", "spec", "averaged"),
    [(DQN(hidden=(8,)), DISCRETE, {"critic"}), (BC(hidden=(8,)), BOX, {"actor"})],
)
def test_only_networks_of_policy_are_averaged(agent, spec, averaged):
    learner = Learner(agent, NetworkBuilder(spec), 0, Optimization(policy_ema=0.9))
    assert set(learner.averages) == averaged
