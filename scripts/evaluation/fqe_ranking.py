"""Rank policies by fitted Q evaluation, and compare with what they earn online and with d3rlpy's ranking.

Each policy is judged on the same rows, with the same seed and settings, by `fqe` and by d3rlpy's FQE of the same width,
batch, learning rate and period of the target. Both see standardised observations. A policy is a `.keras` file, a run
directory, or an actor of Stable-Baselines3 as plain arrays: ``FILE.npz`` with tanh units (or none), ``relu:FILE.npz``
with ReLU. ``--scale 0.6`` judges each policy a second time, with its actions times 0.6. What is done is not done again.

    python scripts/evaluation/fqe_ranking.py hopper.h5 a2c_Hopper.npz relu:ppo_Hopper.npz --scale 0.6 --peer -o out
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import keras
import numpy as np
from keras import ops

from vinci_offline import Dataset, evaluate, train
from vinci_offline.data.episode_columns import START
from vinci_offline.data.episodes import whole
from vinci_offline.envs.making import make_env
from vinci_offline.evaluation.ranks import rank_correlation, regret_at
from vinci_offline.policies.named import load_policy
from vinci_offline.spec import BoxSpace, EnvironmentSpec

ONLINE_SEED = 1_000
BATCH, RATE, SYNC, HIDDEN = 256, 1e-4, 100, (256, 256)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", metavar="FILE.h5")
    parser.add_argument("policies", nargs="+", metavar="POLICY")
    parser.add_argument("--scale", type=float, help="judge each policy a second time, its actions times this")
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--gamma", type=float, default=0.99)
    parser.add_argument("--episodes", type=int, default=20, help="episodes online")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--peer", action="store_true", help="d3rlpy's FQE too")
    parser.add_argument("-o", "--output", type=Path, default=Path("runs/fqe-ranking"))
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    dataset = Dataset.open(options.data)
    found: dict[str, dict[str, float]] = {}
    for name, path in prepared(options.policies, dataset, options.scale, options.output).items():
        store = options.output / f"{name}-{options.steps}-{options.seed}.json"
        figures = json.loads(store.read_text()) if store.exists() else {}
        online = {"episodes": options.episodes, "seed": ONLINE_SEED}
        if "online" not in figures:
            figures["online"] = evaluate(path, dataset.spec, **online).return_mean
        if "discounted" not in figures:
            made = partial(discounted, dataset.spec, options.gamma)
            figures["discounted"] = evaluate(path, made, **online).return_mean
        if "ours" not in figures:
            figures["ours"] = ours(path, dataset, options, options.output / f"{name}-fqe-{options.seed}")
        if options.peer and "peer" not in figures:
            figures["peer"] = peer(path, dataset, options)
        store.write_text(json.dumps(figures))
        found[name] = figures
        print(name, {key: round(value, 1) for key, value in figures.items()}, flush=True)
    report(found, ["ours", "peer"] if options.peer else ["ours"])


def discounted(spec: EnvironmentSpec, gamma: float) -> gymnasium.Env[Any, Any]:
    """Return the environment of a dataset with the reward of step t times gamma^t."""

    class Discounted(gymnasium.Wrapper):
        """Wrapper that discounts rewards, so that a return is what FQE estimates."""

        def reset(self, **options: Any) -> Any:
            self.factor = 1.0
            return self.env.reset(**options)

        def step(self, action: Any) -> Any:
            observation, reward, *rest = self.env.step(action)
            reward, self.factor = float(reward) * self.factor, self.factor * gamma
            return observation, reward, *rest

    return Discounted(make_env(spec))


def prepared(policies: list[str], dataset: Dataset, scale: float | None, folder: Path) -> dict[str, str]:
    """Return the path of a Keras file or of a run for each policy by name."""
    found: dict[str, str] = {}
    for given in policies:
        path = Path(given.removeprefix("relu:"))
        for factor in (1.0, scale) if scale is not None else (1.0,):
            name = path.stem if factor == 1.0 else f"{path.stem}-x{factor:g}"
            if path.suffix != ".npz" and factor == 1.0:
                found[name] = str(path)
                continue
            target = folder / f"{name}.keras"
            if not target.exists():
                made = (
                    actor(path, dataset, "relu" if given.startswith("relu:") else "tanh", factor)
                    if path.suffix == ".npz"
                    else scaled(
                        keras.models.load_model(path / "policy.keras" if path.is_dir() else path), factor
                    )
                )
                made.save(target)
            found[name] = str(target)
    return found


def scaled(model: keras.Model, factor: float) -> keras.Model:
    """Return a policy that takes another one's actions times a factor."""
    return keras.Model(model.input, keras.layers.Rescaling(factor)(model.output))


