"""Bounds that settings give to a table's actions and observations, and observations that are dates or times."""

import numpy as np
import pandas as pd
import pytest

from vinci_offline import Dataset
from vinci_offline.convert.conversion import read
from vinci_offline.data.assembly.options import ImportOptions
from vinci_offline.errors import DatasetError, UsageError
from vinci_offline.quality.validation import validate

NAMES = {"episode": "patient", "step": "date", "observation": "age,date", "action": "dose", "reward": "gain"}
ROWS = {
    "patient": ["a", "a", "a", "b", "b"],
    "date": ["2024-05-01", "2024-05-03T12:00:00", "2024-05-02", "2024-01-01", "2024-01-03"],
    "age": [50, 51, 50, 40, 40],
    "dose": [0.5, 2.3, 1.0, 5.0, 3.25],
    "gain": [1, 0, 2, 1, 1],
}
SECONDS = [0, 86_400, 216_000, 0, 172_800]  # 0, 1 and 2.5 days of patient a, 0 and 2 days of patient b


def taken(folder, kind="csv", names=NAMES, rows=ROWS, **settings):
    """Import a table by one of the kinds of files; lines of a CSV file count its header."""
    frame = pd.DataFrame(rows)
    if kind == "frame":
        return Dataset.from_pandas(frame, columns=names, ends="terminal", settings=settings, float64=False)
    path = folder / f"visits.{kind}"
    if kind == "csv":
        frame.to_csv(path, index=False)
    elif kind == "jsonl":
        frame.to_json(path, orient="records", lines=True)
    else:
        pytest.importorskip("pyarrow")
        frame.to_parquet(path)
    options = ImportOptions(ends="terminal", columns=names, settings=settings)
    return read(path, options=options).dataset


def dosed(folder, kind="csv", **settings):
    return taken(folder, kind, names={**NAMES, "observation": "age"}, **settings)


def problems(dataset, folder):
    dataset.save(folder / "saved.h5")
    return validate(folder / "saved.h5")


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet", "frame"])
def test_dates_are_seconds_of_their_episode(tmp_path, kind):
    dataset = taken(tmp_path, kind)
    assert dataset.columns["observations"][:, 1].tolist() == SECONDS
    assert dataset.columns["next_observations"][:, 1].tolist() == [86_400, 216_000, 216_000, 172_800, 172_800]
    assert dataset.columns["observations"].dtype == np.float32


@pytest.mark.parametrize("kind", ["parquet", "frame"])
def test_datetimes_and_durations(tmp_path, kind):
    dates = pd.to_datetime(pd.Series(ROWS["date"]), format="ISO8601")
    rows = {**ROWS, "date": dates, "age": pd.to_timedelta([1.5, 2, 1, 0, 1], unit="s")}
    found = taken(tmp_path, kind, rows=rows).columns["observations"]
    assert found.tolist() == [[1.5, 0], [1, 86_400], [2, 216_000], [0, 0], [1, 172_800]]


def test_next_times_count_from_the_episode_too(tmp_path):
    rows = {
        "time": ["2024-05-01T00:00:00", "2024-05-01T00:00:10"],
        "later": ["2024-05-01T00:00:10", "2024-05-01T00:00:25"],
        "dose": [0.5, 1.0],
        "gain": [1, 0],
        "done": [False, True],
    }
    names = {
        "observation": "time",
        "next_observation": "later",
        "action": "dose",
        "reward": "gain",
        "terminal": "done",
    }
    found = taken(tmp_path, names=names, rows=rows)
    assert found.columns["observations"].tolist() == [[0], [10]]
    assert found.columns["next_observations"].tolist() == [[10], [25]]
    with pytest.raises(
        DatasetError, match="next_observations holds dates or times where observations does not"
    ):
        taken(tmp_path, names=names, rows={**rows, "time": [0.5, 1.5]})


def test_decisions_say_what_times_became(tmp_path):
    said = "observation_1 (date) is a date or time: it became the seconds since the first row of the episode"
    decisions = taken(tmp_path, "frame").attributes["conversion"]["decisions"]
    assert said in decisions
    assert "the end of every episode is a terminal, as --ends says" in decisions


