"""Compare estimates of one-step data with those of the Open Bandit Pipeline's own code, from the same inputs.

The log is a CSV or CSV.GZ file of the Open Bandit Dataset, or of the same columns (``item_id, position, click,
propensity_score``). The judged policy takes choices at random, some far more often than others. Rewards are modelled by
our cross-fitted ridge regression, and both sides get its values. The other side is ``obp.ope.estimators`` of sb-obp
0.5.5, run by the Python of an environment that has it (``pip install --no-deps sb-obp``, and NumPy, pandas, SciPy and
scikit-learn). It needs no PyTorch.

    python scripts/evaluation/obp_agreement.py random_men.csv.gz --peer /tmp/obp/bin/python
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from vinci_offline.data import layout
from vinci_offline.data.dataset import Dataset
from vinci_offline.evaluation.estimators.doubly_robust import RowValues, doubly_robust
from vinci_offline.evaluation.estimators.importance import importance_sampling, weighted_importance_sampling
from vinci_offline.evaluation.estimators.one_step import direct, shrinkage, switch
from vinci_offline.evaluation.estimators.reward_model import cross_fitted
from vinci_offline.evaluation.evidence.logged_episodes import LoggedEpisodes
from vinci_offline.evaluation.evidence.policy_actions import PolicyActions
from vinci_offline.spec import BoxSpace, DiscreteSpace, EnvironmentSpec
from vinci_offline.types import Array, FloatArray

THRESHOLD, LAMBDA = 1.5, 10.0

PEER = f"""
import json, sys, types
import numpy as np
torch = types.ModuleType("torch")
torch.Tensor = torch.tensor = np.ndarray
sys.modules["torch"] = torch
import importlib.util
root = importlib.util.find_spec("obp").submodule_search_locations[0]
for name, path in (("obp", root), ("obp.ope", root + "/ope")):
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = [path]
from obp.ope.estimators import *
inputs = dict(np.load(sys.argv[1]))
weights = dict(action=inputs["action"], reward=inputs["reward"], pscore=inputs["pscore"],
               action_dist=inputs["action_dist"], position=np.zeros(len(inputs["action"]), int))
values = dict(weights, estimated_rewards_by_reg_model=inputs["model"])
print(json.dumps(dict(
    ipw=InverseProbabilityWeighting().estimate_policy_value(**weights),
    snipw=SelfNormalizedInverseProbabilityWeighting().estimate_policy_value(**weights),
    dm=DirectMethod().estimate_policy_value(**values),
    dr=DoublyRobust().estimate_policy_value(**values),
    switch=SwitchDoublyRobust(lambda_={THRESHOLD}).estimate_policy_value(**values),
    shrinkage=DoublyRobustWithShrinkage(lambda_={LAMBDA}).estimate_policy_value(**values),
)))
"""


def main() -> None:
    """Print both sides' estimates and the largest difference."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("log", type=Path)
    parser.add_argument("--peer", required=True, help="Python that has sb-obp")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    action, position, reward, pscore = read(options.log)
    count, rng = int(action.max()) + 1, np.random.default_rng(options.seed)
    policy = rng.dirichlet(np.ones(count), size=int(position.max()) + 1)[position]
    model = rewards_of_choices(action, position, reward, count, options.seed)

    rows = np.arange(len(action))
    ratios = policy[rows, action] / pscore
    values = RowValues(model[rows, action], (policy * model).sum(axis=1))
    episodes = LoggedEpisodes(reward, np.log(ratios), np.ones(len(action), np.int64), 1.0)
    ours = {
        "ipw": importance_sampling(episodes).value,
        "snipw": weighted_importance_sampling(episodes).value,
        "dm": direct(values).value,
        "dr": doubly_robust(episodes, values).value,
        "switch": switch(ratios, reward, values, THRESHOLD).value,
        "shrinkage": shrinkage(ratios, reward, values, LAMBDA).value,
    }
    with tempfile.TemporaryDirectory() as folder:
        inputs = Path(folder) / "inputs.npz"
        np.savez(inputs, action=action, reward=reward, pscore=pscore, action_dist=policy[..., None],
                 model=model[..., None])  # fmt: skip
        run = subprocess.run(
            [options.peer, "-c", PEER, str(inputs)], check=False, capture_output=True, text=True
        )
    if run.returncode:
        raise SystemExit(run.stderr)
    theirs = json.loads(run.stdout)
    print("| method | ours | obp | relative difference |\n| --- | --- | --- | --- |")
    for name, value in ours.items():
        print(f"| `{name}` | {value:.12g} | {theirs[name]:.12g} | {abs(value / theirs[name] - 1):.1e} |")
    uniform = exact(action, position, reward, pscore, count)
    print(f"uniform policy: {uniform!r}, logged mean: {float(reward.mean())!r}")
    worst = max(abs(ours[name] / theirs[name] - 1) for name in ours)
    raise SystemExit(0 if worst < 1e-12 and uniform == float(reward.mean()) else 1)


def read(path: Path) -> tuple[Array, Array, FloatArray, FloatArray]:
    """Return the choices, positions from 0, clicks and propensities of a log."""
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
        rows = list(csv.DictReader(file))
    action, position = (np.array([int(row[name]) for row in rows]) for name in ("item_id", "position"))
    reward, pscore = (np.array([float(row[name]) for row in rows]) for name in ("click", "propensity_score"))
    return action, position - position.min(), reward, pscore


def rewards_of_choices(
    action: Array, position: Array, reward: FloatArray, count: int, seed: int
) -> FloatArray:
    """Return ``[N, A]`` the expected reward of each choice, by models that have not seen the row."""
    features, one = np.eye(int(position.max()) + 1)[position], np.ones((len(action), 1))
    return np.stack(
        [
            cross_fitted(
                DiscreteSpace(count),
                features,
                action,
                reward,
                PolicyActions(np.full_like(action, choice)[:, None], one),
                seed,
            ).policy
            for choice in range(count)
        ],
        axis=1,
    )


def exact(action: Array, position: Array, reward: FloatArray, pscore: FloatArray, count: int) -> float:
    """Return what `estimate` says of the uniform policy on the same log, by the method ``ipw``."""
    from vinci_offline import estimate

    size = len(action)
    low, high = np.zeros(1, np.float32), np.full(1, position.max(), np.float32)
    spec = EnvironmentSpec(BoxSpace((1,), "float32", low, high), DiscreteSpace(count), id="log")
    seen, ends = position.astype(np.float32)[:, None], np.ones(size, np.bool_)
    columns = {
        layout.OBSERVATIONS: seen, layout.NEXT_OBSERVATIONS: seen, layout.ACTIONS: action, layout.REWARDS: reward,
        layout.TERMINALS: ends, layout.TIMEOUTS: ~ends, layout.PROPENSITY: pscore,
    }  # fmt: skip
    found = estimate("random", Dataset.from_columns(columns, spec), methods=["ipw"], interval="t")
    return found.estimates["ipw"].value


if __name__ == "__main__":
    main()
