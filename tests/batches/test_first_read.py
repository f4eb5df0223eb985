"""Each column of a file is read once before the first step."""

from collections import Counter

import numpy as np
import pytest
from chains import CONTINUOUS, ROWS, chain

from vinci_offline import Dataset, DatasetError
from vinci_offline.batches.first_read import first_read, sampled_observations
from vinci_offline.batches.names import ReturnToGo
from vinci_offline.batches.opening import open_source
from vinci_offline.batches.reader import sample_observations
from vinci_offline.data.hdf5 import stored
from vinci_offline.quality.statistics import observation_moments, summarize

WISHES = ("next_action", ReturnToGo(unfinished="sum"))
OBSERVED = ("observations", "next_observations")


@pytest.fixture
def path(tmp_path):
    dataset, _ = chain()
    dataset.save(tmp_path / "data.h5", frames="plain")
    return tmp_path / "data.h5"


@pytest.fixture
def rows_read(monkeypatch):
    """Count the rows of each column that come from the file."""
    counts = Counter()
    read_column = stored.read_column

    def counted(structure, path, rows):
        values = read_column(structure, path, rows)
        counts[path] += len(values)
        return values

    monkeypatch.setattr(stored, "read_column", counted)
    return counts


@pytest.mark.parametrize("memory", ["device", "stream"])
def test_observations_are_read_once_before_the_first_step(path, rows_read, memory):
    dataset = Dataset.open(path)
    known = first_read(dataset, WISHES, memory=memory, trajectories=True)
    options = {"gamma": 0.9, "memory": memory, "trajectories": True, "batch_size": 4}
    source = open_source(dataset, WISHES, known=known, **options)
    sampled_observations(known)
    summarize(dataset, known)
    # A stream reads the first row once more, and the one after it, to learn the columns' types.
    expected = ROWS + (2 if memory == "stream" else 0)
    assert {name: rows_read[name] for name in OBSERVED} == dict.fromkeys(OBSERVED, expected)
    source.close()


@pytest.mark.parametrize("validation", [None, 0.5])
def test_training_reads_observations_once_before_its_first_step(path, rows_read, validation):
    from vinci_offline.agents.td3bc import TD3BC
    from vinci_offline.training.config import TrainingConfig
    from vinci_offline.training.task import Task

    config = TrainingConfig(steps=1, memory="device", validation=validation)
    Task.of([Dataset.open(path)], TD3BC(), config, networks=None, init=None, env=None)
    assert {name: rows_read[name] for name in OBSERVED} == dict.fromkeys(OBSERVED, ROWS)


@pytest.mark.parametrize("memory", ["device", "stream"])
def test_the_first_read_changes_nothing(path, memory):
    options = {"gamma": 0.9, "memory": memory, "trajectories": True, "batch_size": 4, "n_step": 3}
    dataset = Dataset.open(path)
    known = first_read(dataset, WISHES, memory=memory, trajectories=True, samples=7)
    sources = [
        open_source(dataset, WISHES, known=known, **options),
        open_source(Dataset.open(path), WISHES, **options),
    ]
    left, right = (source.pool(0) for source in sources)
    assert list(left) == list(right)
    for name in left:
        np.testing.assert_array_equal(left[name], right[name], err_msg=name)
    np.testing.assert_array_equal(sampled_observations(known), sample_observations(dataset, 7))
    moments = known.moments["observations"]
    np.testing.assert_array_equal(
        (moments.mean.astype(np.float32), moments.std.astype(np.float32)), observation_moments(dataset)
    )
    for source in sources:
        source.close()


def test_values_that_are_not_finite_are_refused(path):
    columns = {name: np.array(values) for name, values in Dataset.open(path).columns.items()}
    columns["rewards"][5] = np.inf
    dataset = Dataset.from_columns(columns, CONTINUOUS)
    with pytest.raises(
        DatasetError, match="rewards has NaN or infinite values in 1 rows, the first is row 5"
    ):
        open_source(dataset, gamma=0.9, known=first_read(dataset))
