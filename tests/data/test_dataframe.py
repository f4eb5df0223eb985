from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from data_examples import (
    box,
    continuous_spec,
    dict_spec,
    discrete_spec,
    lengths,
    make_columns,
    names,
    seeds,
    specs,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from vinci_offline import Dataset, DatasetError, EnvironmentSpec, read_pandas

_awkward = st.sampled_from(
    [
        "x",
        "x_0",
        "x_0_0",
        "reward",
        "step",
        "episode",
        "infos",
        "observation",
        "action_0",
        "a/b",
        "observation/x",
    ]
)


@given(
    spec=specs,
    lengths=lengths,
    seed=seeds,
    infos=st.lists(names | _awkward, unique=True, max_size=4),
    float64=st.booleans(),
)
@settings(deadline=None, max_examples=80)
def test_frame_round_trip(spec, lengths, seed, infos, float64):
    infos = [name for name in infos if not any(other.startswith(f"{name}/") for other in infos)]
    columns = make_columns(spec, lengths, seed, infos=infos)
    dataset = Dataset.from_columns(columns, spec, {"length": lengths}, float64=float64)
    frame = dataset.to_pandas()
    again = Dataset.from_pandas(frame, spec=spec)
    assert again == dataset
    assert again.episodes["length"].tolist() == lengths
    assert frame["episode"].tolist() == np.repeat(np.arange(len(lengths)), lengths).tolist()


def test_frame_layout_is_as_documented(tmp_path):
    spec = continuous_spec()
    columns = make_columns(spec, [2, 3], terminated=[True, False], infos=["speed", "force"])
    Dataset.from_columns(columns, spec).save(tmp_path / "d.h5")
    frame = read_pandas(tmp_path / "d.h5")
    assert list(frame.columns) == [
        *(
            "episode",
            "step",
            "observation_0",
            "observation_1",
            "observation_2",
            "action_0",
            "action_1",
            "reward",
        ),
        *("next_observation_0", "next_observation_1", "next_observation_2", "terminal", "timeout"),
        *("force_0", "force_1", "force_2", "speed"),
    ]
    assert frame["episode"].tolist() == [0, 0, 1, 1, 1]
    assert frame["step"].tolist() == [0, 1, 0, 1, 2]
    assert frame["terminal"].tolist() == [False, True, False, False, False]
    assert frame["timeout"].tolist() == [False, False, False, False, True]
    np.testing.assert_array_equal(frame["observation_1"], columns["observations"][:, 1])
    assert {str(frame[name].dtype) for name in ("observation_0", "action_1", "reward", "speed")} == {
        "float32"
    }


def test_discrete_actions_are_one_column():
    spec = discrete_spec(3)
    frame = Dataset.from_columns(make_columns(spec, [3]), spec).to_pandas()
    assert frame["action"].dtype == np.int64
    assert "action_0" not in frame


def test_images_and_dict_keys_are_object_columns():
    spec = dict_spec()
    frame = Dataset.from_columns(make_columns(spec, [3]), spec).to_pandas()
    assert frame["observation/picture"].dtype == object
    assert frame["observation/picture"][1].shape == (4, 5, 3)
    assert frame["observation/car/gear"].dtype == np.int64
    assert frame["next_observation/position"][0].shape == (2,)


def test_chosen_columns():
    spec = dict_spec()
    dataset = Dataset.from_columns(make_columns(spec, [3]), spec)
    frame = dataset.to_pandas(columns=["rewards", "actions"])
    assert list(frame.columns) == ["episode", "step", "action_0", "action_1", "reward"]
    with pytest.raises(DatasetError, match="no column reward; there are observations"):
        dataset.to_pandas(columns=["reward"])


def test_changing_a_frame_does_not_change_the_dataset():
    spec = continuous_spec()
    dataset = Dataset.from_columns(make_columns(spec, [3]), spec)
    before = dataset.columns["observations"].copy()
    frame = dataset.to_pandas()
    frame.loc[:, "observation_0"] = 7.0
    frame.loc[0, "reward"] = 7.0
    np.testing.assert_array_equal(dataset.columns["observations"], before)
    assert Dataset.from_pandas(frame, spec=spec).columns["observations"][:, 0].tolist() == [7, 7, 7]


def test_filtered_frame_has_pieces_of_episodes():
    spec = continuous_spec()
    frame = Dataset.from_columns(make_columns(spec, [4, 4]), spec).to_pandas()
    kept = Dataset.from_pandas(frame[frame["step"] != 1], spec=spec)
    assert kept.episodes["length"].tolist() == [1, 2, 1, 2]
    shuffled = Dataset.from_pandas(frame.iloc[[5, 0, 7, 2]], spec=spec)
    assert shuffled.episodes["length"].tolist() == [1, 1, 1, 1]


def test_frame_without_episode_columns(tmp_path):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "observation_0": rng.normal(size=5),
            "observation_1": rng.normal(size=5),
            "action_0": rng.uniform(-1, 1, 5),
            "reward": [1, 0, 2, 0, 1],
            "next_observation_0": rng.normal(size=5),
            "next_observation_1": rng.normal(size=5),
            "terminal": pd.array([0, 0, 1, 0, 1], dtype="Int64"),
            "weight": 0.5,
        }
    )
    dataset = Dataset.from_pandas(frame, attributes={"policy": "by hand"}, float64=False)
    assert dataset.columns["actions"].shape == (5, 1)
    assert dataset.columns["rewards"].dtype == np.float32
    assert dataset.columns["timeouts"].tolist() == [False] * 5
    assert dataset.columns["infos/weight"].tolist() == [0.5] * 5
    assert dataset.episodes["return"].tolist() == [3, 1]
    assert dataset.spec.action_space == box(1, low=-1, high=1, dtype="float64")
    csv = tmp_path / "d.csv"
    frame.to_csv(csv, index=False)
    assert Dataset.from_pandas(pd.read_csv(csv), float64=False).columns["rewards"].tolist() == [1, 0, 2, 0, 1]
    assert dataset.save(tmp_path / "d.h5").attributes["policy"] == "by hand"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.drop(columns="reward"), r"no column reward \(nor reward_0 …\)"),
        (lambda f: f.drop(columns=["action_0", "action_1"]), "no column action"),
        (lambda f: f.iloc[:0], "holds no rows"),
        (lambda f: f.assign(reward="high"), "column reward: str values are no numbers"),
        (lambda f: f.assign(terminal=0.5), "terminals: float64 values that bool cannot hold exactly"),
        (lambda f: pd.concat([f, f["reward"]], axis=1), "several columns named reward"),
        (
            lambda f: f.drop(columns="observation_1"),
            r"observations: rows have shape \(1,\), the space \(3,\)",
        ),
        (
            lambda f: f.assign(x=pd.Series([np.zeros(2), np.zeros(3)] * 2, dtype=object)),
            "rows of different shapes",
        ),
    ],
)
def test_unfit_frames_are_refused(change, message):
    spec = continuous_spec()
    frame = Dataset.from_columns(make_columns(spec, [4]), spec).to_pandas()
    with pytest.raises(DatasetError, match=message):
        Dataset.from_pandas(change(frame), spec=spec)


