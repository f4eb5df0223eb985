"""The hand-made dataset through its file, pandas, and every format and back, number by number."""

import h5py
import numpy as np
import pytest
from hand_made import (
    LENGTHS,
    NEXT_PLACE,
    PLACE,
    PUSH,
    REWARD,
    ROWS,
    STEER,
    TERMINAL_ROW,
    TIMEOUT_ROW,
    clock,
    hand_made,
    hand_made_spec,
    tag,
)

from vinci_offline import Dataset, EnvironmentSpec
from vinci_offline.convert.conversion import read, write
from vinci_offline.convert.registry import NAMES, find_format
from vinci_offline.data.assembly.options import ImportOptions
from vinci_offline.quality.validation import validate
from vinci_offline.spec import BoxSpace

FLAT = {"d4rl", "npz"}
"""Formats without Dict observations. They get the same numbers in one float64 vector."""
DICT_FILES = {
    "vinci": "data.h5",
    "d3rlpy": "dump.h5",
    "robomimic": "demos.hdf5",
    "minari": "data-v0",
    "lerobot": "data",
    "rlds": "data",
    "parquet": "data.parquet",
    "csv": "data.csv",
    "jsonl": "data.jsonl",
}
FLAT_FILES = {"d4rl": "data.hdf5", "npz": "data.npz"}


def check_columns(columns, flat=False, rows=slice(None)):
    """Compare columns with the numbers written down, in every digit."""
    for prefix, place in (("observations", PLACE[rows]), ("next_observations", NEXT_PLACE[rows])):
        state = columns[prefix] if flat else columns[f"{prefix}/state"]
        np.testing.assert_array_equal(state[:, 0], place)
        np.testing.assert_array_equal(state[:, 1], clock(place))
        tags = state[:, 2] if flat else columns[f"{prefix}/tag"][:, 0]
        np.testing.assert_array_equal(tags, tag(place))
    np.testing.assert_array_equal(columns["actions"], np.stack([STEER, PUSH], axis=1)[rows])
    np.testing.assert_array_equal(columns["rewards"], REWARD[rows])


def flat_spec():
    return EnvironmentSpec(
        BoxSpace((3,), "float64", np.full(3, -np.inf), np.full(3, np.inf)), hand_made_spec().action_space
    )


def flattened():
    """Return the same rows with one vector an observation."""
    whole = hand_made()
    columns = {path: whole.columns[path] for path in ("actions", "rewards", "terminals", "timeouts")}
    for prefix in ("observations", "next_observations"):
        parts = [whole.columns[f"{prefix}/{key}"].astype(np.float64) for key in ("state", "tag")]
        columns[prefix] = np.concatenate(parts, axis=1)
    return Dataset.from_columns(columns, flat_spec(), {"length": LENGTHS}, float64=True)


def test_dataset():
    dataset = hand_made()
    check_columns(dataset.columns)
    assert np.flatnonzero(dataset.columns["terminals"]).tolist() == [TERMINAL_ROW]
    assert np.flatnonzero(dataset.columns["timeouts"]).tolist() == [TIMEOUT_ROW]
    assert dataset.episodes["length"].tolist() == LENGTHS
    np.testing.assert_array_equal(dataset.episodes["return"], [15, 112, np.nan, np.nan])  # two fragments
    assert dataset.episodes["terminated"].tolist() == [True, False, False, False]


def test_file(tmp_path):
    saved = hand_made().save(tmp_path / "hand.h5")
    check_columns(saved.columns)
    # The writer marks the end of each piece, so that a reader that knows no table finds it.
    assert np.flatnonzero(saved.columns["timeouts"]).tolist() == [TIMEOUT_ROW, 8, 11]
    assert saved.episodes["length"].tolist() == LENGTHS
    with h5py.File(saved.path) as file:
        check_columns({path: file[path][:] for path in saved.columns})
        assert file["observations/state"].dtype == np.float64
        assert file["observations/tag"].dtype == np.int64
        assert file["metadata/episodes/length"][:].tolist() == LENGTHS


