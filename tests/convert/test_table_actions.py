"""The setting ``actions`` of tables: choices, several of them, one-hot columns, and amounts."""

import numpy as np
import pandas as pd
import pytest
from data_examples import box, discrete_spec

from vinci_offline import Dataset, EnvironmentSpec
from vinci_offline.convert.conversion import read
from vinci_offline.data.assembly.options import ImportOptions
from vinci_offline.errors import DatasetError, UsageError
from vinci_offline.quality.validation import validate
from vinci_offline.spec import BoxSpace, DiscreteSpace, MultiDiscreteSpace


def table(actions, dtype=None):
    """Return a frame of one episode. ``actions`` are numbers, or a list a row."""
    values = np.array(actions, dtype)
    names = ["action"] if values.ndim == 1 else [f"action_{index}" for index in range(values.shape[1])]
    frame = pd.DataFrame(values.reshape(len(values), -1), columns=names)
    return frame.assign(observation_0=0.5 + np.arange(len(values)), reward=1.0, episode=0)


def taken(tmp_path, actions, said=None, *, spec=None, dtype=None):
    path = tmp_path / "t.csv"
    table(actions, dtype).to_csv(path, index=False)
    settings = {} if said is None else {"actions": said}
    found = read(path, options=ImportOptions(spec, ends="terminal", settings=settings))
    return found.dataset.rows(slice(None)), found.decisions


@pytest.mark.parametrize("said", ["5", "1..5"])
def test_choices_may_count_from_one(tmp_path, said):
    dataset, decisions = taken(tmp_path, [1, 5, 3, 2], said)
    assert dataset.spec.action_space == DiscreteSpace(5, 1)
    assert dataset.columns["actions"].tolist() == [1, 5, 3, 2]
    assert any(
        "actions are the choices 1 … 5: 5 is among them, and 0 is not" in text for text in decisions
    ) == (said == "5")


@pytest.mark.parametrize(("actions", "start"), [([0, 1, 4, 1], 0), ([1, 2, 4, 1], 0), ([1, 2, 5, 1], 1)])
def test_choices_count_from_zero_unless_the_last_is_there(tmp_path, actions, start):
    assert taken(tmp_path, actions, "5")[0].spec.action_space == DiscreteSpace(5, start)


def test_choices_may_be_negative(tmp_path):
    dataset, _ = taken(tmp_path, [-1, 1, 0, 1], "-1..1")
    assert dataset.spec.action_space == DiscreteSpace(3, -1)
    assert dataset.columns["actions"].tolist() == [-1, 1, 0, 1]


@pytest.mark.parametrize("dtype", [None, np.float64])
def test_several_choices_at_once(tmp_path, dtype):
    dataset, _ = taken(tmp_path, [[1, 2], [5, 19], [19, 0]], "20,20", dtype=dtype)
    low, high = np.zeros(2, np.int64), np.full(2, 19)
    assert dataset.spec.action_space == MultiDiscreteSpace((2,), "int64", low, high)
    assert dataset.columns["actions"].tolist() == [[1, 2], [5, 19], [19, 0]]
    assert dataset.columns["actions"].dtype == np.int64


def test_several_choices_may_count_from_one(tmp_path):
    space = taken(tmp_path, [[1, 2], [20, 1], [19, 0]], "1..20,3")[0].spec.action_space
    assert (space.low.tolist(), space.high.tolist()) == ([1, 0], [20, 2])


@pytest.mark.parametrize(
    ("actions", "said", "message"),
    [
        ([[1, 2], [5, 20]], "20,20", "the action of line 3 is 20, not of 0 … 19: say --set actions=A..B"),
        ([[1, 2], [5, 3]], "20", "an action has 2 columns, and the choices are 1: say --set actions=N,N"),
        ([[1, 2], [5, 3]], "20,20,20", "an action has 2 columns, and the choices are 3"),
        ([1, 5], "3", "the action of line 3 is 5, not of 0 … 2"),
        ([-1, 1], "2", "the action of line 2 is -1, not of 0 … 1: .* --set categories=NAME to number others"),
        ([0.0, 0.5], "2", "the action of line 3 is 0.5, not of 0 … 1"),
        ([[0, 1], [1, 1]], "one-hot", "the action of line 3 is not one-hot: one column must be 1"),
        ([[0.5, 0.5], [0, 1]], "one-hot", "the action of line 2 is not one-hot"),
    ],
)
def test_action_that_is_no_choice_names_its_line(tmp_path, actions, said, message):
    with pytest.raises(DatasetError, match=message):
        taken(tmp_path, actions, said)


