"""What a file may ask for: the budget, sums, limits, nesting, and how the user lifts them."""

from __future__ import annotations

import pytest

from vinci_offline import budget
from vinci_offline.errors import DatasetError

MIB = 2**20


@pytest.fixture(autouse=True)
def untrusted(monkeypatch):
    monkeypatch.delenv(budget.VARIABLE, raising=False)


@pytest.mark.parametrize(
    ("asked", "present"), [(256 * MIB, 0), (256 * MIB, 1000), (1000 * MIB, 20 * MIB), (0, 0)]
)
def test_budget_is_floor_or_fifty_times_file(asked, present):
    budget.afford("a.h5", "the column 'rewards'", asked=asked, present=present)
    with pytest.raises(DatasetError):
        budget.afford("a.h5", "it", asked=max(asked, 256 * MIB) + 1, present=present)


def test_refusal_names_file_part_sizes_and_way_out():
    with pytest.raises(DatasetError) as error:
        budget.afford("a.h5", "the column 'x\n'", asked=3 * 2**30, present=1536)
    assert str(error.value) == (
        "a.h5: the column 'x\N{REPLACEMENT CHARACTER}' takes 3.0 GiB of memory, and the file has 1.5 KiB: "
        "if you trust the file, set VINCI_OFFLINE_TRUST=1"
    )


def test_tally_refuses_sum_of_parts():
    tally = budget.Tally("a.npz", 1000)
    tally.add("'a'", 200 * MIB)
    with pytest.raises(DatasetError, match=r"'b', with what is read before it, takes 300 MiB"):
        tally.add("'b'", 100 * MIB)


def test_limit_of_a_count():
    budget.limit("a.h5", "objects", 10, 10)
    with pytest.raises(DatasetError, match=r"a\.h5: 11 objects, and at most 10 are read"):
        budget.limit("a.h5", "objects", 11, 10)


def test_environment_variable_lifts_budget(monkeypatch):
    monkeypatch.setenv("VINCI_OFFLINE_TRUST", "1")
    budget.afford("a.h5", "it", asked=2**50, present=1)
    budget.limit("a.h5", "objects", 11, 10)
    monkeypatch.setenv("VINCI_OFFLINE_TRUST", "0")
    with pytest.raises(DatasetError):
        budget.afford("a.h5", "it", asked=2**50, present=1)


def test_trust_ends_with_block():
    with budget.trusting():
        assert budget.trusted()
        with budget.trusting(False):
            assert budget.trusted()
    assert not budget.trusted()
    with budget.trusting(False):
        assert not budget.trusted()


@pytest.mark.parametrize("kind", [str, bytes])
def test_nesting_counts_levels_outside_strings(kind):
    def check(text):
        budget.check_nesting("a.json", "the row", text if kind is str else text.encode(), most=3)

    check('{"a": [{"b": "[[[[\\"[["}], "c": [[], [], []]}' + "[]{}" * 50)
    for deep in ("[[[[", '{"a": [{"b": [1]}]}', '[["\\\\", [[1]]]]'):
        with pytest.raises(DatasetError, match=r"a\.json: the row is nested more than 3 levels deep"):
            check(deep)


def test_nesting_of_long_text_is_quick():
    budget.check_nesting("a.json", "it", b'"' + b"[" * 10**6 + b'"')
    budget.check_nesting("a.json", "it", b'"\\' * 10**5 + b"[" * 300 + b'"')


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (1023, "1,023 bytes"),
        (1536, "1.5 KiB"),
        (300 * MIB, "300 MiB"),
        (2**90, "1,073,741,824 PiB"),
    ],
)
def test_sizes_are_readable(size, text):
    assert budget.size_text(size) == text
