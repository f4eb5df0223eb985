"""``--reward``: rewards are changed once, before anything sums them, and by the same numbers wherever they are read."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from chains import CONTINUOUS, chain

from vinci_offline import Dataset, UsageError
from vinci_offline.agents.agent import Agent
from vinci_offline.batches.names import ReturnToGo
from vinci_offline.batches.opening import open_source
from vinci_offline.batches.reader import load_columns
from vinci_offline.hooks.value_alarm import ValueAlarm
from vinci_offline.quality.survey import survey
from vinci_offline.runs.run_directory import RunDirectory
from vinci_offline.spec.units import RewardScaling, Units
from vinci_offline.training.config import TrainingConfig
from vinci_offline.training.rewards import reward_scaling
from vinci_offline.training.starting import choose_units

ENDS = ReturnToGo(unfinished="sum")


def episodes(*rewards, timeouts=True):
    """Return a dataset of one episode for each list of rewards."""
    lengths = [len(each) for each in rewards]
    rows = sum(lengths)
    ends = np.zeros(rows, bool)
    ends[np.cumsum(lengths) - 1] = timeouts
    position = np.arange(rows + 1, dtype="f4")[:, None].repeat(2, axis=1)
    columns = {
        "observations": position[:-1],
        "next_observations": position[1:],
        "actions": np.zeros((rows, 1), "f4"),
        "rewards": np.concatenate([np.asarray(each, "f4") for each in rewards]),
        "terminals": np.zeros(rows, bool),
        "timeouts": ends,
    }
    return Dataset.from_columns(columns, CONTINUOUS, {"length": lengths})


# Returns of 3 and 8, lengths 2 and 4.
TWO = ([1, 2], [2, 2, 2, 2])


@pytest.mark.parametrize(
    ("text", "factor", "shift"),
    [
        ("scale:10", 10, 0),
        ("shift:-1", 1, -1),
        ("scale:10,shift:-5", 10, -5),  # 10 r - 5
        ("shift:-5, scale:10", 10, -50),  # 10 (r - 5)
        ("normalize", 200, 0),  # 1000 / (8 - 3)
        ("scale:2,normalize", 200, 0),  # returns 6 and 16: 2 * 1000 / 10
        ("shift:1,normalize", 1000 / 7, 1000 / 7),  # returns 3 + 2 and 8 + 4
        ("normalize,shift:-1", 200, -1),
    ],
)
def test_changes_apply_in_their_order(text, factor, shift):
    made = reward_scaling(text, episodes(*TWO), 1, 2)
    assert (made.factor, made.shift) == pytest.approx((factor, shift), rel=1e-12)


def test_normalized_returns_differ_by_1000():
    dataset = episodes(*TWO)
    changed = reward_scaling("normalize", dataset, 1, 2)(dataset.columns["rewards"])
    assert changed[2:].sum() - changed[:2].sum() == pytest.approx(1000)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("scal:2", r"not 'scal:2'; did you mean 'scale'"),
        ("", "takes scale:X, shift:X, normalize"),
        ("scale:0", "'scale:0' needs a number other than zero"),
        ("scale", "'scale' needs a number"),
        ("shift:nan", "'shift:nan' needs a number"),
        ("normalize:10", "normalize takes no number"),
        ("scale:2,,shift:1", "not ''"),
    ],
)
def test_text_that_is_no_change_is_refused_in_one_line(text, message):
    with pytest.raises(UsageError, match=message) as error:
        TrainingConfig(reward=text)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("dataset", "text", "message"),
    [
        (
            episodes([1, 2], [2, 1]),
            "normalize",
            "range of the returns of whole episodes, all of 3: use scale",
        ),
        (episodes([1, 2], timeouts=False), "normalize", "of which there are none"),
        (episodes(*TWO), "scale:1e38", "larger than float32 holds"),
    ],
)
def test_rewards_that_cannot_be_changed_are_refused(dataset, text, message):
    with pytest.raises(UsageError, match=message):
        reward_scaling(text, dataset, 1, 20)


@pytest.mark.parametrize("n_step", [1, 3])
def test_rewards_are_changed_before_they_are_summed(n_step):
    units = replace(Units.of(CONTINUOUS), rewards=RewardScaling(10.0, -5.0))
    dataset, _ = chain()
    columns = {path: dataset.columns[path] for path in dataset.columns}
    eighths = np.round(columns["rewards"] * 8) / 8  # float32 holds ten times such a number
    dataset = Dataset.from_columns({**columns, "rewards": eighths}, CONTINUOUS)
    by_hand = Dataset.from_columns({**columns, "rewards": 10 * eighths - 5}, CONTINUOUS)
    wishes = ("next_action", ENDS)
    changed = load_columns(dataset, wishes, gamma=0.9, n_step=n_step, units=units)
    for name, column in load_columns(by_hand, wishes, gamma=0.9, n_step=n_step).items():
        np.testing.assert_array_equal(changed[name], column, err_msg=name)


def test_streamed_rows_have_the_bytes_of_loaded_ones(tmp_path):
    path = tmp_path / "data.h5"
    chain(rows=500)[0].save(path)
    units = replace(Units.of(CONTINUOUS), rewards=RewardScaling(0.1, 3.0))
    options = {"gamma": 0.9, "n_step": 3, "units": units, "batch_size": 8}
    wishes = (ENDS,)
    whole = open_source(Dataset.open(path), wishes, memory="device", **options).pool(0)
    stream = open_source(Dataset.open(path), wishes, memory="stream", budget=2**13, **options)
    rows = stream.dataset_rows(0)
    pool = stream.pool(0)
    stream.close()
    assert 8 <= stream.pool_rows < 500
    for name in ("reward", "return_to_go"):
        np.testing.assert_array_equal(
            np.asarray(pool[name])[rows >= 0], np.asarray(whole[name])[rows[rows >= 0]], err_msg=name
        )


def test_units_keep_the_change_in_json():
    units = replace(Units.of(CONTINUOUS), rewards=RewardScaling(1000 / 7, -0.1))
    again = Units.from_json(CONTINUOUS, json.loads(json.dumps(units.to_json())))
    assert again.rewards == units.rewards
    assert Units.of(CONTINUOUS).to_json() is None


class _Plain(Agent):
    normalize_observations = False
    networks = updates = policy = None


_Plain.__abstractmethods__ = frozenset()


@pytest.mark.parametrize(
    ("reward", "expected"),
    [("normalize", RewardScaling(7.0, 0.0)), ("scale:2", RewardScaling(2.0, 0.0)), (None, None)],
)
def test_run_that_starts_from_another_keeps_its_numbers_of_the_same_change(tmp_path, reward, expected):
    dataset = episodes(*TWO)
    stored = {"units": replace(Units.of(CONTINUOUS), rewards=RewardScaling(7.0, 0.0)).to_json()}
    (tmp_path / "config.json").write_text(json.dumps({**stored, "training": {"reward": "normalize"}}))
    known = survey(dataset)
    assert choose_units(_Plain(), dataset, RunDirectory(tmp_path), known, reward).rewards == expected
    assert choose_units(_Plain(), dataset, None, known, "normalize").rewards == RewardScaling(200.0, 0.0)


def test_value_alarm_knows_changed_rewards():
    run = SimpleNamespace(
        config={"training": {"gamma": 0.5}},
        dataset={"reward_min": -1.0, "reward_max": 2.0},
        units=replace(Units.of(CONTINUOUS), rewards=RewardScaling(-10.0, 5.0)),
    )
    alarm = ValueAlarm()
    alarm.start(run)
    assert alarm._bounds == (-30.0, 30.0)  # rewards of -15 and 15, over 1 - 0.5
