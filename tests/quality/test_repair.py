from __future__ import annotations

import h5py
import numpy as np
import pytest
from data_examples import (
    continuous_spec,
    dict_spec,
    discrete_spec,
    lengths,
    make_columns,
    save_as_given,
    seeds,
    specs,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from vinci_offline import Dataset, DatasetError, UsageError
from vinci_offline.data.hdf5.writer import DatasetWriter
from vinci_offline.quality.repair import repair
from vinci_offline.quality.repairs.bitmap import Bitmap
from vinci_offline.quality.validation import check, validate

LENGTHS = [4, 3, 5]
TABLE = {"length": LENGTHS, "seed": [10, 11, 12]}


def save(folder, spec=None, table=TABLE, **changes):
    """Save three sound episodes with some changed values; the stored table is that of the sound file."""
    spec = spec or continuous_spec()
    columns = make_columns(spec, LENGTHS, terminated=[True, False, False], infos=["a"])
    for path, (index, value) in changes.items():
        columns[path.replace("__", "/")][index] = value
    return save_as_given(folder / "d.h5", spec, columns, table, {"policy": "random"})


def edit(path, change):
    with h5py.File(path, "r+") as file:
        change(file)
    return path


def mend(path, **options):
    """Repair a file, and return the sound dataset and the changes."""
    before = path.read_bytes()
    done = repair(path, path.with_name("out.h5"), **options)
    assert path.read_bytes() == before
    assert done.report.sound, done.report.problems
    return Dataset.open(done.output), [str(each) for each in done.repairs]


def rows_of(dataset, original):
    """Return the original's row of each row, found by its reward."""
    return [
        original.columns["rewards"].tolist().index(reward) for reward in dataset.columns["rewards"].tolist()
    ]


def test_sound_file_is_copied(tmp_path):
    path = save(tmp_path)
    original = Dataset.open(path)
    dataset, told = mend(path)
    assert told == []
    assert dataset == original
    assert dataset.hash == original.hash
    assert dataset.episodes.equals(original.episodes)
    assert dataset.attributes["parents"] == [original.hash]
    assert dataset.attributes["repairs"] == []
    assert dataset.attributes["policy"] == "random"


def test_non_finite_rows_are_dropped(tmp_path):
    path = save(tmp_path, observations=((5, 0), np.nan), rewards=(6, np.inf))
    sound = Dataset.open(save_in(tmp_path / "sound"))
    dataset, told = mend(path)
    assert rows_of(dataset, sound) == [0, 1, 2, 3, 4, 7, 8, 9, 10, 11]
    assert dataset.episodes["length"].tolist() == [4, 1, 5]
    assert dataset.episodes["seed"].tolist() == [10, 11, 12]
    assert dataset.columns["timeouts"].nonzero()[0].tolist() == [4, 9]
    assert told == [
        "rows: 2 rows with NaN or infinite values dropped, first row 5 (observations 1, rewards 1)",
        "timeouts: 1 row set where the episode went on in a row that was dropped or cut off, first row 4",
        "metadata/episodes: rebuilt: 3 episodes where there were 3",
    ]
    assert [each["count"] for each in dataset.attributes["repairs"]] == [2, 1, 3]


def save_in(folder, *arguments, **changes):
    folder.mkdir()
    return save(folder, *arguments, **changes)


def test_dropped_terminal_leaves_a_timeout(tmp_path):
    """The row before it did not terminate, so bootstrapping from it is right."""
    dataset, _ = mend(save(tmp_path, rewards=(3, np.nan)))
    assert dataset.episodes["length"].tolist() == [3, 3, 5]
    assert not dataset.columns["terminals"].any()
    assert dataset.columns["timeouts"].nonzero()[0].tolist() == [2, 5, 10]


def test_rarely_finite_info_is_left_out(tmp_path):
    dataset, told = mend(save(tmp_path, infos__a=(slice(3, None), np.nan)))
    assert len(dataset) == 12
    assert "infos/a" not in dataset.columns
    assert told == ["infos/a: left out, as 9 rows of 12 have no finite value in it"]


def test_non_finite_info_drops_the_row(tmp_path):
    dataset, _ = mend(save(tmp_path, infos__a=(11, np.nan)))
    assert len(dataset) == 11
    assert "infos/a" in dataset.columns


def test_actions_near_a_bound_are_clipped(tmp_path):
    path = save(tmp_path, actions=([2, 7], [[1.0005, 0.5], [-1.0001, 0.25]]))
    dataset, told = mend(path)
    assert dataset.columns["actions"][[2, 7]].tolist() == [[1, 0.5], [-1, 0.25]]
    assert told == [
        "actions: 2 rows clipped to their bounds, from at most 0.001 of the bound beyond them, first row 2"
    ]


@pytest.mark.parametrize(("spec", "value"), [(continuous_spec(), 1.5), (discrete_spec(4), 6)])
def test_actions_far_outside_stay(tmp_path, spec, value):
    path = save(tmp_path, spec, actions=(7, value), timeouts=(3, True))
    done = repair(path, tmp_path / "out.h5")
    assert [problem.where for problem in done.report.problems] == ["actions row 7"]
    assert Dataset.open(done.output).columns["actions"][7] == pytest.approx(value)
    assert not Dataset.open(done.output).columns["timeouts"][3]


def test_terminal_wins_over_timeout(tmp_path):
    dataset, told = mend(save(tmp_path, timeouts=(3, True)))
    assert dataset.columns["terminals"].nonzero()[0].tolist() == [3]
    assert dataset.columns["timeouts"].nonzero()[0].tolist() == [6, 11]
    assert told[0] == "timeouts: 1 row cleared where the row is terminal, first row 3"


def test_gap_ends_the_episode(tmp_path):
    dataset, told = mend(save(tmp_path, next_observations=((9, 0), 99)))
    assert dataset.episodes["length"].tolist() == [4, 3, 3, 2]
    assert dataset.episodes["seed"].tolist() == [10, 11, 12, 12]
    assert dataset.columns["timeouts"][9]
    assert told == [
        "timeouts: 1 row set where the next observation is not the following row's observation, first row 9",
        "metadata/episodes: rebuilt: 4 episodes where there were 3",
    ]


@pytest.mark.parametrize(
    ("name", "values", "says"),
    [
        ("start", [4, 0, 7], "rebuilt from the flags: 3 episodes; seed could not be kept"),
        ("length", [4, 2, 5], "rebuilt from the flags: 3 episodes; seed could not be kept"),
        ("length", [4, 8, 0], "rebuilt from the flags: 3 episodes; seed could not be kept"),
    ],
)
def test_wrong_table_is_rebuilt(tmp_path, name, values, says):
    path = save(tmp_path)
    table = Dataset.open(path).episodes
    edit(path, lambda file: file[f"metadata/episodes/{name}"].write_direct(np.array(values)))
    dataset, told = mend(path)
    assert told == [f"metadata/episodes: {says}"]
    assert dataset.episodes.equals(table.drop(columns="seed"))


@pytest.mark.parametrize(
    ("name", "values"), [("return", [1.0, np.nan, 3.0]), ("truncated", [True, False, False])]
)
def test_wrong_entries_are_recomputed(tmp_path, name, values):
    path = save(tmp_path)
    table = Dataset.open(path).episodes
    edit(path, lambda file: file[f"metadata/episodes/{name}"].write_direct(np.array(values)))
    dataset, told = mend(path)
    count = 3 if name == "return" else 2
    if name == "truncated":
        count = int((np.array(values) != table["truncated"]).sum())
    assert told == [f"metadata/episodes/{name}: computed anew, it differed in {count} episodes"]
    assert dataset.episodes.equals(table)


@pytest.mark.parametrize("value", [np.nan, 2.0**62, -1.0, 0.5])
def test_a_table_of_nonsense_is_rebuilt(tmp_path, value):
    def spoil(file):
        del file["metadata/episodes/length"]
        file["metadata/episodes/length"] = np.full(3, value)

    dataset, told = mend(edit(save(tmp_path), spoil))
    assert told == ["metadata/episodes: rebuilt from the flags: 3 episodes; seed could not be kept"]
    assert dataset.episodes["length"].tolist() == LENGTHS


def test_attributes_are_kept(tmp_path):
    """HDF5 holds any bytes as text, and h5py reads some that it refuses to write."""
    path = save(tmp_path)
    with h5py.File(path, "r+") as file:
        file.attrs["policy"] = np.bytes_(b"caf\xe9")
        file.attrs["remark"] = '"two\\u0000words and half a \\ud800"'
    before = dict(Dataset.open(path).attributes)
    dataset, _ = mend(path)
    assert dataset.attributes["remark"] == before["remark"] == "two\0words and half a \ud800"
    assert dataset.attributes["policy"] == before["policy"]


def test_a_table_of_unequal_entries(tmp_path):
    def shorten(file):
        del file["metadata/episodes/length"]
        file["metadata/episodes/length"] = [4, 3]

    path = edit(save(tmp_path), shorten)
    assert [problem.repairable for problem in validate(path)] == [True]
    dataset, _ = mend(path)
    assert dataset.episodes["length"].tolist() == LENGTHS


def shorten(file, name, count):
    values = file[name][:count]
    del file[name]
    file[name] = values


def test_unequal_columns_are_cut_to_whole_rows(tmp_path):
    path = edit(save(tmp_path), lambda file: shorten(file, "rewards", 9))
    with pytest.raises(DatasetError, match="unequal lengths"):
        Dataset.open(path)
    dataset, told = mend(path)
    assert len(dataset) == 9
    assert dataset.episodes["length"].tolist() == [4, 3, 2]
    assert dataset.episodes["seed"].tolist() == [10, 11, 12]
    assert dataset.columns["timeouts"].nonzero()[0].tolist() == [6, 8]
    assert told[0].startswith(
        "columns: cut to the 9 rows that all columns have (rows beyond: observations 3, actions 3,"
    )
    assert "timeouts: 1 row set where the episode went on" in told[1]
    assert told[-1].startswith("attribute 'content_hash': the columns hash to ")


def test_empty_info_is_left_out(tmp_path):
    dataset, told = mend(edit(save(tmp_path), lambda file: shorten(file, "infos/a", 0)))
    assert len(dataset) == 12
    assert told[0] == "infos/a: left out, as it has no rows"


def test_hash_mismatch_is_reported(tmp_path):
    path = save(tmp_path)
    stored = Dataset.open(path).hash
    with h5py.File(path, "r+") as file:
        file["observations"][0, 0] += 1
    changed = Dataset.open(path).compute_hash()
    dataset, told = mend(path)
    (line,) = told
    assert line.startswith(
        f"attribute 'content_hash': the columns hash to {changed}, not to the {stored} that was"
    )
    assert dataset.attributes["parents"] == [stored, changed]
    assert dataset.attributes["repairs"][0]["what"] in line


def test_duplicates_are_dropped_on_request(tmp_path):
    spec = continuous_spec()
    once = Dataset.from_columns(make_columns(spec, LENGTHS), spec, TABLE)
    path = Dataset.concatenate([once, once.select_episodes([1])]).save(tmp_path / "d.h5").path
    assert len(check(path).notes) == 1
    assert len(mend(path)[0]) == 15
    dataset, told = mend(path, drop_duplicates=True, overwrite=True)
    assert told[0] == "rows: 3 rows dropped that repeat an earlier transition exactly, first row 12"
    assert dataset.columns["rewards"].tolist() == once.columns["rewards"].tolist()
    assert dataset.episodes["seed"].tolist() == [10, 11, 12]
    assert check(dataset.path).notes == ()


def test_repairs_accumulate(tmp_path):
    path = save(tmp_path, timeouts=(3, True))
    first = repair(path, tmp_path / "first.h5").output
    second = Dataset.open(repair(first, tmp_path / "second.h5").output)
    assert [each["where"] for each in second.attributes["repairs"]] == [
        each["where"] for each in Dataset.open(first).attributes["repairs"]
    ]
    assert second.attributes["parents"] == [Dataset.open(first).hash]


def test_rows_without_episodes_stay_so(tmp_path):
    columns = make_columns(continuous_spec(), [1] * 6)
    columns["timeouts"][:] = False
    columns["rewards"][2] = np.nan
    with DatasetWriter(tmp_path / "d.h5", continuous_spec()) as writer:
        writer.append(columns)
    dataset, _ = mend(tmp_path / "d.h5")
    assert dataset.columns["timeouts"].nonzero()[0].tolist() == [1]
    with h5py.File(tmp_path / "out.h5") as file:
        assert "metadata" not in file


@pytest.mark.parametrize("timeouts", [True, False])
def test_foreign_file_is_repaired(tmp_path, timeouts):
    columns = make_columns(continuous_spec(), LENGTHS, terminated=[True, False, False])
    columns["rewards"][8] = np.nan
    with h5py.File(tmp_path / "d.hdf5", "w") as file:
        for name, values in columns.items():
            if timeouts or name != "timeouts":
                file[name] = values.astype(np.uint8) if values.dtype == bool else values
        file.attrs["version"] = "of something else"
    dataset, told = mend(tmp_path / "d.hdf5")
    assert told[0] == "rows: 1 row with NaN or infinite values dropped, first row 8 (rewards 1)"
    assert dataset.columns["timeouts"].nonzero()[0].tolist() == ([6, 7, 10] if timeouts else [7])
    assert dataset.attributes["parents"] == [Dataset.open(tmp_path / "d.hdf5").hash]


def test_unrepairable_file_writes_nothing(tmp_path):
    path = edit(save(tmp_path), lambda file: (shorten(file, "rewards", 9), file.pop("actions")))
    done = repair(path, tmp_path / "out.h5")
    assert [problem.what.partition(" (")[0] for problem in done.report.problems] == ["missing actions"]
    assert (done.output, done.repairs) == (None, ())
    edit(save_in(tmp_path / "b"), lambda file: shorten(file, "rewards", 0))
    assert not repair(tmp_path / "b" / "d.h5", tmp_path / "out.h5").report.sound
    with pytest.raises(DatasetError, match="no sound row is left"):
        repair(save_in(tmp_path / "c", rewards=(slice(None), np.nan)), tmp_path / "out.h5")
    assert sorted(found.name for found in tmp_path.iterdir()) == ["b", "c", "d.h5"]


def test_existing_outputs_are_refused(tmp_path):
    path = save(tmp_path)
    (tmp_path / "link.h5").symlink_to(path)
    for target in (path, tmp_path / "link.h5"):
        with pytest.raises(UsageError, match="is the file to repair, which is never changed"):
            repair(path, target, overwrite=True)
    (tmp_path / "out.h5").write_text("precious")
    with pytest.raises(UsageError, match="exists already"):
        repair(path, tmp_path / "out.h5")
    assert (tmp_path / "out.h5").read_text() == "precious"


def test_dict_observations(tmp_path):
    path = save(
        tmp_path, dict_spec(), observations__car__speed=(5, np.nan), next_observations__position=(1, 9)
    )
    dataset, _ = mend(path)
    assert dataset.episodes["length"].tolist() == [2, 2, 1, 1, 5]


@given(specs, lengths, seeds, st.data())
@settings(max_examples=40)
def test_random_damage_in_blocks_of_any_size(tmp_path_factory, spec, lengths, seed, data):
    """The result is sound, does not depend on blocks, and holds all undamaged rows."""
    folder = tmp_path_factory.mktemp("repair")
    columns = make_columns(spec, [*lengths, 2], seed)
    columns["rewards"] = np.arange(len(columns["rewards"]), dtype=np.float32)
    hit = data.draw(st.sets(st.integers(0, len(columns["rewards"]) - 2)))
    both = data.draw(st.sets(st.integers(0, len(columns["rewards"]) - 1)))
    columns["terminals"][list(both)] = columns["timeouts"][list(both)] = True
    rewards = columns["rewards"].copy()
    columns["rewards"][list(hit)] = np.nan
    path = save_as_given(folder / "d.h5", spec, columns, {"length": [*lengths, 2]})
    whole = mend(path)
    assert whole[0].columns["rewards"].tolist() == np.delete(rewards, list(hit)).tolist()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vinci_offline.data.columns.BLOCK_BYTES", data.draw(st.integers(1, 500)))
        again = mend(path, overwrite=True)
    assert again[1] == whole[1]
    assert again[0].hash == whole[0].hash
    assert again[0].episodes.equals(whole[0].episodes)


@given(st.sets(st.integers(0, 70)), st.integers(0, 70), st.integers(0, 70))
def test_bitmap(rows, start, stop):
    marks = Bitmap(71)
    marks.set(np.array(sorted(rows), np.int64))
    assert marks.read(start, stop).nonzero()[0].tolist() == [
        row - start for row in sorted(rows) if start <= row < stop
    ]


def test_described_episodes_must_fit(tmp_path):
    columns = make_columns(continuous_spec(), [3])
    table = {"length": [2], "return": [0.0], "terminated": [False], "truncated": [True]}
    with (
        pytest.raises(DatasetError, match="lengths add up to 2, and there are 3 rows"),
        DatasetWriter(tmp_path / "d.h5", continuous_spec()) as writer,
    ):
        writer.append(columns)
        writer.describe_episodes(table)
    with (
        pytest.raises(DatasetError, match="given already"),
        DatasetWriter(tmp_path / "d.h5", continuous_spec()) as writer,
    ):
        writer.append(columns, {"length": [3]})
        writer.describe_episodes(table)
