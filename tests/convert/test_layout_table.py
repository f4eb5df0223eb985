"""The table of layouts in docs/converting.md: each command reads an input that is written here."""

import json
import re
import shlex
from pathlib import Path

import h5py
import numpy as np
import pytest
from older_versions import lerobot_2, old_minari
from typer.testing import CliRunner

from vinci_offline import Dataset
from vinci_offline.cli.app import app
from vinci_offline.testing.format_contract import BOX, example

PAGE = Path(__file__).parents[2] / "docs" / "converting.md"
SECTION = PAGE.read_text(encoding="utf-8").partition("## Layouts that are read")[2].partition("\n## ")[0]
COMMANDS = re.findall(r"\| `vinci-offline ([^`]*)` \|$", SECTION, re.MULTILINE)

LENGTHS = (3, 5)
RNG = np.random.default_rng(0)
EPISODES = [
    {
        "obs": RNG.normal(size=(length + 1, 2)).astype(np.float32),
        "act": RNG.uniform(-1, 1, (length, 1)).astype(np.float32),
        "rew": RNG.normal(size=length).astype(np.float32),
    }
    for length in LENGTHS
]
X = np.concatenate([each["obs"][:-1] for each in EPISODES])
NEXT = np.concatenate([each["obs"][1:] for each in EPISODES])
U = np.concatenate([each["act"] for each in EPISODES])
R = np.concatenate([each["rew"] for each in EPISODES])
ENDS = np.isin(np.arange(8), [2, 7])
LATE = np.arange(8) == 7
MINE = {"x": X, "u": U, "gain": R, "over": ENDS}
REPLAY = {"obs": X, "act": U, "rew": R, "next_obs": NEXT, "terminated": ENDS & ~LATE, "truncated": LATE}


def hdf5(name, arrays, **options):
    with h5py.File(name, "w", **options) as file:
        for key, values in arrays.items():
            file[key] = values


def padded(short=3):
    rows = {"observations": np.zeros((2, 6, 2)), "actions": np.zeros((2, 5, 1)), "rewards": np.zeros((2, 5))}
    rows["dones"] = np.zeros((2, 5))
    for number, (length, each) in enumerate(zip((short, 5), EPISODES, strict=True)):
        rows["observations"][number, : length + 1] = np.resize(each["obs"], (length + 1, 2))
        rows["actions"][number, :length] = np.resize(each["act"], (length, 1))
        rows["rewards"][number, :length] = np.resize(each["rew"], length)
    rows["terminals"] = rows.pop("dones")
    rows["terminals"][[0, 1], [short - 1, 4]] = 1
    return rows | {"timeouts": rows["terminals"] * 0}


def groups(template, names=("obs", "actions", "rewards"), short=0):
    return {
        template.format(number) + name: each[key][: len(each[key]) - short * (key == "obs" and number == 0)]
        for number, each in enumerate(EPISODES)
        for name, key in zip(names, ("obs", "act", "rew"), strict=True)
    }


def steps():
    return [
        {
            "obs": o.tolist(),
            "act": a.tolist(),
            "rew": float(r),
            "next_obs": n.tolist(),
            "terminated": e,
            "truncated": late,
        }
        for o, a, r, n, e, late in zip(X, U, R, NEXT, (ENDS & ~LATE).tolist(), LATE.tolist(), strict=True)
    ]


def lines(name, rows):
    Path(name).write_text("".join(json.dumps(row) + "\n" for row in rows))


def whole():
    return [{key: values.tolist() for key, values in each.items()} for each in EPISODES]


def table(name):
    rows = [f"{i // 3 if i < 3 else 1},{X[i, 0]},{X[i, 1]},{U[i, 0]},{R[i]}" for i in range(8)]
    Path(name).write_text("\n".join(["run,x_0,x_1,u_0,gain", *rows]) + "\n")


def parquet(name, rows):
    pq = pytest.importorskip("pyarrow.parquet")
    import pyarrow as pa

    pq.write_table(pa.Table.from_pylist(rows), name)


def parts():
    Path("parts").mkdir()
    for number, each in enumerate(EPISODES):
        rows = [
            {"episode_id": number, "obs": o.tolist(), "act": a.tolist(), "rew": float(r)}
            for o, a, r in zip(each["obs"], each["act"], each["rew"], strict=False)
        ]
        parquet(f"parts/part-{number:04d}.parquet", rows)


def matlab():
    arrays = {"S": X.T, "A": U.T, "R": R[None], "T": ENDS[None].astype(np.uint8), "#refs#/a": np.zeros(2)}
    hdf5("matlab.mat", arrays, userblock_size=512)


def d4rl():
    names = {"observations": X, "actions": U, "rewards": R, "next_observations": NEXT, "costs": R}
    hdf5("d4rl.hdf5", names | {"terminals": ENDS & ~LATE, "timeouts": LATE})


def full():
    rows = {"observations": np.ones((2, 4, 2)), "actions": np.ones((2, 4, 1)), "rewards": np.ones((2, 4))}
    np.savez("full.npz", **rows)


INPUTS = {
    "d4rl.hdf5": (d4rl, R),
    "replay.hdf5": (lambda: hdf5("replay.hdf5", REPLAY), R),
    "mine.hdf5": (lambda: hdf5("mine.hdf5", MINE), R),
    "mine.npz": (lambda: np.savez("mine.npz", **MINE), R),
    "groups.hdf5": (lambda: hdf5("groups.hdf5", groups("traj_{}/")), R),
    "runs.hdf5": (lambda: hdf5("runs.hdf5", groups("run_{}/", "xur")), R),
    "numbered.npz": (
        lambda: np.savez(
            "numbered.npz",
            **{
                f"{name}_{number}": each[key]
                for number, each in enumerate(EPISODES)
                for name, key in (("observations", "obs"), ("actions", "act"), ("rewards", "rew"))
            },
        ),
        R,
    ),
    "padded.npz": (lambda: np.savez("padded.npz", lengths=LENGTHS, **padded()), R),
    "batch.hdf5": (lambda: hdf5("batch.hdf5", {"steps": LENGTHS, **padded()}), R),
    "full.npz": (full, np.ones(6)),
    "matlab.mat": (matlab, R),
    "log.csv": (lambda: table("log.csv"), R),
    "steps.jsonl": (lambda: lines("steps.jsonl", steps()), R),
    "episodes.jsonl": (lambda: lines("episodes.jsonl", whole()), R),
    "episodes.parquet": (lambda: parquet("episodes.parquet", whole()), R),
    "parts": (parts, R),
    "lerobot-v2": (
        lambda: lerobot_2(Path(), example(BOX)).rename("lerobot-v2"),
        example(BOX).columns["rewards"],
    ),
    "old-minari": (
        lambda: old_minari(Path(), example(BOX)).rename("old-minari"),
        example(BOX).columns["rewards"],
    ),
    "spoilt.hdf5": (lambda: hdf5("spoilt.hdf5", groups("demo_{}/", short=2)), R[3:]),
}


def test_every_layout_has_an_input():
    assert sorted(shlex.split(command)[1] for command in COMMANDS) == sorted(INPUTS)


@pytest.mark.parametrize("command", COMMANDS)
def test_command_of_the_table(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = shlex.split(command)
    if "parquet" in command or "parts" in command or "lerobot" in command:
        pytest.importorskip("pyarrow")
    write, rewards = INPUTS[words[1]]
    write()
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    np.testing.assert_array_equal(Dataset.open("out.h5").columns["rewards"], np.asarray(rewards, np.float32))
