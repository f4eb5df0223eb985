"""Ends of pieces are marked, so that D4RL's loader pairs no row with a wrong next observation. Fragments are known."""

import h5py
import numpy as np
import pandas as pd
import pytest
from data_examples import continuous_spec, make_columns, save_as_given

from vinci_offline import Dataset
from vinci_offline.convert.conversion import read, write
from vinci_offline.curate.saving import save_together
from vinci_offline.curate.select import choose, merged
from vinci_offline.curate.selection import Selection
from vinci_offline.data.assembly.options import ImportOptions
from vinci_offline.data.hdf5.writer import DatasetWriter
from vinci_offline.quality.repair import repair
from vinci_offline.quality.validation import check, validate

SPEC = continuous_spec()
LENGTHS = [6, 4, 5]


@pytest.fixture
def dataset(tmp_path):
    columns = make_columns(SPEC, LENGTHS, terminated=[False, True, False])
    columns["rewards"] = -np.ones(15, np.float32)
    return Dataset.from_columns(columns, SPEC, {"length": LENGTHS}).save(tmp_path / "whole.h5")


@pytest.fixture
def unmarked(tmp_path):
    """Return a file of an earlier version: its table ends pieces that no flag ends."""
    columns = make_columns(SPEC, LENGTHS, terminated=[False, True, False])
    columns["timeouts"][:] = False
    return save_as_given(tmp_path / "unmarked.h5", SPEC, columns, {"length": LENGTHS})


def wrong_pairs(path):
    """Return the rows that D4RL's ``qlearning_dataset`` pairs with a wrong next observation."""
    with np.load(path) if str(path).endswith(".npz") else h5py.File(path) as file:
        observed, following = file["observations"][()], file["next_observations"][()]
        ends = file["terminals"][()] | file["timeouts"][()]
    return [row for row in np.flatnonzero(~ends[:-1]) if not np.allclose(following[row], observed[row + 1])]


SELECTIONS = [
    {"where": "step % 3 != 0"},
    {"where": "reward < 0 and observation_0 > 0"},
    {"sample": 6},
    {"episodes": slice(1, 2)},
    {"weights": (1.0,)},
]


@pytest.mark.parametrize("selection", SELECTIONS, ids=str)
def test_selected_pieces_are_marked(dataset, tmp_path, selection):
    found, _ = merged(choose([dataset], Selection(**selection)), {})
    (saved,) = save_together([(tmp_path / "part.h5", found)])
    table, flags = saved.episodes, saved.columns["terminals"] | saved.columns["timeouts"]
    assert flags[(table["start"] + table["length"] - 1).to_numpy()].all()
    assert flags.sum() == len(table)
    assert wrong_pairs(saved.path) == []
    assert validate(saved.path) == []
    assert saved == found


def test_merged_files_are_marked(dataset, unmarked, tmp_path):
    both = Dataset.concatenate([Dataset.open(unmarked), dataset, Dataset.open(unmarked)])
    saved = both.save(tmp_path / "both.h5")
    assert saved.columns["timeouts"].nonzero()[0].tolist() == [5, 14, 20, 29, 35, 44]
    assert saved.episodes["truncated"].tolist() == [True, False, True] * 3
    assert wrong_pairs(saved.path) == []


def test_rows_of_a_writer_are_marked(tmp_path):
    columns = make_columns(SPEC, LENGTHS, terminated=[False, True, False])
    columns["timeouts"][:] = False
    columns["timeouts"][9] = True
    with DatasetWriter(tmp_path / "d.h5", SPEC) as writer:
        writer.append(columns, {"length": np.array([3, 3, 4, 5])})
    saved = Dataset.open(tmp_path / "d.h5")
    # The third episode ends in a terminal, which wins over the timeout that was given with it.
    assert saved.columns["timeouts"].nonzero()[0].tolist() == [2, 5, 14]
    assert saved.episodes["truncated"].tolist() == [True, True, False, True]
    assert saved.episodes["fragment"].tolist() == [True, True, False, True]
    assert validate(saved.path) == []


@pytest.fixture
def torn(unmarked):
    """Return pieces of episodes, one of which has a row within that the next row does not continue."""
    with h5py.File(unmarked, "r+") as file:
        file["next_observations"][2] += 1
    return Dataset.open(unmarked).rows([0, 1, 2, 3, 4, 5, 6, 9, 10, 12])


@pytest.mark.parametrize("name", ["d.hdf5", "d.npz", "d.csv", "d.parquet"])
def test_exported_pieces_are_marked(torn, tmp_path, name):
    """Flat formats keep no episode table, so breaks within an episode are marked too."""
    write(torn, tmp_path / name)
    if name in {"d.csv", "d.parquet"}:
        frame = pd.read_csv(tmp_path / name) if name == "d.csv" else pd.read_parquet(tmp_path / name)
        ends = (frame["terminal"] | frame["timeout"]).to_numpy().nonzero()[0]
    else:
        assert wrong_pairs(tmp_path / name) == []
        with np.load(tmp_path / name) if name == "d.npz" else h5py.File(tmp_path / name) as file:
            ends = (file["terminals"][()] | file["timeouts"][()]).nonzero()[0]
    assert ends.tolist() == [2, 5, 6, 7, 8, 9]


