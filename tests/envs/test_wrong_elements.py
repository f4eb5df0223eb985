"""Recording and evaluation refuse what is no element of its space, in the reset, at each step, and from each policy."""

import gymnasium
import numpy as np
import pytest

from vinci_offline import SpecError, UsageError, VinciError, collect, evaluate
from vinci_offline.policies.actions import to_actions
from vinci_offline.spec import BoxSpace, DiscreteSpace

OBSERVATION = np.arange(3, dtype=np.float32)


class Odd(gymnasium.Env):
    """Three numbers to see, one to give. `odd` replaces the observation or reward of the second step."""

    observation_space = gymnasium.spaces.Box(-9, 9, (3,), np.float32)
    action_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)

    def __init__(self, what=None, odd=None):
        self.what, self.odd = what, odd

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.count = 0
        return OBSERVATION, {}

    def step(self, action):
        self.count += 1
        given = {"observation": OBSERVATION, "reward": 1.0, "info": 1.0}
        if self.count == 2 and self.what:
            given[self.what] = self.odd
        return given["observation"], given["reward"], self.count == 3, False, {"note": given["info"]}


def still(observation):
    return np.zeros(1, np.float32)


ODD = [
    ("observation", np.ones(1, np.float32), r"observation of shape \(1,\)"),
    ("observation", np.float32(1), r"observation of shape \(\)"),
    ("observation", np.ones((1, 3), np.float32), r"observation of shape \(1, 3\)"),
    ("reward", np.ones(1), r"reward of shape \(1,\)"),
    ("reward", np.ones(2), r"reward of shape \(2,\)"),
]


@pytest.mark.parametrize("policy", ["random", still])
@pytest.mark.parametrize(("what", "odd", "message"), ODD)
def test_recording_refuses_a_step(tmp_path, what, odd, message, policy):
    with pytest.raises(SpecError, match=message):
        collect(Odd(what, odd), tmp_path / "data.h5", episodes=2, policy=policy, progress=False)
    assert not (tmp_path / "data.h5").exists()


@pytest.mark.parametrize(("what", "odd", "message"), ODD)
def test_evaluation_refuses_a_step(what, odd, message):
    with pytest.raises(SpecError, match=message):
        evaluate(still, Odd(what, odd), episodes=1)


def test_infos_of_another_shape_are_refused(tmp_path):
    with pytest.raises(UsageError, match="info 'note' cannot be recorded"):
        collect(
            Odd("info", np.ones(2)), tmp_path / "data.h5", episodes=1, record_infos=["note"], progress=False
        )


def test_infos_that_change_their_shape_between_episodes_are_refused(tmp_path):
    class Growing(Odd):
        def reset(self, **kwargs):
            self.episodes = getattr(self, "episodes", 0) + 1
            return super().reset(**kwargs)

        def step(self, action):
            *rest, _ = super().step(action)
            return *rest, {"note": np.ones(self.episodes)}

    with pytest.raises(VinciError, match=r"infos?.*note.* \(4,\)"):
        collect(Growing(), tmp_path / "data.h5", episodes=2, record_infos=["note"], progress=False)


def test_whole_numbers_that_float32_rounds_are_refused_as_infos(tmp_path):
    def record(float64):
        path = tmp_path / f"{float64}.h5"
        env = Odd("info", 16_777_217)
        return collect(env, path, episodes=1, record_infos=["note"], float64=float64, progress=False)

    assert record(float64=True).columns["infos/note"].tolist() == [1, 16_777_217, 1]


class Wrong(gymnasium.Env):
    """Gives a right observation, but for one step; step 0 is the reset."""

    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, space, right, wrong, at):
        self.observation_space, self.right, self.wrong, self.at = space, right, wrong, at

    def _observation(self):
        return self.wrong if self.count == self.at else self.right

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.count = 0
        return self._observation(), {}

    def step(self, action):
        self.count += 1
        return self._observation(), 0.0, self.count == 6, False, {}


