"""The alarm for values that run away: early where they do, silent where they learn."""

import warnings
from dataclasses import replace

import pytest

from vinci_offline import VinciWarning, train
from vinci_offline.hooks.value_alarm import ValueAlarm


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
def test_silent_where_values_are_possible_or_come_back(alarm, values):
    hook, notes = alarm(-16.0, 0.0)
    feed(hook, values)
    assert notes == []


@pytest.mark.parametrize("sign", [1, -1])
def test_warns_once_where_values_leave_and_grow(alarm, sign):
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


def test_an_episode_that_ends_is_worth_nothing_so_zero_is_always_possible(alarm):
    hook, notes = alarm(5.0, 6.0)
    feed(hook, [(0, 600), (0, 600)])
    hook, more = alarm(0.0, 0.0)  # no rewards at all: a fresh network's values are no alarm
    feed(hook, [(-2, 2), (-3, 3)])
    assert notes == more == []


def test_silent_without_a_discount_or_without_values(alarm):
    hook, notes = alarm(-1.0, 1.0, gamma=1.0)
    feed(hook, [(0, 1e6), (0, 1e7), (0, 1e8)])
    hook, more = alarm(-1.0, 1.0)
    for step in (1, 2, 3):
        hook.metrics(step, {"loss/actor": 1e9})
    assert notes == more == []


def test_a_run_that_diverges_is_told_early_and_one_that_learns_is_not(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    options = {
        "steps": 400,
        "log_every": 20,
        "batch_size": 32,
        "jit": "off",
        "progress": False,
        "settings": {"hidden": (16, 16)},
    }
    with warnings.catch_warnings():
        warnings.simplefilter("error", VinciWarning)
        train("pendulum-mixed", "td3bc", output=tmp_path / "sound", **options)
    # A hard copy at each step and a rate far too high: Q-learning's bootstrap feeds on itself.
    settings = {
        "hidden": (16, 16),
        "target_update": 1.0,
        "critic_learning_rate": 0.3,
        "actor_learning_rate": 0.3,
    }
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", VinciWarning)
        train("pendulum-mixed", "ddpg", output=tmp_path / "wild", **{**options, "settings": settings})
    assert ["they diverge" in str(warning.message) for warning in told] == [True]
    events = EventAccumulator(str(tmp_path / "wild"))
    events.Reload()
    assert any("notes" in tag for tag in events.Tags()["tensors"])