@pytest.mark.parametrize("said", ["discrete", "0", "5..1", "1..", "2,x", "", "-3", "9999999999999999999"])
def test_unfit_setting_is_refused(tmp_path, said):
    with pytest.raises(UsageError, match=r"give the number of choices, as in actions=2, actions=1\.\.5"):
        taken(tmp_path, [0, 1], said)


@pytest.mark.parametrize("dtype", [np.int64, np.float64, np.bool_])
def test_one_hot_columns_are_choices(tmp_path, dtype):
    dataset, decisions = taken(tmp_path, [[0, 0, 1], [1, 0, 0], [0, 0, 1]], "one-hot", dtype=dtype)
    assert dataset.spec.action_space == DiscreteSpace(3)
    assert dataset.columns["actions"].tolist() == [2, 0, 2]
    assert "actions are 3 choices: the place of the column that is 1" in decisions


def test_one_hot_columns_are_choices_of_the_environment(tmp_path):
    spec = EnvironmentSpec(box(1), DiscreteSpace(3, 1))
    dataset, _ = taken(tmp_path, [[0, 0, 1], [1, 0, 0]], "one-hot", spec=spec)
    assert dataset.columns["actions"].tolist() == [3, 1]
    with pytest.raises(UsageError, match="the environment says already what the actions are"):
        taken(tmp_path, [0, 1], "3", spec=discrete_spec(3))


def test_one_hot_needs_several_columns(tmp_path):
    with pytest.raises(UsageError, match="one column of actions alone"):
        taken(tmp_path, [0, 1], "one-hot")


@pytest.mark.parametrize(
    ("actions", "message"),
    [
        ([0, 1], "say --set actions=N if they are choices .* --set actions=continuous if they are amounts"),
        ([[0, 1], [1, 0]], "actions are whole numbers"),
        ([[0.0, 1.0], [1.0, 0.0]], "one-hot in every row: say --set actions=one-hot"),
    ],
)
def test_meaning_of_actions_is_asked_for(tmp_path, actions, message):
    with pytest.raises(UsageError, match=message):
        taken(tmp_path, actions)


def test_floats_that_are_not_one_hot_are_amounts(tmp_path):
    assert isinstance(taken(tmp_path, [[0.0, 1.0], [1.0, 1.0]])[0].spec.action_space, BoxSpace)
    assert isinstance(taken(tmp_path, [[0.0, 1.0], [0.0, 1.0]])[0].spec.action_space, BoxSpace)


def test_whole_numbers_may_be_amounts(tmp_path):
    dataset, decisions = taken(tmp_path, [20, 5, 100], "continuous")
    assert dataset.columns["actions"].tolist() == [[20], [5], [100]]
    assert dataset.columns["actions"].dtype == np.float32
    assert dataset.spec.action_space == box(1)
    assert any("actions are amounts" in text for text in decisions)
    assert taken(tmp_path, [[20, 1], [5, 0], [1, 2]], "continuous")[0].spec.action_space == box(2)
    assert taken(tmp_path, [0.25, 2.0], "continuous")[0].columns["actions"].tolist() == [[0.25], [2.0]]


def test_amounts_that_float32_would_round_are_kept(tmp_path):
    dataset, _ = taken(tmp_path, [16_777_217, 5], "continuous")
    assert dataset.columns["actions"].tolist() == [[16_777_217], [5]]


def test_frame_takes_the_setting():
    found = Dataset.from_pandas(table([[0, 1], [1, 0]]), ends="terminal", settings={"actions": "one-hot"})
    assert found.columns["actions"].tolist() == [1, 0]


def test_advice_for_choices_outside_does_not_merge_them(tmp_path):
    space = {
        path: EnvironmentSpec(box(1), DiscreteSpace(3, start)) for path, start in (("one", 1), ("zero", 0))
    }
    columns = {
        "observations": np.arange(3, dtype=np.float32)[:, None],
        "actions": np.array([1, 2, 3]),
        "rewards": np.ones(3, np.float32),
        "next_observations": np.arange(1, 4, dtype=np.float32)[:, None],
        "terminals": np.array([False, False, True]),
        "timeouts": np.zeros(3, np.bool_),
    }
    Dataset.from_columns(columns, space["one"]).save(tmp_path / "one.h5")
    assert not [each for each in validate(tmp_path / "one.h5") if each.where.startswith("actions")]
    Dataset.from_columns(columns, space["zero"]).save(tmp_path / "zero.h5")
    (found,) = [each for each in validate(tmp_path / "zero.h5") if each.where.startswith("actions")]
    assert found.advice.startswith("correct the spec: choices may count from another number")
    assert not found.repairable
