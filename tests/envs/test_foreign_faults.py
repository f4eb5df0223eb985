"""Faults of users' environments and policies end in one line with the reason, the place, and what to do."""

import json
import os
import re

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, Graph, OneOf, Sequence, Text, Tuple

from vinci_offline import SpecError, UsageError, VinciError, collect, evaluate, keras_setup
from vinci_offline.envs.making import make_env
from vinci_offline.policies.keras_policy import KerasPolicy
from vinci_offline.spec import environment_spec


class Assertive(gymnasium.Env):
    """Fails an assertion of two lines, as gymnasium-robotics does for another version of MuJoCo."""

    observation_space, action_space = Box(-1, 1, (2,), np.float32), Discrete(2)

    def __init__(self, at="reset"):
        self.at = at
        self._fail("make")

    def _fail(self, at):
        if self.at == at:
            raise AssertionError("MuJoCo's version is wrong:\n  install 2.3.3")

    def reset(self, *, seed=None, options=None):
        self._fail("reset")
        return np.zeros(2, np.float32), {}

    def step(self, action):
        self._fail("step")
        return np.zeros(2, np.float32), 0.0, True, False, {}


WHOLE = r"AssertionError: MuJoCo's version is wrong: install 2\.3\.3 \(.*test_foreign_faults\.py, line \d+\)"


@pytest.mark.parametrize("at", ["make", "reset", "step"])
def test_assertion_of_an_environment_is_one_line(tmp_path, at):
    gymnasium.register("Assertive-v0", Assertive, kwargs={"at": at})
    try:
        for env in ("Assertive-v0", lambda: Assertive(at)):
            for run in (
                lambda env=env: collect(env, tmp_path / "data.h5", episodes=1, progress=False),
                lambda env=env: evaluate("random", env, episodes=1),
            ):
                with pytest.raises(VinciError, match=WHOLE) as caught:
                    run()
                assert "\n" not in str(caught.value)
    finally:
        gymnasium.registry.pop("Assertive-v0")


def test_factory_that_raises_names_file_and_line():
    def factory():
        return {}["robot"]

    with pytest.raises(UsageError, match=r"factory cannot be made .*KeyError: 'robot' \(.*py, line \d+\)"):
        make_env(factory)


def test_vector_environments_are_refused():
    vector = gymnasium.make_vec("CartPole-v1", num_envs=2, vectorization_mode="sync")
    for env in (vector, lambda: vector):
        with pytest.raises(UsageError, match=r"SyncVectorEnv.*a vector of environments; give a single one"):
            evaluate("random", env, episodes=1)
    with pytest.raises(UsageError, match="a value of type int is no environment: give a Gymnasium id"):
        make_env(3)


def test_policy_class_that_raises_is_one_line():
    class Broken:
        def __init__(self):
            raise RuntimeError("no weights")

        def act(self, observations, rngs):
            raise NotImplementedError

    with pytest.raises(VinciError, match=r"evaluation failed: RuntimeError: no weights \(.*line \d+\)"):
        evaluate(Broken, "CartPole-v1", episodes=1)


def test_keras_policies_have_one_output():
    import keras

    inputs = keras.Input((4,))
    scores = keras.layers.Dense(2)(inputs)
    spec = environment_spec(make_env("CartPole-v1"))
    with pytest.raises(SpecError, match="has 2 outputs: a policy returns one"):
        KerasPolicy(keras.Model(inputs, [scores, scores]), spec)
    rngs = [np.random.default_rng(0)] * 3
    observations = np.eye(4, dtype=np.float32)[:3]
    listed, plain = (KerasPolicy(keras.Model(inputs, out), spec) for out in ([scores], scores))
    assert np.array_equal(listed.act(observations, rngs).actions, plain.act(observations, rngs).actions)


def run_of(path, env, **kwargs):
    """Write the configuration of a run that was trained on an environment's data, and a policy of zeros."""
    import keras

    made = make_env(env, kwargs)
    spec = environment_spec(made, None, kwargs)
    path.mkdir()
    (path / "config.json").write_text(json.dumps({"environment": spec.to_object(), "agent": "bc"}))
    inputs = keras.Input(made.observation_space.shape)
    keras.Model(inputs, keras.layers.Dense(1, kernel_initializer="zeros")(inputs)).save(path / "policy.keras")
    return path


def test_evaluating_a_run_keeps_its_arguments(tmp_path):
    run = run_of(tmp_path / "run", "Pendulum-v1", g=1.0, max_episode_steps=30)
    own = evaluate(run, episodes=2)
    assert evaluate(run, "Pendulum-v1", episodes=2) == own
    assert own.lengths == (30, 30)
    heavier = evaluate(run, "Pendulum-v1", episodes=2, env_kwargs={"g": 9.0, "max_episode_steps": 20})
    assert heavier.lengths == (20, 20)
    assert heavier.returns[0] < own.returns[0]
    assert evaluate(run, "Pendulum-v1", episodes=1, max_episode_steps=7).lengths == (7,)


