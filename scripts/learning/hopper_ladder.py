"""Compare TD3+BC with d3rlpy's TD3+BC on Hopper data of several policies.

You give the policies as `file.py:object`; each records an equal share of the rows. ``--policies`` names a folder that
such a file finds in ``os.environ["POLICY_FOLDER"]``. `docs/results.md` shows an example.

    python scripts/learning/hopper_ladder.py ladder.py:a2c ladder.py:ppo ladder.py:trpo --policies DIR
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import pandas as pd
from peer import Outcome, report, run_ours, run_peer

from vinci_offline import Dataset, collect

ENVIRONMENT = "Hopper-v4"


def record(references: list[str], steps: int, folder: Path) -> Dataset:
    """Record an equal share of ``steps`` rows with each policy to one file; the first shares take the remainder."""
    path = folder / f"hopper-ladder-{steps}.h5"
    if path.is_file():
        return Dataset.open(path)
    began = time.perf_counter()
    parts = []
    for index, reference in enumerate(references):
        share = steps // len(references) + (index < steps % len(references))
        part = folder / f"hopper-part-{index}.h5"
        parts.append(collect(ENVIRONMENT, part, policy=reference, steps=share, seed=index, overwrite=True))
        returns = whole_returns(parts[-1])
        print(f"{reference}: {share} rows, {len(returns)} whole episodes, mean return {returns.mean():.1f}")
    Dataset.concatenate(parts).save(path)
    print(f"recorded in {time.perf_counter() - began:.0f} s")
    return Dataset.open(path)


def whole_returns(dataset: Dataset) -> pd.Series:
    """Return the returns of complete episodes, without those cut at the end of a recording."""
    episodes = dataset.episodes
    return episodes.loc[episodes["terminated"] | (episodes["length"] == 1000), "return"]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("references", nargs="+", metavar="FILE.py:OBJECT")
    parser.add_argument("--policies", type=Path, metavar="DIR", help="folder that the policies read")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--episodes", type=int, default=20)
    parser.add_argument("--output", type=Path, default=Path("runs/hopper-ladder"))
    options = parser.parse_args()
    if options.policies:
        os.environ["POLICY_FOLDER"] = str(options.policies.resolve())
    options.output.mkdir(parents=True, exist_ok=True)
    dataset = record(options.references, options.rows, options.output)
    returns = whole_returns(dataset)
    print(
        f"{len(dataset)} rows, {len(returns)} whole episodes: mean return {returns.mean():.1f}, "
        f"from {returns.min():.1f} to {returns.max():.1f}",
        flush=True,
    )
    common = {"steps": options.steps, "env": ENVIRONMENT, "episodes": options.episodes, "settings": {}}
    outcomes: list[Outcome] = []
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        outcomes.append(
            run_ours(dataset, "td3bc", seed=seed, output=options.output / f"td3bc-{seed}", **common)
        )
        print(outcomes[-1], flush=True)
        outcomes.append(run_peer(dataset, "td3bc", seed=seed, **common))
        print(outcomes[-1], flush=True)
    report(outcomes)


if __name__ == "__main__":
    main()
