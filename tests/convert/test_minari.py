"""Minari's folders: import, refusals, and cut episodes."""

import json

import h5py
import numpy as np
import pytest
from data_examples import box, continuous_spec, dict_spec, make_columns

from vinci_offline import Dataset, DatasetError, SpecError, UsageError
from vinci_offline.convert.conversion import read, write
from vinci_offline.convert.minari.spaces import space_from_minari, space_to_minari
from vinci_offline.data.assembly.options import ImportOptions
from vinci_offline.spec import DictSpace, DiscreteSpace, EnvironmentSpec

SPEC = continuous_spec()


@pytest.fixture
def dataset():
    columns = make_columns(SPEC, [5, 3, 4], terminated=[True, False, False], infos=["height", "speed"])
    return Dataset.from_columns(columns, SPEC, {"length": np.array([5, 3, 4]), "seed": np.array([7, 8, 9])})


@pytest.fixture
def folder(dataset, tmp_path):
    write(dataset, tmp_path / "walk-v0", kind="minari")
    return tmp_path / "walk-v0"


def edit(folder, change):
    with h5py.File(folder / "data" / "main_data.hdf5", "r+") as file:
        change(file)
    return folder


def replace_array(file, path, values):
    del file[path]
    file[path] = values


def describe(folder, **entries):
    path = folder / "data" / "metadata.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **entries}))
    return folder


def test_roundtrip_of_infos_seeds_and_returns(dataset, folder):
    found = read(folder).dataset
    for path in ("infos/height", "infos/speed"):
        np.testing.assert_array_equal(found.columns[path], dataset.columns[path])
    assert found.episode_columns["seed"].tolist() == [7, 8, 9]
    np.testing.assert_array_equal(found.episode_columns["return"], dataset.episode_columns["return"])


def test_infos_begin_with_a_reset_row(dataset, folder):
    with h5py.File(folder / "data" / "main_data.hdf5") as file:
        assert file["episode_1/infos/height"][0] == 0
        np.testing.assert_array_equal(
            file["episode_1/infos/height"][1:], dataset.columns["infos/height"][5:8]
        )


def test_infos_of_some_steps_are_left_out(folder):
    def change(file):
        del file["episode_1/infos/height"]
        file["episode_0/infos/word"] = ["text"] * 6
        replace_array(file, "episode_2/infos/speed", np.ones((5, 2)))

    imported = read(edit(folder, change))
    assert not any(path.startswith("infos/") for path in imported.dataset.columns)
    assert any("infos height, speed were left out" in decision for decision in imported.decisions)


def masked(dataset, masks):
    """Return the dataset with the masks of six observations of each episode, one more than its steps at most."""
    spans = [(0, 5), (5, 8), (8, 12)]
    own, after = (
        np.concatenate([masks[e, first : first + stop - start] for e, (start, stop) in enumerate(spans)])
        for first in (0, 1)
    )
    columns = {name: dataset.columns[name] for name in dataset.columns}
    return Dataset.from_columns({**columns, "infos/action_mask": own, "infos/next_action_mask": after}, SPEC)


def test_masks_of_actions_belong_to_the_observations_before_and_after(dataset, tmp_path):
    """Minari's info of a step has the mask of the observation that follows; the reset has the first."""
    masks = np.random.default_rng(0).random((3, 6, 4)) < 0.5
    given = masked(dataset, masks)
    write(given, tmp_path / "masks-v0", kind="minari")

    def look(file):
        np.testing.assert_array_equal(file["episode_1/infos/action_mask"], masks[1, :4])
        assert "next_action_mask" not in file["episode_1/infos"]

    found = read(edit(tmp_path / "masks-v0", look)).dataset
    for path in ("infos/action_mask", "infos/next_action_mask"):
        np.testing.assert_array_equal(found.columns[path], given.columns[path])

    def without_reset(file):
        replace_array(file, "episode_2/infos/action_mask", masks[2, 1:5])

    found = read(edit(tmp_path / "masks-v0", without_reset)).dataset
    assert "infos/action_mask" not in found.columns
    np.testing.assert_array_equal(
        found.columns["infos/next_action_mask"], given.columns["infos/next_action_mask"]
    )


