"""CSV: cells, compression, and files of other tools."""

import bz2
import gzip

import numpy as np
import pytest
from data_examples import continuous_spec, dict_spec, make_columns
from real import real

from vinci_offline import Dataset
from vinci_offline.convert.conversion import read, write
from vinci_offline.convert.registry import recognise
from vinci_offline.convert.sources import packed, text
from vinci_offline.data.assembly.options import ImportOptions
from vinci_offline.errors import DatasetError, SpecError, UsageError

OPTIONS = ImportOptions(ends="terminal")


def table(tmp_path, content, name="t.csv"):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def small(rows=("0.5,0.1,1", "1.5,0.2,2")):
    return "".join(f"{row}\n" for row in ("observation_0,action_0,reward", *rows))


def test_plain_table(tmp_path):
    found = read(table(tmp_path, small()), options=OPTIONS).dataset
    assert found.columns["observations"].tolist() == [[0.5], [1.5]]
    assert found.columns["rewards"].tolist() == [1, 2]


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress])
def test_compression_is_told_by_content(tmp_path, pack):
    path = table(tmp_path, pack(small().encode()))
    assert recognise(path).name == "csv"
    assert len(read(path, options=OPTIONS).dataset) == 2


@pytest.mark.parametrize(
    "content",
    [
        "\ufeff" + small(),
        small().replace("\n", "\r\n"),
        small().replace("action_0", ' "action_0"').replace('" ', '"').replace(', "', ',"'),
        small() + "\n\n",
    ],
)
def test_dialects_of_other_tools(tmp_path, content):
    assert len(read(table(tmp_path, content), options=OPTIONS).dataset) == 2


def test_delimiter_setting(tmp_path):
    path = table(tmp_path, small().replace(",", "\t"))
    options = ImportOptions(ends="terminal", settings={"delimiter": "tab"})
    assert len(read(path, kind="csv", options=options).dataset) == 2
    with pytest.raises(UsageError, match="give one character, or tab"):
        read(path, kind="csv", options=ImportOptions(settings={"delimiter": "::"}))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("0.5,fast,1", "line 3: action_0 is 'fast', which is no number"),
        ("0.5,1_000,1", "line 3: action_0 is '1_000', which is no number"),
        ("0.5,1e999,1", "line 3: action_0 is '1e999', which is no number of 64 bits"),
        (f"0.5,0.1,{10**30 + 1}", "line 3: reward is '1000"),
        ("0.5,,1", "line 3: nothing in action_0: say what stands for it, as with --set missing=0"),
        ("0.5,0.1", "line 3 has 2 cells, the header 3"),
        ('0.5,"0.1,1', "check its quotes"),
    ],
)
def test_error_names_column_and_line(tmp_path, row, message):
    path = table(tmp_path, small(("0.5,0.1,1", row)))
    with pytest.raises(DatasetError, match=message) as caught:
        read(path, kind="csv", options=OPTIONS)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_fills_empty_cells(tmp_path):
    path = table(tmp_path, small(("0.5,,1", "NA,0.2,2")))
    found = read(path, options=ImportOptions(ends="terminal", settings={"missing": "nan"})).dataset
    np.testing.assert_array_equal(found.columns["observations"], [[0.5], [np.nan]])
    np.testing.assert_array_equal(found.columns["actions"], np.array([[np.nan], [0.2]], np.float32))
    with pytest.raises(UsageError, match="give a number, or nan"):
        read(path, options=ImportOptions(settings={"missing": "low"}))


def test_categories_number_texts(tmp_path):
    path = table(tmp_path, small(("0.5,up,1", "0.5,down,1", "0.5,up,0")).replace("action_0", "action"))
    options = ImportOptions(ends="terminal", settings={"categories": "action", "actions": "3"})
    found = read(path, options=options)
    assert found.dataset.columns["actions"].tolist() == [1, 0, 1]
    assert found.dataset.spec.action_space.n == 3
    assert "action: 2 texts became 0 … 1 in sorted order (down, up …)" in found.decisions
    with pytest.raises(UsageError, match="no such column is taken"):
        read(path, options=ImportOptions(settings={"categories": "act"}))


def test_late_fraction_makes_column_float(tmp_path):
    rows = [f"{index},0.1,1" for index in range(9000)]
    rows[-1] = "0.25,0.1,1"
    found = read(table(tmp_path, small(rows)), options=OPTIONS).dataset
    assert found.columns["observations"][-1, 0] == 0.25


def test_missing_last_line_end_is_noted(tmp_path):
    found = read(table(tmp_path, small().rstrip("\n")), options=OPTIONS)
    assert "the last line has no end, as where a file was cut short" in found.decisions


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty: a table has a header"),
        (small(()), "holds no rows"),
        (b"observation_0,action_0,reward\n\xff,1,1\n", "no text in UTF-8"),
        (gzip.compress(small().encode(), mtime=0)[:-9], "damaged"),
        (bz2.compress(small().encode())[:-9], "damaged"),
        ("reward,reward\n1,2\n", "several columns named reward"),
    ],
)
def test_error_for_other_content_is_one_line(tmp_path, content, message):
    path = table(tmp_path, content)
    with pytest.raises(DatasetError, match=message) as caught:
        read(path, kind="csv", options=OPTIONS)
    assert "\n" not in str(caught.value)
    assert path.name in str(caught.value)


def test_decompression_bomb_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(packed, "FREE_BYTES", 2**12)
    path = table(tmp_path, bz2.compress(small().encode() + b"\n" * 2**18))
    with pytest.raises(DatasetError, match="unfolds to more than 50 times its size"):
        read(path, kind="csv", options=OPTIONS)


def test_endless_line_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(text, "_LINE_CHARACTERS", 100)
    with pytest.raises(DatasetError, match="line 2 has more than 100 characters"):
        read(table(tmp_path, small(("1" * 200,))), kind="csv", options=OPTIONS)


def test_export_has_frame_header_and_same_bytes(tmp_path):
    spec = continuous_spec()
    dataset = Dataset.from_columns(make_columns(spec, [3, 2], infos=["cost"]), spec)
    for name in ("a.csv.gz", "b.csv.gz"):
        write(dataset, tmp_path / name)
    assert (tmp_path / "a.csv.gz").read_bytes() == (tmp_path / "b.csv.gz").read_bytes()
    header = gzip.decompress((tmp_path / "a.csv.gz").read_bytes()).decode().splitlines()[0]
    assert header.split(",") == list(dataset.to_pandas().columns)


def test_images_are_refused(tmp_path):
    spec = dict_spec()
    dataset = Dataset.from_columns(make_columns(spec, [3]), spec)
    with pytest.raises(
        SpecError, match=r"rows of observations/picture have shape \[4, 5, 3\]: choose --to vinci"
    ):
        write(dataset, tmp_path / "d.csv")
    assert not (tmp_path / "d.csv").exists()


def test_open_bandit_dataset():
    columns = {
        "observation": "user-item_affinity_*",
        "action": "item_id",
        "reward": "click",
        "propensity": "propensity_score",
        "position": "position",
    }
    options = ImportOptions(ends="terminal", columns=columns, settings={"actions": "34"})
    found = read(real("obd_random_men_men.csv.gz"), options=options).dataset
    assert found.columns["observations"].shape == (10_000, 34)
    assert found.columns["rewards"].mean() == pytest.approx(0.0046)
    np.testing.assert_allclose(found.columns["infos/action_log_probs"], np.log(1 / 34), rtol=1e-6)
    assert found.episode_columns["length"].tolist() == [1] * 10_000
    assert set(found.columns["infos/position"].tolist()) == {1, 2, 3}