BYTES = gymnasium.spaces.Box(0, 255, (2,), np.uint8)
INTEGERS = gymnasium.spaces.Box(-9, 9, (2,), np.int32)
FLOATS = gymnasium.spaces.Box(-9, 9, (3,), np.float32)
CHANGED = {
    "floats as bytes": (BYTES, np.zeros(2, np.uint8), np.array([0.5, 1.0], np.float32), "0.5"),
    "floats as integers": (INTEGERS, np.zeros(2, np.int32), np.array([1.0, 2.25]), "2.25"),
    "NaN as an integer": (INTEGERS, np.zeros(2, np.int32), np.array([np.nan, 1]), "nan"),
    "bytes that wrap": (BYTES, np.zeros(2, np.uint8), np.array([300, -1]), "300"),
    "bytes that wrap, in a list": (BYTES, np.zeros(2, np.uint8), [7, -1], "-1"),
    "a slice": (FLOATS, np.zeros(3, np.float32), np.ones(1, np.float32), r"shape \(1,\)"),
    "an array as a list": (FLOATS, np.zeros(3, np.float32), [[1.0, 2.0, 3.0]], r"shape \(1, 3\)"),
    "texts": (FLOATS, np.zeros(3, np.float32), np.array(["1", "2", "3"]), "type <U1"),
    "objects": (FLOATS, np.zeros(3, np.float32), np.array([1, 2, None], object), "type object"),
    "complex numbers": (FLOATS, np.zeros(3, np.float32), np.ones(3, complex), "type complex128"),
    "integers that float32 rounds": (FLOATS, np.zeros(3, np.float32), np.array([1, 2, 16777217]), "16777217"),
    "a fraction for a choice": (gymnasium.spaces.Discrete(4), 1, 1.5, "1.5"),
    "a row for a choice": (gymnasium.spaces.Discrete(4), 1, np.array([1]), r"shape \(1,\)"),
    "a text for a choice": (gymnasium.spaces.Discrete(4), 1, "1", "type <U1"),
    "floats for choices": (
        gymnasium.spaces.MultiDiscrete([4, 4]),
        np.array([1, 2]),
        np.array([1, 0.5]),
        "0.5",
    ),
    "a two for a switch": (gymnasium.spaces.MultiBinary(2), np.zeros(2, np.int8), np.array([0, 257]), "257"),
    "a part of a Dict": (
        gymnasium.spaces.Dict(image=BYTES, speed=FLOATS),
        {"image": np.zeros(2, np.uint8), "speed": np.zeros(3, np.float32)},
        {"image": np.zeros(2), "speed": np.zeros(1, np.float32)},
        r"shape \(1,\)",
    ),
    "a part of a Tuple": (
        gymnasium.spaces.Tuple([gymnasium.spaces.Discrete(3), BYTES]),
        (1, np.zeros(2, np.uint8)),
        (1, np.array([0.5, 0])),
        "0.5",
    ),
    "a Dict without a key": (
        gymnasium.spaces.Dict(image=BYTES),
        {"image": np.zeros(2, np.uint8)},
        {"picture": np.zeros(2, np.uint8)},
        "without 'image'",
    ),
}


def actor(observation):
    return 1


@pytest.mark.parametrize("at", [0, 1, 5])
@pytest.mark.parametrize("name", CHANGED)
def test_observation_that_would_change_is_refused(tmp_path, name, at):
    space, right, wrong, says = CHANGED[name]
    where = rf"{says}.*\(in episode 0, at {f'step {at}' if at else 'its reset'}\)"
    for policy in ("random", actor):
        with pytest.raises(SpecError, match=where):
            collect(
                Wrong(space, right, wrong, at), tmp_path / "a.h5", episodes=1, policy=policy, progress=False
            )
    with pytest.raises(SpecError, match=where):
        evaluate(actor, Wrong(space, right, wrong, at), episodes=1)