def test_unknown_end_needs_ends_option(folder):
    edit(folder, lambda file: replace_array(file, "episode_1/truncations", np.zeros(3, bool)))
    with pytest.raises(UsageError, match=r"episode_1\) does not say.*--ends"):
        read(folder)
    found = read(folder, options=ImportOptions(ends="terminal")).dataset
    assert found.episode_columns["terminated"].tolist() == [True, True, False]
    limited = read(folder, options=ImportOptions(ends="limit", time_limit=3)).dataset
    assert limited.episode_columns["truncated"].tolist() == [False, True, True]


def test_terminal_wins_over_timeout(folder):
    imported = read(edit(folder, lambda file: replace_array(file, "episode_0/truncations", [0, 0, 0, 0, 1])))
    assert imported.dataset.columns["terminals"][4]
    assert not imported.dataset.columns["timeouts"][4]
    assert any("1 steps both terminated" in decision for decision in imported.decisions)


def test_episode_is_cut_after_its_end(dataset, folder):
    imported = read(edit(folder, lambda file: replace_array(file, "episode_0/terminations", [0, 1, 0, 0, 1])))
    table = imported.dataset.episode_columns
    assert table["length"].tolist() == [2, 3, 3, 4]
    assert table["terminated"].tolist() == [True, True, False, False]
    np.testing.assert_array_equal(
        imported.dataset.columns["next_observations"], dataset.columns["next_observations"]
    )
    assert any("were cut there (1)" in decision for decision in imported.decisions)


def test_episodes_with_gaps_are_written_in_pieces(dataset, tmp_path):
    exported = write(dataset.rows([0, 1, 3, 4, 5, 6, 7]), tmp_path / "part-v0", kind="minari")
    found = read(tmp_path / "part-v0").dataset
    assert found.episode_columns["length"].tolist() == [2, 2, 3]
    assert found.episode_columns["terminated"].tolist() == [False, True, False]
    np.testing.assert_array_equal(
        found.columns["next_observations"], dataset.columns["next_observations"][[0, 1, 3, 4, 5, 6, 7]]
    )
    assert "that 2 episodes are fragments: taken for whole by readers" in exported.lost


def test_episodes_without_a_step_are_counted(folder):
    def change(file):
        for name in ("actions", "rewards", "terminations", "truncations"):
            values = file[f"episode_1/{name}"][:0]
            replace_array(file, f"episode_1/{name}", values)

    imported = read(edit(folder, change))
    assert imported.dropped == {"episodes without a step": 1}
    assert imported.dataset.episode_columns["length"].tolist() == [5, 4]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda file: replace_array(file, "episode_1/observations", np.zeros((3, 3))),
            r"episode_1: observations",
        ),
        (
            lambda file: replace_array(file, "episode_2/actions", np.zeros((4, 9))),
            r"episode_2: actions .*\(4, 9\)",
        ),
        (lambda file: replace_array(file, "episode_0/terminations", [0, 0, 0, 0, 3]), "neither 0 nor 1"),
        (lambda file: file.pop("episode_1"), "has no episode_1"),
        (lambda file: file["episode_0"].pop("rewards"), "episode_0/rewards is missing"),
    ],
)
def test_error_names_episode(folder, change, message):
    with pytest.raises(DatasetError, match=message):
        read(edit(folder, change))


def test_uncounted_episodes_are_left_out(folder):
    imported = read(describe(folder, total_episodes=2))
    assert imported.dataset.episode_columns["length"].tolist() == [5, 3]
    assert any("1 episodes were left out" in decision for decision in imported.decisions)


@pytest.mark.parametrize(
    ("entries", "error", "message"),
    [
        ({"observation_space": '{"type": "Text"}'}, SpecError, "Text spaces cannot be columns"),
        ({"observation_space": "{" * 9}, SpecError, "observation_space is no description"),
        ({"action_space": '{"type": "Dict", "subspaces": ' * 5000}, SpecError, "action_space is no"),
        ({"action_space": None}, SpecError, "action_space is no"),
        ({"total_episodes": "many"}, DatasetError, "total_episodes is no count"),
        ({"total_episodes": 10**15}, DatasetError, "has no episode_3"),
        ({"env_spec": "{"}, DatasetError, "env_spec is not JSON"),
        ({"data_format": "cassette"}, DatasetError, "cassette cannot be read"),
    ],
)
def test_damaged_metadata_is_one_line(folder, entries, error, message):
    with pytest.raises(error, match=message) as caught:
        read(describe(folder, **entries))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000])
