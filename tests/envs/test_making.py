import warnings

import gymnasium
import numpy as np
import pytest

from vinci_offline.envs.making import make_env
from vinci_offline.errors import SpecError, UsageError
from vinci_offline.spec import EnvironmentSpec, check_fits, describe_space, environment_spec


def test_spec_keeps_time_limit_and_arguments():
    spec = environment_spec(make_env("Pendulum-v1", {"g": 5.0, "max_episode_steps": 30}), None, {"g": 5.0})
    again = make_env(EnvironmentSpec.from_json(spec.to_json()))
    assert environment_spec(again) == spec
    assert again.unwrapped.g == 5.0
    assert spec.max_episode_steps == 30


def test_no_passive_checker_and_no_version_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        env = make_env("Hopper-v4")
    layers = str(env)
    assert "PassiveEnvChecker" not in layers
    assert "TimeLimit" in layers


def test_module_names_make_classes_and_functions(toys):
    env = make_env("vinci_toys:Counter", {"length": 3, "max_episode_steps": 2})
    env.reset(seed=0)
    env.step(np.zeros(1))
    assert env.step(np.zeros(1))[3] is True
    assert environment_spec(env, "vinci_toys:Counter").max_episode_steps == 2
    assert make_env(toys.Counter, {"length": 7}).length == 7


def test_module_import_registers_id(tmp_path, monkeypatch):
    (tmp_path / "vinci_registers.py").write_text(
        "import gymnasium\n"
        "from gymnasium.envs.classic_control import CartPoleEnv\n"
        "gymnasium.register('VinciPole-v0', CartPoleEnv, max_episode_steps=9)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert make_env("vinci_registers:VinciPole-v0").spec.max_episode_steps == 9
    gymnasium.registry.pop("VinciPole-v0")


def test_describing_leaves_spaces_unchanged():
    env = make_env("Pendulum-v1")
    low = env.action_space.low
    before = low.copy()
    spec = environment_spec(env)
    spec.action_space.low[:] = 77
    assert env.action_space.low is low
    assert (low == before).all()


@pytest.mark.parametrize(
    ("name", "kwargs", "says"),
    [
        ("Pendulm-v1", {}, "did you mean Pendulum-v1"),
        ("Hopper-v99", {}, "did you mean Hopper-v5"),
        ("no_such_module:X", {}, "importing no_such_module failed"),
        ("json:Nothing", {}, "module 'json' has no class"),
        ("json:dumps", {"obj": 1}, "gives a str, not a gymnasium.Env"),
        ("Pendulum-v1", {"colour": "red"}, "colour"),
        ("vinci_toys:Counter", {"colour": "red"}, "colour"),
    ],
)
@pytest.mark.usefixtures("toys")
def test_unknown_environments_are_refused(name, kwargs, says):
    with pytest.raises(UsageError, match=says):
        make_env(name, kwargs)


def test_missing_mujoco_names_the_extra(monkeypatch):
    def make(*_, **__):
        raise gymnasium.error.DependencyNotInstalled(
            'MuJoCo is not installed, run `pip install "gymnasium[mujoco]"`'
        )

    monkeypatch.setattr(gymnasium, "make", make)
    with pytest.raises(UsageError, match=r"pip install 'vinci-offline\[mujoco\]'"):
        make_env("Hopper-v5")


def test_unsupported_spaces_are_refused():
    env = make_env("CartPole-v1")
    env.observation_space = gymnasium.spaces.Graph(gymnasium.spaces.Discrete(2), None)
    with pytest.raises(SpecError, match="Graph spaces are not supported"):
        environment_spec(env)
    env.observation_space = gymnasium.spaces.Tuple([gymnasium.spaces.Dict(a=gymnasium.spaces.Discrete(2))])
    with pytest.raises(SpecError, match=r"has a Dict in its 0, .*FlattenObservation"):
        environment_spec(env)


def test_multi_discrete_differs_from_box():
    env = make_env("CartPole-v1")
    env.action_space = gymnasium.spaces.MultiDiscrete([2, 5], start=[0, 1])
    spec = environment_spec(env)
    assert describe_space(spec.action_space) == "MultiDiscrete([2, 5])"
    env.action_space = gymnasium.spaces.Box(np.array([0, 1]), np.array([1, 5]), dtype=np.int64)
    box = environment_spec(env)
    assert np.array_equal(box.action_space.high, spec.action_space.high)
    assert box.action_space != spec.action_space
    assert EnvironmentSpec.from_json(spec.to_json()) == spec


@pytest.mark.parametrize(
    "space", [gymnasium.spaces.Tuple([gymnasium.spaces.Discrete(2)]), gymnasium.spaces.Dict()]
)
def test_dict_and_tuple_actions_are_refused(space):
    env = make_env("CartPole-v1")
    env.action_space = space
    with pytest.raises(SpecError, match=f"{type(space).__name__} action spaces are not supported"):
        environment_spec(env)


def test_check_fits_names_the_differences():
    pendulum, pole = (environment_spec(make_env(name)) for name in ("Pendulum-v1", "CartPole-v1"))
    stronger = EnvironmentSpec(
        pendulum.observation_space, environment_spec(make_env("MountainCarContinuous-v0")).action_space
    )
    check_fits(pendulum, pendulum)
    with pytest.raises(
        SpecError, match=r"Box\(3,\) against Box\(4,\); actions are Box\(1,\) against Discrete\(2\)"
    ):
        check_fits(pendulum, pole)
    with pytest.raises(SpecError, match="action bounds"):
        check_fits(pendulum, stronger)
