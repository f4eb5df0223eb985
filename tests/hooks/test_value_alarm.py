"""The alarm for diverging values: early if they diverge, silent if they converge."""

import warnings
from dataclasses import replace

import keras
import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from vinci_offline import Dataset, VinciWarning, train
from vinci_offline.hooks.value_alarm import ValueAlarm
from vinci_offline.spec import EnvironmentSpec


@pytest.fixture
def alarm(make_run, tmp_path):
    def make(low, high, gamma=0.99):
        notes = []
        hook = ValueAlarm(lambda step, text: notes.append((step, text)))
        run = make_run(tmp_path)
        hook.start(
            replace(
                run, config={"training": {"gamma": gamma}}, dataset={"reward_min": low, "reward_max": high}
            )
        )
        return hook, notes

    return make


def feed(hook, values):
    for step, (low, high) in enumerate(values, start=1):
        hook.metrics(step, {"q/min": low, "q/max": high})


@pytest.mark.parametrize(
    "values",
    [
        [(-100, 0), (-1000, 10), (-1600, 100)],  # within -1600 … 0, and a little over
        [(0, 90_000), (0, 50_000), (0, 20_000), (0, 3)],  # a start far off that comes back
        [(0, 1700), (0, 100), (0, 1700), (0, 50)],
    ],
)
def test_no_warning_for_possible_or_returning_values(alarm, values):
    hook, notes = alarm(-16.0, 0.0)
    feed(hook, values)
    assert notes == []


@pytest.mark.parametrize("sign", [1, -1])
def test_warns_once_for_growing_excess(alarm, sign):
    hook, notes = alarm(-1.0, 1.0)
    values = [(min(0, sign * q), max(0, sign * q)) for q in (50, 200, 310, 350, 400, 1e6)]
    with pytest.warns(VinciWarning, match="diverge") as told:
        feed(hook, values)
    assert len(told) == len(notes) == 1
    step, text = notes[0]
    assert step == 4  # the second report beyond 100 + 200
    assert f"{sign * 350}" in text
    assert "-100 to 100" in text
    assert "arXiv:1812.02900" in text


def test_zero_is_always_a_possible_value(alarm):
    hook, notes = alarm(5.0, 6.0)
    feed(hook, [(0, 600), (0, 600)])
    hook, more = alarm(0.0, 0.0)  # no rewards at all: a fresh network's values are no alarm
    feed(hook, [(-2, 2), (-3, 3)])
    assert notes == more == []


def test_no_warning_without_discount_or_values(alarm):
    hook, notes = alarm(-1.0, 1.0, gamma=1.0)
    feed(hook, [(0, 1e6), (0, 1e7), (0, 1e8)])
    hook, more = alarm(-1.0, 1.0)
    for step in (1, 2, 3):
        hook.metrics(step, {"loss/actor": 1e9})
    assert notes == more == []


@pytest.fixture
def doubling(box):
    """Make states that lead to twice themselves for a small reward: a linear critic's w becomes 2 w.

    Sutton and Barto (2018), section 11.2, their example of values that diverge off-policy.
    """
    state = np.random.default_rng(0).uniform(0.1, 1, (200, 1)).astype(np.float32)
    columns = {
        "observations": state,
        "next_observations": 2 * state,
        "actions": np.zeros((200, 1), np.float32),
        "rewards": np.full(200, 0.1, np.float32),
        "terminals": np.zeros(200, bool),
        "timeouts": np.ones(200, bool),
    }
    return Dataset.from_columns(columns, EnvironmentSpec(box([-9.0], [9.0]), box([-1.0], [1.0])))


def linear(env):
    inputs = keras.layers.Concatenate()([env.state, env.action])
    return keras.Model([env.state, env.action], keras.layers.Dense(1, use_bias=False)(inputs))


def test_only_diverging_run_warns(doubling, tmp_path):
    options = {"log_every": 20, "batch_size": 32, "jit": "off", "progress": False}
    told = {}
    for name, target_update in (("wild", 1.0), ("frozen", 1e-8)):
        settings = {
            "normalize_observations": False,
            "target_update": target_update,
            "critic_learning_rate": 0.2,
            "hidden": (4,),
        }
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("ignore")
            warnings.simplefilter("always", VinciWarning)
            output = tmp_path / name
            train(
                doubling,
                "ddpg",
                output=output,
                steps=200,
                settings=settings,
                networks={"critic": linear},
                **options,
            )
        told[name] = [str(warning.message) for warning in caught]
        events = EventAccumulator(str(output))
        events.Reload()
        assert any("notes" in tag for tag in events.Tags()["tensors"]) == bool(told[name])
    assert told["frozen"] == []
    assert len(told["wild"]) == 1
    assert "rewards allow only 0 to 10: training diverges" in told["wild"][0]
