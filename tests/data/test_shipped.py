from __future__ import annotations

import pytest
from data_examples import continuous_spec, make_columns

from vinci_offline import Dataset, DatasetError
from vinci_offline.data import shipped


@pytest.fixture
def folder(tmp_path, monkeypatch):
    spec = continuous_spec()
    Dataset.from_columns(make_columns(spec, [3]), spec).save(tmp_path / "datasets" / "toy-mixed.h5")
    (tmp_path / "datasets" / "toy-mixed.md").write_text("# toy-mixed\n\nThree rows of nothing.\nMore.\n")
    monkeypatch.setattr(shipped, "_FOLDERS", (tmp_path / "absent", tmp_path / "datasets"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_names_resolve_to_files(folder):
    assert shipped.shipped_datasets() == {"toy-mixed": folder / "datasets" / "toy-mixed.h5"}
    assert len(Dataset.open("toy-mixed")) == 3
    assert shipped.summary_line("toy-mixed") == "Three rows of nothing."


def test_an_existing_path_wins(folder):
    (folder / "toy-mixed").write_text("mine")
    assert shipped.resolve("toy-mixed").read_text() == "mine"


def test_unknown_name_lists_shipped_datasets(folder):
    with pytest.raises(DatasetError, match=r"toy does not exist, and is no shipped dataset \(toy-mixed\)"):
        shipped.resolve("toy")


def test_shipped_datasets_are_sound_and_small():
    from vinci_offline.quality.validation import validate

    for name, path in shipped.shipped_datasets().items():
        assert validate(path) == [], name
        assert path.stat().st_size < 4_000_000, name
        assert shipped.summary_line(name), name
