"""Measure how far the updates of vinci-offline and d3rlpy drift apart from the same weights on the same batches.

Returns of a few seeds say little, since offline agents differ widely between seeds. Here nothing is random: d3rlpy
starts from vinci-offline's initial weights and gets the batches of the compiled loop, and TD3's target noise is off.
Only the algorithm and rounding can differ.

    python scripts/learning/parity.py pendulum-mixed td3bc

IQL's critics differ by more: vinci-offline keeps the authors' order, in which critics learn from the new state values.
"""

from __future__ import annotations

import argparse
from typing import Any

import keras
import numpy as np
from d3rlpy.torch_utility import TorchMiniBatch
from peer import peer_config, to_mdp_dataset

from vinci_offline import Dataset, Transitions

BATCH, GAMMA, SEED = 256, 0.99, 0
NOISELESS = {"td3bc": {"policy_noise": 0}, "dqn": {"target_update": 10}, "ddpg": {}, "bc": {}, "iql": {}}
NETWORKS = {
    "policy": ("actor", "{}"),
    "imitator": ("actor", "{}"),
    "value_func": ("value", "{}"),
    "targ_policy": ("target_actor", "{}"),
    "q_funcs": ("critic", "{member}.{}"),
    "targ_q_funcs": ("target_critic", "{member}.{}"),
}
LAYERS = {"dense_1": ("_encoder._layers.0",), "dense_2": ("_encoder._layers.2",), "output": ("_fc", "_mu")}