def test_export_says_that_fragments_are_lost(dataset, tmp_path):
    part = dataset.rows(slice(2, None))
    said = "that 1 episode is a fragment: taken for whole by readers"
    assert said in write(part, tmp_path / "d.hdf5").lost
    assert said not in write(dataset, tmp_path / "e.hdf5").lost
    assert write(part, tmp_path / "d.h5").lost == ()
    assert Dataset.open(tmp_path / "d.h5").episodes["fragment"].tolist() == [True, False, False]


def test_rlds_keeps_fragments(dataset, tmp_path):
    path = tmp_path / "data" / "1.0.0"
    write(dataset.rows(slice(2, None)), path, kind="rlds")
    found = read(path, kind="rlds", options=ImportOptions(SPEC)).dataset
    assert found.episodes["fragment"].tolist() == [True, False, False]


def test_exported_final_rows_follow_each_piece(torn, tmp_path):
    write(torn, tmp_path / "d.hdf5", settings={"final_rows": "yes"})
    with h5py.File(tmp_path / "d.hdf5") as file:
        observed, rows = file["observations"][()], np.flatnonzero(~file["timeouts"][()])
    np.testing.assert_array_equal(observed[rows], torn.columns["observations"])
    np.testing.assert_array_equal(observed[rows + 1], torn.columns["next_observations"])


def test_unmarked_ends_are_noted_and_repaired(unmarked, tmp_path):
    report = check(unmarked)
    assert report.sound
    (note,) = report.notes
    assert str(note).startswith("metadata/episodes: 2 episodes that no flag ends, here in row 5; ")
    done = repair(unmarked, tmp_path / "repaired.h5")
    assert [str(each) for each in done.repairs] == [
        "timeouts: 2 rows set where the table ends an episode and no flag did, first row 5",
        "metadata/episodes/truncated: computed anew, it differed in 2 episodes",
    ]
    assert done.report.notes == ()
    assert wrong_pairs(tmp_path / "repaired.h5") == []


def test_terminal_wins_over_timeout_when_a_view_is_saved(tmp_path):
    columns = make_columns(SPEC, LENGTHS, terminated=[True, True, False])
    columns["timeouts"][5] = True
    path = save_as_given(tmp_path / "both.h5", SPEC, columns, {"length": LENGTHS})
    saved = Dataset.open(path).select_episodes([0, 1]).save(tmp_path / "saved.h5")
    assert saved.columns["terminals"].nonzero()[0].tolist() == [5, 9]
    assert not saved.columns["timeouts"].any()
    assert validate(saved.path) == []


def test_pieces_are_fragments_and_whole_episodes_are_not(dataset):
    assert not dataset.episodes["fragment"].any()
    pieces = dataset.rows([0, 1, 2, 3, 4, 5, 7, 8, 9, 10, 11]).episodes
    assert pieces["length"].tolist() == [6, 3, 2]
    assert pieces["fragment"].tolist() == [False, True, True]
    assert pieces["return"].tolist()[0] == -6
    assert pieces.nlargest(1, "return").index.tolist() == [0]
    assert pieces["return"].nlargest(1).index.tolist() == [0]
    assert pieces["return"].mean() == -6


def test_fragments_survive_views_files_and_frames(dataset, tmp_path):
    view = dataset.rows(slice(2, None))
    expected = [True, False, False]
    assert view.save(tmp_path / "view.h5").episodes["fragment"].tolist() == expected
    assert view.select_episodes([2, 0]).episodes["fragment"].tolist() == [False, True]
    assert view.rows(slice(0, 8)).episodes["fragment"].tolist() == [True, False]
    assert Dataset.concatenate([dataset, view]).episodes["fragment"].tolist() == [False] * 3 + expected
    frame = dataset.to_pandas()
    assert Dataset.from_pandas(frame, SPEC).episodes["fragment"].tolist() == [False] * 3
    kept = Dataset.from_pandas(frame[(frame["step"] > 0) | (frame["episode"] == 1)], SPEC)
    assert kept.episodes["fragment"].tolist() == [True, False, True]


def test_episode_that_nothing_ends_is_a_fragment(unmarked):
    assert Dataset.open(unmarked).episodes["fragment"].tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({}, [False, False, False]),
        ({"collection": {"steps": None, "policy": ["random"]}}, [False, False, False]),
        ({"collection": {"steps": 15, "policy": ["random"]}}, [False, False, True]),
        ({"collection": {"steps": 15, "policy": ["random-state"]}}, [True, True, True]),
    ],
)
def test_fragments_of_files_recorded_before_they_were_told(dataset, tmp_path, attributes, expected):
    path = dataset.with_attributes(attributes).save(tmp_path / "old.h5").path
    with h5py.File(path, "r+") as file:
        del file["metadata/episodes/fragment"]
        limited = file.attrs["environment"].replace('"max_episode_steps": null', '"max_episode_steps": 6')
        file.attrs["environment"] = limited
    assert Dataset.open(path).episodes["fragment"].tolist() == expected


def test_repair_knows_fragments(dataset, tmp_path):
    with h5py.File(dataset.path, "r+") as file:
        file["rewards"][[0, 8]] = np.nan
    done = repair(dataset.path, tmp_path / "repaired.h5")
    table = Dataset.open(done.output).episodes
    assert table["length"].tolist() == [5, 2, 1, 5]
    assert table["fragment"].tolist() == [True, True, True, False]
