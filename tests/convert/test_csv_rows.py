"""The two readers of CSV rows find the same cells, and the same faults."""

import csv
import io
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vinci_offline import DatasetError
from vinci_offline.convert.sources import text as source
from vinci_offline.convert.sources.text import Lines
from vinci_offline.convert.tables import csv_rows
from vinci_offline.convert.tables.cells import Cells, numbers
from vinci_offline.convert.tables.csv_rows import CsvRows
from vinci_offline.convert.tables.dialect import Dialect, plain_numbers

ROLES = {"a": "number", "b": "step", "c": "text", "d": "flag"}
NUMBERS = dict.fromkeys(ROLES, "number")
FLOATS = st.floats().map(repr) | st.from_regex(
    r"[+-]?[0-9]{0,25}\.[0-9]{0,30}(e[+-]?[0-9]{1,3})?", fullmatch=True
)
INTEGERS = st.integers(-(2**70), 2**70).map(str) | st.integers(-9, 9).map(str)
ODD = st.sampled_from(
    [
        "",
        "5",
        " 8 ",
        "+7",
        "-0",
        "007",
        "1e5",
        "1e999",
        "inf",
        "-Infinity",
        "nan",
        "NA",
        "null",
        "True",
        "false",
    ]
) | st.sampled_from(
    [
        "1_0",
        "0x1f",
        "1,5",
        "٣",
        "1.5\x0b",
        ".5",
        "5.",
        ".",
        "-",
        "1 2",
        "9007199254740993",
        f"{2**64 - 1}",
        "2024-05-01",
    ]
)
TEXTS = st.text(st.sampled_from('ab "\n,#;é\t0'), max_size=5)
CELLS = st.one_of(FLOATS, INTEGERS, ODD, TEXTS)
COLUMNS = st.sampled_from([FLOATS, INTEGERS, FLOATS | INTEGERS, CELLS])


def quoted(cell, always):
    return f'"{cell.replace(chr(34), chr(34) * 2)}"' if always or set(cell) & set('"\n,\r') else cell


@st.composite
def tables(draw):
    rows = draw(st.integers(1, 12))
    columns = [draw(st.lists(draw(COLUMNS), min_size=rows, max_size=rows)) for _ in ROLES]
    always = draw(st.booleans())
    lines = [",".join(quoted(cell, always) for cell in row) for row in zip(*columns, strict=True)]
    if draw(st.booleans()):
        lines.insert(draw(st.integers(0, rows)), draw(st.sampled_from(["", "1,2", "1,2,3,4,5", "  "])))
    end = draw(st.sampled_from(["\n", "\r\n"]))
    return end.join(lines) + draw(st.sampled_from(["", end]))


def rows(text, role_of, separator=",", decimal=".", comment=""):
    lines = Lines(io.StringIO(f"a header\n{text}", newline=""), Path("t.csv"))
    dialect = Dialect(separator, comment, bool(comment))
    return CsvRows(lines, dialect, 2, list(role_of), role_of, "t.csv", decimal)


def outcome(text, role_of, *, fast, separator=",", decimal="."):
    """Return what the reader finds in a table, as texts that tell NaN, signs and dtypes apart, or what it says."""
    reader = rows(text, role_of, separator, decimal)
    if not fast:
        reader._plain = lambda text: None
    plain = plain_numbers(decimal, "")
    cells = {
        name: Cells(name, "t.csv", role=role, missing="7", plain=plain) for name, role in role_of.items()
    }
    try:
        found = [
            (name, list(lines), converted(cells[name].values(columns[name], lines)))
            for columns, lines in reader.pieces()
            for name in role_of
        ]
    except (DatasetError, csv.Error) as error:
        return str(error)
    return found, [each.filled for each in cells.values()]


def converted(values):
    return values if isinstance(values, list) else (str(values.dtype), list(map(repr, values.tolist())))


@settings(max_examples=60, deadline=None)
@given(tables())
def test_both_readers_find_the_same(text):
    assert outcome(text, ROLES, fast=True) == outcome(text, ROLES, fast=False)
    assert outcome(text, NUMBERS, fast=True) == outcome(text, NUMBERS, fast=False)
    written = {"separator": ";", "decimal": ","}
    text = text.replace(",", ";").replace(".", ",")
    assert outcome(text, NUMBERS, fast=True, **written) == outcome(text, NUMBERS, fast=False, **written)


def cells_of(text, comment):
    """Return the rows as Python's values, each after its line, or None for a table that is refused."""
    try:
        pieces = list(rows(text, dict.fromkeys(ROLES, "text"), comment=comment).pieces())
    except (DatasetError, csv.Error):
        return None
    return [
        [line, *row]
        for columns, lines in pieces
        for line, row in zip(lines, zip(*columns.values(), strict=True), strict=True)
    ]


@settings(max_examples=30, deadline=None)
@given(tables(), st.integers(1, 40), st.sampled_from(["", "#"]))
def test_rows_do_not_depend_on_the_blocks(text, characters, comment):
    """Blocks of a few characters begin and end anywhere: in quotes, between CR and LF, before a comment."""
    whole = cells_of(text, comment)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(source, "_READ_CHARACTERS", characters)
        patch.setattr(csv_rows, "_ROWS", 2)
        assert cells_of(text, comment) == whole


def test_a_block_that_pandas_refuses_is_read_by_python(monkeypatch):
    text = "1,2,x,1\n" * 5
    wanted = [[line, "1", "2", "x", "1"] for line in range(2, 7)]
    monkeypatch.setattr(csv_rows, "_ROWS", 2)
    monkeypatch.setattr(CsvRows, "_columns", lambda *_: np.array(["x"]).astype(float))
    assert cells_of(text, "") == wanted


@settings(max_examples=100, deadline=None)
@given(st.lists(FLOATS | INTEGERS, min_size=1, max_size=20))
def test_numbers_are_those_of_python(texts):
    try:
        found = numbers(texts)
    except OverflowError:
        assert any(math.isinf(float(text)) for text in texts) or all(
            text.lstrip("+-").isdigit() for text in texts
        )
        return
    except ValueError:
        assert "." in {text.lstrip("+-") for text in texts} or any(
            text.lstrip("+-")[:2] == ".e" for text in texts
        )
        return
    np.testing.assert_array_equal(found.astype(np.float64), np.array([float(text) for text in texts]))


@pytest.mark.parametrize(
    "text",
    ["1,2,x,1\n" * 3, '1.5,2,"x",1\r\n\r\n2,3,"",0\r\n', "1,2,x,1"],
    ids=["plain", "quoted", "no end"],
)
def test_plain_blocks_are_read_fast(text):
    reader = rows(text, ROLES)
    reader._exact = lambda *_: pytest.fail("the slow reader was asked")
    ((columns, lines),) = reader.pieces()
    assert isinstance(columns["a"], np.ndarray)
    assert columns["c"][0] == "x"
    assert lines[0] == 2
