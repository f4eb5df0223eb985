"""Files that ask for more than their bytes hold are refused in one line before they are read."""

import io
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vinci_offline import DatasetError, SpecError
from vinci_offline.convert import conversion
from vinci_offline.convert.minari.spaces import space_from_minari
from vinci_offline.convert.rlds.features import Feature
from vinci_offline.convert.sources.arrow_sizes import check_arrow
from vinci_offline.convert.sources.images import frames
from vinci_offline.convert.sources.parquet_sizes import check_parquet
from vinci_offline.convert.sources.text import next_lines
from vinci_offline.convert.sources.thrift import Thrift
from vinci_offline.data.assembly.context import ImportContext


def parquet(path, **columns):
    options = columns.pop("options", {})
    pq.write_table(pa.table(columns), path, **options)
    return path


def test_honest_tables_may_be_read(tmp_path):
    lists = [[0.1 * each, 2.0] for each in range(3000)]
    texts = [f"episode {each}" for each in range(3000)]
    for options in ({}, {"data_page_version": "2.0"}, {"compression": "zstd"}, {"use_dictionary": False}):
        path = parquet(tmp_path / "t.parquet", x=lists, t=texts, n=np.arange(3000), options=options)
        check_parquet(path, whole=True)
        check_parquet(path, ["x"], whole=False)


def test_packed_lists_are_refused_if_they_are_read(tmp_path):
    count = 3 * 10**5
    lists = pa.ListArray.from_arrays(
        np.arange(101, dtype=np.int32) * count, pa.array(np.zeros(100 * count, np.int8))
    )
    path = parquet(tmp_path / "t.parquet", x=lists, y=np.zeros(100))
    assert path.stat().st_size < 10_000
    check_parquet(path, ["y"], whole=True)
    for whole in (True, False):
        with pytest.raises(DatasetError, match=r"the column x takes 3\d\d MiB of memory, and the file has"):
            check_parquet(path, ["x"], whole=whole)


def test_a_packed_text_is_counted_for_each_row(tmp_path, monkeypatch):
    path = parquet(tmp_path / "t.parquet", t=["x" * 10**6] * 400)
    with pytest.raises(DatasetError, match=r"the column t takes 38\d MiB"):
        check_parquet(path, whole=True)
    monkeypatch.setenv("VINCI_OFFLINE_TRUST", "1")
    check_parquet(path, whole=True)


@pytest.mark.parametrize("cut", [0, 4, 20, 200])
def test_damaged_headers_are_one_line(tmp_path, cut):
    path = parquet(tmp_path / "t.parquet", x=np.arange(10))
    content = path.read_bytes()
    path.write_bytes(content[:cut] + content[-cut or -8 :])
    with pytest.raises(DatasetError, match="is no Parquet file, or damaged"):
        check_parquet(path, whole=True)


@pytest.mark.parametrize(
    "content",
    [b"", b"\x18\xff", b"\x19\xfc\xff\xff\xff\xff\x0f", b"\x1c" * 100, b"\x16" + b"\xff" * 20, b"\x1d\0"],
    ids=["nothing", "text", "list", "deep", "number", "type"],
)
def test_damaged_thrift_is_refused(content):
    with pytest.raises((IndexError, ValueError)):
        Thrift(content).struct()


def test_packed_buffers_of_arrow_are_counted(tmp_path):
    path = tmp_path / "t.arrow"
    for count, compression in ((10, None), (10, "lz4"), (4 * 10**7, "zstd")):
        values = pa.table({"x": np.zeros(count)})
        options = pa.ipc.IpcWriteOptions(compression=compression)
        with (
            pa.OSFile(str(path), "wb") as sink,
            pa.ipc.new_file(sink, values.schema, options=options) as writer,
        ):
            writer.write_table(values)
        if count == 10:
            check_arrow(path)
    with pytest.raises(DatasetError, match=r"the table.* takes 305 MiB"):
        check_arrow(path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DatasetError, match="is no Arrow file, or damaged"):
        check_arrow(path)


def zipped(path, **members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(f"{name}.npy", content)
    return path


def array(shape, content=b""):
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}}}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + content


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (array("(5, -1)"), r"an array of shape \(5, -1\)"),
        (array("(2, 9223372036854775807)"), "bytes cannot hold"),
        (b"\x93NUMPY\x02\x00\xff\xff\xff\x7f", "a header of 2,147,483,647 bytes"),
        (b"\x93NUMPY\x01\x00\x10\x27" + b"(" * 10_000, "no NumPy archive, or damaged"),
        (b"\x93NUMPY\x01\x00\x10\x00{'descr': '''   \n", "no NumPy archive, or damaged"),
    ],
)
def test_lying_arrays_are_refused(tmp_path, content, message):
    with pytest.raises(DatasetError, match=message) as caught:
        conversion.read(zipped(tmp_path / "t.npz", observations=content))
    assert str(caught.value).isprintable()


