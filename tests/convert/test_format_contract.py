"""Every format against the contract."""

import pytest

from vinci_offline.convert.conversion import write
from vinci_offline.convert.registry import NAMES, find_format
from vinci_offline.errors import SpecError
from vinci_offline.testing.format_contract import (
    BOX,
    DICT,
    DISCRETE,
    TUPLE,
    FormatCase,
    FormatContract,
    example,
)

CASES = [
    FormatCase("vinci", "data.h5", BOX),
    FormatCase("vinci", "data.h5", DISCRETE),
    FormatCase("vinci", "data.h5", DICT),
    FormatCase("vinci", "data.h5", TUPLE),
    FormatCase("d4rl", "data.hdf5", BOX),
    FormatCase("d4rl", "data.hdf5", DISCRETE),
    FormatCase("d4rl", "data.hdf5", BOX, writing={"final_rows": "yes"}),
    FormatCase("d3rlpy", "dump.h5", BOX),
    FormatCase("d3rlpy", "dump.h5", DISCRETE),
    FormatCase("d3rlpy", "dump.h5", DICT),
    FormatCase("robomimic", "demos.hdf5", BOX),
    FormatCase("robomimic", "demos.hdf5", DICT),
    FormatCase("minari", "data-v0", BOX),
    FormatCase("minari", "data-v0", DISCRETE),
    FormatCase("minari", "data-v0", DICT),
    FormatCase("minari", "data-v0", BOX, writing={"storage": "arrow"}),
    FormatCase("minari", "data-v0", DISCRETE, writing={"storage": "parquet"}),
    FormatCase("minari", "data-v0", DICT, writing={"storage": "arrow"}),
    FormatCase("minari", "data-v0", TUPLE),
    FormatCase("minari", "data-v0", TUPLE, writing={"storage": "arrow"}),
    FormatCase("lerobot", "data", BOX, writing={"fps": "50"}),
    FormatCase("lerobot", "data", DISCRETE),
    FormatCase("lerobot", "data", DICT),
    FormatCase("lerobot", "data", TUPLE),
    FormatCase("npz", "data.npz", BOX),
    FormatCase("npz", "data.npz", DISCRETE),
    FormatCase("parquet", "data.parquet", BOX),
    FormatCase("parquet", "data.parquet", DISCRETE),
    FormatCase("parquet", "data.parquet", DICT),
    FormatCase("parquet", "data.parquet", TUPLE),
    FormatCase("rlds", "data", BOX),
    FormatCase("rlds", "data", DISCRETE),
    FormatCase("rlds", "data", DICT),
    FormatCase("rlds", "data", TUPLE),
    FormatCase("csv", "data.csv", BOX),
    FormatCase("csv", "data.csv", DISCRETE),
    FormatCase("csv", "data.csv.gz", DICT),
    FormatCase("csv", "data.csv", TUPLE),
    FormatCase("jsonl", "data.jsonl", BOX),
    FormatCase("jsonl", "data.jsonl.bz2", DISCRETE),
    FormatCase("jsonl", "data.jsonl", DICT),
    FormatCase("jsonl", "data.jsonl.gz", TUPLE),
]


@pytest.mark.parametrize("case", CASES, ids=str)
class TestFormats(FormatContract):
    pass


@pytest.mark.parametrize(("kind", "file"), [("d4rl", "data.hdf5"), ("npz", "data.npz")])
def test_flat_formats_refuse_dict_observations(kind, file, tmp_path):
    with pytest.raises(SpecError, match="holds no Dict observations"):
        write(example(DICT), tmp_path / file, kind=kind)


def test_every_format_is_in_the_suite():
    assert {case.kind for case in CASES} == {name for name in NAMES if find_format(name).writes}
