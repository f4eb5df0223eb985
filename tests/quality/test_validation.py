from __future__ import annotations

import h5py
import numpy as np
import pytest
from data_examples import (
    box,
    continuous_spec,
    dict_spec,
    discrete_spec,
    lengths,
    make_columns,
    save_as_given,
    seeds,
    specs,
)
from hypothesis import given, settings

from vinci_offline import Dataset, DatasetError, EnvironmentSpec
from vinci_offline.data.hdf5.writer import DatasetWriter
from vinci_offline.quality.validation import check, validate

LENGTHS = [4, 3, 5]


def save(folder, spec=None, **changes):
    """Save three sound episodes with some changed values; the stored table is that of the sound file."""
    spec = spec or continuous_spec()
    columns = make_columns(spec, LENGTHS, terminated=[True, False, False])
    for path, (index, value) in changes.items():
        columns[path.replace("__", "/")][index] = value
    return save_as_given(folder / "d.h5", spec, columns, {"length": LENGTHS})


def save_in(folder, **changes):
    folder.mkdir()
    return save(folder, **changes)


def told(path, **options):
    return [str(problem) for problem in validate(path, **options)]


@given(spec=specs, lengths=lengths, seed=seeds)
@settings(deadline=None, max_examples=30)
def test_recorded_files_are_sound(tmp_path_factory, spec, lengths, seed):
    path = tmp_path_factory.mktemp("sound") / "d.h5"
    Dataset.from_columns(make_columns(spec, lengths, seed), spec, {"length": lengths}).save(path)
    assert told(path) == []


@pytest.mark.parametrize("spec", [continuous_spec(), discrete_spec(start=-1), dict_spec()])
def test_sound_files_and_their_views(tmp_path, spec):
    path = save(tmp_path, spec)
    assert told(path) == []
    Dataset.open(path).rows([7, 8, 2, 11]).save(tmp_path / "rows.h5")
    Dataset.open(path).select_episodes([2, 0]).save(tmp_path / "episodes.h5")
    assert told(tmp_path / "rows.h5") == told(tmp_path / "episodes.h5") == []


def test_rows_without_episodes_are_sound(tmp_path):
    columns = make_columns(continuous_spec(), [1] * 6)
    columns["timeouts"][:] = False
    with DatasetWriter(tmp_path / "d.h5", continuous_spec()) as writer:
        writer.append(columns)
    assert told(tmp_path / "d.h5") == []


def test_non_finite_values(tmp_path):
    path = save(tmp_path, rewards=([5, 6], np.nan))
    (text,) = told(path)
    assert text.startswith("rewards row 5: 2 rows with NaN or infinite values; ")


def test_actions_outside_the_space(tmp_path):
    path = save(tmp_path, actions=((7, 1), 1.5))
    (text,) = told(path)
    assert text.startswith("actions row 7: 1 row outside the space, here [")


def test_actions_one_rounding_step_beyond_a_bound_are_inside(tmp_path):
    assert told(save(tmp_path, actions=((7, 1), np.nextafter(np.float32(1), np.float32(2))))) == []


def test_discrete_actions_outside_the_space(tmp_path):
    for value in (1, 6):
        (tmp_path / str(value)).mkdir()
        (text,) = told(save(tmp_path / str(value), discrete_spec(4, start=2), actions=(3, value)))
        assert text.startswith(f"actions row 3: 1 row outside the space, here {value}; ")


def test_both_flags(tmp_path):
    path = save(tmp_path, timeouts=(3, True))
    (text,) = told(path)
    assert text.startswith("terminals, timeouts row 3: 1 row both terminal and timeout")


def test_gap_in_an_episode(tmp_path, monkeypatch):
    path = save(tmp_path, next_observations=((5, 0), 99))
    for block in (2**24, 40):
        monkeypatch.setattr("vinci_offline.data.columns.BLOCK_BYTES", block)
        (text,) = told(path)
        assert text.startswith(
            "next_observations row 5: 1 row not continued by the following row, though the episode goes on"
        )


def test_row_after_a_timeout_is_another_episode(tmp_path):
    """The last transition of a truncated episode is kept, and the next row does not continue it."""
    path = save(tmp_path)
    with h5py.File(path) as file:
        assert file["timeouts"][6]
        assert not np.array_equal(file["next_observations"][6], file["observations"][7])
    assert told(path) == []


def test_gap_in_dict_observations(tmp_path):
    path = save(tmp_path, dict_spec(), next_observations__car__gear=(1, -1))
    assert [text.partition(":")[0] for text in told(path)] == [
        "next_observations/car/gear row 1",
        "next_observations/car/gear row 1",
    ]


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        (
            "start",
            [0, 5, 7],
            "metadata/episodes: episode 1 starts at row 5, not where the one before ends (4)",
        ),
        ("length", [4, 3, 6], "metadata/episodes: lengths add up to 13, and there are 12 rows"),
        ("length", [4, 8, 0], "metadata/episodes: episode 2 has length 0"),
        (
            "return",
            [1e3, 0, 0],
            "metadata/episodes/return episode 0: 3 episodes differ from their rewards' sum, here 1000",
        ),
        (
            "terminated",
            [True, True, False],
            "metadata/episodes/terminated episode 1: 1 episode differ from terminals",
        ),
        (
            "truncated",
            [False, False, True],
            "metadata/episodes/truncated episode 1: 1 episode differ from timeouts",
        ),
    ],
)
def test_wrong_episode_table(tmp_path, name, values, message):
    path = save(tmp_path)
    with h5py.File(path, "r+") as file:
        file[f"metadata/episodes/{name}"][:] = values
    assert any(text.startswith(message) for text in told(path)), told(path)


