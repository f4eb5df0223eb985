"""Record an equal share of rows with each of several policies to one file.

A policy is given as `file.py:object`. ``--policies`` names a folder that such a file finds in
``os.environ["POLICY_FOLDER"]``; `docs/results.md` shows an example.

    python scripts/learning/record_mixture.py Hopper-v4 hopper-mixture.h5 ladder.py:a2c ladder.py:ppo --policies DIR
    python scripts/learning/record_mixture.py LunarLander-v3 lander-mixture.h5 \
        scripts/learning/lander_policies.py:{steady,shaky,wild}
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from vinci_offline import Dataset, collect


def record(environment: str, references: list[str], rows: int, path: Path) -> Dataset:
    """Record ``rows`` rows to ``path``, an equal share with each policy; the first shares take the remainder."""
    parts = []
    with TemporaryDirectory(dir=path.parent) as folder:
        for index, reference in enumerate(references):
            share = rows // len(references) + (index < rows % len(references))
            part = Path(folder) / f"part-{index}.h5"
            parts.append(collect(environment, part, policy=reference, steps=share, seed=index))
            print(f"{reference}: {share} rows, {summary(parts[-1])}", flush=True)
        Dataset.concatenate(parts).save(path)
    return Dataset.open(path)


def whole_returns(dataset: Dataset) -> pd.Series:
    """Return the returns of complete episodes, without those cut at the end of a recording."""
    episodes = dataset.episodes
    return episodes.loc[episodes["terminated"] | (episodes["length"] == 1000), "return"]


def summary(dataset: Dataset) -> str:
    """Return the number and the returns of complete episodes."""
    returns = whole_returns(dataset)
    return (
        f"{len(returns)} whole episodes, mean return {returns.mean():.1f}, "
        f"from {returns.min():.1f} to {returns.max():.1f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("environment")
    parser.add_argument("file", type=Path)
    parser.add_argument("references", nargs="+", metavar="FILE.py:OBJECT")
    parser.add_argument("--policies", type=Path, metavar="DIR", help="folder that the policies read")
    parser.add_argument("--rows", type=int, default=100_000)
    options = parser.parse_args()
    if options.policies:
        os.environ["POLICY_FOLDER"] = str(options.policies.resolve())
    options.file.parent.mkdir(parents=True, exist_ok=True)
    dataset = record(options.environment, options.references, options.rows, options.file)
    print(f"{options.file}: {len(dataset)} rows, {summary(dataset)}")


if __name__ == "__main__":
    main()
