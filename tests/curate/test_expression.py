"""Conditions as text: their values, and what they refuse."""

import operator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
        "not " * 2000 + "flag",
        "+".join(["x"] * 1000) + " > 0",
        "9**9**9 > x",
        "1 << 10**9 > x",
        "9" * 5000 + " > x",
        "\\d",
        "x\n> 0",
        "x" * 20_000,
    ],
)
def test_other_code_is_refused(text):
    with pytest.raises(UsageError, match="condition") as caught:
        Expression(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "(x, x) > (1, 2)",
        "x == (1, 2)",
        "x + (1, 2) > 0",
        "[1] * 1000000000 == x",
        "-(1, 2) == 1",
        "abs((x, 1)) > 0",
        "(flag, flag)",
        "not (flag, flag)",
        "flag and (flag, flag)",
        "(1, 2) in x",
        "x in ((1, 2), 3)",
        "x in (1, 2) < 3",
        "x in (1, 2) in (flag, 1)",
        "x < (1, 2) < 3",
    ],
)
def test_a_list_stands_after_in_alone(text):
    with pytest.raises(UsageError, match="has a list at character"):
        Expression(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x in (x, 1)", [1, 1, 1, 0]),
        ("x in (n, -1)", [1, 0, 0, 0]),
        ("n in (n, x)", [1, 1, 1, 1]),
        ("2 in (n, 7)", [0, 1, 0, 0]),
        ("x in ()", [0, 0, 0, 0]),
        ("0 <= x in (2, n)", [0, 0, 1, 0]),
        ("n in 4", [0, 0, 0, 1]),
        ("x < 1e999999", [1, 1, 1, 0]),
        ("flag in (True,)", [1, 0, 1, 0]),
    ],
)
def test_values_after_in(text, expected):
    assert Expression(text).evaluate(VALUES.__getitem__).tolist() == [bool(each) for each in expected]


LEAVES = (
    "x|n|flag|return|episode.return|0|1|-2.5|1e999|9999999999999999999|True|()|None|'a'|1j|...|x.real|x[0]"
)
FORMS = (
    "A + A|A - A|A * A|A / A|A // A|A % A|A ** A|A << A|A >> A|A @ A|A < A|A >= A|A == A|A != A|A < A <= A|A in A|"
    "A in (A, A)|A not in [A, A]|A < A in (A,)|A in A < A|A is A|A and A|A or A|not A|-A|+A|~A|abs(A)|isfinite(A)|"
    "eval(A)|abs(*A)|(A)|(A, A)|[A]|{A: A}|{A}|A if A else A|[y for y in A]|lambda: A|await A|(y := A)|A[A:A]|f'{A}'"
)


def _larger(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Return forms of Python's expressions with inner ones in their places."""

    def filled(form: str, parts: list[str]) -> str:
        pieces = zip(form.split("A"), [*(f"({part})" for part in parts), ""], strict=False)
        return "".join(text for piece in pieces for text in piece)

    forms = st.sampled_from(FORMS.split("|"))
    return st.builds(filled, forms, st.lists(inner, min_size=3, max_size=3))


@given(st.recursive(st.sampled_from(LEAVES.split("|")), _larger, max_leaves=12) | st.text(max_size=30))
@settings(deadline=None, max_examples=300)
def test_any_text_is_computed_or_refused_in_one_line(text):
    try:
        found = Expression(text).evaluate(lambda name: VALUES.get(name, VALUES["x"]))
    except UsageError as refused:
        message = str(refused)
    else:
        message = "computed"
        assert (found.dtype, found.shape in {(), (4,)}) == (np.bool_, True)
    assert (message.isprintable(), len(message) < 1000) == (True, True)


@pytest.mark.parametrize("text", ["x", "x + 1", "x and flag", "not x"])
def test_numbers_are_no_conditions(text):
    with pytest.raises(UsageError, match="condition"):
        Expression(text).evaluate(VALUES.__getitem__)


def test_names_in_a_condition():
    assert Expression("abs(x) > episode.length and return < 3").names == {"x", "episode.length", "return"}


COLUMNS = {
    "reward": np.array([0.1, 0.2, -0.3, 0.3, 1 / 3], np.float32),
    "half": np.array([0.1, 0.2, -0.3, 0.3, 1 / 3], np.float16),
    "wide": np.array([0.1, 0.2, -0.3, 0.3, 1 / 3]),
    "id": np.array([2**53, 2**53 + 1, -5, 0, 7]),
    "big": np.array([2**64 - 1, 2**63, 1, 2, 3], np.uint64),
    "small": np.array([1, 2, 3, 4, 5], np.uint8),
    "flag": np.array([True, False, True, False, False]),
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("reward == 0.1", [0]),
        ("0.1 == reward", [0]),
        ("reward in (0.1, 0.2)", [0, 1]),
        ("reward not in (0.1, 0.2)", [2, 3, 4]),
        ("reward == -0.3", [2]),
        ("reward < -0.3", []),
        ("reward <= -0.3", [2]),
        ("-0.3 <= reward < 0.1", [2]),
        ("reward in (-0.3, 1/3)", [2, 4]),
        ("reward == 0.1 + 0.2", [3]),
        ("reward == -(0.1 * 3)", [2]),
        ("reward * 2 == 0.2", [0]),
        ("reward + small == 1.1", [0]),
        ("-reward == 0.3", [2]),
        ("abs(reward) == 0.3", [2, 3]),
        ("half == 0.1", [0]),
        ("half in (0.1, 0.3)", [0, 3]),
        ("wide == 0.1", [0]),
        ("reward == wide", [0, 1, 2, 3, 4]),
        ("reward < wide or reward > wide", []),
        ("reward < 1e39", [0, 1, 2, 3, 4]),
        ("id == 9007199254740993", [1]),
        ("id == 9007199254740992.0", [0]),
        ("id > 9007199254740992.0", [1]),
        ("id in (9007199254740993, 0.0, 0.5)", [1, 3]),
        ("id < 2.5", [2, 3]),
        ("id >= -4.5", [0, 1, 3, 4]),
        ("id < 1e300", [0, 1, 2, 3, 4]),
        ("id < 100000000000000000000", [0, 1, 2, 3, 4]),
        ("id == wide * 0 + 7", [4]),
        ("reward > id", [2, 3]),
        ("big == 18446744073709551615", [0]),
        ("big == 18446744073709551615.0", []),
        ("big >= 9223372036854775808.0", [0, 1]),
        ("big - 1 > 5", [0, 1]),
        ("small == 300", []),
        ("small - 3 < -1", [0]),
        ("small in (-1, 2, 300)", [1]),
        ("flag == 1", [0, 2]),
        ("flag > 0.5", [0, 2]),
        ("3 in (1, 3) and flag", [0, 2]),
        ("isfinite(1/3) and flag", [0, 2]),
    ],
)
def test_comparison_in_the_precision_of_the_column(text, expected):
    assert np.flatnonzero(Expression(text).evaluate(COLUMNS.__getitem__)).tolist() == expected


SIGNS = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}


@given(
    st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=5),
    st.floats() | st.integers(-(2**53), 2**53).map(float),
    st.sampled_from(sorted(SIGNS)),
)
@settings(deadline=None, max_examples=60)
def test_integers_and_floats_compare_as_in_python(numbers, value, sign):
    """Python compares integers with floats exactly."""
    columns = {"n": np.array(numbers), "x": np.full(len(numbers), value)}
    found = Expression(f"n {sign} x").evaluate(columns.__getitem__).tolist()
    assert found == [SIGNS[sign](number, value) for number in numbers]
