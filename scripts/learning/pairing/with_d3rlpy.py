"""d3rlpy's side of a pair: networks by our names, optimizers, and an update."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from d3rlpy.torch_utility import TorchMiniBatch
from peer import peer_config, to_mdp_dataset

from pairing.cases import Case
from pairing.weights import Theirs
from vinci_offline import Dataset

MODULES = {
    "actor": ("policy", "imitator"),
    "behaviour": ("imitator",),
    "target_actor": ("targ_policy",),
    "critic": ("q_funcs",),
    "target_critic": ("targ_q_funcs",),
    "value": ("value_func",),
    "encoder": ("vae_encoder",),
    "decoder": ("vae_decoder",),
    "log_temperature": ("log_temp",),
    "log_conservatism": ("log_alpha",),
    "log_weight": ("log_alpha",),
}
"""d3rlpy's names of our networks."""


class D3rlpyPeer:
    """d3rlpy's implementation of an agent, with the changes of the case."""

    def __init__(self, case: Case, dataset: Dataset, settings: Mapping[str, Any]) -> None:
        algorithm = peer_config(case.agent, dataset, settings).create(device="cpu:0")
        algorithm.build_with_dataset(to_mdp_dataset(dataset))
        self._impl: Any = algorithm.impl
        for change in case.changes:
            change(self._impl)

    def networks(self) -> dict[str, Theirs]:
        """Return networks and learned scalars by our names."""
        found: dict[str, Theirs] = {}
        for ours, names in MODULES.items():
            for name in names:
                module = getattr(self._impl._modules, name, None)
                if module is not None:
                    found[ours] = getattr(module, "_parameter", module)
        return found

    def optimizers(self) -> Iterator[torch.optim.Optimizer]:
        for name, each in vars(self._impl._modules).items():
            if name.endswith("optim") and each is not None:
                yield each.optim

    def update(self, batch: Mapping[str, torch.Tensor], step: int) -> None:
        """Take step number ``step``, counted from one."""
        self._impl.update(
            TorchMiniBatch(
                observations=batch["observation"],
                actions=batch["action"],
                rewards=batch["reward"],
                next_observations=batch["next_observation"],
                next_actions=batch.get("next_action", batch["action"]),
                returns_to_go=batch.get("return_to_go", batch["reward"]),
                terminals=batch["terminal"],
                intervals=torch.ones_like(batch["reward"]),
                device="cpu:0",
            ),
            step,
        )