def test_pandas():
    frame = flattened().to_pandas()
    assert frame["observation_1"].tolist() == clock(PLACE).tolist()
    assert frame["next_observation_2"].tolist() == tag(NEXT_PLACE).tolist()
    assert frame["reward"].tolist() == REWARD.tolist()
    assert frame["action_1"].tolist() == PUSH.tolist()
    assert frame["episode"].tolist() == np.repeat(range(4), LENGTHS).tolist()
    again = Dataset.from_pandas(frame, flat_spec())
    check_columns(again.columns, flat=True)
    assert again.episodes["length"].tolist() == LENGTHS
    check_columns(Dataset.from_pandas(hand_made().to_pandas(), hand_made_spec()).columns)


@pytest.mark.parametrize("kind", sorted({**DICT_FILES, **FLAT_FILES}))
def test_format_and_back(kind, tmp_path):
    flat = kind in FLAT
    dataset, spec = (flattened(), flat_spec()) if flat else (hand_made(), hand_made_spec())
    path = tmp_path / {**DICT_FILES, **FLAT_FILES}[kind]
    write(dataset, path, kind=kind)
    imported = read(path, kind=kind, options=ImportOptions(spec=spec, float64=True))
    found = imported.dataset
    assert len(found) == ROWS, imported.dropped
    check_columns(found.columns, flat)
    assert np.flatnonzero(found.columns["terminals"]).tolist() == [TERMINAL_ROW]
    assert TIMEOUT_ROW in np.flatnonzero(found.columns["timeouts"])


def test_every_format_is_here():
    assert {name for name in NAMES if find_format(name).writes} == {*DICT_FILES, *FLAT_FILES}


def test_arrays_of_a_flat_file_are_read_by_their_names(tmp_path):
    write(flattened(), tmp_path / "data.hdf5", kind="d4rl")
    options = ImportOptions(spec=flat_spec(), float64=True)
    found = read(tmp_path / "data.hdf5", kind="hdf5", options=options).dataset.columns
    check_columns(found, flat=True)
    assert np.flatnonzero(found["terminals"]).tolist() == [TERMINAL_ROW]


def test_whole_numbers_of_a_frame_are_kept_or_refused():
    frame = flattened().to_pandas()
    frame["observation_2"] = np.arange(16_777_216, 16_777_216 + ROWS)
    frame["next_observation_2"] = frame["observation_2"] + 1
    kept = Dataset.from_pandas(frame, flat_spec())
    assert kept.columns["observations"][:, 2].tolist() == frame["observation_2"].tolist()
    whole = frame[["action_0", "action_1", "reward", "terminal"]].assign(
        observation_0=frame["observation_2"], next_observation_0=frame["next_observation_2"]
    )
    line = EnvironmentSpec(
        BoxSpace((1,), "float32", np.array([0], "f4"), np.array([1e9], "f4")), flat_spec().action_space
    )
    ids = Dataset.from_pandas(whole, line).columns["observations"][:, 0]
    assert ids.dtype == np.float64
    assert ids.tolist() == whole["observation_0"].tolist()
    with pytest.raises(Exception, match=r"int64 values that float32 cannot hold exactly.*float64=True"):
        Dataset.from_pandas(whole, line, float64=False)
    whole["observation_0"] = np.arange(ROWS)
    small = Dataset.from_pandas(whole.assign(next_observation_0=np.arange(ROWS) + 1), line)
    assert small.columns.dtype("observations") == np.float32


def test_validate_finds_the_gap_alone(tmp_path):
    found = [str(problem) for problem in validate(hand_made().save(tmp_path / "hand.h5").path)]
    assert [each.partition(":")[0] for each in found] == [
        f"next_observations/{key} row 10" for key in ("state", "tag")
    ]
