"""Compare TD3+BC with d3rlpy's TD3+BC on Hopper data of several policies.

You give the policies as `file.py:object`; each records an equal share of the rows. ``--policies`` names a folder that
such a file finds in ``os.environ["POLICY_FOLDER"]``. `docs/results.md` shows an example.

    python scripts/learning/hopper_ladder.py ladder.py:a2c ladder.py:ppo ladder.py:trpo --policies DIR
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from peer import Outcome, report, run_ours, run_peer
from record_mixture import record, summary

from vinci_offline import Dataset

ENVIRONMENT = "Hopper-v4"


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
    path = options.output / f"hopper-ladder-{options.rows}.h5"
    if not path.is_file():
        record(ENVIRONMENT, options.references, options.rows, path)
    dataset = Dataset.open(path)
    print(f"{len(dataset)} rows, {summary(dataset)}", flush=True)
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
