"""Masks of actions in an environment's info: recorded, learned from, and obeyed by the saved policy."""

import gymnasium
import keras
import numpy as np
import pytest

from vinci_offline import Dataset, UsageError, collect, evaluate, train
from vinci_offline.batches.names import IfRecorded, complete_wishes
from vinci_offline.batches.reader import load_columns
from vinci_offline.errors import SpecError
from vinci_offline.policies.named import load_policy
from vinci_offline.spec import DiscreteSpace, EnvironmentSpec

SHORT = {"steps": 4, "log_every": 2, "batch_size": 8, "jit": "off", "progress": False}


class Corridor(gymnasium.Env):
    """Environment of three doors. The info's mask says which are open now; a closed door is an error."""

    observation_space = gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32)
    action_space = gymnasium.spaces.Discrete(3, start=2)
    tells = True

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.count = 0
        return self._look()

    def step(self, action):
        assert self.mask[action - 2], "this door is closed"
        self.count += 1
        observation, info = self._look()
        return observation, float(action), False, self.count == 6, info

    def _look(self):
        # One array for all steps, as some environments have it. The observation tells the mask by its number.
        self.mask = self.mask if self.count else np.zeros(3, np.int8)
        self.mask[:] = np.roll([1, 1, self.count % 2], self.count)
        observation = np.array([self.count / 10, self.np_random.uniform(-1, 1)], np.float32)
        return observation, {"action_mask": self.mask} if self.tells else {}


class Silent(Corridor):
    tells = False


def mask_of(count):
    return np.roll([1, 1, count % 2], count) != 0


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Record a policy that takes an open door: the first of those that the number of the step opens."""

    def open_door(observation, rng):
        return 2 + rng.choice(np.flatnonzero(mask_of(round(float(observation[0]) * 10))))

    path = tmp_path_factory.mktemp("masks") / "data.h5"
    infos = ["action_mask"]
    collect(Corridor, path, episodes=4, policy=open_door, record_infos=infos, progress=False)
    return Dataset.open(path)


def test_recorded_masks_belong_to_their_observations(data):
    own, following = (data.columns[f"infos/{name}"] for name in ("action_mask", "next_action_mask"))
    counts = np.arange(24) % 6
    np.testing.assert_array_equal(own, [mask_of(count) for count in counts])
    np.testing.assert_array_equal(following, [mask_of(count + 1) for count in counts])
    assert own.dtype == bool
    columns = load_columns(data, (IfRecorded("action_mask"), IfRecorded("next_action_mask")))
    np.testing.assert_array_equal(columns["action_mask"], own)
    np.testing.assert_array_equal(columns["next_action_mask"], following)  # at the time limit too
    actions = data.columns["actions"] - 2
    assert own[np.arange(24), actions].all()


def test_masks_are_wished_only_where_they_are(data):
    wishes = (IfRecorded("action_mask"), IfRecorded("next_action_mask"))
    assert {"action_mask", "next_action_mask"} <= set(complete_wishes(wishes))
    plain = {name: data.columns[name] for name in data.columns if "mask" not in name}
    columns = load_columns(Dataset.from_columns(plain, data.spec), wishes)
    assert not {"action_mask", "next_action_mask"} & set(columns)
    with pytest.raises(UsageError, match="in two ways"):
        complete_wishes(("action_mask", IfRecorded("action_mask")))
    with pytest.raises(UsageError, match="not 'reward'"):
        IfRecorded("reward")


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    return train(
        data, "bc", output=tmp_path_factory.mktemp("runs") / "bc", settings={"hidden": (4,)}, **SHORT
    ).run


def test_saved_policy_takes_the_mask(run):
    # The environment fails at a closed door.
    assert evaluate(run, Corridor, episodes=4, lanes=2).lengths == (6, 6, 6, 6)
    policy = keras.saving.load_model(run / "policy.keras", safe_mode=True)
    states = np.random.default_rng(0).uniform(-1, 1, (30, 2)).astype("f4")
    for only in range(3):
        mask = np.zeros((30, 3), "f4")
        mask[:, only] = 1
        chosen = policy.predict_on_batch({"observation": states, "action_mask": mask})
        assert set(np.asarray(chosen).tolist()) == {2 + only}


def test_saved_distribution_takes_the_mask(run, tmp_path):
    assert evaluate(run, Corridor, episodes=4, stochastic=True).lengths == (6, 6, 6, 6)
    again = collect(
        Corridor,
        tmp_path / "again.h5",
        episodes=2,
        policy=run,
        noise="sample",
        record_infos=["action_mask"],
        progress=False,
    )
    assert again.columns["infos/action_mask"][np.arange(12), again.columns["actions"] - 2].all()


def test_a_policy_with_masks_needs_them(run, data):
    with pytest.raises(
        UsageError, match=r"info has no 'action_mask'; it has: nothing \(in episode 0, at its reset"
    ):
        evaluate(run, Silent, episodes=1)
    policy = load_policy(run, data.spec)
    with pytest.raises(SpecError, match="give it a dict with 'action_mask' beside the observation"):
        policy.act(np.zeros((1, 2), "f4"), [np.random.default_rng(0)])
    four = EnvironmentSpec(data.spec.observation_space, DiscreteSpace(4))
    model = keras.saving.load_model(run / "policy.keras", safe_mode=True)
    with pytest.raises(SpecError, match=r"takes a mask of shape \(3,\)"):
        load_policy(model, four)
