import numpy as np
import pytest

from vinci_offline import collect, evaluate

MODULE = """
import numpy as np


class Clock:
    '''Acts by the number of steps since its lane's episode began.'''

    def __init__(self, spec):
        self.shape = spec.action_space.shape
        self.told = []

    def reset(self, lanes):
        if len(self.told) == 0:
            self.steps = np.zeros(len(lanes))
        self.told.append(lanes.tolist())
        self.steps[lanes] = 0

    def act(self, observations, rngs):
        self.steps += 1
        return np.repeat((self.steps / 100)[:, None], self.shape[0], axis=1)


class Counted:
    '''Counts its calls over all lanes. Only a new object a shard makes the count repeat.'''

    calls = 0

    def act(self, observations, rngs):
        self.calls += 1
        return np.full((len(rngs), 1), self.calls / 10_000)
"""


@pytest.fixture
def policies(tmp_path):
    path = tmp_path / "stateful.py"
    path.write_text(MODULE)
    return path


def columns(data):
    return {path: values.tobytes() for path, values in data.columns.items()}


def test_reset_names_lanes_of_new_episodes(policies, toys, tmp_path):
    options = {
        "policy": f"{policies}:Clock",
        "episodes": 24,
        "env_kwargs": {"varied": True},
        "progress": False,
    }
    data = collect("vinci_toys:Counter", tmp_path / "data.h5", lanes=3, **options)
    steps = np.concatenate([np.arange(1, length + 1) for length in data.episodes["length"]])
    assert data.columns["actions"][:, 0] == pytest.approx(steps / 100)
    wide = collect("vinci_toys:Counter", tmp_path / "wide.h5", lanes=7, **options)
    assert columns(wide) == columns(data)


@pytest.mark.parametrize("name", ["Clock", "Counted"])
def test_workers_do_not_change_a_class_policy(policies, toys, tmp_path, name):
    options = {"policy": f"{policies}:{name}", "episodes": 24, "lanes": 3, "progress": False}
    one = collect("vinci_toys:Counter", tmp_path / "one.h5", **options)
    two = collect("vinci_toys:Counter", tmp_path / "two.h5", workers=2, **options)
    assert columns(one) == columns(two)


def test_evaluation_calls_reset(policies, toys):
    wide = evaluate(f"{policies}:Clock", "vinci_toys:Counter", episodes=9, lanes=4)
    assert wide.returns == pytest.approx([0.01 * (1 + 2 + 3 + 4 + 5)] * 9)