def test_metadata_must_be_a_json_object(folder, text):
    (folder / "data" / "metadata.json").write_text(text)
    with pytest.raises(DatasetError, match=r"the file is damaged|levels deep"):
        read(folder, kind="minari")


def test_environment_must_match_spaces(folder):
    with pytest.raises(SpecError, match="action_space given is not the dataset's"):
        read(folder, options=ImportOptions(spec=EnvironmentSpec(SPEC.observation_space, DiscreteSpace(2))))


def test_environment_is_kept(tmp_path):
    spec = EnvironmentSpec(box(3, low=-8, high=8), box(1, low=-2, high=2), "Pendulum-v1", {"g": 9.0}, 50)
    written = Dataset.from_columns(make_columns(spec, [4]), spec)
    exported = write(written, tmp_path / "pendulum-v0", kind="minari")
    assert not exported.lost
    assert read(tmp_path / "pendulum-v0").dataset.spec == spec


def test_unregistered_environment_is_lost(dataset, tmp_path):
    exported = write(dataset, tmp_path / "walk-v0", kind="minari")
    assert any("the environment Test-v0" in line for line in exported.lost)
    assert read(tmp_path / "walk-v0").dataset.spec.id is None


def test_roundtrip_of_nested_dict_observations(tmp_path):
    spec = dict_spec()
    written = Dataset.from_columns(make_columns(spec, [3, 2]), spec)
    write(written, tmp_path / "car-v0", kind="minari")
    found = read(tmp_path / "car-v0").dataset
    assert found.spec.observation_space == spec.observation_space
    np.testing.assert_array_equal(
        found.columns["next_observations/car/gear"], written.columns["next_observations/car/gear"]
    )


def test_roundtrip_of_spaces():
    space = DictSpace(
        {"a": box(2, 2, dtype="float64", low=-1), "b": DiscreteSpace(3, -1), "c": DictSpace({"d": box()})}
    )
    assert space_from_minari(space_to_minari(space), "here") == space


@pytest.mark.parametrize("name", ["walk", "wa lk-v0", "walk-v", "walk.v0"])
def test_invalid_id_is_refused(dataset, tmp_path, name):
    with pytest.raises(UsageError, match="is no Minari id"):
        write(dataset, tmp_path / name, kind="minari")
    assert not list(tmp_path.iterdir())


def test_id_is_path_below_root_or_given(dataset, tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "root"))
    write(dataset, tmp_path / "root" / "ab" / "walk-v0", kind="minari")
    entries = json.loads((tmp_path / "root" / "ab" / "walk-v0" / "data" / "metadata.json").read_text())
    assert entries["dataset_id"] == "ab/walk-v0"
    kept = tmp_path / "other" / "bc" / "walk-v0"
    write(dataset, kept, kind="minari", settings={"dataset_id": "bc/walk-v0"})
    assert json.loads((kept / "data" / "metadata.json").read_text())["dataset_id"] == "bc/walk-v0"
    with pytest.raises(UsageError, match="finds bc/walk-v0 in a folder of that name"):
        write(dataset, tmp_path / "walk-v0", kind="minari", settings={"dataset_id": "bc/walk-v0"})


def test_other_folder_is_never_replaced(dataset, folder):
    (folder / "thesis.tex").write_text("ten years of work")
    with pytest.raises(UsageError, match="is not a Minari dataset alone"):
        write(dataset, folder, kind="minari", overwrite=True)
    assert (folder / "thesis.tex").read_text() == "ten years of work"


def test_roundtrip_of_remarks(folder, tmp_path):
    imported = read(describe(folder, algorithm_name="SAC", author=["A", "B"]))
    assert imported.dataset.attributes["minari"]["author"] == ["A", "B"]
    write(imported.dataset, tmp_path / "again-v0", kind="minari")
    entries = json.loads((tmp_path / "again-v0" / "data" / "metadata.json").read_text())
    assert (entries["algorithm_name"], entries["dataset_id"]) == ("SAC", "again-v0")


def test_unknown_storage_is_refused(dataset, tmp_path):
    with pytest.raises(UsageError, match="storage=tape: there are hdf5, arrow, parquet"):
        write(dataset, tmp_path / "walk-v0", kind="minari", settings={"storage": "tape"})
