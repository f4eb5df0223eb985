"""Measure how far xql, sql and eql drift from their authors' code, from the same weights on the same batches.

The authors' code is in JAX and Flax, of versions that need a Python environment of their own. Clone it, and name both:

    git clone https://github.com/Div99/XQL && git clone https://github.com/ryanxhr/IVR
    python -m venv authors && authors/bin/pip install jax==0.4.30 jaxlib==0.4.30 flax==0.8.5 optax==0.2.3 \
        tensorflow-probability==0.24.0 "numpy<2" "scipy<1.13"
    python scripts/learning/authors_steps.py --peer authors/bin/python --xql XQL --ivr IVR

`authors_side.py` is what runs there. Adam's epsilon is next to nothing on both sides, because Keras and Optax place it
differently. Observations are not normalised, as in the authors' code.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

import keras
import numpy as np
from pairing.data import random_rows

from vinci_offline.agents.registry import agent_class
from vinci_offline.batches.reader import load_columns
from vinci_offline.networks.builder import NetworkBuilder
from vinci_offline.training.engines import make_engine
from vinci_offline.training.learner import Learner

BATCH, GAMMA, SEED = 256, 0.99, 0
EPSILON = 1e-12
AGENTS = ("xql", "sql", "eql")
TRAINED = ("value", "critic", "actor")
NETWORKS = (*TRAINED, "target_critic")
SIDE = Path(__file__).with_name("authors_side.py")


def weights_of(learner: Learner) -> dict[str, np.ndarray]:
    """Return copies of all weights by network and path."""
    return {
        f"{name} {variable.path}": np.array(keras.ops.convert_to_numpy(variable))
        for name in NETWORKS
        for variable in learner.nets[name].variables
    }


def our_steps(name: str, steps: list[int]) -> tuple[dict[str, np.ndarray], dict[int, dict[str, np.ndarray]]]:
    """Return what the other side needs, and our weights after some steps, the start as step 0."""
    dataset = random_rows(choices=False)
    settings = {"hidden": "64,64", "normalize_observations": "no"}
    agent = agent_class(name).from_settings(settings)
    learner = Learner(agent, NetworkBuilder(dataset.spec), seed=SEED)
    columns = load_columns(dataset, agent.columns, gamma=GAMMA)
    engine = make_engine(learner, columns, batch_size=BATCH, seed=SEED)
    updates = learner.select(None)
    for each in updates:
        assert isinstance(each.optimizer, keras.optimizers.Adam)
        each.optimizer.epsilon = EPSILON
    found = {0: weights_of(learner)}
    drawn = []
    for step in range(1, max(steps) + 1):
        rows, _ = engine.drawn(step)
        drawn.append(rows)
        engine.run(updates, step - 1, 1)
        if step in steps:
            found[step] = weights_of(learner)
    batches = {f"batch {key}": np.stack([column[rows] for rows in drawn]) for key, column in columns.items()}
    return {**found[0], **batches}, found


def drift(
    ours: Mapping[str, np.ndarray], theirs: Mapping[str, np.ndarray], start: Mapping[str, np.ndarray]
) -> dict[str, float]:
    """Return for each trained network the distance between the sides over the distance that ours has moved.

    Targets follow from the critics. They hardly move at first, so rounding is a large share of it.
    """
    found = {}
    for network in TRAINED:
        names = [name for name in ours if name.startswith(f"{network} ")]
        apart = sum(float(np.square(ours[name] - theirs[name]).sum()) for name in names)
        moved = sum(float(np.square(ours[name] - start[name]).sum()) for name in names)
        found[network] = (apart / moved) ** 0.5
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peer", required=True, help="the Python that has Flax")
    parser.add_argument("--xql", type=Path, help="a clone of Div99/XQL")
    parser.add_argument("--ivr", type=Path, help="a clone of ryanxhr/IVR")
    parser.add_argument("--steps", type=int, nargs="+", default=[1, 10, 100])
    options = parser.parse_args()
    folders = {"xql": options.xql and options.xql / "offline", "sql": options.ivr, "eql": options.ivr}
    print(
        "Distance between the sides' weights over the distance moved, of the network that is farthest apart:"
    )
    print(f"| agent | {' | '.join(f'step {step}' for step in options.steps)} |")
    print("| --- |" + " --- |" * len(options.steps))
    for name in AGENTS:
        if folders[name] is None:
            continue
        given, ours = our_steps(name, options.steps)
        with tempfile.TemporaryDirectory() as folder:
            start, result = Path(folder) / "start.npz", Path(folder) / "result.npz"
            np.savez(start, **given)  # type: ignore[arg-type]
            words = [options.peer, str(SIDE), name, str(folders[name]), str(start), str(result)]
            subprocess.run([*words, *map(str, options.steps)], check=True)
            with np.load(result) as file:
                theirs = {key: file[key] for key in file.files}
        cells = []
        for step in options.steps:
            at_step = {
                key.partition(" ")[2]: value for key, value in theirs.items() if key.startswith(f"{step} ")
            }
            far = drift(ours[step], at_step, ours[0])
            worst = max(far, key=far.__getitem__)
            cells.append(f"{far[worst]:.1e} ({worst})")
        print(f"| `{name}` | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
