"""Streamed transitions: the same rows as from memory, drawn uniformly, resumed exactly, within the budget."""

import json
import os
import subprocess
import sys
import threading
from functools import partial
from itertools import pairwise

import keras
import numpy as np
import pytest

from vinci_offline import Dataset, DatasetError, EnvironmentSpec, UsageError, VinciError, train
from vinci_offline.batches.names import TRANSITION
from vinci_offline.batches.opening import choose_memory
from vinci_offline.batches.reader import ColumnReader, load_columns
from vinci_offline.batches.shuffle import Shuffle
from vinci_offline.batches.source import Resident
from vinci_offline.batches.stream import Stream
from vinci_offline.data.hdf5.writer import DatasetWriter
from vinci_offline.runs.checkpoint import latest_checkpoint
from vinci_offline.spec import BoxSpace
from vinci_offline.training.config import TrainingConfig
from vinci_offline.training.sizes import parse_bytes

ROW_BYTES = 40  # three observations twice, two actions, reward and discount, in float32


def box(size, bound):
    limit = np.full(size, bound, np.float32)
    return BoxSpace((size,), "float32", -limit, limit)


SPEC = EnvironmentSpec(box(3, np.inf), box(2, 2))


def made_columns(rows, seed=0, terminal=0.02, timeout=0.02):
    """Make episodes that are chains of observations; the first number of an observation is its row."""
    generator = np.random.default_rng(seed)
    observations = generator.normal(size=(rows + 1, 3)).astype(np.float32)
    observations[:, 0] = np.arange(rows + 1)
    terminals = generator.random(rows) < terminal
    return {
        "observations": observations[:-1],
        "actions": generator.uniform(-2, 2, (rows, 2)).astype(np.float32),
        "rewards": generator.normal(size=rows).astype(np.float32),
        "next_observations": observations[1:],
        "terminals": terminals,
        "timeouts": ~terminals & (generator.random(rows) < timeout),
    }


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    """Write files of 700, 1 and 499 rows; the first is compressed."""
    folder = tmp_path_factory.mktemp("streamed")
    for i, rows in enumerate((700, 1, 499)):
        dataset = Dataset.from_columns(made_columns(rows, seed=i), SPEC)
        dataset.save(folder / f"{i}.h5", compress="none" if i else "gzip")
    return [folder / f"{i}.h5" for i in range(3)]


def opened(files):
    """Open the files anew, with nothing in memory."""
    return Dataset.concatenate([Dataset.open(path) for path in files])


def made_stream(dataset, budget=200 * ROW_BYTES, batch_size=20, **options):
    return Stream(ColumnReader(dataset, **options), budget=budget, batch_size=batch_size)


@pytest.mark.parametrize(
    ("size", "count"),
    [("512MiB", 2**29), ("2GB", 2 * 10**9), ("1.5 kib", 1536), (4096, 4096), ("1_000", 1000), ("3B", 3)],
)
def test_sizes_take_units(size, count):
    assert parse_bytes(size, "--memory-budget") == count


@pytest.mark.parametrize("size", ["", "2XB", "-1GiB", "0", "GiB", "1ib", "1e9", "0.1"])
def test_malformed_sizes_are_refused(size):
    with pytest.raises(UsageError, match=r"^memory_budget=.* is no size"):
        TrainingConfig(memory_budget=size)


@pytest.mark.parametrize(
    ("memory", "budget", "chosen"),
    [
        ("auto", 1200 * ROW_BYTES, "device"),
        ("auto", 1200 * ROW_BYTES - 1, "stream"),
        ("stream", 2**40, "stream"),
        ("device", 1, "device"),
    ],
)
def test_auto_streams_only_over_the_budget(files, memory, budget, chosen):
    datasets = [Dataset.open(path) for path in files]
    assert choose_memory(datasets, memory=memory, budget=budget) == chosen


@pytest.mark.parametrize("n_step", [1, 5])
@pytest.mark.parametrize("view", ["file", "files", "episodes", "rows", "shuffled"])
def test_parts_equal_one_read(files, view, n_step):
    def select():
        dataset = opened(files[:1] if view == "file" else files)
        if view == "episodes":
            return dataset.select_episodes(slice(1, None, 3))
        if view == "rows":
            return dataset.rows(slice(11, 930))
        return dataset.rows(np.random.default_rng(0).permutation(700)) if view == "shuffled" else dataset

    whole = load_columns(select(), gamma=0.9, n_step=n_step)
    reader = ColumnReader(select(), gamma=0.9, n_step=n_step)
    cuts = [0, 1, 2, 150, 151, *range(160, len(reader) - 1, 97), len(reader) - 1, len(reader)]
    parts = [reader.read(start, stop) for start, stop in pairwise(cuts)]
    for name, column in whole.items():
        joined = np.concatenate([part[name] for part in parts])
        assert joined.dtype == column.dtype
        np.testing.assert_array_equal(joined, column, err_msg=name)


