"""The directory of several seeds: claimed, read and cleared like a run."""

import pytest

from vinci_offline.errors import UsageError, VinciError
from vinci_offline.runs.seeds_directory import SeedsDirectory


@pytest.fixture
def seeds(tmp_path):
    directory = SeedsDirectory(tmp_path / "seeds")
    directory.claim([3, 4], resume=False, overwrite=False)
    return directory


def test_saved_summary_is_read_back(seeds):
    seeds.save([3, 4], {"steps": 7, "final_metrics": {"loss": None}})
    content = seeds.read()
    assert (content["seeds"], content["steps"], content["final_metrics"]) == ([3, 4], 7, {"loss": None})
    assert seeds.member(3).path == seeds.path / "seed-3"


def test_resume_adds_seeds_and_drops_none(seeds):
    seeds.claim([3, 4, 5], resume=True, overwrite=False)
    with pytest.raises(UsageError, match="resume with --seed 3 and --seeds 2 or more"):
        seeds.claim([4, 5], resume=True, overwrite=False)


def test_existing_seeds_need_resume_or_overwrite(seeds):
    with pytest.raises(UsageError, match="a run of several seeds: --resume goes on with it"):
        seeds.claim([1], resume=False, overwrite=False)
    seeds.claim([1], resume=False, overwrite=True)
    assert seeds.read()["seeds"] == [1]


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"seeds": ["x"]}'])
def test_damaged_file_is_named(seeds, text):
    (seeds.path / "seeds.json").write_text(text)
    with pytest.raises(VinciError, match=r"seeds\.json does not describe seeds"):
        seeds.read()


def test_overwrite_spares_other_folders(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="is no run"):
        SeedsDirectory(tmp_path).claim([0], resume=False, overwrite=True)
    assert (tmp_path / "notes.txt").exists()