def test_the_number_of_discrete_actions_is_never_guessed():
    frame = Dataset.from_columns(make_columns(discrete_spec(), [4]), discrete_spec()).to_pandas()
    with pytest.raises(DatasetError, match="number of discrete actions cannot be told"):
        Dataset.from_pandas(frame)


def test_float64_files_round_trip_through_frames():
    spec = EnvironmentSpec(box(2, dtype="float64"), box(1, low=-1, high=1))
    columns = make_columns(spec, [3])
    columns["rewards"] = columns["rewards"].astype(np.float64) / 3
    with tempfile.TemporaryDirectory() as folder:
        wide = Dataset.from_columns(columns, spec, float64=True).save(Path(folder) / "d.h5")
        assert wide.columns["rewards"].dtype == np.float64
        assert Dataset.from_pandas(wide.to_pandas(), spec=spec) == wide


def vectors(**changed):
    """Return a frame of others with columns of vectors."""
    content = {
        "trip": ["a", "a", "b"],
        "seen": [[0.5, 1.5], np.array([2.5, 3.5]), (4.5, 5.5)],
        "done_to": [[0.25], [0.5], [0.75]],
        "gain": [1.0, 2.0, 3.0],
    }
    return pd.DataFrame(content | changed)


TRIPS = {"episode": "trip", "observation": "seen", "action": "done_to", "reward": "gain"}


