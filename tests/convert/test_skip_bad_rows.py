"""Tables of a row a step: an episode with a bad row is left out and counted, as ``--skip-bad`` says."""

import json

import numpy as np
import pandas as pd
import pytest

from vinci_offline.convert.conversion import read
from vinci_offline.data.assembly.options import ImportOptions
from vinci_offline.errors import DatasetError

EPISODES, STEPS = 5, 4


def table(**changes):
    """Return rows with the cells of some rows changed: ``column={row: value}``."""
    rows = np.arange(EPISODES * STEPS)
    columns = {
        "episode": rows // STEPS,
        "step": rows % STEPS,
        "observation_0": rows + 0.5,
        "action_0": rows / 8,
        "reward": rows / 4,
        "terminal": rows % STEPS == STEPS - 1,
    }
    columns = {name: values.tolist() for name, values in columns.items()}
    for name, cells in changes.items():
        for row, value in cells.items():
            columns[name][row] = value
    return columns


def written(folder, kind, columns):
    path = folder / f"table.{kind}"
    if kind == "csv":
        pd.DataFrame(columns, dtype=object).to_csv(path, index=False)
    elif kind == "jsonl":
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    else:
        pd.DataFrame(columns).to_parquet(path, index=False)
    return path


BAD = {
    "empty": {"reward": {5: None}},
    "two columns of one episode": {"reward": {5: None}, "observation_0": {6: None}},
    "repeated": {"step": {6: 1}},
}


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize("changes", BAD.values(), ids=BAD)
def test_the_episode_of_a_bad_row_is_left_out(tmp_path, kind, changes):
    path = written(tmp_path, kind, table(**changes))
    with pytest.raises(DatasetError):
        read(path)
    found = read(path, options=ImportOptions(skip_bad=True))
    assert found.dropped == {"bad episodes, as --skip-bad says": 1}
    kept = np.delete(np.arange(EPISODES * STEPS), slice(4, 8))
    np.testing.assert_array_equal(found.dataset.columns["observations"][:, 0], kept + np.float32(0.5))
    np.testing.assert_array_equal(found.dataset.columns["rewards"], np.float32(kept / 4))
    assert found.dataset.columns["terminals"].sum() == EPISODES - 1


@pytest.mark.parametrize("episode", [0, 2])
def test_all_rows_of_a_block_are_bad(tmp_path, episode):
    rows = range(episode * STEPS, (episode + 1) * STEPS)
    columns = table(reward=dict.fromkeys(rows), action_0=dict.fromkeys(rows))
    path = tmp_path / "table.parquet"
    pd.DataFrame(columns).to_parquet(path, index=False, row_group_size=STEPS)
    found = read(path, options=ImportOptions(skip_bad=True))
    assert found.dropped == {"bad episodes, as --skip-bad says": 1}
    kept = np.delete(np.arange(EPISODES * STEPS), rows)
    np.testing.assert_array_equal(found.dataset.columns["rewards"], np.float32(kept / 4))
    np.testing.assert_array_equal(found.dataset.columns["actions"][:, 0], np.float32(kept / 8))


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_texts_among_numbers(tmp_path, kind):
    path = written(tmp_path, kind, table(reward={5: "lost"}, terminal={9: "perhaps"}))
    found = read(path, options=ImportOptions(skip_bad=True))
    assert found.dropped == {"bad episodes, as --skip-bad says": 2}
    assert len(found.dataset) == 12
    assert any("the first bad episode: line" in each for each in found.decisions)


def test_what_is_refused_all_the_same(tmp_path):
    options = ImportOptions(skip_bad=True)
    with pytest.raises(DatasetError, match="3 of 5 episodes are bad"):
        read(written(tmp_path, "csv", table(reward={1: "x", 5: "x", 9: "x"})), options=options)
    with pytest.raises(DatasetError, match="nothing tells the episode"):
        read(written(tmp_path, "csv", table(reward={5: "x"}, episode={5: None})), options=options)
    columns = table(reward={5: "x"})
    del columns["episode"]
    with pytest.raises(DatasetError, match="line 7: reward is 'x'"):
        read(written(tmp_path, "csv", columns), options=options)
