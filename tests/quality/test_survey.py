"""One read gives moments, finite checks, samples and runs: the same as separate reads."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from data_examples import box, continuous_spec, dict_spec, discrete_spec, make_columns

from vinci_offline import Dataset, DatasetError, EnvironmentSpec
from vinci_offline.data import continuity, episodes
from vinci_offline.data.columns import LazyColumns
from vinci_offline.quality.coverage import coverage
from vinci_offline.quality.moments import column_moments
from vinci_offline.quality.statistics import summarize
from vinci_offline.quality.survey import survey

IMAGES = EnvironmentSpec(box(20, 20, dtype="uint8", low=0, high=255), box(1))


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr("vinci_offline.data.columns.BLOCK_BYTES", 60)
    monkeypatch.setattr("vinci_offline.quality.coverage._ROWS", 10)


@pytest.fixture
def rows_read(monkeypatch):
    """Count the rows of each column that are read from the file."""
    read = Counter()

    def counted(structure, path, rows):
        values = original(structure, path, rows)
        read[path] += len(values)
        return values

    from vinci_offline.data.hdf5 import stored

    original = stored.read_column
    monkeypatch.setattr(stored, "read_column", counted)
    return read


def stored_dataset(folder, spec, lengths=(20, 15, 8), **changes):
    columns = {**make_columns(spec, list(lengths), infos=("cost",)), **changes}
    path = Dataset.from_columns(columns, spec, {"length": list(lengths)}).save(folder / "d.h5").path
    return Dataset.open(path)


@pytest.mark.parametrize("spec", [continuous_spec(), discrete_spec(), dict_spec(), IMAGES])
def test_survey_equals_separate_reads(spec, tmp_path, small_blocks):
    dataset = stored_dataset(tmp_path, spec)
    rows = np.array([0, 7, 8, 41])
    found = survey(dataset, sample_rows=rows, runs=True)
    observed = [path for path in dataset.columns if path.startswith("observations")]
    assert set(found.moments) == {*observed, "actions", "rewards"}
    for path, moments in found.moments.items():
        expected = column_moments(dataset, path)
        assert all(
            getattr(moments, name).tobytes() == getattr(expected, name).tobytes()
            for name in ("mean", "std", "low", "high")
        )
    assert set(found.sample) == {*observed, "actions"}
    for path in found.sample:
        np.testing.assert_array_equal(found.sample[path], dataset.columns[path][rows])
    expected_runs = continuity.runs(dataset.columns, episodes.last_rows(dataset.episode_columns))
    assert [each.tolist() for each in found.runs] == [each.tolist() for each in expected_runs]
    assert coverage(dataset, found.moments, found.spaced) == coverage(dataset)
    assert summarize(dataset, found) == summarize(dataset)


def test_runs_end_at_flags_the_table_and_gaps(tmp_path, small_blocks):
    columns = make_columns(continuous_spec(), [10])
    columns["timeouts"][4] = True
    columns["next_observations"][6] += 1
    dataset = Dataset.from_columns(columns, continuous_spec(), {"length": [2, 8]})
    start, length = survey(dataset, runs=True).runs
    assert start.tolist() == [0, 2, 5, 7]
    assert length.tolist() == [2, 3, 2, 3]
    assert survey(dataset).runs is None


def test_every_column_is_read_once(tmp_path, small_blocks, rows_read):
    dataset = stored_dataset(tmp_path, dict_spec())
    rows_read.clear()  # a saved file is read back
    found = survey(dataset, sample_rows=np.arange(0, 43, 5), runs=True)
    found.check_finite()
    assert rows_read == dict.fromkeys(dataset.columns, 43)
    assert not dataset.columns._loaded
    rows_read.clear()
    summarize(dataset, found)
    assert set(rows_read) <= {"actions", "terminals", "timeouts"}


def test_kept_columns_are_read_once_and_stay(tmp_path, small_blocks, rows_read):
    dataset = stored_dataset(tmp_path, continuous_spec())
    rows_read.clear()  # a saved file is read back
    kept = ["observations", "next_observations", "actions", "rewards", "terminals", "timeouts"]
    survey(dataset, keep=kept)
    _ = [dataset.columns[path] for path in kept]
    dataset.check_finite()
    assert {path: rows_read[path] for path in kept} == dict.fromkeys(kept, 43)
    assert set(dataset.columns._loaded) == set(kept)


def numbers(content, path=""):
    """Return the numbers in a JSON value by their places."""
    parts = (
        content.items()
        if isinstance(content, dict)
        else enumerate(content)
        if isinstance(content, list)
        else ()
    )
    found = {path: content} if isinstance(content, int | float) else {}
    for key, part in parts:
        found |= numbers(part, f"{path}/{key}")
    return found


@pytest.mark.parametrize("spec", [continuous_spec(), dict_spec()])
def test_joined_surveys_summarize_the_whole(spec, tmp_path):
    """Training and held-out episodes are read apart, and the summary is of both."""
    dataset = stored_dataset(tmp_path, spec)
    parts = dataset.select_episodes([0, 2]), dataset.select_episodes([1])
    found = survey(parts[0]).joined(survey(parts[1]))
    assert numbers(summarize(dataset, found)) == pytest.approx(numbers(summarize(dataset)), rel=1e-12)
    assert found.rows == 43


def test_joined_surveys_count_non_finite_rows():
    columns = make_columns(continuous_spec(), [6])
    columns["rewards"][[1, 4, 5]] = np.nan
    columns["observations"][3] = np.inf
    dataset = Dataset.from_columns(columns, continuous_spec())
    found = survey(dataset.rows(slice(0, 3))).joined(survey(dataset.rows(slice(3, 6))))
    assert found.non_finite == survey(dataset).non_finite


def test_memory_stays_bounded(tmp_path, small_blocks, monkeypatch):
    dataset = stored_dataset(tmp_path, continuous_spec(), (300, 200))
    read = []
    original = LazyColumns.read
    monkeypatch.setattr(
        LazyColumns,
        "read",
        lambda self, path, rows: read.append(rows.stop - rows.start) or original(self, path, rows),
    )
    survey(dataset, runs=True)
    assert max(read) <= 60  # a block of one-byte flags; a column has 500 rows


@pytest.mark.parametrize("path", ["observations", "next_observations", "actions", "rewards", "infos/cost"])
def test_non_finite_error_is_that_of_check_finite(path, tmp_path, small_blocks):
    columns = make_columns(continuous_spec(), [43], infos=("cost",))
    columns[path][7] = np.nan
    columns[path][30] = np.inf
    columns["next_observations"][12] = -np.inf
    dataset = stored_dataset(tmp_path, continuous_spec(), (43,), **columns)
    with pytest.raises(DatasetError) as expected:
        dataset.check_finite()
    with pytest.raises(DatasetError) as told:
        survey(dataset).check_finite()
    assert str(told.value) == str(expected.value)
