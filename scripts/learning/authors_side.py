"""The other side of `authors_steps.py`. Take the steps with the authors' code, in a Python environment that has Flax.

python authors_side.py xql|sql|eql FOLDER START.npz RESULT.npz STEP...
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

EPSILON, GAMMA, TAU, RATE = 1e-12, 0.99, 0.005, 3e-4


class XqlOptions(NamedTuple):
    """What XQL's update reads from its command line; the values are those for MuJoCo."""

    max_clip: float = 7.0
    num_v_updates: int = 1
    sample_random_times: int = 0
    noise: bool = False
    log_loss: bool = False
    grad_pen: bool = False


def place(name: str, hidden: int) -> tuple[str, ...]:
    """Return where a weight of ours is in a tree of Flax."""
    network, path = name.split(" ")
    member = re.match(r"critic_(\d)_", path)
    front = (f"Critic_{member[1]}",) if member else ()
    kind = path.rsplit("/", 1)[1]
    if "log_std" in path:
        return ("log_stds",)
    if "output" in path:
        return ("Dense_0", kind) if network == "actor" else (*front, "MLP_0", f"Dense_{hidden}", kind)
    layer = int(re.search(r"_(\d+)/", path)[1]) - 1  # type: ignore[index]
    if "norm" in path:
        return (*front, "MLP_0", f"LayerNorm_{layer}", {"gamma": "scale", "beta": "bias"}[kind])
    return (*front, "MLP_0", f"Dense_{layer}", kind)


def tree_of(weights: dict[str, np.ndarray], network: str, hidden: int) -> dict[str, Any]:
    """Return the weights of a network as a tree of Flax."""
    tree: dict[str, Any] = {}
    for name, value in weights.items():
        if not name.startswith(f"{network} "):
            continue
        *branches, leaf = place(name, hidden)
        here = tree
        for branch in branches:
            here = here.setdefault(branch, {})
        here[leaf] = value.reshape(-1) if leaf == "log_stds" else value
    return tree


def leaf_of(tree: Any, name: str, like: np.ndarray, hidden: int) -> np.ndarray:
    """Return a weight of a tree of Flax in our shape."""
    for branch in place(name, hidden):
        tree = tree[branch]
    return np.asarray(tree).reshape(like.shape)


def lenient(jit: Callable[..., Any]) -> Callable[..., Any]:
    """Return JAX's ``jit``, which then forgives static arguments that a function does not have."""

    def compiled(
        function: Callable[..., Any], *, static_argnames: Sequence[str] | None = None, **more: Any
    ) -> Any:
        if static_argnames is not None:
            known = inspect.signature(function).parameters
            more["static_argnames"] = [name for name in static_argnames if name in known]
        return jit(function, **more)

    return compiled


def main() -> None:
    agent, folder, start, result, *steps = sys.argv[1:]
    sys.path.insert(0, folder)
    jax: Any = importlib.import_module("jax")
    optax = importlib.import_module("optax")
    # What JAX has renamed or made stricter since their code was written.
    jax.tree_multimap, jax.jit = jax.tree_util.tree_map, lenient(jax.jit)
    common, learner = importlib.import_module("common"), importlib.import_module("learner")
    policy, value_net = importlib.import_module("policy"), importlib.import_module("value_net")
    with np.load(start) as file:
        given = {name: file[name] for name in file.files}
    weights = {name: value for name, value in given.items() if not name.startswith("batch ")}
    batches = {
        name.removeprefix("batch "): value for name, value in given.items() if name.startswith("batch ")
    }
    widths = [int(weights[f"value value_dense_{layer}/bias"].size) for layer in (1, 2)]
    actions = batches["action"].shape[-1]
    modules = {
        "value": value_net.ValueCritic(widths, layer_norm=True),
        "critic": value_net.DoubleCritic(widths),
        "target_critic": value_net.DoubleCritic(widths),
        "actor": policy.NormalTanhPolicy(
            widths,
            actions,
            log_std_scale=1e-3,
            log_std_min=-5.0,
            state_dependent_std=False,
            tanh_squash_distribution=False,
        ),
    }
    models = {}
    for name, module in modules.items():
        params = jax.tree_util.tree_map(jax.numpy.asarray, tree_of(weights, name, len(widths)))
        adam = optax.adam(RATE, eps=EPSILON)
        models[name] = common.Model(
            step=1, apply_fn=module, params=params, tx=adam, opt_state=adam.init(params)
        )
    order = ("actor", "critic", "value", "target_critic")
    key, found = jax.random.PRNGKey(0), {}
    for step in range(1, max(map(int, steps)) + 1):
        row = {name: jax.numpy.asarray(column[step - 1]) for name, column in batches.items()}
        masks = row["discount"] / GAMMA
        columns = [row["observation"], row["action"], row["reward"], masks, row["next_observation"]]
        columns += [row["action"]] * (
            len(common.Batch._fields) - len(columns)
        )  # next actions, which nothing reads
        batch = common.Batch(*columns)
        state = [models[name] for name in order]
        if agent == "xql":
            update, more = learner._update_jit, [0.0, 3.0, 2.0]
            options = {"double": True, "vanilla": False, "args": XqlOptions()}
        else:
            update, more = getattr(learner, f"_update_jit_{agent}"), [{"sql": 1.0, "eql": 2.0}[agent]]
            options = {}
        key, *state, _ = update(key, *state, batch, GAMMA, TAU, *more, **options)
        models = dict(zip(order, state, strict=True))
        if str(step) in steps:
            for name, like in weights.items():
                tree = models[name.partition(" ")[0]].params
                found[f"{step} {name}"] = leaf_of(tree, name, like, len(widths))
    np.savez(result, **found)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
