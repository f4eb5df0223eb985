"""Compare estimates of several steps with those of SCOPE-RL's own code, from the same inputs.

Episodes of equal length, with random rewards, probabilities and values. The other side is the discrete estimators of
scope-rl 0.2.1, run by the Python of an environment that has it (``pip install --no-deps scope-rl``, and NumPy, pandas,
SciPy, scikit-learn and tqdm). It needs neither PyTorch, Gym nor d3rlpy. It adds 1e-10 to mean weights before it divides
by them, so its self-normalised estimates differ from ours by that much.

    python scripts/evaluation/scope_rl_agreement.py --peer /tmp/scope/bin/python
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from vinci_offline.evaluation.estimators.doubly_robust import RowValues, doubly_robust, weighted_doubly_robust
from vinci_offline.evaluation.estimators.importance import (
    importance_sampling,
    per_decision,
    weighted_importance_sampling,
    weighted_per_decision,
)
from vinci_offline.evaluation.evidence.logged_episodes import LoggedEpisodes

GAMMA, ACTIONS = 0.95, 4

PEER = f"""
import importlib.util, json, sys, types
import numpy as np
class Any(types.ModuleType):
    __path__ = []
    def __getattr__(self, name):
        return type(name, (), {{}})
for name in ("gym", "d3rlpy", "d3rlpy.preprocessing", "torch"):
    sys.modules[name] = Any(name)
root = importlib.util.find_spec("scope_rl").submodule_search_locations[0]
for name in ("scope_rl", "scope_rl.ope", "scope_rl.ope.discrete"):
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = [root + name.replace("scope_rl", "", 1).replace(".", "/")]
from scope_rl.ope.discrete.basic_estimators import *
given = dict(np.load(sys.argv[1]), step_per_trajectory=int(sys.argv[2]), gamma={GAMMA})
names = dict([("is", TrajectoryWiseImportanceSampling), ("pdis", PerDecisionImportanceSampling),
              ("wis", SelfNormalizedTIS), ("wpdis", SelfNormalizedPDIS),
              ("dr", DoublyRobust), ("wdr", SelfNormalizedDR)])
print(json.dumps({{name: float(each().estimate_policy_value(**given)) for name, each in names.items()}}))
"""


def main() -> None:
    """Print both sides' estimates and their differences."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peer", required=True, help="Python that has scope-rl")
    parser.add_argument("--episodes", type=int, default=500)
    parser.add_argument("--steps", type=int, default=8)
    options = parser.parse_args()
    rng, rows = np.random.default_rng(0), options.episodes * options.steps
    behaviour, policy = (rng.dirichlet(np.full(ACTIONS, 5.0), rows) for _ in range(2))
    action = np.array([rng.choice(ACTIONS, p=each) for each in behaviour])
    reward, model = rng.normal(1, 1, rows), rng.normal(1, 1, (rows, ACTIONS))
    every = np.arange(rows)
    ratios = np.log(policy[every, action] / behaviour[every, action])
    episodes = LoggedEpisodes(reward, ratios, np.full(options.episodes, options.steps), GAMMA)
    values = RowValues(model[every, action], (policy * model).sum(axis=1))
    ours = {
        "is": importance_sampling(episodes).value,
        "pdis": per_decision(episodes).value,
        "wis": weighted_importance_sampling(episodes).value,
        "wpdis": weighted_per_decision(episodes).value,
        "dr": doubly_robust(episodes, values).value,
        "wdr": weighted_doubly_robust(episodes, values).value,
    }
    with tempfile.TemporaryDirectory() as folder:
        inputs = Path(folder) / "inputs.npz"
        np.savez(inputs, action=action, reward=reward, pscore=behaviour[every, action],
                 evaluation_policy_action_dist=policy, state_action_value_prediction=model)  # fmt: skip
        run = subprocess.run(
            [options.peer, "-c", PEER, str(inputs), str(options.steps)],
            check=False,
            capture_output=True,
            text=True,
        )
    if run.returncode:
        raise SystemExit(run.stderr)
    theirs = json.loads(run.stdout)
    print("| method | ours | SCOPE-RL | relative difference |\n| --- | --- | --- | --- |")
    for name, value in ours.items():
        print(f"| `{name}` | {value:.12g} | {theirs[name]:.12g} | {abs(value / theirs[name] - 1):.1e} |")
    raise SystemExit(0 if all(abs(ours[name] / theirs[name] - 1) < 1e-9 for name in ours) else 1)


if __name__ == "__main__":
    main()
