"""One definition of "row t + 1 continues row t", and every part of the package that asks for it."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from data_examples import box, continuous_spec, dict_spec, make_columns
from typer.testing import CliRunner

from vinci_offline import Dataset, DatasetError, EnvironmentSpec
from vinci_offline.batches.reader import ColumnReader
from vinci_offline.cli.app import app
from vinci_offline.convert.trajectories import pieces
from vinci_offline.curate.relabel import Relabelling, relabel
from vinci_offline.data import continuity
from vinci_offline.quality.repair import repair
from vinci_offline.quality.validation import validate
from vinci_offline.spec import DictSpace

ROWS = 6
BREAK = 2
"""The row whose next observation is changed."""


def spec():
    """Return a spec with the keys of a goal environment, which every caller takes."""
    parts = {name: box(2) for name in ("achieved_goal", "desired_goal", "observation")}
    return EnvironmentSpec(DictSpace(parts), box(1, low=-1, high=1), id="Goal-v0")


def columns_with(change):
    """Return one episode whose row `BREAK` leads to ``change(next observation)``; all other rows continue."""
    columns = make_columns(spec(), [ROWS])
    columns["actions"] = np.zeros((ROWS, 1), np.float32)
    columns["observations/observation"][BREAK + 1] = [1.0, 1000.0]
    columns["next_observations/observation"][BREAK] = change(np.array([1.0, 1000.0], np.float32))
    return columns


def dataset_with(change):
    return Dataset.from_columns(columns_with(change), spec(), {"length": [ROWS]})


class Never:
    """Reward of zero without terminals, for relabelling."""

    def rewards(self, achieved, desired):
        return np.zeros(len(achieved), np.float32)

    def terminals(self, achieved, desired):
        return np.zeros(len(achieved), bool)

    def reached(self, achieved, desired):
        return None


def n_step_joins(change, tmp_path):
    columns = columns_with(change)
    flat = {path: columns[path] for path in ("actions", "rewards", "terminals", "timeouts")}
    flat |= {root: columns[f"{root}/observation"] for root in ("observations", "next_observations")}
    flat["rewards"] = np.ones(ROWS, np.float32)
    box_spec = EnvironmentSpec(box(2), box(1, low=-1, high=1))
    reader = ColumnReader(Dataset.from_columns(flat, box_spec, {"length": [ROWS]}), gamma=0.5, n_step=2)
    return np.flatnonzero(reader.read(0, ROWS)["reward"] > 1)


def validate_joins(change, tmp_path):
    path = dataset_with(change).save(tmp_path / "d.h5").path
    found = [finding for finding in validate(path) if "not continued by" in finding.what]
    assert all(finding.where == f"next_observations/observation row {BREAK}" for finding in found)
    return np.setdiff1d(np.arange(ROWS - 1), BREAK if found else [])


def repair_joins(change, tmp_path):
    path = dataset_with(change).save(tmp_path / "d.h5").path
    repaired = Dataset.open(repair(path, tmp_path / "r.h5").output)
    return np.flatnonzero(~repaired.columns["timeouts"])


def trajectory_joins(change, tmp_path):
    start, length, _ = pieces(dataset_with(change))
    return np.setdiff1d(np.arange(ROWS), start + length - 1)


def relabel_joins(change, tmp_path):
    """Goals of later rows are drawn up to the end of a run: with enough copies each one is drawn."""
    dataset = dataset_with(change)
    dataset = Dataset.from_columns({**dataset.columns, "rewards": np.zeros(ROWS)}, spec(), {"length": [ROWS]})
    found = relabel(dataset, Relabelling("future", 60), Never()).dataset
    goals = found.columns["observations/desired_goal"][ROWS:].reshape(60, ROWS, 2)
    achieved = dataset.columns["next_observations/achieved_goal"]
    reached = [(goals[:, row] == achieved[row + 1]).all(axis=-1).any() for row in range(ROWS - 1)]
    return np.flatnonzero(reached)


def imported_joins(source, *options):
    result = CliRunner().invoke(
        app, ["convert", str(source), str(source.with_suffix(".imported.h5")), *options]
    )
    assert result.exit_code == 0, result.output
    return np.flatnonzero(~Dataset.open(source.with_suffix(".imported.h5")).columns["timeouts"])


def d4rl_joins(change, tmp_path):
    columns = columns_with(change)
    with h5py.File(tmp_path / "d4rl.h5", "w") as file:
        for path in ("actions", "rewards", "terminals"):
            file[path] = columns[path]
        for root in ("observations", "next_observations"):
            file[root] = columns[f"{root}/observation"]
    return imported_joins(tmp_path / "d4rl.h5", "--from", "d4rl")


def imitation_joins(change, tmp_path):
    columns = columns_with(change)
    np.savez(
        tmp_path / "transitions.npz",
        obs=columns["observations/observation"],
        next_obs=columns["next_observations/observation"],
        acts=columns["actions"],
        rews=columns["rewards"],
        dones=np.zeros(ROWS, bool),
        infos=np.zeros(ROWS),
    )
    return imported_joins(tmp_path / "transitions.npz")


def table_joins(change, tmp_path):
    columns = columns_with(change)
    roots = {"observations": "observation", "next_observations": "next_observation"}
    parts = {
        f"{name}_{i}": columns[f"{root}/observation"][:, i] for root, name in roots.items() for i in range(2)
    }
    parts |= {"action_0": columns["actions"][:, 0], "reward": columns["rewards"], "terminal": np.zeros(ROWS)}
    lines = [
        ",".join(parts),
        *(",".join(map(repr, row)) for row in zip(*map(np.ndarray.tolist, parts.values()), strict=True)),
    ]
    (tmp_path / "d.csv").write_text("\n".join(lines))
    return imported_joins(tmp_path / "d.csv")


CALLERS = [
    n_step_joins,
    validate_joins,
    repair_joins,
    trajectory_joins,
    relabel_joins,
    d4rl_joins,
    imitation_joins,
    table_joins,
]
EQUAL = {
    "the same": lambda x: x,
    "the last bit": lambda x: np.nextafter(x, np.float32(2e9)),
    "just within the absolute tolerance": lambda x: x + np.float32([10.9e-6, 0]),
    "just within the relative tolerance": lambda x: x + np.float32([0, 0.0099]),
}
UNEQUAL = {
    "just beyond the absolute tolerance": lambda x: x + np.float32([11.3e-6, 0]),
    "just beyond the relative tolerance": lambda x: x + np.float32([0, 0.0102]),
    "another observation": lambda x: -x,
}


@pytest.mark.parametrize("change", EQUAL.values(), ids=EQUAL)
@pytest.mark.parametrize("joins", CALLERS)
def test_rounding_does_not_break_an_episode(joins, change, tmp_path):
    assert joins(change, tmp_path).tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("change", UNEQUAL.values(), ids=UNEQUAL)
@pytest.mark.parametrize("joins", CALLERS)
def test_another_observation_breaks_an_episode(joins, change, tmp_path):
    assert joins(change, tmp_path).tolist() == [0, 1, 3, 4]


@pytest.mark.parametrize("name", [*EQUAL, *UNEQUAL])
def test_frames_stored_once_lose_no_bit(name, tmp_path):
    """The writer asks for equal bytes: it may store one frame only where both columns are the same."""
    dataset = dataset_with({**EQUAL, **UNEQUAL}[name])
    saved = dataset.save(tmp_path / "d.h5", frames="once")
    assert saved == dataset
    with h5py.File(saved.path) as file:
        extra = 0 if name == "the same" else 1
        assert len(file["metadata/frames/observations/observation"]) == ROWS + 1 + extra


def test_nan_and_infinities_equal_themselves():
    nan, inf = np.nan, np.inf
    following = np.array([[nan, 1], [nan, 1], [inf, 1], [inf, 1], [3e38, 1]], np.float32)
    observed = np.array([[nan, 1], [0, 1], [inf, 1], [-inf, 1], [-3e38, 1]], np.float32)
    assert continuity.continues(following, observed).tolist() == [True, False, True, False, False]


def test_integers_must_be_equal():
    """A relative tolerance would take neighbouring states of a large Discrete space for one."""
    observed = np.array([200_000, 200_000, -1])
    assert continuity.continues(np.array([200_001, 200_000, -1]), observed).tolist() == [False, True, True]
    pixels = np.full((2, 4, 4, 3), 255, np.uint8)
    changed = pixels.copy()
    changed[1, 2, 3, 0] = 254
    assert continuity.continues(changed, pixels).tolist() == [True, False]


def test_exact_comparison_is_of_bytes():
    following = np.array([0.0, np.nan, 1.0], np.float32)
    observed = np.array([-0.0, np.nan, 1.0], np.float32)
    assert continuity.continues_exactly(following, observed).tolist() == [False, True, True]
    assert continuity.continues(following, observed).tolist() == [True, True, True]


def test_unlike_shapes_are_refused():
    with pytest.raises(
        DatasetError, match=r"shape \(1,\) cannot be compared with observations of shape \(\)"
    ):
        continuity.continues(np.zeros((3, 1)), np.zeros(3))


@pytest.mark.parametrize("block", [40, 2**22])
def test_whole_datasets_are_compared_in_blocks(block, monkeypatch, tmp_path):
    """A flag, the table and an observation end a run each; blocks of any size find the same."""
    columns = make_columns(dict_spec(), [4, 5, 6])
    columns["next_observations/car/speed"][6] += 1
    columns["timeouts"][:] = False
    columns["timeouts"][11] = True
    path = Dataset.from_columns(columns, dict_spec(), {"length": [4, 11]}).save(tmp_path / "d.h5").path
    monkeypatch.setattr("vinci_offline.data.columns.BLOCK_BYTES", block)
    monkeypatch.setattr("vinci_offline.data.continuity._BLOCK_BYTES", block)
    dataset = Dataset.open(path)
    table = dataset.episode_columns
    start, length = continuity.runs(dataset.columns, table["start"] + table["length"] - 1)
    # Rows 8 and 9 do not fit each other either: they were the ends of two episodes.
    assert start.tolist() == [0, 4, 7, 9, 12]
    assert length.tolist() == [4, 3, 2, 3, 3]
    assert not dataset.columns._loaded


def test_n_step_reads_in_parts_as_it_reads_at_once():
    """The row after a part decides whether its last row goes on."""
    spec = continuous_spec()
    columns = make_columns(spec, [7, 5], terminated=[True, False])
    columns["next_observations"] += np.float32(3e-7)
    reader = ColumnReader(Dataset.from_columns(columns, spec), gamma=0.9, n_step=3)
    whole = reader.read(0, 12)
    for start in range(12):
        part = reader.read(start, start + 1)
        assert all((part[name] == whole[name][start]).all() for name in whole)
