import gymnasium
import numpy as np
import pytest

from vinci_offline import collect
from vinci_offline.envs.collect.random_states import StateSampler, state_setter
from vinci_offline.envs.making import make_env
from vinci_offline.errors import UsageError
from vinci_offline.spec import environment_spec

OPTIONS = {"policy": "random-state", "progress": False}
CLASSIC = ["CartPole-v1", "MountainCar-v0", "MountainCarContinuous-v0", "Pendulum-v1", "Acrobot-v1"]


@pytest.mark.parametrize("name", CLASSIC)
def test_rows_are_single_steps(name, tmp_path):
    data = collect(name, tmp_path / "data.h5", steps=200, **OPTIONS)
    columns = data.columns
    assert len(data) == 200
    # The next row starts from another state: returns must not continue across rows.
    assert (columns["terminals"] ^ columns["timeouts"]).all()
    env = make_env(name).unwrapped
    rng = np.random.default_rng(0)
    set_state = state_setter(env)
    env.reset(seed=0)
    observation = set_state(rng)
    assert observation.dtype == np.float32
    assert env.observation_space.contains(observation)


def test_pendulum_states_fill_their_range(tmp_path):
    columns = collect("Pendulum-v1", tmp_path / "data.h5", steps=4000, **OPTIONS).columns
    cosine, sine, speed = columns["observations"].T
    angle = np.arctan2(sine, cosine)
    assert np.histogram(angle, 4, (-np.pi, np.pi))[0] == pytest.approx(1000, rel=0.12)
    assert np.histogram(speed, 4, (-8, 8))[0] == pytest.approx(1000, rel=0.12)
    torque = columns["actions"][:, 0]
    expected = np.clip(speed + (15 * sine + 3 * torque) * 0.05, -8, 8)
    assert columns["next_observations"][:, 2] == pytest.approx(expected, abs=1e-4)
    assert columns["rewards"] == pytest.approx(-(angle**2 + 0.1 * speed**2 + 0.001 * torque**2), abs=1e-3)
    assert columns["infos/action_log_probs"] == pytest.approx(-np.log(4))


def test_no_row_starts_terminal(tmp_path):
    for name in ("MountainCar-v0", "CartPole-v1"):
        columns = collect(name, tmp_path / f"{name}.h5", steps=500, **OPTIONS).columns
        position = columns["observations"][:, 0]
        assert position.max() < (0.5 if name == "MountainCar-v0" else 2.4)
    env = make_env("Acrobot-v1").unwrapped
    set_state, rng = state_setter(env), np.random.default_rng(0)
    for _ in range(200):
        set_state(rng)
        assert not env._terminal()


@pytest.mark.parametrize("name", ["Hopper-v5", "Ant-v4", "InvertedPendulum-v5"])
def test_mujoco_joints_stay_in_limits(name):
    pytest.importorskip("mujoco")
    env = make_env(name).unwrapped
    env.reset(seed=0)
    set_state, rng = state_setter(env), np.random.default_rng(0)
    for _ in range(20):
        set_state(rng)
        for joint in np.flatnonzero(env.model.jnt_limited):
            low, high = env.model.jnt_range[joint]
            assert low <= env.data.qpos[env.model.jnt_qposadr[joint]] <= high
        assert np.abs(env.data.qvel - env.init_qvel).max() <= 3
        if name == "Ant-v4":
            assert np.linalg.norm(env.data.qpos[3:7]) == pytest.approx(1)


@pytest.mark.parametrize(
    ("name", "is_terminal"),
    [
        ("InvertedPendulum-v5", lambda env: abs(env.data.qpos[1]) > 0.2),
        ("InvertedDoublePendulum-v5", lambda env: env.data.site_xpos[0][2] <= 1),
        ("Hopper-v5", lambda env: not env.is_healthy),
        ("Walker2d-v4", lambda env: not env.is_healthy),
        ("HalfCheetah-v5", lambda env: False),
    ],
)
def test_mujoco_states_are_not_terminal(name, is_terminal):
    pytest.importorskip("mujoco")
    env = make_env(name).unwrapped
    env.reset(seed=0)
    set_state, rng, step = state_setter(env), np.random.default_rng(0), env.model.opt.timestep
    low, high = env.observation_space.low, env.observation_space.high
    for _ in range(60):
        observation = set_state(rng)
        assert not is_terminal(env)
        assert ((observation >= low) & (observation <= high)).all()
        np.testing.assert_array_equal(observation, env._get_obs())
    assert (env.model.opt.timestep, env.frame_skip) == (step, make_env(name).unwrapped.frame_skip)


def test_limits_out_of_reach_are_said(monkeypatch):
    pytest.importorskip("mujoco")
    monkeypatch.setattr("vinci_offline.envs.collect.random_states._MOST_DRAWS", 30)
    env = make_env("Hopper-v5", {"healthy_z_range": (50, 60)})
    env.reset(seed=0)
    with pytest.raises(UsageError, match=r"drew 30 states of HopperEnv .* healthy_z_range") as caught:
        state_setter(env)(np.random.default_rng(0))
    assert "\n" not in str(caught.value)
    # Where unhealthy states do not end the episode, they are states like others.
    free = make_env("Hopper-v5", {"healthy_z_range": (50, 60), "terminate_when_unhealthy": False})
    free.reset(seed=0)
    state_setter(free)(np.random.default_rng(0))


def test_blocks_depend_on_seed_and_number_alone():
    pytest.importorskip("mujoco")
    env = make_env("Hopper-v5")
    spec = environment_spec(env)
    sampler = StateSampler(env, spec, seed=1)
    sampler.sample(0, 40)
    second = sampler.sample(1, 40)
    fresh = StateSampler(make_env("Hopper-v5"), spec, seed=1)
    longer = fresh.sample(1, 300)
    for path, values in second.items():
        assert values.tobytes() == longer[path][:40].tobytes(), path
    assert fresh.sample(2, 40)["actions"].tobytes() != second["actions"].tobytes()


def test_workers_do_not_change_data(tmp_path):
    one = collect("Pendulum-v1", tmp_path / "one.h5", steps=9000, **OPTIONS)
    two = collect("Pendulum-v1", tmp_path / "two.h5", steps=9000, workers=2, **OPTIONS)
    for path, values in one.columns.items():
        assert values.tobytes() == two.columns[path].tobytes(), path


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"episodes": 3}, "steps=N"),
        ({"steps": 3, "noise": "gaussian:0.1"}, "uniform actions"),
        ({"steps": 3, "policy": ["random", "random-state"]}, "cannot be mixed"),
        ({"steps": 3, "record_infos": ["x"]}, "no infos"),
    ],
    ids=str,
)
def test_episode_options_are_refused(tmp_path, options, says):
    with pytest.raises(UsageError, match=says):
        collect("Pendulum-v1", tmp_path / "data.h5", **{**OPTIONS, **options})


def test_unknown_environments_are_refused(toys, tmp_path):
    with pytest.raises(UsageError, match="cannot set the state of Counter"):
        collect(toys.Counter, tmp_path / "data.h5", steps=3, **OPTIONS)
    wrapped = gymnasium.wrappers.ClipAction(make_env("Pendulum-v1"))
    with pytest.raises(UsageError, match="bypass the wrapper ClipAction"):
        collect(wrapped, tmp_path / "data.h5", steps=3, **OPTIONS)
