"""The cases of the step test: an agent, its settings, and what has to be alike on d3rlpy's side.

d3rlpy lacks some settings and has some of its own. A case chooses settings that both have. Where d3rlpy differs in a
known way that would hide everything else, a function changes that one thing there; each says why.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MethodType, SimpleNamespace
from typing import Any

import d3rlpy.algos.qlearning.torch.awac_impl as awac_impl
import torch
from d3rlpy.models.torch import ActionOutput, build_gaussian_distribution

from vinci_offline.networks.layers import NORM_EPSILON

Change = Callable[[Any], None]
"""A function that changes d3rlpy's implementation before the first step."""


@dataclass(frozen=True)
class Case:
    """An agent beside d3rlpy's.

    Attributes:
        agent: its name.
        settings: settings of both sides.
        choices: whether actions are choices.
        corl: whether the other side is CORL's instead of d3rlpy's.
        reward: the greatest size of a reward; above 1 a Huber loss is linear for some rows.
        changes: what is made alike on d3rlpy's side.
        samples_first: see `shared_draws`.
        without: names of our updates that d3rlpy does not have.
        twins: start with equal critics, because d3rlpy takes their mean where we take the least.
        apart: networks that differ for the reason given.
    """

    agent: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    choices: bool = False
    corl: bool = False
    reward: float = 0.3
    changes: tuple[Change, ...] = ()
    samples_first: bool = False
    without: tuple[str, ...] = ()
    twins: bool = False
    apart: Mapping[str, str] = field(default_factory=dict)


def plain_deviation(impl: Any) -> None:
    """Make the policy's log deviation a parameter.

    d3rlpy's IQL and AWAC have a sigmoid between two bounds of it, and its CRR a function of the state.
    """
    modules = impl._modules
    for policy in (modules.policy, getattr(modules, "targ_policy", modules.policy)):
        if isinstance(policy._logstd, torch.nn.Linear):
            del policy._logstd.weight
            policy._logstd.register_parameter("weight", None)

        def forward(self: Any, x: torch.Tensor, *_: Any) -> ActionOutput:
            mean = self._mu(self._encoder(x))
            own = self._logstd.bias if isinstance(self._logstd, torch.nn.Linear) else self._logstd
            return ActionOutput(mean, torch.tanh(mean), own.clamp(-5.0, 2.0).expand_as(mean))

        policy.forward = MethodType(forward, policy)


def same_norm(impl: Any) -> None:
    """Give layer normalisation our constant, which is that of Flax, 1e-6. PyTorch has 1e-5."""
    for network in (impl._modules.q_funcs, impl._modules.targ_q_funcs):
        for module in network.modules():
            if isinstance(module, torch.nn.LayerNorm):
                module.eps = NORM_EPSILON


def gaussian_target(impl: Any) -> None:
    """Evaluate AWAC's own policy. d3rlpy inherits the target of SAC, with a temperature of 1 and squashed actions."""

    def target(self: Any, batch: Any) -> torch.Tensor:
        with torch.no_grad():
            action = build_gaussian_distribution(self._modules.policy(batch.next_observations)).sample()
            return self._targ_q_func_forwarder.compute_target(
                batch.next_observations, action, reduction="min"
            )

    impl.compute_target = MethodType(target, impl)


def clipped_weights(impl: Any) -> None:
    """Clip AWAC's weights at 100, as CORL does. d3rlpy divides them by their sum over the batch."""

    def softmax(exponent: torch.Tensor, dim: int) -> torch.Tensor:
        return exponent.exp().clamp(max=100.0) / len(exponent) ** 2

    def weights(self: Any, *inputs: torch.Tensor) -> torch.Tensor:
        original, awac_impl.F = awac_impl.F, SimpleNamespace(softmax=softmax)
        try:
            return type(self)._compute_weights(self, *inputs)
        finally:
            awac_impl.F = original

    impl._compute_weights = MethodType(weights, impl)


