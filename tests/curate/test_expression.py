"""Conditions as text: their values, and what they refuse."""

import numpy as np
import pytest

from vinci_offline import UsageError
from vinci_offline.curate.expression import Expression

VALUES = {
    "x": np.array([-1.0, 0.0, 2.0, np.nan]),
    "n": np.array([1, 2, 3, 4], np.uint8),
    "flag": np.array([True, False, True, False]),
    "return": np.array([5.0, 6.0, 7.0, 8.0]),
    "episode.return": np.array([5.0, 6.0, 7.0, 8.0]),
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x > 0", [0, 0, 1, 0]),
        ("not x > 0", [1, 1, 0, 1]),
        ("-1 <= x < 2", [1, 1, 0, 0]),
        ("abs(x) == 1 or n == 4", [1, 0, 0, 1]),
        ("flag and x < 1", [1, 0, 0, 0]),
        ("not flag", [0, 1, 0, 1]),
        ("n in (1, 4)", [1, 0, 0, 1]),
        ("n not in [1, 4]", [0, 1, 1, 0]),
        ("n - 2 < 0", [1, 0, 0, 0]),
        ("n % 2 == 0 and n // 2 == 1", [0, 1, 0, 0]),
        ("return >= 7", [0, 0, 1, 1]),
        ("episode.return / 2 < 3", [1, 0, 0, 0]),
        ("isfinite(x)", [1, 1, 1, 0]),
        ("x / 0 > 1", [0, 0, 1, 0]),
        ("True", [1]),
    ],
)
def test_condition_values(text, expected):
    assert Expression(text).evaluate(VALUES.__getitem__).reshape(-1).tolist() == [
        bool(each) for each in expected
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x >",
        "x = 1",
        "__import__('os').remove('x')",
        "x.real > 1",
        "(lambda: 1)()",
        "[y for y in x]",
        "x[0] > 1",
        "'a' == 'a'",
        "abs(x, 1) > 0",
        "abs(*x) > 0",
        "eval(x) > 0",
        "x if flag else n",
        "x ** 9**9 > 1",
        "f'{x}' > 1",
        "(" * 300 + "x" + ")" * 300,
        "x" * 20_000,
    ],
)
def test_other_code_is_refused(text):
    with pytest.raises(UsageError, match="condition") as caught:
        Expression(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["x", "x + 1", "x and flag", "not x"])
def test_numbers_are_no_conditions(text):
    with pytest.raises(UsageError, match="condition"):
        Expression(text).evaluate(VALUES.__getitem__)


def test_names_in_a_condition():
    assert Expression("abs(x) > episode.length and return < 3").names == {"x", "episode.length", "return"}