@pytest.mark.parametrize(
    ("space", "given", "stored"),
    [
        (BYTES, np.array([7.0, 255.0]), [7, 255]),
        (BYTES, [3, 4], [3, 4]),
        (INTEGERS, np.array([1, 2], np.uint8), [1, 2]),
        (INTEGERS, np.array([True, False]), [1, 0]),
        (FLOATS, np.array([1, 2, 3]), [1, 2, 3]),
        (FLOATS, np.array([0.1, 0.2, 0.3]), np.array([0.1, 0.2, 0.3], np.float32).tolist()),
        (FLOATS, (1.0, 2.0, np.nan), [1, 2, np.nan]),
        (gymnasium.spaces.Discrete(4), 2.0, 2),
        (gymnasium.spaces.Discrete(4), np.array(3), 3),
        (gymnasium.spaces.Discrete(4), np.uint8(3), 3),
    ],
)
def test_casts_that_lose_nothing_pass(tmp_path, space, given, stored):
    data = collect(Wrong(space, given, given, 9), tmp_path / "a.h5", episodes=1, progress=False)
    assert np.array_equal(data.columns["observations"][0], stored, equal_nan=True)
    evaluate(actor, Wrong(space, given, given, 9), episodes=1)


@pytest.mark.parametrize("policy", ["random", still])
@pytest.mark.parametrize(
    ("odd", "says"),
    [
        ("1.0", "type <U3"),
        (None, "type object"),
        (np.ones((1, 1)), r"shape \(1, 1\)"),
        (1 + 2j, "type complex"),
    ],
)
def test_wrong_reward_names_episode_and_step(tmp_path, policy, odd, says):
    where = rf"reward .*{says}.* \(in episode 0, at step 2\)"
    with pytest.raises(SpecError, match=where):
        collect(Odd("reward", odd), tmp_path / "a.h5", episodes=1, policy=policy, progress=False)
    with pytest.raises(SpecError, match=where):
        evaluate(still, Odd("reward", odd), episodes=1)


@pytest.mark.parametrize(
    ("odd", "says"), [("1.0", "type <U3"), (None, "type object"), ([[1], [1, 2]], "type object")]
)
def test_infos_that_are_no_numbers_are_refused(tmp_path, odd, says):
    with pytest.raises(UsageError, match=rf"info 'note'.*{says}.* \(in episode 0, at step 2\)"):
        collect(Odd("info", odd), tmp_path / "a.h5", episodes=1, record_infos=["note"], progress=False)


@pytest.mark.parametrize("flag", ["False", np.array([True]), 2, [0]])
def test_flags_that_are_no_truth_values_are_refused(tmp_path, flag):
    class Flagged(Odd):
        def step(self, action):
            observation, reward, _, truncated, info = super().step(action)
            return observation, reward, flag if self.count == 2 else False, truncated, info

    for run in (
        lambda: evaluate(still, Flagged(), episodes=1),
        lambda: collect(Flagged(), tmp_path / "a.h5", episodes=1, progress=False),
    ):
        with pytest.raises(SpecError, match=r"terminated = .*neither True nor False.*at step 2\)"):
            run()


BOX = BoxSpace((2,), "float32", np.full(2, -1, "f4"), np.full(2, 1, "f4"))


@pytest.mark.parametrize(
    ("actions", "lanes"),
    [
        (np.zeros((3, 2)), 3),
        (np.zeros((3, 1, 2)), 3),
        (np.zeros(2), 1),
        (np.zeros((1, 2)), 1),
    ],
)
def test_actions_of_all_lanes(actions, lanes):
    assert to_actions(actions, BOX, lanes).shape == (lanes, 2)


@pytest.mark.parametrize(
    "actions",
    [np.zeros((1, 2)), np.zeros((2, 3)), np.zeros(6), np.zeros((3, 1)), np.zeros((4, 2)), np.float32(0)],
)
def test_actions_of_other_shapes_are_refused(actions):
    with pytest.raises(SpecError, match="the policy gave"):
        to_actions(actions, BOX, 3)


@pytest.mark.parametrize("actions", [np.zeros(1, int), np.zeros((3, 2), int), np.zeros(2, int)])
def test_choices_of_other_shapes_are_refused(actions):
    with pytest.raises(SpecError, match="the policy gave"):
        to_actions(actions, DiscreteSpace(4), 3)


class OneRow:
    """Acts for one lane, however many there are."""

    deterministic = True

    def act(self, observations, rngs):
        return np.zeros((1, 1), np.float32)


def test_policy_that_acts_for_one_lane_is_refused():
    with pytest.raises(VinciError, match="the policy gave 1 rows for 4 lanes"):
        evaluate(OneRow(), Odd, episodes=4, lanes=4)
