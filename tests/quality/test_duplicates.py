from __future__ import annotations

import numpy as np
import pytest
from data_examples import continuous_spec, dict_spec, make_columns
from hypothesis import given
from hypothesis import strategies as st

from vinci_offline import Dataset
from vinci_offline.data.columns import in_memory
from vinci_offline.quality.checks import duplicates as module
from vinci_offline.quality.checks.duplicates import duplicates
from vinci_offline.quality.checks.row_hash import RowHash
from vinci_offline.quality.validation import check


def found(columns):
    pairs = {}
    for rows, originals in duplicates(in_memory(columns)):
        pairs |= dict(zip(rows.tolist(), originals.tolist(), strict=True))
    return pairs


def expected(values):
    first = {}
    return {row: first[v] for row, v in enumerate(values) if first.setdefault(v, row) != row}


def columns_of(values, spec=None):
    """Return rows that are equal if their numbers are."""
    _, kinds = np.unique(values, return_inverse=True)
    made = make_columns(spec or continuous_spec(), [len(values)])
    return {path: column[kinds] for path, column in made.items()}


@given(st.lists(st.integers(0, 5), min_size=1, max_size=40), st.sampled_from([1, 3, 2**22]))
def test_repeated_rows_are_found(values, part):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "PART_ROWS", part)
        assert found(columns_of(values)) == expected(values)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=20))
def test_rows_of_equal_hash_are_compared(values):
    """With all hashes equal, bytes still tell the rows apart."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RowHash, "__call__", lambda self, columns: np.zeros(len(columns["rewards"]), np.uint64))
        assert found(columns_of(values)) == expected(values)


def test_dict_observations_and_infos():
    columns = columns_of([0, 1, 0, 2], dict_spec())
    columns["infos/step"] = np.arange(4.0)
    columns["timeouts"] = np.array([False, True, True, True])
    assert found(columns) == {2: 0}
    columns["next_observations/car/gear"][2] += 1
    assert found(columns) == {}


def test_same_bytes_in_another_column_differ():
    columns = columns_of([0, 1])
    columns["observations"] = np.array([[1, 2, 3], [2, 1, 3]], np.float32)
    for path in ("actions", "rewards", "next_observations", "terminals"):
        columns[path][1] = columns[path][0]
    assert found(columns) == {}


def test_note_counts_repeated_rows(tmp_path):
    columns = columns_of([0, 1, 2, 1, 2, 1])
    columns["timeouts"][:] = True
    report = check(Dataset.from_columns(columns, continuous_spec()).save(tmp_path / "d.h5").path)
    assert report.sound
    (note,) = report.notes
    assert str(note).startswith(
        "columns row 3: 3 rows that repeat an earlier transition exactly, here that of row 1;"
    )


def test_hashes_spread():
    """A million rows that differ in few bits: by chance, a hash repeats once in 10^7 trials."""
    rows = np.arange(10**6, dtype=np.float32).reshape(-1, 1)
    hashes = RowHash()({"x": rows})
    assert len(np.unique(hashes)) == 10**6
    counts = np.bincount((hashes & np.uint64(15)).astype(int), minlength=16)
    assert counts == pytest.approx(10**6 / 16, rel=0.03)