@pytest.mark.parametrize(
    ("rows", "match"),
    [
        ({"date": [*ROWS["date"][:4], "soon"]}, r"line 6: date is 'soon', "),
        ({"date": [*ROWS["date"][:4], 7]}, "line 6: date is a number after a time"),
        (
            {"gain": ROWS["date"]},
            "line 2: gain is '2024-05-01', a date or time, not a number: map it to step",
        ),
    ],
)
def test_bad_times_name_the_line(tmp_path, rows, match):
    with pytest.raises(DatasetError, match=match):
        taken(tmp_path, rows={**ROWS, **rows})


def test_missing_time_names_the_row(tmp_path):
    dates = [pd.Timestamp("2024-05-01"), pd.NaT]
    rows = {"date": dates, "dose": [0.5, 1.0], "gain": [1, 0], "done": [False, True]}
    names = {"observation": "date", "action": "dose", "reward": "gain", "terminal": "done"}
    with pytest.raises(DatasetError, match="row 1: nothing in date"):
        taken(tmp_path, "frame", names, rows)


def test_bounds_of_actions(tmp_path):
    dataset = dosed(tmp_path, action_low="0", action_high="5")
    space = dataset.spec.action_space
    assert (space.low.tolist(), space.high.tolist(), space.dtype) == ([0], [5], "float32")
    assert not problems(dataset, tmp_path)


def test_bounds_round_as_their_columns(tmp_path):
    # 2.3 is no float32: rows with exactly the bound lie inside.
    dataset = dosed(tmp_path, rows={**ROWS, "dose": [2.3] * 5}, action_high="2.3")
    assert dataset.spec.action_space.high == np.float32(2.3)
    assert not problems(dataset, tmp_path)
    kept = dosed(tmp_path, "frame", rows={**ROWS, "dose": [2.3] * 5}, action_high=2.3)
    assert kept.spec.action_space.low == -np.inf


def test_bounds_of_each_entry(tmp_path):
    dataset = taken(tmp_path, "frame", observation_low=[0, -np.inf], observation_high=np.array([120, 1e6]))
    space = dataset.spec.observation_space
    assert (space.low.tolist(), space.high.tolist()) == ([0, -np.inf], [120, 1e6])
    assert dataset.spec.action_space.high == np.inf


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        # Line 5 has the dose of 5; lines are those of the file, though rows were sorted.
        ({"action_high": "3"}, r"visits\.csv: line 5: action is 5, beyond action_high=3: correct the row"),
        ({"action_low": "0.6"}, r"line 2: action is 0\.5, beyond action_low=0\.6"),
        ({"observation_high": "50"}, r"line 3: observation is 51, beyond observation_high=50"),
    ],
)
def test_rows_beyond_bounds_are_refused(tmp_path, settings, match):
    with pytest.raises(DatasetError, match=match):
        dosed(tmp_path, **settings)


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        (
            {"action_low": "0,1"},
            "there are 2 numbers, and the action has 1: give one for each, or one for all",
        ),
        ({"action_low": "low"}, "--set action_low=low: give a number"),
        ({"action_low": "nan"}, "--set action_low=nan: give a number"),
        ({"action_low": "6", "action_high": "5"}, "action_low=6 must be below action_high=5"),
    ],
)
def test_wrong_bounds(tmp_path, settings, match):
    with pytest.raises(UsageError, match=match):
        dosed(tmp_path, **settings)


def test_choices_have_no_bounds(tmp_path):
    rows = {**ROWS, "dose": [0, 1, 2, 1, 0]}
    with pytest.raises(
        UsageError, match="the actions are choices, and have no bounds: leave --set action_low"
    ):
        dosed(tmp_path, rows=rows, actions="3", action_low="0")


def test_environment_has_its_own_bounds(tmp_path):
    spec = dosed(tmp_path, "frame", action_high=9).spec
    names = {**NAMES, "observation": "age"}
    with pytest.raises(
        UsageError, match="the environment says already what the bounds are: leave --set action_low out"
    ):
        Dataset.from_pandas(
            pd.DataFrame(ROWS), spec, columns=names, ends="terminal", settings={"action_low": 0}
        )