def squashed_decoder(impl: Any) -> None:
    """Apply tanh to decoded actions where they are asked for. d3rlpy's decoder has its two cases exchanged."""
    decoder = impl._modules.vae_decoder
    original = decoder.forward
    decoder.forward = lambda x, latent, with_squash: original(x, latent, not with_squash)


def whole_error(impl: Any) -> None:
    """Double the critics' loss: d3rlpy's Huber loss is half of the squared error. Adam only feels it by its epsilon."""
    original = impl.compute_critic_loss
    impl.compute_critic_loss = lambda batch, target: 2.0 * original(batch, target)


def no_entropy(impl: Any) -> None:
    """Leave the entropy out of BEAR, whose authors have none."""
    with torch.no_grad():
        impl._modules.log_temp._parameter.fill_(-50.0)


LATENT = {"latent_hidden": "64,64"}
THREE = {"hidden": "64,64,64"}
CHOICES: dict[str, Any] = {"choices": True}
OLD_VALUES = "critics learn from the new state values, as the authors' do; d3rlpy's from the old"

CASES: dict[str, Case] = {
    "bc": Case("bc"),
    "ddpg": Case("ddpg"),
    "td3": Case("td3"),
    "td3bc": Case("td3bc"),
    "rebrac": Case("rebrac", changes=(same_norm,)),
    "iql": Case("iql", changes=(plain_deviation,), apart={"critic": OLD_VALUES, "target_critic": OLD_VALUES}),
    "sac": Case("sac"),
    "sac, 6 critics": Case("sac", {"critics": 6}),
    "cql, soft target": Case("cql", {"soft_target": True}),
    "cql, greatest target": Case("cql", {"max_target": True}),
    "cql, learned weight": Case("cql", {"soft_target": True, "lagrange_threshold": 5.0}),
    "calql": Case("calql"),
    "awac": Case("awac", changes=(plain_deviation, gaussian_target, clipped_weights)),
    "crr": Case("crr", {"target_update": 10}, changes=(plain_deviation,), twins=True),
    "crr, binary": Case("crr", {"target_update": 10, "binary": True}, changes=(plain_deviation,), twins=True),
    "bcq": Case("bcq", {"acting_samples": 10, **LATENT}, changes=(squashed_decoder,)),
    "plas": Case("plas", LATENT, changes=(squashed_decoder,), without=("decoder",)),
    "bear, warm-up": Case(
        "bear",
        {"tau": 1.0, **LATENT},
        changes=(squashed_decoder, no_entropy),
        samples_first=True,
        without=("log_weight",),
    ),
    "bc of choices": Case("bc", **CHOICES),
    "dqn": Case("dqn", {"target_update": 10}, reward=3.0, **CHOICES),
    "nfq": Case("nfq", reward=3.0, **CHOICES),
    "qrdqn": Case("qrdqn", {"target_update": 10}, reward=3.0, **CHOICES),
    "cql of choices": Case("cql", {"critics": 1, "conservatism": 1.0, "tau": 1.0}, reward=3.0, **CHOICES),
    # The values stay small, so that no error leaves the quadratic part of d3rlpy's Huber loss, which our sac lacks.
    "sac of choices": Case(
        "sac", {"tau": 1.0, "initial_temperature": 0.05}, changes=(whole_error,), **CHOICES
    ),
    # d3rlpy's penalty is on normalised logits.
    "bcq of choices": Case(
        "bcq", {"tau": 1.0, "choice_hidden": "64,64", "logit_penalty": 0.0}, reward=3.0, **CHOICES
    ),
    "cql, CORL": Case("cql", {"hidden": "256,256,256"}, corl=True),
    "awac, CORL": Case("awac", THREE, corl=True),
    "sacn, CORL": Case("sacn", THREE, corl=True),
    "edac, CORL": Case("edac", THREE, corl=True),
}
