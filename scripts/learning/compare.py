"""Compare an agent with d3rlpy's counterpart on the same dataset, with the same settings, seed by seed.

python scripts/learning/compare.py cartpole-mixed dqn --steps 10000 --seeds 2 --set target_update=1000
"""

from __future__ import annotations

import argparse
from pathlib import Path

from peer import Outcome, report, run_ours, run_peer

from vinci_offline import Dataset


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", help="a shipped dataset's name, or a file")
    parser.add_argument("agent", choices=["bc", "ddpg", "dqn", "iql", "td3bc"])
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--episodes", type=int, default=20)
    parser.add_argument("--env", help="the environment of the evaluation; the dataset's own by default")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="settings")
    parser.add_argument("--side", choices=["both", "ours", "peer"], default="both")
    parser.add_argument("--runs", type=Path, default=Path("runs/compare"))
    options = parser.parse_args()
    dataset = Dataset.open(options.data)
    settings = dict(item.split("=", 1) for item in options.settings)
    env = options.env or dataset.spec.id
    common = {"steps": options.steps, "env": env, "episodes": options.episodes, "settings": settings}
    print(
        f"{options.agent} on {options.data}, {options.steps} steps, {settings or 'default settings'}, in {env}"
    )
    outcomes: list[Outcome] = []
    for seed in range(options.seeds):
        if options.side != "peer":
            output = options.runs / f"{Path(options.data).stem}-{options.agent}-{seed}"
            outcomes.append(run_ours(dataset, options.agent, seed=seed, output=output, **common))
            print(outcomes[-1], flush=True)
        if options.side != "ours":
            outcomes.append(run_peer(dataset, options.agent, seed=seed, **common))
            print(outcomes[-1], flush=True)
    report(outcomes)


if __name__ == "__main__":
    main()
