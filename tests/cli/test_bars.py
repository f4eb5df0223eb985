import io
import sys

import pytest

from vinci_offline.cli.bars import bars


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [
        ("utf-8", ["", "▏", "██", "████"]),
        ("ascii", ["", "#", "##", "####"]),
        ("latin-1", ["", "#", "##", "####"]),
    ],
)
def test_bars_use_characters_of_the_encoding(monkeypatch, encoding, expected):
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding=encoding))
    assert bars([0, 1, 500, 1000], width=4) == expected


def test_bars_of_nothing_and_of_zeros():
    assert bars([]) == []
    assert bars([0, 0]) == ["", ""]