def actor(path: Path, dataset: Dataset, activation: str, factor: float) -> keras.Model:
    """Return the deterministic policy of an actor of Stable-Baselines3 that is stored as plain arrays."""
    with np.load(path, allow_pickle=False) as file:
        arrays = {key: file[key] for key in file.files}
    space = dataset.spec.action_space
    assert isinstance(space, BoxSpace)
    hidden = sorted(
        key for key in arrays if key.startswith("mlp_extractor.policy_net") and key.endswith("weight")
    )
    inputs = keras.Input((arrays[hidden[0] if hidden else "action_net.weight"].shape[1],), dtype="float32")
    seen: Any = inputs
    if "vecnorm.mean" in arrays:
        limit = float(arrays["vecnorm.clip_obs"])
        deviation = np.sqrt(arrays["vecnorm.var"] + arrays["vecnorm.epsilon"])
        seen = keras.layers.Rescaling(
            (1 / deviation).tolist(), (-arrays["vecnorm.mean"] / deviation).tolist()
        )(seen)
        seen = ops.clip(seen, -limit, limit)
    for key in hidden:
        seen = dense(arrays, key, activation)(seen)
    middle, half = (space.high + space.low) / 2.0, (space.high - space.low) / 2.0
    action = dense(arrays, "action_net.weight", None)(seen)
    unit = ops.clip(keras.layers.Rescaling((1 / half).tolist(), (-middle / half).tolist())(action), -1.0, 1.0)
    return keras.Model(
        inputs, keras.layers.Rescaling((factor * half).tolist(), (factor * middle).tolist())(unit)
    )


def dense(arrays: Mapping[str, np.ndarray], key: str, activation: str | None) -> Any:
    """Return a layer of weights that PyTorch stored."""
    weight = arrays[key].T
    bias = arrays.get(key.replace("weight", "bias"), np.zeros(weight.shape[1]))
    layer = keras.layers.Dense(weight.shape[1], activation)
    layer.build((None, weight.shape[0]))
    layer.set_weights([weight, bias])
    return layer


def ours(path: str, dataset: Dataset, options: argparse.Namespace, output: Path) -> float:
    """Return the value that `fqe` estimates."""
    settings = {"evaluation_policy": path, "stochastic": False, "target_update": SYNC, "hidden": HIDDEN}
    result = train(
        dataset,
        "fqe",
        output=output,
        settings={**settings, "learning_rate": RATE},
        steps=options.steps,
        batch_size=BATCH,
        gamma=options.gamma,
        seed=options.seed,
        resume=output.exists(),
        progress=False,
    )
    return result.final_metrics["value/initial"]


def peer(path: str, dataset: Dataset, options: argparse.Namespace) -> float:
    """Return the value that d3rlpy's FQE estimates."""
    import d3rlpy
    import structlog
    import torch

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    d3rlpy.seed(options.seed)
    torch.set_num_threads(1)
    policy = load_policy(path, dataset.spec)
    columns = dataset.columns
    observations = np.asarray(columns["observations"][:], np.float32)
    mean, deviation = observations.mean(0), observations.std(0) + 1e-3
    generators = [np.random.default_rng(0)] * BATCH

    class Judged:
        """The policy as d3rlpy asks it: next actions of a batch of standardised observations."""

        @staticmethod
        def predict_best_action(standardised: torch.Tensor) -> torch.Tensor:
            raw = standardised.numpy() * deviation + mean
            return torch.as_tensor(policy.act(raw, generators[: len(raw)]).actions, dtype=torch.float32)

    class Algorithm:
        impl = Judged()

    scaler = d3rlpy.preprocessing.StandardObservationScaler(mean=mean, std=deviation)
    encoder = d3rlpy.models.VectorEncoderFactory(hidden_units=list(HIDDEN))
    config = d3rlpy.ope.FQEConfig(
        learning_rate=RATE,
        batch_size=BATCH,
        gamma=options.gamma,
        target_update_interval=SYNC,
        observation_scaler=scaler,
        encoder_factory=encoder,
    )
    judge = d3rlpy.ope.FQE(algo=Algorithm(), config=config, device="cpu:0")
    ends = np.zeros(len(dataset), bool)
    table = dataset.episode_columns
    ends[np.append(table[START][1:], len(dataset)) - 1] = True
    terminals = np.asarray(columns["terminals"][:], bool)
    episodes = d3rlpy.dataset.MDPDataset(
        observations=observations,
        actions=np.asarray(columns["actions"][:], np.float32),
        rewards=np.asarray(columns["rewards"][:], np.float32),
        terminals=terminals.astype(np.float32),
        timeouts=(ends & ~terminals).astype(np.float32),
        action_space=d3rlpy.ActionSpace.CONTINUOUS,
    )
    judge.fit(
        episodes,
        n_steps=options.steps,
        n_steps_per_epoch=options.steps,
        logger_adapter=d3rlpy.logging.NoopAdapterFactory(),
        show_progress=False,
    )
    first = observations[table[START][whole(table)]]
    actions = policy.act(first, [np.random.default_rng(0)] * len(first)).actions
    return float(judge.predict_value(first, np.asarray(actions, np.float32)).mean())


def report(found: Mapping[str, Mapping[str, float]], sides: list[str]) -> None:
    """Print what each policy earns and is estimated to, and how good the rankings are."""
    print(f"\n| policy | return | discounted | {' | '.join(sides)} |\n|{' --- |' * (3 + len(sides))}")
    for name, figures in sorted(found.items(), key=lambda item: -item[1]["online"]):
        values = " | ".join(f"{figures[side]:.1f}" for side in ("discounted", *sides))
        print(f"| {name} | {figures['online']:.0f} | {values} |")
    for side in sides:
        estimates = np.array([figures[side] for figures in found.values()])
        for truth in ("online", "discounted"):
            returns = np.array([figures[truth] for figures in found.values()])
            regrets = ", ".join(f"regret@{k} {regret_at(k, estimates, returns):.4g}" for k in (1, 2, 3))
            print(f"{side}, {truth}: rank correlation {rank_correlation(estimates, returns):.2f}, {regrets}")


if __name__ == "__main__":
    main()
