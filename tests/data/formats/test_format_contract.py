"""Every format against the contract: a line each."""

import pytest

from vinci_offline.data.formats.registry import NAMES
from vinci_offline.testing.format_contract import BOX, DICT, DISCRETE, FormatCase, FormatContract

CASES = [
    FormatCase("vinci", "data.h5", BOX),
    FormatCase("vinci", "data.h5", DISCRETE),
    FormatCase("vinci", "data.h5", DICT),
    FormatCase("d4rl", "data.hdf5", BOX),
    FormatCase("d4rl", "data.hdf5", DISCRETE),
    FormatCase("d4rl", "data.hdf5", BOX, writing={"final_rows": "yes"}),
]


@pytest.mark.parametrize("case", CASES, ids=str)
class TestFormats(FormatContract):
    pass


def test_every_format_is_in_the_suite():
    assert {case.kind for case in CASES} == set(NAMES)
