import shutil

import numpy as np
import pytest

from vinci_offline import collect
from vinci_offline.envs.collect.goal_exploration import GoalExploration, default_outcome
from vinci_offline.envs.making import make_env
from vinci_offline.errors import SpecError, UsageError
from vinci_offline.spec import BoxSpace, EnvironmentSpec, environment_spec

CAR = "MountainCarContinuous-v0"
SHORT = {"env_kwargs": {"max_episode_steps": 30}, "progress": False}


@pytest.fixture(scope="module")
def car():
    return environment_spec(make_env(CAR))


def episode(outcome):
    """Make columns of one step with this outcome."""
    observation = np.array([outcome], np.float32)
    return {"observations": observation, "next_observations": observation, "actions": np.zeros((1, 1))}


def columns(data):
    return {path: values.tobytes() for path, values in data.columns.items()}


def reached(data):
    """Return the share of episodes that end at the goal."""
    ends = (data.episodes["start"] + data.episodes["length"] - 1).to_numpy()
    return data.columns["terminals"][ends].mean()


def test_draw_perturbs_the_nearest_policy(car):
    explorer = GoalExploration(car, lambda observations: observations[-1])
    outcomes = [(i / 10, (i % 3) / 100) for i in range(10)]
    explorer.learn((np.random.default_rng(i), episode(outcome)) for i, outcome in enumerate(outcomes))
    known = [np.random.default_rng(i).uniform(-1, 1, 3) for i in range(10)]
    rng = np.random.default_rng(99)
    goal = rng.uniform(-0.1, 1.1, 2)
    scaled = np.array(outcomes) / [0.9, 0.02]
    nearest = known[int(np.argmin(((scaled - goal) ** 2).sum(axis=1)))]
    expected = np.clip(nearest + rng.normal(0, 0.2, 3), -1, 1)
    assert explorer.draw(np.random.default_rng(99)) == pytest.approx(expected)


def test_first_policies_are_uniform(car):
    drawn = np.array([GoalExploration(car).draw(np.random.default_rng(i)) for i in range(500)])
    assert drawn.mean() == pytest.approx(0, abs=0.06)
    assert np.abs(drawn).max() == pytest.approx(1, abs=0.01)


def test_actions_are_linear_and_squashed(car):
    explorer = GoalExploration(car)
    explorer.reset(range(2))
    rngs = [np.random.default_rng(i) for i in range(2)]
    observations = np.array([[-0.5, 0.02], [0.3, -0.07]], np.float32)
    actions = explorer.act(observations, rngs).actions
    for lane in range(2):
        w = np.random.default_rng(lane).uniform(-1, 1, 3)
        x = (observations[lane] - [-0.3, 0]) / [0.9, 0.07]
        assert actions[lane, 0] == pytest.approx(np.tanh(x @ w[:2] + w[2]), abs=1e-6)


def test_default_outcome_by_hand(car):
    observations = np.array([[0.0, 1.0], [-0.5, 0.0], [0.2, 3.0]])
    outcome = default_outcome(observations, np.array([[0.5], [-1.0]]), car.action_space)
    assert outcome == pytest.approx([0.2, 3.0, 0.7, 3.0, 1.25])


def test_gep_reaches_goals_that_random_actions_miss(tmp_path):
    shares = {
        policy: [
            reached(
                collect(CAR, tmp_path / f"{policy}{s}.h5", episodes=48, policy=policy, seed=s, progress=False)
            )
            for s in range(2)
        ]
        for policy in ("random", "gep")
    }
    assert max(shares["random"]) <= 0.05
    assert min(shares["gep"]) >= 0.08


def test_workers_do_not_change_gep_data(tmp_path):
    options = {"episodes": 40, "policy": ["gep", "random"], "lanes": 8, **SHORT}
    one = collect(CAR, tmp_path / "one.h5", **options)
    two = collect(CAR, tmp_path / "two.h5", workers=2, **options)
    assert columns(one) == columns(two)
    assert one.episodes["policy"].tolist() == [0, 1] * 20


def test_resume_gives_the_same_gep_data(tmp_path, monkeypatch):
    import vinci_offline.envs.collect.collector as collector

    options = {"episodes": 40, "policy": "gep", "lanes": 8, **SHORT}
    kept = tmp_path / "kept"

    def keep(job, folder, writer):
        shutil.copytree(folder.path, kept)
        return join(job, folder, writer)

    join = collector.join
    monkeypatch.setattr(collector, "join", keep)
    whole = collect(CAR, tmp_path / "whole.h5", **options)
    monkeypatch.undo()
    shards = sorted(kept.glob("shard-*.npz"))
    assert len(shards) == 5
    for lost in shards[2:]:
        lost.unlink()
    kept.rename(tmp_path / "data.h5.shards")
    resumed = collect(CAR, tmp_path / "data.h5", resume=True, **options)
    assert columns(resumed) == columns(whole)


def test_descriptors_take_one_or_two_arguments(tmp_path):
    script = tmp_path / "goals.py"
    script.write_text(
        "def height(observations):\n    return observations[:, 0].max()\n\n"
        "def both(observations, actions):\n    return observations[:, 0].max(), (actions ** 2).sum()\n\n"
        "def bad(observations):\n    return float('nan')\n\nnumber = 3\n"
    )
    options = {"episodes": 24, "lanes": 8, **SHORT}
    one = collect(CAR, tmp_path / "one.h5", policy=f"gep:{script}:height", **options)
    two = collect(CAR, tmp_path / "two.h5", policy=f"gep:{script}:both", **options)
    assert columns(one) != columns(two)
    with pytest.raises(UsageError, match="finite numbers"):
        collect(CAR, tmp_path / "bad.h5", policy=f"gep:{script}:bad", **options)
    with pytest.raises(UsageError, match="it is a int, not a function"):
        collect(CAR, tmp_path / "bad.h5", policy=f"gep:{script}:number", **options)


def test_discrete_actions_and_achieved_goals(toys, tmp_path):
    chosen = collect("vinci_toys:Chooser", tmp_path / "chosen.h5", episodes=20, policy="gep", progress=False)
    assert set(chosen.columns["actions"].tolist()) <= {2, 3, 4}
    low, high = np.full(2, -1.0), np.full(2, 1.0)
    box = BoxSpace((2,), "float64", low, high)
    from vinci_offline.spec import DictSpace

    spec = EnvironmentSpec(DictSpace({"achieved_goal": box, "observation": box}), box)
    explorer = GoalExploration(spec)
    part = np.array([[0.0, 0.1], [0.5, 0.6]])
    keys = ("observations/achieved_goal", "next_observations/achieved_goal")
    explorer.learn([(np.random.default_rng(0), {**dict.fromkeys(keys, part), "actions": part})])
    assert explorer.outcomes.tolist() == [[0.5, 0.6]]


def test_image_observations_are_refused():
    image = BoxSpace((64, 64, 3), "uint8", np.zeros((64, 64, 3)), np.full((64, 64, 3), 255))
    action = BoxSpace((1,), "float32", np.array([-1.0]), np.array([1.0]))
    with pytest.raises(SpecError, match="at most 1024 numbers, not 12288"):
        GoalExploration(EnvironmentSpec(image, action))
