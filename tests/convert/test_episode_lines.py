"""Tables of which a row or line is a whole episode, and folders of Parquet parts."""

import json

import numpy as np
import pytest

from vinci_offline.convert.conversion import read
from vinci_offline.data.assembly.options import ImportOptions
from vinci_offline.errors import DatasetError, UsageError

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

LENGTHS = (2, 4, 1)
RNG = np.random.default_rng(0)
EPISODES = [
    {
        "obs": RNG.normal(size=(length + 1, 2)).tolist(),
        "actions": RNG.normal(size=(length, 1)).tolist(),
        "rewards": RNG.normal(size=length).tolist(),
        "terminated": [False] * (length - 1) + [number != 1],
        "success": RNG.integers(0, 2, length).tolist(),
    }
    for number, length in enumerate(LENGTHS)
]


def write(kind, folder, episodes):
    path = folder / f"data.{kind}"
    if kind == "jsonl":
        path.write_text("".join(f"{json.dumps(each)}\n" for each in episodes))
    else:
        pq.write_table(pa.Table.from_pylist(episodes), path, row_group_size=2)
    return path


def check(imported):
    columns = imported.dataset.columns
    join = lambda name, rows=slice(None): np.concatenate([np.array(each[name])[rows] for each in EPISODES])  # noqa: E731
    np.testing.assert_array_equal(columns["observations"], join("obs", slice(-1)))
    np.testing.assert_array_equal(columns["next_observations"], join("obs", slice(1, None)))
    np.testing.assert_array_equal(columns["actions"], join("actions"))
    np.testing.assert_array_equal(columns["rewards"], join("rewards").astype(columns.dtype("rewards")))
    np.testing.assert_array_equal(columns["terminals"], join("terminated"))
    np.testing.assert_array_equal(columns["infos/success"], join("success"))
    assert imported.dataset.episodes["length"].tolist() == list(LENGTHS)
    assert columns["timeouts"].tolist() == [False] * 5 + [True, False]


both = pytest.mark.parametrize("kind", ["jsonl", "parquet"])
FLOAT64 = ImportOptions(float64=True)


@both
def test_line_that_is_an_episode(kind, tmp_path):
    extra = [{**each, "who": "a", "number": 3.5} for each in EPISODES]
    imported = read(write(kind, tmp_path, extra), options=FLOAT64)
    check(imported)
    assert any("number, who were left out" in line for line in imported.decisions)


@both
def test_line_of_mapped_and_nested_names(kind, tmp_path):
    lines = [
        {"x": {"pos": e["obs"]}, "u": e["actions"], "r": e["rewards"], "over": e["terminated"]}
        for e in EPISODES
    ]
    columns = {"observation": "x/pos", "action": "u", "reward": "r", "terminal": "over"}
    found = read(write(kind, tmp_path, lines), options=ImportOptions(columns=columns, float64=True)).dataset
    assert found.episodes["length"].tolist() == list(LENGTHS)
    np.testing.assert_array_equal(found.columns["observations"][:2], np.array(EPISODES[0]["obs"])[:-1])


@both
def test_line_that_is_a_list_of_steps(kind, tmp_path):
    lines = [
        {
            "id": number,
            "steps": [
                {"obs": o, "next_obs": n, "actions": a, "rewards": r, "terminated": t, "success": s}
                for o, n, a, r, t, s in zip(
                    each["obs"][:-1], each["obs"][1:], each["actions"], each["rewards"], each["terminated"],
                    each["success"], strict=True,
                )
            ],
        }
        for number, each in enumerate(EPISODES)
    ]  # fmt: skip
    check(read(write(kind, tmp_path, lines), options=FLOAT64))


@both
def test_rewards_that_are_lists_of_unknown_meaning_are_asked_for(kind, tmp_path):
    lines = [{"obs": [1.0, 2.0], "actions": [0.1, 0.2], "rewards": [1.0, 2.0]}] * 3
    path = write(kind, tmp_path, lines)
    with pytest.raises(UsageError, match=r"rewards are lists\. Say --set rows=episodes"):
        read(path, options=ImportOptions(ends="terminal"))
    told = ImportOptions(ends="terminal", settings={"rows": "episodes"})
    assert read(path, options=told).dataset.episodes["length"].tolist() == [2, 2, 2]
    columns = {"reward": "rewards_1", "observation": "obs", "action": "actions"}
    told = ImportOptions(ends="terminal", columns=columns, settings={"rows": "steps"})
    assert read(path, options=told).dataset.columns["rewards"].tolist() == [2, 2, 2]


@both
def test_bad_line_is_skipped(kind, tmp_path):
    short = {**EPISODES[1], "obs": EPISODES[1]["obs"][:-2]}
    path = write(kind, tmp_path, [EPISODES[0], short, EPISODES[2]])
    with pytest.raises(DatasetError, match=r"(line 2|row 1) has 4 actions and 3 rows of obs \(--skip-bad"):
        read(path)
    imported = read(path, options=ImportOptions(skip_bad=True))
    assert imported.dataset.episodes["length"].tolist() == [2, 1]
    assert sum(imported.dropped.values()) == 1


def test_text_where_numbers_should_be_is_a_bad_line(tmp_path):
    path = write("jsonl", tmp_path, [EPISODES[0], {**EPISODES[1], "rewards": ["much"] * 4}, EPISODES[2]])
    with path.open("a") as file:
        file.write("{broken\n" + json.dumps(EPISODES[0]) + "\n")
    with pytest.raises(DatasetError, match=r"line 2 has no rewards of numbers \(--skip-bad"):
        read(path)
    assert read(path, options=ImportOptions(skip_bad=True)).dropped == {"bad episodes, as --skip-bad says": 2}


def test_folder_of_parquet_parts(tmp_path):
    folder, rows = tmp_path / "parts", 30
    folder.mkdir()
    (folder / "_SUCCESS").touch()
    values = np.arange(rows, dtype=np.float32)
    for number in range(3):
        part = slice(10 * number, 10 * number + 10)
        columns = {
            "episode": np.arange(rows)[part] // 5,
            "observation_0": values[part],
            "action_0": values[part],
        }
        pq.write_table(pa.table({**columns, "reward": values[part]}), folder / f"part-{number * 7}.parquet")
    imported = read(folder, options=ImportOptions(ends="terminal"))
    np.testing.assert_array_equal(imported.dataset.columns["rewards"], values)
    assert imported.dataset.episodes["length"].tolist() == [5] * 6
    assert "3 files, in the order of their names" in imported.decisions
    pq.write_table(pa.table({"reward": values}), folder / "part-99.parquet")
    with pytest.raises(DatasetError, match=r"part-99.parquet has other columns than part-0.parquet"):
        read(folder, options=ImportOptions(ends="terminal"))


def test_folder_of_parquet_parts_of_episodes(tmp_path):
    (tmp_path / "parts").mkdir()
    for number, each in enumerate(EPISODES):
        write("parquet", tmp_path, [each]).rename(tmp_path / "parts" / f"{number}.parquet")
    check(read(tmp_path / "parts", options=FLOAT64))
