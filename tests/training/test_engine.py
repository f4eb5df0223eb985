"""Tests of the compiled loop: updates, targets, metrics, and independence of how steps are grouped."""

import numpy as np
import pytest


def trained(learner, engine, chunks, role=None):
    step = 0
    for count in chunks:
        engine.run(learner.select(role), step, count)
        step += count
    return learner.state()


def equal(left, right, prefix=""):
    names = [name for name in left if name.startswith(prefix)]
    assert names
    return all(np.array_equal(left[name], right[name]) for name in names)


@pytest.mark.parametrize("jit", ["off", "on"])
def test_one_call_equals_many_calls(make_learner, make_engine, jit):
    runs = []
    for chunks in [(13,), (1, 2, 3, 7)]:
        learner = make_learner()
        runs.append(trained(learner, make_engine(learner, jit), chunks))
    assert equal(*runs)


def test_seed_decides_batches_and_weights(make_learner, make_engine):
    one, same, other_weights = make_learner(0), make_learner(0), make_learner(1)
    assert equal(one.state(), same.state())
    assert not equal(one.state(), other_weights.state(), "networks/critic")
    first = trained(one, make_engine(one, seed=0), (5,))
    second = trained(same, make_engine(same, seed=1), (5,))
    assert not equal(first, second, "networks/critic")


@pytest.mark.parametrize(
    ("role", "frozen", "moved"), [("critic", "actor", "critic"), ("actor", "critic", "actor")]
)
@pytest.mark.parametrize("jit", ["off", "on"])
def test_unselected_role_stays_bitwise_unchanged(make_learner, make_engine, role, frozen, moved, jit):
    learner = make_learner()
    before = learner.state()
    after = trained(learner, make_engine(learner, jit), (6,), role)
    for kind in (f"networks/{frozen}/", f"networks/target_{frozen}/", f"optimizers/{frozen}/"):
        assert equal(before, after, kind), f"{kind} moved in a phase of {role} alone"
    for kind in (f"networks/{moved}/", f"networks/target_{moved}/", f"optimizers/{moved}/"):
        assert not equal(before, after, kind)


def test_draws_do_not_depend_on_other_updates(make_learner, make_engine):
    # The critic's first step is the same with and without the actor's update, which runs at step two.
    alone, both = make_learner(), make_learner()
    left = trained(alone, make_engine(alone), (1,), "critic")
    right = trained(both, make_engine(both), (1,))
    assert equal(left, right, "networks/critic/")


def test_polyak_moves_target_toward_online_network(make_learner, make_engine):
    learner = make_learner(tau=0.1)
    before = learner.state()
    after = trained(learner, make_engine(learner), (1,))
    online, target = after["networks/critic/0"], after["networks/target_critic/0"]
    old = before["networks/target_critic/0"]
    np.testing.assert_allclose(target, old + 0.1 * (online - old), rtol=1e-6)
    assert not np.allclose(target, online)  # tau the wrong way round would land near the online network


def test_hard_target_is_copied_at_its_period(make_learner, make_engine):
    learner = make_learner(tau=1.0, track_every=3)
    engine = make_engine(learner)
    before = learner.state()
    after_two = trained(learner, engine, (2,))
    assert equal(before, after_two, "networks/target_critic/")
    engine.run(learner.select(None), 2, 1)
    after_three = learner.state()
    online = {
        name.replace("critic", "target_critic"): v
        for name, v in after_three.items()
        if name.startswith("networks/critic/")
    }
    assert equal(online, after_three)


def test_delayed_update_counts_global_steps(make_learner, make_engine):
    learner = make_learner(every=3)
    engine = make_engine(learner)
    moved = []
    for step in range(7):
        before = learner.state()
        metrics = engine.run(learner.select(None), step, 1)
        moved.append(not equal(before, learner.state(), "networks/actor/"))
        assert ("loss/actor" in metrics) == moved[-1]
    assert moved == [False, False, True, False, False, True, False]


def test_metrics_are_means_over_steps_of_update(make_learner, make_engine):
    whole, single = make_learner(), make_learner()
    engine = make_engine(single)
    rows = [engine.run(single.select(None), step, 1) for step in range(6)]
    means = make_engine(whole).run(whole.select(None), 0, 6)
    for name in ("loss/critic", "q/mean"):
        assert means[name] == pytest.approx(np.mean([row[name] for row in rows]), rel=1e-5)
    assert means["loss/actor"] == pytest.approx(np.mean([row["loss/actor"] for row in rows[1::2]]), rel=1e-5)


def test_gradient_norm_is_taken_every_sixteenth_run(make_learner, make_engine):
    whole, single = make_learner(), make_learner()
    engine = make_engine(single)
    rows = [engine.run(single.select(None), step, 1) for step in range(33)]
    assert [step for step, row in enumerate(rows, 1) if "gradient_norm/critic" in row] == [16, 32]
    assert [step for step, row in enumerate(rows, 1) if "gradient_norm/actor" in row] == [32]
    means = make_engine(whole).run(whole.select(None), 0, 33)
    mean = (rows[15]["gradient_norm/critic"] + rows[31]["gradient_norm/critic"]) / 2
    assert means["gradient_norm/critic"] == pytest.approx(mean, rel=1e-5)
    assert means["gradient_norm/actor"] == pytest.approx(rows[31]["gradient_norm/actor"], rel=1e-5)


def test_gradient_norm_for_reset_is_taken_at_every_run(make_learner, make_engine):
    learner = make_learner(every=2, reset_below=1e-9)
    engine = make_engine(learner)
    rows = [engine.run(learner.select(None), step, 1) for step in range(4)]
    assert ["gradient_norm/actor" in row for row in rows] == [False, True, False, True]


@pytest.mark.parametrize("jit", ["off", "on"])
def test_flat_gradient_resets_actor_and_target(make_learner, make_engine, jit):
    learner = make_learner(every=1, reset_below=1e9)
    before = learner.state()
    after = trained(learner, make_engine(learner, jit), (4,))
    for kind in ("networks/actor/", "networks/target_actor/"):
        assert equal(before, after, kind)
    never = make_learner(every=1, reset_below=0.0)
    assert not equal(before, trained(never, make_engine(never, jit), (4,)), "networks/actor/")


def test_zero_steps_change_nothing(make_learner, make_engine):
    learner = make_learner()
    before = learner.state()
    assert make_engine(learner).run(learner.select(None), 0, 0) == {}
    assert equal(before, learner.state())