def test_mapped_column_of_vectors_is_one_column():
    found = Dataset.from_pandas(vectors(), columns=TRIPS, ends="terminal")
    assert found.columns["observations"].tolist() == [[0.5, 1.5], [2.5, 3.5], [4.5, 5.5]]
    assert found.columns["next_observations"].tolist() == [[2.5, 3.5], [2.5, 3.5], [4.5, 5.5]]
    assert found.columns["actions"].tolist() == [[0.25], [0.5], [0.75]]


def test_vectors_and_numbers_join_to_one_vector():
    columns = TRIPS | {"observation": "seen,speed"}
    found = Dataset.from_pandas(vectors(speed=[7.0, 8.0, 9.0]), columns=columns, ends="terminal")
    assert found.columns["observations"][1].tolist() == [2.5, 3.5, 8.0]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"seen": [[0.5, 1.5], [2.5], [4.5, 5.5]]},
            r"column seen: rows of different shapes, \(1,\) in row 1 and \(2,\) in row 0",
        ),
        (
            {"seen": [[0.5, 1.5], [2.5, [3.5]], [4.5, 5.5]]},
            "column seen: row 1 has lists of different lengths",
        ),
        ({"seen": [[0.5, 1.5], None, [4.5, 5.5]]}, "row 1: nothing in seen"),
        (
            {"seen": [[0.5, 1.5], [2.5, "x"], [4.5, 5.5]]},
            "column seen: .* are no numbers, the first in row 1",
        ),
        (
            {"seen": [[0.5, 1.5], [2.5, None], [4.5, 5.5]]},
            "column seen: .* are no numbers, the first in row 1",
        ),
        ({"gain": [[1.0, 2.0]] * 3}, "reward have shape .3, 2.: one number a row is expected"),
        ({"trip": ["a", "a", None]}, "row 2: nothing tells its episode"),
    ],
)
def test_unfit_vectors_name_row_and_column(changed, message):
    with pytest.raises(DatasetError, match=message) as caught:
        Dataset.from_pandas(vectors(**changed), columns=TRIPS, ends="terminal")
    assert "\n" not in str(caught.value)


def transitions(**changed):
    content = {
        "episode": ["b", "a", "b", "a"],
        "observation": [[0.5], [1.5], [2.5], [3.5]],
        "action": [[0.5]] * 4,
        "reward": 1.0,
        "next_observation": [[2.5], [3.5], [4.5], [5.5]],
        "terminal": [False, False, True, False],
    }
    return pd.DataFrame(content | changed)


def test_interleaved_episodes_of_a_frame_are_put_together():
    found = Dataset.from_pandas(transitions())
    assert found.columns["observations"][:, 0].tolist() == [0.5, 2.5, 1.5, 3.5]
    assert found.columns["terminals"].tolist() == [False, True, False, False]
    assert found.episodes["length"].tolist() == [2, 2]


@pytest.mark.parametrize("nothing", [None, np.nan, pd.NA, pd.NaT])
@pytest.mark.parametrize("name", ["episode", "step", "terminal", "timeout", "action"])
def test_row_of_a_frame_without_key_is_refused(name, nothing):
    frame = transitions(step=[0, 0, 1, 1], timeout=False).astype({name: object})
    frame.iloc[2, frame.columns.get_loc(name)] = nothing
    with pytest.raises(DatasetError, match=f"row 2: nothing in {name}"):
        Dataset.from_pandas(frame)


def test_action_of_a_frame_that_is_nan_is_refused():
    with pytest.raises(DatasetError, match="row 3: nothing in action"):
        Dataset.from_pandas(transitions(action=[[0.5], [0.5], [0.5], [np.nan]]))


@pytest.mark.parametrize("steps", [[0.5, 0.0, 1.5, 1.0], pd.to_datetime(["2024-05-01"] * 4), list("abcd")])
def test_steps_of_a_frame_are_counted(steps):
    with pytest.raises(DatasetError, match=r"column step: .* do not count the steps of an episode: map it"):
        Dataset.from_pandas(transitions(step=steps))


def test_words_are_flags_of_a_frame():
    found = Dataset.from_pandas(transitions(terminal=["no", "No", "YES", "f"]))
    assert found.columns["terminals"].tolist() == [False, True, False, False]
    with pytest.raises(DatasetError, match="row 1: terminal is 'running', neither true nor false"):
        Dataset.from_pandas(transitions(terminal=["no", "running", "yes", "no"]))
