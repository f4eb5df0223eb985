"""Compare opening and iterating a million transitions by episode: our file, Minari's and d3rlpy's.

Each contender opens its own file in every round and reads the observations, actions, rewards and flags of each episode.
They take turns, each in a process of its own. Peers that are not installed are left out:

    pip install minari d3rlpy && python scripts/bench/reading.py --markdown docs/performance.md
"""

from __future__ import annotations

import argparse
import importlib.util
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import gymnasium
import numpy as np
from tables import keep, made_by, table

from vinci_offline import Dataset, EnvironmentSpec
from vinci_offline.convert.conversion import write
from vinci_offline.spec import BoxSpace

OBSERVATIONS, ACTIONS = 17, 6
GOAL = 20


def main() -> None:
    options = parse()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # Each has a process of its own: memory that one leaves behind would slow another.
        context = multiprocessing.get_context("spawn")
        turns: dict[str, Connection] = {}
        for title, (package, _) in CONTENDERS.items():
            if importlib.util.find_spec(package):
                turns[title], theirs = context.Pipe()
                arguments = (title, options.rows, options.length, folder, theirs)
                context.Process(target=take_turns, args=arguments, daemon=True).start()
        sums = {title: turn.recv() for title, turn in turns.items()}
        assert len({round(each, 2) for each in sums.values()}) == 1, sums
        taken: dict[str, list[float]] = {title: [] for title in turns}
        for _ in range(options.rounds):
            for title, turn in turns.items():
                turn.send("go")
                taken[title].append(turn.recv())
        for turn in turns.values():
            turn.send("")
    first = next(iter(taken.values()))
    rows = [
        (
            title,
            f"{statistics.median(each):.3f}",
            f"{min(each):.3f} to {max(each):.3f}",
            f"{statistics.median(b / a for a, b in zip(first, each, strict=True)):.1f}",
        )
        for title, each in taken.items()
    ]
    text = table(("", "seconds", "range", "times ours"), rows)
    summary = (
        f"{options.rows:,} transitions of {OBSERVATIONS} + {ACTIONS} dimensions in episodes of {options.length:,}; "
        f"{options.rounds} turns; goal: at least {GOAL} times"
    )
    print(f"{summary}\n\n{text}")
    if options.markdown:
        keep(options.markdown, "reading", f"{made_by()}\n\n{summary}\n\n{text}")


def take_turns(title: str, rows: int, length: int, folder: Path, connection: Connection) -> None:
    """Run a contender's process: make its file, read it once, and again at every message."""
    run = CONTENDERS[title][1](make(rows, length), folder)
    connection.send(run())  # warms the page cache
    while connection.recv():
        began = time.perf_counter()
        run()
        connection.send(time.perf_counter() - began)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--length", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--markdown", type=Path, help="write the table to this page")
    return parser.parse_args()


def make(rows: int, length: int) -> Dataset:
    """Make a dataset of random whole episodes; each of them timed out."""
    rng = np.random.default_rng(0)
    walk = rng.standard_normal((rows + 1, OBSERVATIONS), np.float32)
    ends = np.arange(1, rows + 1) % length == 0
    columns = {
        "observations": walk[:-1],
        "actions": rng.uniform(-1, 1, (rows, ACTIONS)).astype(np.float32),
        "rewards": rng.standard_normal(rows, np.float32),
        "next_observations": walk[1:],
        "terminals": np.zeros(rows, np.bool_),
        "timeouts": ends,
    }

    def box(size: int, bound: float) -> BoxSpace:
        limit = np.full(size, bound, np.float32)
        return BoxSpace((size,), "float32", -limit, limit)

    return Dataset.from_columns(columns, EnvironmentSpec(box(OBSERVATIONS, np.inf), box(ACTIONS, 1)))


def vinci_store(dataset: Dataset, folder: Path) -> Callable[[], float]:
    path = folder / "ours.h5"
    dataset.save(path)

    def run() -> float:
        opened = Dataset.open(path)
        columns, table, total = opened.columns, opened.episode_columns, 0.0
        for start, length in zip(table["start"], table["length"], strict=True):
            rows = slice(start, start + length)
            total += touch(columns["observations"][rows], columns["actions"][rows], columns["rewards"][rows])
            total += 0 * (columns["terminals"][rows].size + columns["timeouts"][rows].size)
        return total

    return run


def minari_store(dataset: Dataset, folder: Path) -> Callable[[], float]:
    os.environ["MINARI_DATASETS_PATH"] = str(folder / "minari")
    import minari
    from minari.data_collector import EpisodeBuffer

    table = dataset.episode_columns
    buffers = []
    for number, (start, length) in enumerate(zip(table["start"], table["length"], strict=True)):
        rows = slice(int(start), int(start + length))
        observations = dataset.columns["observations"][rows]
        buffers.append(
            EpisodeBuffer(
                id=number,
                observations=np.concatenate([observations, dataset.columns["next_observations"][rows][-1:]]),
                actions=dataset.columns["actions"][rows],
                rewards=dataset.columns["rewards"][rows].tolist(),
                terminations=dataset.columns["terminals"][rows].tolist(),
                truncations=dataset.columns["timeouts"][rows].tolist(),
            )
        )
    minari.create_dataset_from_buffers(
        "bench/reading-v0",
        buffer=buffers,
        observation_space=gymnasium.spaces.Box(-np.inf, np.inf, (OBSERVATIONS,), np.float32),
        action_space=gymnasium.spaces.Box(-1, 1, (ACTIONS,), np.float32),
        code_permalink="https://example.org",
        author="bench",
        author_email="bench@example.org",
        algorithm_name="none",
        description="bench",
    )

    def run() -> float:
        total = 0.0
        for episode in minari.load_dataset("bench/reading-v0").iterate_episodes():
            total += touch(episode.observations[:-1], episode.actions, episode.rewards)
            total += 0 * (episode.terminations.size + episode.truncations.size)
        return total

    return run


def d3rlpy_store(dataset: Dataset, folder: Path) -> Callable[[], float]:
    path = folder / "d3rlpy.h5"
    write(dataset, path, kind="d3rlpy")
    import d3rlpy

    def run() -> float:
        with path.open("rb") as file:
            buffer = d3rlpy.dataset.ReplayBuffer.load(file, d3rlpy.dataset.InfiniteBuffer())
        # Our export adds a row to each episode, which d3rlpy needs for the last transition.
        total: float = sum(
            touch(each.observations[:-1], each.actions[:-1], each.rewards[:-1, 0]) + 0 * each.terminated
            for each in buffer.episodes
        )
        return total

    return run


def touch(observations: np.ndarray, actions: np.ndarray, rewards: np.ndarray) -> float:
    """Read one number of each array, so that no reading is put off."""
    return float(observations[-1, 0]) + float(actions[-1, 0]) + float(rewards[-1])


CONTENDERS = {
    "vinci-offline": ("h5py", vinci_store),
    "Minari, `iterate_episodes`": ("minari", minari_store),
    "d3rlpy, `ReplayBuffer.load`": ("d3rlpy", d3rlpy_store),
}


if __name__ == "__main__":
    main()
