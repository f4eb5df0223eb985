"""Recording and evaluation refuse what is no element of its space, at each step and from each policy."""

import gymnasium
import numpy as np
import pytest

from vinci_offline import SpecError, UsageError, VinciError, collect, evaluate
from vinci_offline.policies.policy import to_actions
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

    with pytest.raises(VinciError, match=r"infos?.*note.* \(2,\)"):
        collect(Growing(), tmp_path / "data.h5", episodes=2, record_infos=["note"], progress=False)


def test_whole_numbers_that_float32_rounds_are_refused_as_infos(tmp_path):
    def record(float64):
        path = tmp_path / f"{float64}.h5"
        env = Odd("info", 16_777_217)
        return collect(env, path, episodes=1, record_infos=["note"], float64=float64, progress=False)

    assert record(float64=True).columns["infos/note"].tolist() == [1, 16_777_217, 1]


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
