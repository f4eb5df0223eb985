"""Streams that keep runs whole: each row is drawn once an epoch, and windows and goals see the whole run."""

import numpy as np
import pytest
from chains import LONGEST, chain
from keras import ops

from vinci_offline import UsageError
from vinci_offline.batches.names import DRAWN_ROW, FIRST_ROW, LAST_ROW, ReturnToGo
from vinci_offline.batches.opening import open_source
from vinci_offline.batches.reader import ColumnReader, load_columns, row_bytes
from vinci_offline.batches.rows import Rows
from vinci_offline.batches.shuffle import Shuffle
from vinci_offline.batches.stream import Stream

ROWS = 300
WISHES = ("next_action", ReturnToGo(unfinished="sum"))
DATASET, LAST = chain(rows=ROWS)
RUN_END = LAST[np.searchsorted(LAST, np.arange(ROWS))]
RUN_START = np.append(0, LAST + 1)[np.searchsorted(LAST, np.arange(ROWS))]
ROW_BYTES = row_bytes(DATASET, WISHES, True)
WHOLE = load_columns(DATASET, WISHES, gamma=0.9, n_step=3, trajectories=True)
CONTEXT = 2 * (LONGEST - 1)


@pytest.fixture(params=[20, 75, 250])
def stream(request):
    """Open a stream whose pools own this number of rows."""
    reader = ColumnReader(DATASET, WISHES, gamma=0.9, n_step=3, trajectories=True)
    budget = 2 * (request.param * (ROW_BYTES + 4) + CONTEXT * ROW_BYTES)
    made = Stream(reader, budget=budget, batch_size=10)
    assert made.pool_rows == request.param
    yield made
    made.close()


def generations(stream, epochs):
    return range(epochs * ROWS // stream.pool_rows)


def test_pools_have_one_shape_within_the_budget(stream):
    pools = [stream.pool(generation) for generation in generations(stream, 3)]
    shapes = [{name: column.shape for name, column in pool.items()} for pool in pools]
    assert all(each == shapes[0] for each in shapes)
    assert shapes[0][DRAWN_ROW] == (stream.pool_rows,)
    assert shapes[0]["reward"] == (stream.pool_rows + CONTEXT,)
    size = sum(column.nbytes for column in pools[0].values())
    assert size == stream.pool_rows * (ROW_BYTES + 4) + CONTEXT * ROW_BYTES


def test_pools_hold_whole_runs_of_the_rows_that_they_say(stream):
    for generation in generations(stream, 3):
        pool, rows = stream.pool(generation), stream.dataset_rows(generation)
        drawn = pool[DRAWN_ROW]
        assert (rows[drawn] >= 0).all()
        for name, column in WHOLE.items():
            if name not in (FIRST_ROW, LAST_ROW):
                np.testing.assert_array_equal(pool[name][rows >= 0], column[rows[rows >= 0]], err_msg=name)
        first, last = pool[FIRST_ROW][drawn], pool[LAST_ROW][drawn]
        np.testing.assert_array_equal(rows[first], RUN_START[rows[drawn]])
        np.testing.assert_array_equal(rows[last], RUN_END[rows[drawn]])
        for begin, end in zip(first, last, strict=True):
            assert (np.diff(rows[begin : end + 1]) == 1).all()


def test_every_row_is_drawn_from_once_an_epoch(stream):
    drawn = [stream.dataset_rows(g)[stream.pool(g)[DRAWN_ROW]] for g in generations(stream, 20)]
    sequence = np.concatenate(drawn)
    counts = np.bincount(sequence, minlength=ROWS)
    assert counts.max() - counts.min() <= 1
    if ROWS % stream.pool_rows == 0:
        for epoch in sequence.reshape(-1, ROWS):
            np.testing.assert_array_equal(np.sort(epoch), np.arange(ROWS))


def test_windows_and_goals_are_those_of_memory(stream):
    resident = {name: ops.convert_to_tensor(column) for name, column in WHOLE.items()}
    for generation in (0, 2, 5):
        pool = {name: ops.convert_to_tensor(column) for name, column in stream.pool(generation).items()}
        rows = stream.dataset_rows(generation)
        here = Rows(pool, pool[DRAWN_ROW])
        index = rows[ops.convert_to_numpy(here.index)]
        there = Rows(resident, ops.convert_to_tensor(index.astype(np.int32)))
        left, right = here.window(4), there.window(4)
        for name in left.columns:
            np.testing.assert_array_equal(
                ops.convert_to_numpy(left[name]), ops.convert_to_numpy(right[name]), err_msg=name
            )
        key = np.array([5, 6], np.uint32)
        goals = [ops.convert_to_numpy(each.future(ops.convert_to_tensor(key), 0.8)) for each in (here, there)]
        np.testing.assert_array_equal(rows[goals[0]], goals[1])


def test_a_budget_that_holds_everything_gives_the_pool_of_memory():
    options = {"gamma": 0.9, "n_step": 3, "trajectories": True, "batch_size": 10}
    streamed = open_source(DATASET, WISHES, memory="stream", budget=2 * ROWS * ROW_BYTES, **options)
    resident = open_source(DATASET, WISHES, memory="device", **options)
    left, right = streamed.pool(0), resident.pool(0)
    assert streamed.span is None
    assert list(left) == list(right)
    for name, column in left.items():
        values = ops.convert_to_numpy(right[name])
        assert column.dtype == values.dtype
        np.testing.assert_array_equal(column, values, err_msg=name)
    np.testing.assert_array_equal(streamed.dataset_rows(0), resident.dataset_rows(0))
    streamed.close()


def test_examples_are_pools_of_the_first_rows():
    options = {"gamma": 0.9, "trajectories": True, "batch_size": 10}
    for memory in ("stream", "device"):
        source = open_source(DATASET, memory=memory, budget=4 * ROWS * ROW_BYTES, **options)
        source.pool(0)
        example = source.example(13)
        assert {len(column) for column in example.values()} == {13}
        np.testing.assert_array_equal(example[LAST_ROW], np.minimum(RUN_END[:13], 12))
        source.close()


def test_a_budget_without_room_for_the_longest_run_is_refused():
    reader = ColumnReader(DATASET, WISHES, trajectories=True)
    needed = 2 * (10 * (ROW_BYTES + 4) + CONTEXT * ROW_BYTES)
    told = rf"two batches of 10 and the longest episode \({LONGEST} rows\): give at least {needed:,} bytes"
    with pytest.raises(UsageError, match=told):
        Stream(reader, budget=needed - 2, batch_size=10)
    Stream(reader, budget=needed, batch_size=10).close()


def test_blocks_end_where_runs_end():
    pieces = np.concatenate([Shuffle(ROWS, 30, RUN_START[LAST]).pieces(g) for g in range(10)])
    cut = ~np.isin(pieces[:, 1] - 1, LAST)
    assert cut.sum() <= 10  # one at the end of a pool
    rows_alone = Shuffle(ROWS, 30, np.arange(ROWS))
    for generation in range(10):
        np.testing.assert_array_equal(rows_alone.pieces(generation), Shuffle(ROWS, 30).pieces(generation))
