"""Train agents on datasets from random to good, and compare the results with the verdicts that `info` gives.

    python scripts/learning/verdicts.py
    python scripts/learning/verdicts.py --minutes 10
    python scripts/learning/verdicts.py --check
    python scripts/learning/verdicts.py FILE.h5 ...

The datasets are the shipped ones and the parts of each, one for each policy that recorded it; FILE.h5 adds others.
Each agent is trained with its default settings. Results are kept in ``verdicts.json`` beside this script, or in
--results, so that the work can be done in pieces; --check trains nothing.

The score of an agent is its mean return over seeds, 0 for the random policy and 1 for the best agent on the same data.
"well" is wrong below 0.8, and "poorly" is wrong from 0.8 on. "perhaps" claims nothing. The exit code is 1 if a verdict
is wrong.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from vinci_offline import Dataset, evaluate, train
from vinci_offline.data.shipped import shipped_datasets
from vinci_offline.files import published
from vinci_offline.quality.assessment import quality
from vinci_offline.quality.suitability import suitable_agents

RESULTS = Path(__file__).with_name("verdicts.json")
STEPS, EPISODES, SEEDS = 5_000, 20, 2
EVALUATION_SEED = 1_000
PARTS = 3
"""Policies that recorded each shipped dataset, an equal share of the rows each, from random to good."""
GOOD = 0.8
"""The least score of an agent that suits a dataset well."""
FACTS = (
    "episodes",
    "fragments",
    "rows",
    "return_mean",
    "return_std",
    "return_min",
    "return_max",
    "reward_mean",
    "reward_std",
    "reward_mode_share",
    "reward_threshold",
    "terminals",
    "action_counts",
    "stochasticity",
)


def datasets(files: list[Path]) -> Iterator[tuple[str, Dataset]]:
    """Return each shipped dataset and its parts, then the files, by name."""
    for name in shipped_datasets():
        whole = Dataset.open(name)
        yield name, whole
        part = whole.episodes["start"].to_numpy() * PARTS // len(whole)
        for number in range(PARTS):
            yield f"{name}, part {number + 1}", whole.select_episodes(np.flatnonzero(part == number))
    for file in files:
        yield file.stem, Dataset.open(file)


def measured(dataset: Dataset) -> dict[str, Any]:
    """Return what the verdicts depend on, and the returns of the random policy."""
    found = quality(dataset)
    random = evaluate("random", dataset.spec.id, episodes=EPISODES, seed=EVALUATION_SEED)
    return {
        "facts": {key: found[key] for key in FACTS},
        "random": random.return_mean,
        "returns": {each["agent"]: {} for each in found["agents"]},
    }


def trained(dataset: Dataset, agent: str, seed: int) -> float:
    """Return the mean return of an agent that was trained on a dataset."""
    with tempfile.TemporaryDirectory() as folder:
        result = train(
            dataset,
            agent,
            output=Path(folder) / "run",
            steps=STEPS,
            seed=seed,
            log_every=STEPS,
            progress=False,
        )
        return evaluate(result.run, episodes=EPISODES, seed=EVALUATION_SEED).return_mean


def scores(known: dict[str, Any]) -> dict[str, float]:
    """Return the score of each agent; none where no agent is better than the random policy."""
    means = {agent: float(np.mean(list(by_seed.values()))) for agent, by_seed in known["returns"].items()}
    range_ = max(means.values()) - known["random"]
    return {agent: (mean - known["random"]) / range_ for agent, mean in means.items()} if range_ > 0 else {}


def wrong(known: dict[str, Any]) -> list[str]:
    """Return the verdicts that the results contradict, as texts."""
    found = {each.agent: each.verdict for each in suitable_agents(known["facts"])}
    return [
        f"{agent} suits {found[agent]}, but scores {score:.2f}"
        for agent, score in scores(known).items()
        if (found.get(agent) == "well" and score < GOOD) or (found.get(agent) == "poorly" and score >= GOOD)
    ]


def show(results: dict[str, Any]) -> int:
    """Print each dataset with its agents, and return the number of wrong verdicts."""
    faults = 0
    for name, known in results.items():
        told = known["facts"]["stochasticity"]
        print(
            f"\n{name}: data {known['facts']['return_mean']:.1f}, random policy {known['random']:.1f}, "
            f"randomness {told['level'] if told else float('nan'):.2f}"
        )
        if not all(known["returns"].values()):
            print("  not yet trained")
            continue
        verdicts = {each.agent: each.verdict for each in suitable_agents(known["facts"])}
        for agent, score in scores(known).items():
            returns = ", ".join(f"{value:.1f}" for value in known["returns"][agent].values())
            print(f"  {agent:6} {verdicts.get(agent, 'none'):8} score {score:5.2f}, returns {returns}")
        for text in (told := wrong(known)):
            print(f"  WRONG: {text}")
        faults += len(told)
    print(f"\n{len(results)} datasets, {faults} wrong verdicts")
    return faults


def main() -> int:
    """Train what is missing, and print the comparison."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE.h5")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument(
        "--minutes", type=float, default=float("inf"), help="stop after so long; call it again"
    )
    parser.add_argument("--check", action="store_true", help="compare the results at hand; train nothing")
    options = parser.parse_args()
    results = json.loads(options.results.read_text()) if options.results.is_file() else {}
    if not options.check:
        train_missing(options.files, results, options.results, time.monotonic() + 60 * options.minutes)
    return int(show(results) > 0)


def train_missing(files: list[Path], results: dict[str, Any], path: Path, end: float) -> None:
    """Train one seed of all, then the next, until all is there or the time is over."""
    for seed in range(SEEDS):
        for name, dataset in datasets(files):
            if name not in results:
                results[name] = measured(dataset)
            for agent, returns in results[name]["returns"].items():
                if str(seed) in returns:
                    continue
                if time.monotonic() > end:
                    return
                returns[str(seed)] = trained(dataset, agent, seed)
                print(f"{name}: {agent}, seed {seed}: {returns[str(seed)]:.1f}", flush=True)
                with published(path) as temporary:
                    temporary.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