def test_members_twice_and_packed_otherwise_are_refused(tmp_path):
    path = zipped(tmp_path / "t.npz", rewards=array("(1,)", bytes(4)))
    with zipfile.ZipFile(path, "a") as file, pytest.warns(UserWarning, match="Duplicate"):
        file.writestr("rewards.npy", b"")
    with pytest.raises(DatasetError, match=r"has two members named rewards.npy"):
        conversion.read(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as file:
        file.writestr("rewards.npy", array("(1,)", bytes(4)))
    with pytest.raises(DatasetError, match="not packed as NumPy packs arrays"):
        conversion.read(path)


def test_names_that_climb_are_no_columns(tmp_path):
    rows = {name: np.zeros((4, 2), np.float32) for name in ("observations", "actions")}
    rows |= {"rewards": np.zeros(4, np.float32), "terminals": np.array([0, 1, 0, 1], np.bool_)}
    rows["timeouts"] = np.zeros(4, np.bool_)
    path = tmp_path / "t.npz"
    np.savez(path, **rows, **{"infos/../../x": np.zeros(4, np.float32)})
    imported = conversion.read(path)
    assert set(imported.dataset.columns) == {*rows, "next_observations"}


def test_many_episodes_in_few_bytes_are_refused(tmp_path):
    (tmp_path / "t").write_bytes(bytes(1000))
    context = ImportContext(tmp_path / "t")
    context.afford_episodes(10**6)
    with pytest.raises(DatasetError, match="the table of 5,000,000 episodes takes 954 MiB"):
        context.afford_episodes(5 * 10**6)
    ImportContext("the frame").afford_episodes(5 * 10**6)


def test_images_are_counted_before_they_are_decoded():
    from PIL import Image

    file = io.BytesIO()
    Image.new("RGB", (4, 5), (1, 2, 3)).save(file, "PNG")
    assert frames([file.getvalue()] * 2, (5, 4, 3), "here", ["PNG"]).sum() == 2 * 20 * 6
    with pytest.raises(
        DatasetError, match=r"the array of 3 images of shape \(20000, 20000, 3\) takes 3.4 GiB"
    ):
        frames([b""] * 3, (20_000, 20_000, 3), "here")
    Image.fromarray(np.full((5, 4), 300, np.uint16)).save(file := io.BytesIO(), "PNG")
    with pytest.raises(DatasetError, match="not of bytes"):
        frames([file.getvalue()], (5, 4), "here", ["PNG"])


def test_packed_values_are_counted_before_they_are_unfolded():
    class Packed:
        bytes_list = type("", (), {"value": [b"x"] * 100})

        def WhichOneof(self, name):
            return "bytes_list"

        def ByteSize(self):
            return 300

    with pytest.raises(DatasetError, match=r"100 values of shape \(10000000,\) takes 1.9 GiB"):
        Feature((10**7,), np.dtype(np.uint8), "zlib").unpack(Packed(), "here")


@pytest.mark.parametrize(
    "text",
    [
        '{"type": "MultiBinary", "n": 100000000000}',
        '{"type": "Box", "dtype": "float32", "shape": [100000, 100000], "low": 0, "high": 1}',
        '{"type": "Tuple", "subspaces": [' * 2000,
    ],
)
def test_huge_spaces_are_refused(text):
    with pytest.raises(SpecError, match="is no description of a space"):
        space_from_minari(text, "here")


def test_a_number_beyond_float64_is_no_infinity(tmp_path):
    path = tmp_path / "t.jsonl"
    row = '{"observation": 0.5, "action": 0.5, "terminal": true, "reward": '
    path.write_text(f"{row}1e999}}\n{row}2}}\n")
    with pytest.raises(DatasetError, match="line 1 has a number that no column of 64 bits holds"):
        conversion.read(path)


def test_blocks_of_long_lines_are_short():
    lines = iter(["x\n"] * 20 + ["y" * 2**20] * 40)
    assert len(next_lines(lines, 11)) == 11
    assert len(next_lines(lines, 1000)) < 40
    assert len(list(lines)) > 15