def pool_of(shuffle, generation):
    """Return the rows of a pool in order."""
    return np.concatenate([np.arange(*piece) for piece in shuffle.pieces(generation)])


@pytest.mark.parametrize(
    ("rows", "pool_rows"), [(1000, 250), (1000, 999), (1000, 300), (70_001, 20_000), (7, 7)]
)
def test_every_row_is_in_the_pools_once_an_epoch(rows, pool_rows):
    shuffle = Shuffle(rows, pool_rows)
    pools = [pool_of(shuffle, generation) for generation in range(3 * -(-rows // pool_rows))]
    assert {len(pool) for pool in pools} == {pool_rows}
    if rows % pool_rows == 0:
        sequence = np.concatenate(pools)
        for epoch in range(len(sequence) // rows):
            assert np.array_equal(np.sort(sequence[epoch * rows : (epoch + 1) * rows]), np.arange(rows))
    counts = np.bincount(np.concatenate(pools), minlength=rows)
    assert counts.max() - counts.min() <= 1  # the last epoch may be a part of one
    assert np.array_equal(pools[1], pool_of(Shuffle(rows, pool_rows), 1))


def test_pools_are_of_many_places_and_epochs_differ():
    shuffle = Shuffle(1_000_000, 100_000)
    first, later = pool_of(shuffle, 0), pool_of(shuffle, 10)
    assert len(shuffle.pieces(0)) > 50
    assert np.histogram(first, 10, (0, 1_000_000))[0].min() > 1_000
    overlap = len(np.intersect1d(first, later)) / 100_000
    assert 0.0 < overlap < 0.3  # a tenth, were epochs independent


def test_pools_hold_the_rows_of_dataset_rows(files):
    dataset = opened(files)
    whole = load_columns(opened(files), gamma=0.9, n_step=3)
    stream = made_stream(dataset, gamma=0.9, n_step=3)
    assert stream.span == stream.pool_rows // 20
    for generation in (0, 1, 13, 2):  # 13 straddles an epoch's end; 2 was not prepared
        rows = stream.dataset_rows(generation)
        for name, column in stream.pool(generation).items():
            np.testing.assert_array_equal(column, whole[name][rows])
        stream.prepare(generation + 1)
    stream.close()


EPOCHS, POOL_ROWS = 12, 300


def pool_column(engine, name):
    """Return a column of the pool on the engine's device."""
    return keras.ops.convert_to_numpy(engine._columns[name])


def drawn_counts(files, learner):
    """Return ``[EPOCHS, N]`` counts of the rows that the engine's own draw takes from the stream's pools."""
    from vinci_offline.training.engines import make_engine

    dataset = opened(files)
    stream = made_stream(dataset, budget=2 * POOL_ROWS * ROW_BYTES, batch_size=POOL_ROWS)
    assert (stream.pool_rows, stream.span) == (POOL_ROWS, 1)
    engine = make_engine(learner, stream, batch_size=POOL_ROWS, seed=3, jit="off")
    steps = len(dataset) // POOL_ROWS  # of an epoch
    draws = np.zeros((EPOCHS, len(dataset)), int)
    for step in range(EPOCHS * steps):
        rows, places = engine.drawn(step + 1)
        np.testing.assert_array_equal(pool_column(engine, "reward")[places], dataset.columns["rewards"][rows])
        np.add.at(draws[step // steps], rows, 1)
    stream.close()
    return draws


def departures(draws):
    """Measure how far draws are from Binomial(P, 1 / P) a row and epoch, in standard deviations."""
    epochs, rows = draws.shape
    # Each pool has a fixed number of draws, so the statistic has rows - pools degrees of freedom.
    freedom = rows - rows // POOL_ROWS
    chi_square = float(((draws.sum(0) - epochs) ** 2 / epochs).sum())
    found = [abs(chi_square - freedom) / np.sqrt(2 * freedom)]
    # Within single epochs: the shares of rows drawn 0, 1, 2 … times.
    p, share = 1 / POOL_ROWS, (1 - 1 / POOL_ROWS) ** POOL_ROWS
    for times in range(4):
        found.append(abs((draws == times).mean() - share) / np.sqrt(share / draws.size))
        share *= (POOL_ROWS - times) / (times + 1) * p / (1 - p)
    return found


def test_draws_over_an_epoch_are_binomial(files, make_learner):
    draws = drawn_counts(files, make_learner())
    assert draws.sum(axis=1).tolist() == [1200] * EPOCHS
    assert max(departures(draws)) < 4


FAULTS = {
    "the last tenth of a pool is never drawn": lambda integers, key, shape, maximum: integers(
        key, shape, 9 * maximum // 10
    ),
    "rows without replacement": lambda integers, key, shape, maximum: (
        (integers(key, (1,), maximum) + keras.ops.arange(shape[0], dtype="int32")) % maximum
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_biased_draw_is_seen(files, make_learner, monkeypatch, fault):
    from vinci_offline.functional import random

    monkeypatch.setattr(random, "integers", partial(FAULTS[fault], random.integers))
    assert max(departures(drawn_counts(files, make_learner()))) > 4


def trained(learner, engine, chunks):
    step, metrics = 0, []
    for count in chunks:
        metrics.append(engine.run(learner.select(None), step, count))
        step += count
    return learner.state(), metrics


def streamed_engine(files, learner, budget=200 * ROW_BYTES, jit="off"):
    from vinci_offline.training.engines import make_engine

    return make_engine(learner, made_stream(opened(files), budget), batch_size=20, seed=0, jit=jit)


def assert_equal(left, right):
    assert left.keys() == right.keys()
    for name in left:
        np.testing.assert_array_equal(left[name], right[name], err_msg=name)


@pytest.mark.parametrize("jit", ["off", "on"])
def test_grouping_steps_changes_nothing(files, make_learner, jit):
    one, many = make_learner(), make_learner()
    # A pool of 100 rows is for five steps of twenty.
    left, metrics = trained(one, streamed_engine(files, one, jit=jit), (23,))
    right, pieces = trained(many, streamed_engine(files, many, jit=jit), (1, 3, 7, 0, 4, 8))
    assert_equal(left, right)
    steps = np.array([1, 3, 7, 4, 8])
    means = [row["loss/critic"] for row in pieces if row]
    assert metrics[0]["loss/critic"] == pytest.approx(steps @ means / 23, rel=1e-5)
    assert 0 <= metrics[0]["stream/wait"] < 1


def test_batches_hold_the_rows_of_dataset_rows(files, make_learner):
    """Compare batches gathered from the engine's device columns with the dataset's rows."""
    learner = make_learner()
    engine = streamed_engine(files, learner)
    whole = load_columns(opened(files))
    for start in (0, 4, 5, 61):
        engine.run(learner.select(None), start, 1)
        rows, places = engine.drawn(start + 1)
        for name in TRANSITION:
            values = pool_column(engine, name)[places]
            np.testing.assert_array_equal(values, whole[name][rows], err_msg=name)


def test_full_budget_trains_as_memory_does(files, make_learner):
    from vinci_offline.training.engines import make_engine

    streamed, resident = make_learner(), make_learner()
    left, _ = trained(streamed, streamed_engine(files, streamed, 2**20), (12,))
    engine = make_engine(resident, Resident(load_columns(opened(files))), batch_size=20, seed=0, jit="off")
    assert_equal(left, trained(resident, engine, (12,))[0])


OPTIONS = {
    "settings": {"hidden": (16, 16)},
    "steps": 30,
    "log_every": 9,
    "checkpoint_every": 7,
    "batch_size": 20,
    "jit": "off",
    "progress": False,
    "memory_budget": 200 * ROW_BYTES,
}


@pytest.mark.parametrize(("agent", "n_step"), [("bc", 1), ("td3bc", 3)])
def test_a_stopped_run_resumes_to_the_same_networks(files, tmp_path, agent, n_step):
    whole = train(files, agent, output=tmp_path / "whole", n_step=n_step, **OPTIONS)
    stopped = {**OPTIONS, "steps": 17}  # within a pool of five steps
    train(files, agent, output=tmp_path / "cut", n_step=n_step, **stopped)
    train(files, agent, output=tmp_path / "cut", n_step=n_step, resume=True, **OPTIONS)
    states = [latest_checkpoint(tmp_path / name / "checkpoints").state for name in ("whole", "cut")]
    assert_equal(*states)
    stored = json.loads((whole.run / "config.json").read_text())["training"]
    assert (stored["memory"], stored["memory_budget"]) == ("stream", 200 * ROW_BYTES)
    assert whole.final_metrics["stream/wait"] >= 0
    with pytest.raises(UsageError, match=r"training\.memory was .stream., is .device."):
        train(files, agent, output=tmp_path / "cut", n_step=n_step, resume=True, **OPTIONS, memory="device")


def test_a_budget_too_small_for_batches_is_refused(files, tmp_path):
    with pytest.raises(UsageError, match=f"give at least {2 * 20 * ROW_BYTES:,} bytes"):
        train(files, "td3bc", output=tmp_path / "run", **{**OPTIONS, "memory_budget": 100})
    assert not (tmp_path / "run").exists()


class Broken(ColumnReader):
    """Reader that raises `error` once it is set."""

    error = None

    def read(self, start, stop):
        if self.error is not None:
            raise self.error
        return super().read(start, stop)


@pytest.mark.parametrize(
    ("error", "kind", "told"),
    [
        (MemoryError("no more"), VinciError, "reading rows to train on failed: .*no more.*--resume"),
        (DatasetError("data.h5 is damaged"), DatasetError, "^data.h5 is damaged$"),
    ],
)
def test_read_errors_are_one_line(files, make_learner, error, kind, told):
    from vinci_offline.training.engines import make_engine

    reader = Broken(opened(files))
    learner = make_learner()
    stream = Stream(reader, budget=200 * ROW_BYTES, batch_size=20)
    engine = make_engine(learner, stream, batch_size=20, seed=0, jit="off")
    engine.run(learner.select(None), 0, 3)
    stream._next[1].result()  # the second pool is read, the third will fail
    reader.error = error
    with pytest.raises(kind, match=told) as raised:
        engine.run(learner.select(None), 3, 30)
    assert "\n" not in str(raised.value)
    stream.close()


def test_changed_file_is_refused(files, tmp_path, make_learner):
    path = tmp_path / "data.h5"
    path.write_bytes(files[0].read_bytes())
    stream = made_stream(Dataset.open(path))
    stream.pool(0)
    path.write_bytes(path.read_bytes()[:-4096])
    with pytest.raises(DatasetError, match="changed since it was opened"):
        stream.pool(1)
    stream.close()


def test_closing_stops_a_read_that_is_under_way(files):
    begun, go_on = threading.Event(), threading.Event()

    class Slow(ColumnReader):
        reads = 0

        def read(self, start, stop):
            if start or stop > 1:
                self.reads += 1
                begun.set()
                go_on.wait(30)
            return super().read(start, stop)

    reader = Slow(opened(files))
    stream = Stream(reader, budget=400 * ROW_BYTES, batch_size=20)
    stream.prepare(0)
    assert begun.wait(30)
    threading.Timer(0.2, go_on.set).start()
    stream.close()  # returns when the thread is through
    assert reader.reads == 1


def test_next_pool_is_read_ahead(tmp_path, make_learner):
    """Without reading ahead, the loop would wait for every pool: a tenth of the time or more."""
    from vinci_offline.training.engines import make_engine

    path = written(tmp_path / "data.h5", 15_000)
    learner = make_learner()
    source = made_stream(Dataset.open(path), budget=8_000 * ROW_BYTES, batch_size=2)
    engine = make_engine(learner, source, batch_size=2, seed=0, jit="off")
    engine.run(learner.select(None), 0, source.span)
    waits = [
        engine.run(learner.select(None), pool * source.span, source.span)["stream/wait"] for pool in (1, 2, 3)
    ]
    source.close()
    assert min(waits) < 0.02


def written(path, rows, part=50_000):
    """Write a file of many rows in parts."""
    with DatasetWriter(path, SPEC) as writer:
        for start in range(0, rows, part):
            writer.append(made_columns(min(part, rows - start), seed=start))
    return path


LARGE = """
import resource, sys
from vinci_offline import train

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

small, large, budget, memory = sys.argv[1:]
options = dict(settings={"hidden": (16, 16)}, steps=200, log_every=50, batch_size=4096, n_step=3, jit="off",
               progress=False, memory_budget=budget)
train(small, "bc", output=small + "-run", **options)
before = peak()
train(large, "bc", output=large + "-run", memory=memory, **options)
print(peak() - before)
"""


def test_memory_stays_within_budget_and_constant(tmp_path):
    """The file is five times the budget, and larger than both. docs/training.md states the constant."""
    budget, constant, rows = 2**24, 2**26, 2_200_000
    assert rows * ROW_BYTES > max(5 * budget, budget + constant)
    small, large = written(tmp_path / "small.h5", 5_000), written(tmp_path / "large.h5", rows)
    command = [sys.executable, "-c", LARGE, str(small), str(large), str(budget), "auto"]
    done = subprocess.run(
        command, check=True, capture_output=True, text=True, env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    )
    growth = int(done.stdout.split()[-1])
    assert growth <= budget + constant, f"{growth / 2**20:.0f} MiB"