def test_episodes_that_go_on_past_an_end(tmp_path):
    path = save(tmp_path)
    with h5py.File(path, "r+") as file:
        for name in ("start", "length", "return", "terminated", "truncated", "fragment"):
            kept = file[f"metadata/episodes/{name}"][1:]
            if name == "start":
                kept[0] = 0
            if name == "length":
                kept[0] = 7
            del file[f"metadata/episodes/{name}"]
            file[f"metadata/episodes/{name}"] = kept
    texts = told(path)
    assert any(
        text.startswith("metadata/episodes row 3: 1 row where a flag ends an episode and the table does not")
        for text in texts
    )


def test_unfit_table_is_not_used(tmp_path):
    path = save(tmp_path)
    with h5py.File(path, "r+") as file:
        file["metadata/episodes/length"][:] = [4, 3, 6]
    dataset = Dataset.open(path)
    assert len(dataset.columns["rewards"]) == 12
    with pytest.raises(DatasetError, match=r"lengths add up to 13.*; remove the group"):
        dataset.episodes


def test_hash_mismatch(tmp_path):
    path = save(tmp_path)
    with h5py.File(path, "r+") as file:
        file["observations"][0, 0] += 1
    (text,) = told(path)
    assert text.startswith("attribute 'content_hash': the columns were changed after they were written; ")


def test_damage_found_by_reading(tmp_path):
    path = save(tmp_path)
    with h5py.File(path, "r+") as file:
        del file["terminals"]
        file["terminals"] = np.full(12, 3, np.uint8)
    texts = told(path)
    assert len(texts) == len(set(texts))
    assert any("terminals row 0 is 3, neither 0 nor 1" in text for text in texts)


def test_foreign_files(tmp_path):
    columns = make_columns(continuous_spec(), LENGTHS)
    with h5py.File(tmp_path / "d.hdf5", "w") as file:
        for name, values in columns.items():
            file[name] = values
    assert told(tmp_path / "d.hdf5") == []
    columns = make_columns(discrete_spec(), LENGTHS)
    with h5py.File(tmp_path / "e.hdf5", "w") as file:
        for name, values in columns.items():
            file[name] = values
    (text,) = told(tmp_path / "e.hdf5")
    assert "the number of discrete actions cannot be told" in text
    assert told(tmp_path / "e.hdf5", spec=discrete_spec()) == []


def test_missing_file_is_refused(tmp_path):
    with pytest.raises(DatasetError, match="does not exist"):
        validate(tmp_path / "nothing.h5")


def test_notes_are_no_problems(tmp_path):
    path = save(tmp_path, observations=((slice(None), 1), 4), rewards=(slice(None), 2))
    columns = dict(Dataset.open(path).columns)
    columns["next_observations"] = columns["next_observations"].copy()
    columns["next_observations"][:, 1] = 4
    path = Dataset.from_columns(columns, continuous_spec()).save(tmp_path / "e.h5").path
    report = check(path)
    assert report.sound
    assert [str(note).rpartition(";")[0] for note in report.notes] == [
        "observations: 1 dimension of 3 the same in every row, first dimension 1",
        "rewards: the same in every row",
    ]


def test_an_observation_beyond_a_bound_is_a_note(tmp_path):
    spec = EnvironmentSpec(box(2, low=-1, high=1), box(1, low=-1, high=1))
    columns = make_columns(spec, [5])
    columns["observations"][3, 0] = columns["next_observations"][2, 0] = 7
    report = check(Dataset.from_columns(columns, spec).save(tmp_path / "d.h5").path)
    assert report.sound
    assert [note.where for note in report.notes] == ["observations row 3", "next_observations row 2"]


def test_repairable_problems_are_marked(tmp_path):
    slight, far = (
        save_in(tmp_path / name, actions=((7, 1), value)) for name, value in (("a", 1.0005), ("b", 1.5))
    )
    assert [problem.repairable for problem in validate(slight)] == [True]
    assert [problem.repairable for problem in validate(far)] == [False]
    assert [problem.repairable for problem in validate(save_in(tmp_path / "c", timeouts=(3, True)))] == [True]


def test_findings_do_not_depend_on_blocks(tmp_path, monkeypatch):
    changes = {"rewards": ([2, 9], np.inf), "actions": ((7, 1), 1.5), "timeouts": (3, True)}
    path = save(tmp_path, **changes, next_observations=((5, 0), 99))
    with h5py.File(path, "r+") as file:
        file["metadata/episodes/return"][1] = 50
    whole = check(path)
    assert len(whole.problems) == 5
    for block in (1, 40, 100):
        monkeypatch.setattr("vinci_offline.data.columns.BLOCK_BYTES", block)
        assert check(path) == whole


@pytest.mark.parametrize("wide", [False, True])
def test_a_large_reward_is_finite(tmp_path, wide):
    """If a block's sum overflows, its rows are checked one by one."""
    columns = make_columns(continuous_spec(), LENGTHS)
    columns["rewards"] = np.full(12, 1e308 if wide else 3e38)
    Dataset.from_columns(columns, continuous_spec(), float64=wide).save(tmp_path / "d.h5")
    assert told(tmp_path / "d.h5") == []
