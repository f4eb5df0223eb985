"""CSV as other people write it: what is certain is found, what is not is asked for."""

import io
import lzma
import zipfile

import numpy as np
import pyarrow as pa
import pytest

from vinci_offline.convert.conversion import read
from vinci_offline.convert.registry import recognise
from vinci_offline.convert.tables.cell_lists import entries
from vinci_offline.data.assembly.options import ImportOptions
from vinci_offline.errors import DatasetError, UsageError
from vinci_offline.spec import MultiDiscreteSpace

PLAIN = "observation_0,action_0,reward\n0.5,0.1,1\n1234.5,0.2,2\n"
SEMICOLONS = PLAIN.replace(",", ";")


def convert(tmp_path, content, columns=None, name="t.csv", **settings):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read(
        path, kind="csv", options=ImportOptions(ends="terminal", columns=columns or {}, settings=settings)
    )


def observations(found):
    return found.dataset.columns["observations"].tolist()


def zipped(content, names=("t.csv",)):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(name, content)
    return file.getvalue()


def zstandard(content):
    return pa.compress(content, "zstd", asbytes=True)


@pytest.mark.parametrize(
    ("content", "decision"),
    [
        (PLAIN.replace(",", ";"), "separated by semicolon"),
        (PLAIN.replace(",", "\t"), "separated by tab"),
        (PLAIN.replace(",", "|"), "separated by |"),
        (PLAIN.replace(",", ";").replace(".", ","), "the decimal sign is the comma, as in 0,5"),
        (
            PLAIN.replace(",", ";").replace("1234.5", "1.234,5").replace("0.", "0,"),
            "decimal sign is the comma",
        ),
        (PLAIN.replace("1234.5", '"1,234.5"'), "commas separate thousands, as in 1,234.5"),
        ("# by hand\n" + PLAIN.replace("1234", "# seen\n1234"), "lines that begin with # are comments"),
        (PLAIN.encode("utf-16"), "UTF-16"),
    ],
)
def test_what_is_certain_is_found_and_said(tmp_path, content, decision):
    found = convert(tmp_path, content)
    assert observations(found) == [[0.5], [1234.5]]
    assert any(decision in each for each in found.decisions)
    assert recognise(tmp_path / "t.csv").name == "csv"


@pytest.mark.parametrize(
    ("content", "message", "settings", "values"),
    [
        (SEMICOLONS.replace("1234.5", "1,234"), "decimal=, or --set thousands=,", {"thousands": ","}, 1234),
        (SEMICOLONS.replace("0.", "0,").replace("1234.5", "1.234"), "thousands=[.]", {"thousands": "."}, 1234),
        ("observation_0;action_0;reward\n0,5;0,1;1\n1.5;0.2;2\n", "disagree about the decimal sign", None, None),
        (PLAIN.split("\n", 1)[1], "first line holds numbers alone: say --set header=no", {"header": "no"}, 1234.5),
        ("# " + PLAIN, "begins with # and has as many cells as a row: say --set comment=#", None, None),
        ("a;b,c;d\n1;2,3;4\n", "separator=semicolon or --set separator=comma", None, None),
    ],
)  # fmt: skip
def test_what_is_not_certain_is_asked_for(tmp_path, content, message, settings, values):
    columns = {"observation": "column_0", "action": "column_1", "reward": "column_2"}
    columns = columns if settings == {"header": "no"} else None
    with pytest.raises(UsageError, match=message):
        convert(tmp_path, content)
    if settings is not None:
        assert observations(convert(tmp_path, content, columns, **settings)) == [[0.5], [values]]


@pytest.mark.parametrize(
    "setting", [{"decimal": ";"}, {"decimal": ",", "thousands": ","}, {"header": "maybe"}]
)
def test_wrong_settings_are_refused(tmp_path, setting):
    with pytest.raises(UsageError, match=f"--set {next(iter(setting))}"):
        convert(tmp_path, PLAIN, **setting)


def test_settings_are_obeyed(tmp_path):
    assert observations(convert(tmp_path, PLAIN.replace(",", ":"), separator=":")) == [[0.5], [1234.5]]
    text = "%x\n" + PLAIN.replace("1234", "%1,2,3\n1234")
    assert observations(convert(tmp_path, text, comment="%")) == [[0.5], [1234.5]]
    text = PLAIN.replace(",", ";").replace("1234.5", "1'234.5")
    assert observations(convert(tmp_path, text, thousands="'")) == [[0.5], [1234.5]]


@pytest.mark.parametrize(("cell", "decimal"), [("1.5", ","), ("1,5", ".")])
def test_a_later_number_written_otherwise_names_its_line(tmp_path, cell, decimal):
    rows = "".join(f"{value}{decimal}5;0;1\n" for value in range(300))
    with pytest.raises(
        DatasetError, match=f"line 302: observation_0 is '{cell}', which is no number as the others"
    ):
        convert(tmp_path, f"observation_0;action_0;reward\n{rows}{cell};0;1\n")


def test_a_late_line_with_a_mark_is_not_left_out_in_silence(tmp_path):
    text = PLAIN + "0.5,0.1,1\n" * 300
    with pytest.raises(DatasetError, match="line 304 has 2 cells, the header 3"):
        convert(tmp_path, f"{text}#5,1\n")
    assert len(convert(tmp_path, f"{text}#5,1\n", comment="#").dataset) == 302


