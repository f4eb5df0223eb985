"""Batches of the hand-made dataset, number by number: from memory and from a stream, with one step and with three."""

import numpy as np
import pytest
from hand_made import BATCHES, GAMMA, PLACE, ROWS, STEER, hand_made
from keras import ops

from vinci_offline.batches.reader import ColumnReader, load_columns
from vinci_offline.batches.rows import Rows
from vinci_offline.batches.source import Resident
from vinci_offline.batches.stream import Stream

STEPS = pytest.mark.parametrize("n_step", [1, 3])


def check_batch(batch, rows, n_step):
    """Compare a batch with the numbers written down for its rows."""
    reward, discount, following = (np.array(each)[rows] for each in BATCHES[n_step])
    np.testing.assert_array_equal(batch["reward"], reward)
    np.testing.assert_array_equal(batch["discount"], discount)
    np.testing.assert_array_equal(batch["observation/state"][:, 0], PLACE[rows])
    np.testing.assert_array_equal(batch["next_observation/state"][:, 0], following)
    np.testing.assert_array_equal(batch["action"][:, 0], STEER[rows] / 2)


@STEPS
def test_columns_in_memory(n_step):
    check_batch(load_columns(hand_made(), gamma=GAMMA, n_step=n_step), np.arange(ROWS), n_step)


@STEPS
def test_batch_on_the_device(n_step):
    index = np.array([11, 3, 0, 6, 8, 8, 10], np.int32)
    pool = Resident(load_columns(hand_made(), gamma=GAMMA, n_step=n_step)).pool(0)
    batch = Rows(pool, ops.convert_to_tensor(index)).at(ops.convert_to_tensor(index))
    check_batch(batch.map(ops.convert_to_numpy).columns, index, n_step)


@STEPS
def test_streamed_pools(n_step):
    reader = ColumnReader(hand_made(), gamma=GAMMA, n_step=n_step)
    row_bytes = sum(column.nbytes for column in reader.read(0, 1).values())
    stream = Stream(reader, budget=2 * 5 * row_bytes, batch_size=2)  # pools of five rows
    seen = []
    for generation in range(12):
        rows = stream.dataset_rows(generation)
        check_batch(stream.pool(generation), rows, n_step)
        seen += rows.tolist()
    stream.close()
    assert stream.pool_rows == 5
    assert sorted(seen) == sorted([*range(ROWS)] * 5)  # five epochs
