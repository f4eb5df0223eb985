"""Train and evaluate one agent of one tool with one seed, and write the result as JSON: a cell of a comparison."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from peer import run_ours, run_peer

from vinci_offline import Dataset


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("agent")
    parser.add_argument("side", choices=["ours", "peer"])
    parser.add_argument("result", type=Path, help="the JSON file; the run's folder lies beside it")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--episodes", type=int, default=20)
    parser.add_argument("--settings", type=json.loads, default={}, help="settings of the agent as JSON")
    options = parser.parse_args()
    dataset = Dataset.open(options.data)
    common = {
        "steps": options.steps,
        "seed": options.seed,
        "env": dataset.spec.id,
        "episodes": options.episodes,
        "settings": options.settings,
    }
    if options.side == "ours":
        outcome = run_ours(dataset, options.agent, output=options.result.with_suffix(""), **common)
    else:
        outcome = run_peer(dataset, options.agent, **common)
    print(outcome, flush=True)
    # A result is whole or absent: a run that is cut short is repeated.
    unfinished = options.result.with_suffix(".part")
    unfinished.write_text(json.dumps(asdict(outcome)), encoding="utf-8")
    unfinished.replace(options.result)


if __name__ == "__main__":
    main()