def test_encoding_is_asked_for(tmp_path):
    content = PLAIN.replace("reward\n", "reward,grüße\n").replace("1\n", "1,3\n").replace("2\n", "2,4\n")
    with pytest.raises(DatasetError, match=r"no text in UTF-8 .*--set encoding=latin-1"):
        convert(tmp_path, content.encode("latin-1"))
    assert recognise(tmp_path / "t.csv").name == "csv"
    found = convert(tmp_path, content.encode("latin-1"), encoding="latin-1")
    assert found.dataset.columns["infos/grüße"].tolist() == [3, 4]
    for wrong in ("rot13", "unicode_escape", "nothing"):
        with pytest.raises(UsageError, match=f"--set encoding={wrong}: give utf-8"):
            convert(tmp_path, PLAIN, encoding=wrong)


@pytest.mark.parametrize("pack", [lzma.compress, zstandard, zipped])
def test_packed_files(tmp_path, pack):
    packed = pack(PLAIN.encode())
    assert observations(convert(tmp_path, packed)) == [[0.5], [1234.5]]
    assert recognise(tmp_path / "t.csv").name == "csv"
    with pytest.raises(DatasetError, match=r"damaged|no comma|empty"):
        convert(tmp_path, packed[:-20])


def test_xz_streams_one_after_the_other(tmp_path):
    first, rest = PLAIN[:40].encode(), PLAIN[40:].encode()
    assert observations(convert(tmp_path, lzma.compress(first) + lzma.compress(rest))) == [[0.5], [1234.5]]


def test_a_zip_of_several_files_is_refused(tmp_path):
    with pytest.raises(DatasetError, match="holds 2 files, and not one text table alone: unpack it"):
        convert(tmp_path, zipped(PLAIN, ("a.csv", "b.csv")))


@pytest.mark.parametrize("pack", [lzma.compress, zstandard])
def test_packed_bombs_are_refused(tmp_path, pack):
    with pytest.raises(DatasetError, match="unfolds to more than 50 times its size"):
        convert(tmp_path, pack(PLAIN.encode() + b"\n" * 2**23))


@pytest.mark.parametrize(
    ("cell", "found"),
    [
        ("[0.1, -2]", ["0.1", "-2"]),
        ("0.1 0.2", ["0.1", "0.2"]),
        ("[0.1 0.2\n 3.]", ["0.1", "0.2", "3."]),
        ("(1e-5, nan)", ["1e-5", "nan"]),
        ("[np.float32(0.1), np.float64(2.0)]", ["0.1", "2.0"]),
        ("array([0.1, 0.2], dtype=float32)", ["0.1", "0.2"]),
        ("[0.5]", ["0.5"]),
        ("0.5", None),
        ("[]", None),
        ("[[1, 2]]", None),
        ("[1, __import__('os')]", None),
        ("up down", None),
        ("1,234", None),
        ("[1, 2", None),
        ("2024-05-01 10:00", None),
    ],
)
def test_lists_in_cells(cell, found):
    assert entries(cell) == found


def test_lists_become_vectors(tmp_path):
    text = 'obs,action,reward\n"[0.5, 1]",0.1 0.2,1\n"[np.float32(1.5), 2]",0.3 0.4,2\n'
    found = convert(tmp_path, text, {"observation": "obs"})
    assert observations(found) == [[0.5, 1], [1.5, 2]]
    np.testing.assert_array_equal(found.dataset.columns["actions"], np.float32([[0.1, 0.2], [0.3, 0.4]]))


@pytest.mark.parametrize(
    ("cell", "message"), [("[1]", "has 1 numbers, the first row 2"), ("[1, x]", "no list of 2")]
)
def test_a_list_of_another_kind_names_its_line(tmp_path, cell, message):
    rows = '"[1, 2]",0,1\n' * 250
    with pytest.raises(DatasetError, match=rf"line 252: observation.* {message}"):
        convert(tmp_path, f'observation,action_0,reward\n{rows}"{cell}",0,1\n')


CHOICES = 'observation_0,{name},reward\n5,"3,7",1\n6,"19,2",1\n7,"0, 1",1\n'


@pytest.mark.parametrize(("name", "columns"), [("action", {}), ("acts", {}), ("drug", {"action": "drug"})])
def test_several_choices_in_a_cell(tmp_path, name, columns):
    text = CHOICES.format(name=name)
    found = convert(tmp_path, text, columns, actions="20,20").dataset
    assert found.columns["actions"].tolist() == [[3, 7], [19, 2], [0, 1]]
    assert found.spec.action_space == MultiDiscreteSpace((2,), "int64", np.array([0, 0]), np.array([19, 19]))
    with pytest.raises(DatasetError, match=r"line 3: \w+ has 3 numbers, the first row 2"):
        convert(tmp_path, text.replace("19,2", "19,2,1"), columns, actions="20,20")


def test_whole_numbers_with_a_comma_are_asked_for_in_actions(tmp_path):
    """They were taken for one amount with a decimal comma."""
    text = CHOICES.format(name="action").replace("0, 1", "0,1")
    with pytest.raises(
        UsageError, match=r"action is '3,7': say --set actions=N,N if .* or --set decimal=, if"
    ):
        convert(tmp_path, text)
    found = convert(tmp_path, text, decimal=",").dataset
    np.testing.assert_array_equal(found.columns["actions"], np.float32([[3.7], [19.2], [0.1]]))