class Pair:
    """Learners of both tools that start from the same weights."""

    def __init__(self, dataset: Dataset, agent: str) -> None:
        from vinci_offline.agents.registry import agent_class
        from vinci_offline.batches.names import TRANSITION
        from vinci_offline.batches.reader import load_columns
        from vinci_offline.networks.builder import NetworkBuilder
        from vinci_offline.quality.statistics import observation_moments
        from vinci_offline.training.engines import make_engine
        from vinci_offline.training.learner import Learner

        settings = NOISELESS[agent]
        moments = observation_moments(dataset)
        assert isinstance(moments, tuple)  # of one array of observations
        self.moments = moments
        build = NetworkBuilder(dataset.spec, moments)
        self.learner = Learner(agent_class(agent).from_settings(settings), build, seed=SEED)
        columns = load_columns(dataset, gamma=GAMMA)
        self.transitions = Transitions(*(columns[name] for name in TRANSITION))
        self.engine = make_engine(self.learner, self.transitions, batch_size=BATCH, seed=SEED)
        config = peer_config(agent, dataset, settings)
        self.peer = config.create(device="cpu:0")
        self.peer.build_with_dataset(to_mdp_dataset(dataset))
        self._copy_weights()
        self._start = [np.asarray(variable).copy() for _, variable, _ in self.weights()]

    def step(self, step: int) -> None:
        """Take step number ``step``, counted from one, on both sides."""
        self.engine.run(self.learner.select(None), step - 1, 1)
        rows, _ = self.engine.drawn(step)
        batch = Transitions(*(column[rows] for column in self.transitions))
        self._match_epsilon()
        self.peer.impl.update(self._torch_batch(batch), step)

    def _match_epsilon(self) -> None:
        """Set PyTorch's epsilon to the value that equals Keras' epsilon in the next step.

        Keras adds epsilon before the bias correction and PyTorch after it. So Keras' 1e-7 acts like 3e-6 in its first
        step, which matters for gradients near zero.
        """
        adam = self.learner.updates[0].optimizer
        assert isinstance(adam, keras.optimizers.Adam)
        modules = vars(self.peer.impl._modules)
        for optimizer in (each.optim for name, each in modules.items() if name.endswith("optim")):
            taken = max((int(state["step"]) for state in optimizer.state.values()), default=0)
            for group in optimizer.param_groups:
                group["eps"] = adam.epsilon / (1 - adam.beta_2 ** (taken + 1)) ** 0.5

    def _torch_batch(self, batch: Transitions) -> TorchMiniBatch:
        import torch

        def tensor(array: Any) -> torch.Tensor:
            return torch.tensor(np.asarray(array, np.float32).reshape(BATCH, -1))

        mean, std = self.moments
        action = tensor(batch.action)
        return TorchMiniBatch(
            observations=tensor((batch.observation - mean) / (std + 1e-3)),
            actions=action,
            rewards=tensor(batch.reward),
            next_observations=tensor((batch.next_observation - mean) / (std + 1e-3)),
            next_actions=action,
            returns_to_go=tensor(batch.reward),
            terminals=tensor(np.asarray(batch.discount) == 0),
            intervals=torch.ones(BATCH, 1),
            device="cpu:0",
        )

    def weights(self) -> list[tuple[str, Any, Any]]:
        """Return pairs of corresponding variables with a name: vinci-offline's and d3rlpy's."""
        modules, pairs = self.peer.impl._modules, []
        for theirs, (ours, pattern) in NETWORKS.items():
            if not hasattr(modules, theirs) or ours not in self.learner.nets:
                continue
            parameters = dict(getattr(modules, theirs).named_parameters())
            for variable in self.learner.nets[ours].variables:
                if variable.path.startswith("normalize") or variable.ndim == 0:
                    continue
                *_, layer, kind = variable.path.split("/")
                name = next((part for part in LAYERS if layer.endswith(part)), None)
                if name is None:
                    continue
                member = layer.removesuffix(name).strip("_").rpartition("_")[2]
                paths = (f"{path}.{'weight' if kind == 'kernel' else 'bias'}" for path in LAYERS[name])
                keys = (pattern.format(path, member=member if member.isdigit() else "0") for path in paths)
                parameter = next(parameters[key] for key in keys if key in parameters)
                pairs.append((f"{ours}/{layer}/{kind}", variable, parameter))
        return pairs

    def _copy_weights(self) -> None:
        import torch

        with torch.no_grad():
            for _, variable, parameter in self.weights():
                parameter.copy_(torch.tensor(np.asarray(variable).T.copy()))
            if "value" in self.learner.nets:
                # IQL's actor starts with deviation 1 here; d3rlpy's exp(-5 + 7 * sigmoid(_logstd)) starts at 0.22.
                self.peer.impl._modules.policy._logstd.fill_(np.log(5 / 2))

    def drift(self) -> dict[str, float]:
        """Return for each network the distance between the sides over the distance that ours has moved.

        The distance is a norm, not a maximum: Adam's first steps have the same size for every gradient, so rounding
        alone may move a weight with a gradient near zero in the other direction.
        """
        apart: dict[str, float] = {}
        moved: dict[str, float] = {}
        for (name, variable, parameter), initial in zip(self.weights(), self._start, strict=True):
            network, ours = name.partition("/")[0], np.asarray(variable)
            difference = ours - parameter.detach().numpy().T
            apart[network] = apart.get(network, 0.0) + float(np.square(difference).sum())
            moved[network] = moved.get(network, 0.0) + float(np.square(ours - initial).sum())
        return {name: (apart[name] / moved[name]) ** 0.5 if moved[name] else 0.0 for name in apart}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", help="a shipped dataset's name, or a file")
    parser.add_argument("agent", choices=sorted(NOISELESS))
    parser.add_argument("--steps", type=int, nargs="+", default=[1, 2, 10, 30, 100])
    options = parser.parse_args()
    pair = Pair(Dataset.open(options.data), options.agent)
    print(f"{options.agent} on {options.data}: distance between the sides' weights over the distance moved")
    for step in range(1, max(options.steps) + 1):
        pair.step(step)
        if step in options.steps:
            drift = ", ".join(f"{name} {value:.2%}" for name, value in pair.drift().items())
            print(f"step {step:5}: {drift}", flush=True)


if __name__ == "__main__":
    main()