def test_other_environment_that_does_not_fit_names_the_arguments(tmp_path):
    run = run_of(tmp_path / "run", "Pendulum-v1", g=1.0)
    with pytest.raises(SpecError, match=r"does not fit.*recorded with env_kwargs=\{\"g\": 1.0\}"):
        evaluate(run, "CartPole-v1", episodes=1)


class Mission(gymnasium.spaces.Space):
    """A space that Gymnasium cannot flatten, like minigrid's missions."""

    def __init__(self):
        super().__init__(dtype=str)

    def sample(self, mask=None, probability=None):
        return "go"

    def contains(self, x):
        return isinstance(x, str)


class Showing(gymnasium.Env):
    action_space = Discrete(2)

    def __init__(self, space):
        self.observation_space = space

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.observation_space.seed(seed)
        return self.observation_space.sample(), {}

    def step(self, action):
        return self.observation_space.sample(), 0.0, True, False, {}


IMAGE = Box(0, 255, (7, 7, 3), np.uint8)
ADVISED = {
    "minigrid": (Dict(direction=Discrete(4), image=IMAGE, mission=Mission()), ["FilterObservation"]),
    "nested": (Dict(a=Dict(b=Box(-1, 1, (2,))), c=Discrete(3)), ["FlattenObservation", "FilterObservation"]),
    "only nested": (Dict(a=Dict(b=Box(-1, 1, (2,)))), ["FlattenObservation"]),
    "tuple": (Tuple([Box(-1, 1, (2,)), Tuple([Discrete(2)])]), ["FlattenObservation", "FilterObservation"]),
    "text part": (
        Dict(a=Text(3, min_length=3), b=Box(-1, 1, (2,))),
        ["FlattenObservation", "FilterObservation"],
    ),
    "text": (Text(3, min_length=3), ["FlattenObservation"]),
    "graph": (Graph(Discrete(2), None), []),
    "sequence part": (Dict(a=Sequence(Discrete(2)), b=Discrete(2)), ["FilterObservation"]),
}


@pytest.mark.parametrize("name", ADVISED)
def test_advised_wrappers_work(tmp_path, name):
    space, wrappers = ADVISED[name]
    with pytest.raises(SpecError, match="space") as caught:
        environment_spec(Showing(space))
    said = str(caught.value)
    advised = re.findall(r"gymnasium\.wrappers\.\w+\(.*?\)(?= makes| keeps)", said)
    assert [text.split(".")[2].split("(")[0] for text in advised] == wrappers
    for place, text in enumerate(advised):
        wrapped = eval(text, {"gymnasium": gymnasium, "env": Showing(space)})
        assert len(collect(wrapped, tmp_path / f"{place}.h5", episodes=2, progress=False)) == 2
    if not wrappers:
        assert "gymnasium.ObservationWrapper of yours" in said


def test_advice_for_one_of_several():
    with pytest.raises(SpecError, match=r"OneOf spaces are not supported"):
        environment_spec(Showing(OneOf([Discrete(2), Discrete(3)])))


def in_fork(function):
    """Return what a function says in a forked child."""
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            text = str(function())
        except BaseException as error:  # noqa: BLE001
            text = f"{type(error).__name__}: {error}"
        os.write(theirs, text.encode())
        os._exit(0)
    os.close(theirs)
    with os.fdopen(ours) as stream:
        text = stream.read()
    os.waitpid(child, 0)
    return text


@pytest.mark.filterwarnings("ignore:.*fork.*")
def test_keras_in_a_forked_process_is_refused(monkeypatch, tmp_path):
    (tmp_path / "policy.keras").write_bytes(b"PK")
    monkeypatch.setattr(keras_setup, "_started", lambda backend: backend == "tensorflow")

    def acts():
        return evaluate(tmp_path / "policy.keras", "CartPole-v1", episodes=1)

    monkeypatch.setattr(keras_setup.zipfile, "is_zipfile", lambda path: True)
    assert re.match(
        r"UsageError: this process was forked after tensorflow .*get_context\('spawn'\)", in_fork(acts)
    )
    # Without Keras nothing hangs.
    assert in_fork(lambda: evaluate("random", "CartPole-v1", episodes=1).episodes) == "1"
    assert keras_setup._forked_after == []


@pytest.mark.filterwarnings("ignore:.*fork.*")
def test_fork_before_keras_started_is_fine(monkeypatch):
    monkeypatch.setattr(keras_setup, "_started", lambda backend: False)
    assert in_fork(keras_setup.check_process) == "None"


def test_started_backend_is_seen():
    import keras

    keras.ops.convert_to_numpy(keras.ops.ones(1))
    assert keras_setup._started(keras.backend.backend())
