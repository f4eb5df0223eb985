"""Tests of the compiled loop: updates, targets, metrics, and independence of how steps are grouped."""

import numpy as np
import pytest
from backends import every_compiler


def equal(left, right, prefix=""):
    names = [name for name in left if name.startswith(prefix)]
    assert names
    return all(np.array_equal(left[name], right[name]) for name in names)


@every_compiler
def test_one_call_equals_many_calls(trainer_of, make_learner, make_engine, jit):
    trainer = trainer_of(jit)
    whole = trainer.trained(13)
    assert equal(whole, trainer.trained(1, 2, 3, 7))
    other = make_learner()
    make_engine(other, jit).run(other.select(None), 0, 13)
    assert equal(whole, other.state())


def test_seed_decides_batches_and_weights(trainer_of, make_learner, make_engine):
    one, same, other_weights = trainer_of(), make_learner(0), make_learner(1)
    assert equal(one.initial, same.state())
    assert not equal(one.initial, other_weights.state(), "networks/critic")
    make_engine(same, seed=1).run(same.select(None), 0, 5)
    assert not equal(one.trained(5), same.state(), "networks/critic")


@pytest.mark.parametrize(
    ("role", "frozen", "moved"), [("critic", "actor", "critic"), ("actor", "critic", "actor")]
)
@every_compiler
def test_unselected_role_stays_bitwise_unchanged(trainer_of, role, frozen, moved, jit):
    trainer = trainer_of(jit)
    before, after = trainer.initial, trainer.trained(6, role=role)
    for kind in (f"networks/{frozen}/", f"networks/target_{frozen}/", f"optimizers/{frozen}/"):
        assert equal(before, after, kind), f"{kind} moved in a phase of {role} alone"
    for kind in (f"networks/{moved}/", f"networks/target_{moved}/", f"optimizers/{moved}/"):
        assert not equal(before, after, kind)


def test_draws_do_not_depend_on_other_updates(trainer_of):
    # The critic's first step is the same with and without the actor's update, which runs at step two.
    trainer = trainer_of()
    assert equal(trainer.trained(1, role="critic"), trainer.trained(1), "networks/critic/")


def test_targets_start_as_copies(trainer_of):
    state = trainer_of().initial
    for name, value in state.items():
        if name.startswith("networks/target_"):
            np.testing.assert_array_equal(value, state[name.replace("target_", "")])


def test_draws_differ_between_steps(trainer_of):
    engine = trainer_of().engine
    first, second = engine.drawn(1)[0], engine.drawn(2)[0]
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(first, engine.drawn(1)[0])


def test_loss_draws_anew_at_every_step(make_learner, make_engine, transitions):
    # One row and a frozen critic: only the noise in the actor's loss differs between steps.
    one = type(transitions)(*(column[:1] for column in transitions))
    learner = make_learner(every=1)
    engine = make_engine(learner, batch_size=1, data=one)
    before = learner.state()
    losses = []
    for step in range(3):
        losses.append(engine.run(learner.select("actor"), step, 1)["loss/actor"])
        learner.restore(before)
    assert len(set(losses)) == 3


def test_polyak_moves_target_toward_online_network(trainer_of):
    trainer = trainer_of()
    assert trainer.learner.agent.tau == 0.1
    after = trainer.trained(1)
    online, target = after["networks/critic/0"], after["networks/target_critic/0"]
    old = trainer.initial["networks/target_critic/0"]
    np.testing.assert_allclose(target, old + 0.1 * (online - old), rtol=1e-6)
    assert not np.allclose(target, online)  # tau the wrong way round would land near the online network


RARE = {"tau": 1.0, "track_every": 3, "every": 3}


def test_hard_target_is_copied_at_its_period(trainer_of):
    trainer = trainer_of(**RARE)
    after_two = trainer.trained(2)
    assert equal(trainer.initial, after_two, "networks/target_critic/")
    trainer.run(1)
    after_three = trainer.learner.state()
    online = {
        name.replace("critic", "target_critic"): v
        for name, v in after_three.items()
        if name.startswith("networks/critic/")
    }
    assert equal(online, after_three)


def test_delayed_update_counts_global_steps(trainer_of):
    trainer = trainer_of(**RARE)
    moved = []
    for _ in range(7):
        before = trainer.learner.state()
        metrics = trainer.run(1)
        moved.append(not equal(before, trainer.learner.state(), "networks/actor/"))
        assert ("loss/actor" in metrics) == moved[-1]
    assert moved == [False, False, True, False, False, True, False]


def test_metrics_are_means_over_steps_of_update(trainer_of):
    trainer = trainer_of()
    rows = [trainer.run(1) for _ in range(6)]
    trainer.restart()
    means = trainer.run(6)
    for name in ("loss/critic", "q/mean"):
        assert means[name] == pytest.approx(np.mean([row[name] for row in rows]), rel=1e-5)
    assert means["loss/actor"] == pytest.approx(np.mean([row["loss/actor"] for row in rows[1::2]]), rel=1e-5)


def test_gradient_norm_is_taken_every_sixteenth_run(trainer_of):
    trainer = trainer_of()
    rows = [trainer.run(1) for _ in range(33)]
    assert [step for step, row in enumerate(rows, 1) if "gradient_norm/critic" in row] == [16, 32]
    assert [step for step, row in enumerate(rows, 1) if "gradient_norm/actor" in row] == [32]
    trainer.restart()
    means = trainer.run(33)
    mean = (rows[15]["gradient_norm/critic"] + rows[31]["gradient_norm/critic"]) / 2
    assert means["gradient_norm/critic"] == pytest.approx(mean, rel=1e-5)
    assert means["gradient_norm/actor"] == pytest.approx(rows[31]["gradient_norm/actor"], rel=1e-5)


def test_gradient_norm_for_reset_is_taken_at_every_run(trainer_of):
    trainer = trainer_of(every=2, reset_below=1e-9)
    rows = [trainer.run(1) for _ in range(4)]
    assert ["gradient_norm/actor" in row for row in rows] == [False, True, False, True]


@every_compiler
def test_flat_gradient_resets_actor_and_target(trainer_of, jit):
    trainer = trainer_of(jit, every=1, reset_below=1e9)
    after = trainer.trained(4)
    # A reset forgets Adam's moments and its step count too.
    for kind in ("networks/actor/", "networks/target_actor/", "optimizers/actor/"):
        assert equal(trainer.initial, after, kind), kind
    assert not equal(trainer.initial, after, "optimizers/critic/")


def test_steep_gradient_does_not_reset(trainer_of):
    trainer = trainer_of(every=1, reset_below=0.0)
    assert not equal(trainer.initial, trainer.trained(4), "networks/actor/")


def test_zero_steps_change_nothing(trainer_of):
    trainer = trainer_of()
    assert trainer.run(0) == {}
    assert equal(trainer.initial, trainer.learner.state())
