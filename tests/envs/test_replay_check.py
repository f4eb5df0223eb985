import dataclasses

import gymnasium
import numpy as np
import pytest

from vinci_offline import Dataset, collect
from vinci_offline.envs.making import make_env
from vinci_offline.envs.replay_check import replay
from vinci_offline.errors import SpecError, UsageError
from vinci_offline.spec import environment_spec

ENVIRONMENTS = [
    *("CartPole-v1", "MountainCar-v0", "MountainCarContinuous-v0", "Pendulum-v1", "Acrobot-v1"),
    *("Hopper-v5", "HalfCheetah-v5", "Ant-v5", "InvertedPendulum-v5"),
]


def record(name, folder, steps=400, **options):
    if "v5" in name:
        pytest.importorskip("mujoco")
    return collect(name, folder / "data.h5", steps=steps, progress=False, **options)


def changed(dataset, **changes):
    """Return the dataset with some columns changed by functions of their values."""
    columns = dict(dataset.columns)
    for path, change in changes.items():
        columns[path] = change(columns[path].copy())
    return Dataset.from_columns(columns, dataset.spec)


def places(found):
    return [problem.where.partition(" ")[0] for problem in found.problems]


def shift(values):
    return np.roll(values, 1, axis=0)


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_replay_finds_shifted_actions(name, tmp_path):
    data = record(name, tmp_path)
    found = replay(data, rows=150)
    assert found.problems == ()
    assert found.rows + found.skipped <= 150
    assert found.rows > 100
    assert found.terminal_mismatches == 0
    assert 0 <= found.observation_error_mean <= found.observation_error_max < found.tolerance
    assert "next_observations" in places(replay(changed(data, actions=shift), rows=150))


def test_random_states_replay(tmp_path):
    data = record("Pendulum-v1", tmp_path, policy="random-state")
    assert replay(data).problems == ()


@pytest.mark.parametrize("name", ["Pendulum-v1", "Hopper-v5"])
def test_replay_finds_changed_rewards(name, tmp_path):
    data = record(name, tmp_path)
    assert places(replay(changed(data, rewards=shift))) == ["rewards"]
    assert places(replay(changed(data, rewards=lambda values: values * 1.1))) == ["rewards"]


def test_replay_finds_changed_terminals(tmp_path):
    data = record("CartPole-v1", tmp_path)
    lost = replay(changed(data, terminals=np.zeros_like))
    assert places(lost) == ["terminals"]
    assert lost.terminal_mismatches == data.columns["terminals"].sum()

    def one_more(values):
        values[3] = True
        return values

    assert places(replay(changed(data, terminals=one_more), rows=60)) == ["terminals"]


def test_one_bad_row_is_found_in_classic_control(tmp_path):
    data = record("Pendulum-v1", tmp_path)

    def one(values):
        values[7, 2] += 0.01
        return values

    wrong = replay(changed(data, next_observations=one))
    assert [problem.where for problem in wrong.problems] == ["next_observations row 7"]
    assert "1 of 400 rows replayed in Pendulum-v1 differ by more than 1e-05" in wrong.problems[0].what
    assert replay(changed(data, next_observations=one), tolerance=0.1).problems == ()


def test_replay_uses_environment_arguments(tmp_path):
    data = record("Pendulum-v1", tmp_path, env_kwargs={"g": 5.0})
    assert replay(data, "Pendulum-v1").problems == ()
    assert places(replay(data, make_env("Pendulum-v1"))) == ["next_observations"]


def test_clipped_speeds_are_skipped(tmp_path):
    data = record("Walker2d-v5", tmp_path)
    found = replay(data)
    clipped = (np.abs(data.columns["observations"][:, 8:]) >= 10).any(axis=1)
    assert clipped.any()
    assert found.skipped == clipped.sum()
    assert found.problems == ()


@pytest.mark.parametrize("before", [True, False])
def test_recorded_qpos_and_qvel_come_first(before, tmp_path):
    """Reacher's observation does not begin with them. D4RL keeps them before a step, an info after it."""
    pytest.importorskip("mujoco")
    env = make_env("Reacher-v5")
    rows = []
    env.action_space.seed(0)
    for seed in range(3):
        observation, _ = env.reset(seed=seed)
        for step in range(20):
            data = env.unwrapped.data
            earlier = data.qpos.copy(), data.qvel.copy()
            action = env.action_space.sample()
            following, reward, terminated, _, _ = env.step(action)
            state = earlier if before else (data.qpos.copy(), data.qvel.copy())
            rows.append((observation, action, reward, following, terminated, step == 19, *state))
            observation = following
    names = ("observations", "actions", "rewards", "next_observations", "terminals", "timeouts")
    columns = dict(
        zip((*names, "infos/qpos", "infos/qvel"), map(np.array, zip(*rows, strict=True)), strict=True)
    )
    dataset = Dataset.from_columns(columns, environment_spec(env))
    found = replay(dataset)
    assert found.problems == ()
    assert found.skipped == (0 if before else 3)
    assert "next_observations" in places(replay(changed(dataset, actions=shift)))
    with pytest.raises(
        UsageError, match=r"the state of ReacherEnv cannot be set .* infos/qpos and infos/qvel"
    ):
        replay(Dataset.from_columns({path: columns[path] for path in names}, dataset.spec))


def test_invalid_actions_are_skipped(tmp_path):
    data = record("CartPole-v1", tmp_path, steps=50)
    found = replay(changed(data, actions=lambda values: np.where(np.arange(50) < 5, 7, values)))
    assert found.skipped == 5


def test_replay_refuses_unknown_environments(toys, tmp_path):
    data = record("Pendulum-v1", tmp_path, steps=20)
    with pytest.raises(UsageError, match="at least one row"):
        replay(data, rows=0)
    with pytest.raises(SpecError, match="CartPole-v1 does not fit Pendulum-v1"):
        replay(data, "CartPole-v1")
    with pytest.raises(UsageError, match="bypass the wrapper ClipAction"):
        replay(data, gymnasium.wrappers.ClipAction(make_env("Pendulum-v1")))
    for toy, says in (
        (toys.Counter, "state of Counter cannot be set"),
        (toys.Keyed, "only Box observations"),
    ):
        toy_data = collect(toy, tmp_path / f"{toy.__name__}.h5", steps=9, progress=False)
        with pytest.raises(UsageError, match=says):
            replay(toy_data, toy)
    nameless = Dataset.from_columns(dict(data.columns), dataclasses.replace(data.spec, id=None))
    with pytest.raises(UsageError, match="does not say which environment"):
        replay(nameless)
