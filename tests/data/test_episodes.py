"""The episode table: its columns are named in one place, and its arithmetic is right."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest
from data_examples import continuous_spec, make_columns

import vinci_offline
from vinci_offline.data import episode_columns, episodes

PACKAGE = Path(vinci_offline.__file__).parent
OTHERS = {
    "spec/spaces.py": "the start of a Discrete space",
    "convert/lerobot/frames.py": "LeRobot's own table",
}
"""Files whose keys of the same names belong to something else."""


def spelled_keys(tree):
    """Return the derived columns spelled out as keys: ``table["start"]`` or ``{"start", "length", …}``."""
    names = set(episode_columns.DERIVED)
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Subscript)
            and isinstance(node.slice, ast.Constant)
            and node.slice.value in names
        ):
            yield node.slice.value
        if isinstance(node, ast.Set | ast.Tuple | ast.List):
            found = {part.value for part in node.elts if isinstance(part, ast.Constant)} & names
            yield from found if len(found) > 1 else ()


def test_columns_are_named_in_one_place():
    spelled = {
        name: found
        for path in PACKAGE.rglob("*.py")
        if (name := str(path.relative_to(PACKAGE))) not in {"data/episode_columns.py", *OTHERS}
        and (found := set(spelled_keys(ast.parse(path.read_text(encoding="utf-8")))))
    }
    assert spelled == {}


@pytest.mark.parametrize("code", ['table["start"]', '{"start", "length"}', 'f(("return", "terminated"))'])
def test_a_spelled_name_is_seen(code):
    assert list(spelled_keys(ast.parse(code)))


def test_first_and_last_rows_and_the_episode_of_a_row():
    table = {
        "start": episodes.starts(np.array([3, 1, 2])),
        "length": np.array([3, 1, 2]),
        "seed": np.arange(3),
    }
    assert table["start"].tolist() == [0, 3, 4]
    assert episodes.last_rows(table).tolist() == [2, 3, 5]
    assert episodes.episodes_of(table, np.arange(6)).tolist() == [0, 0, 0, 1, 2, 2]
    assert episodes.known_facts(table) == ["seed"]


def test_a_chained_table_keeps_what_all_tables_have():
    columns = make_columns(continuous_spec(), [2, 3])
    one = episodes.complete(columns, {"length": np.array([2, 3]), "seed": np.array([7, 8])})
    other = episodes.complete(columns, {"length": np.array([2, 3])})
    table = episodes.chained([one, other])
    assert table["start"].tolist() == [0, 2, 5, 7]
    assert "seed" not in table
    assert table["return"].tolist() == [*one["return"], *other["return"]]
