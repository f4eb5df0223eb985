"""Fitted Q evaluation: the value of a given policy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from vinci_offline import functional
from vinci_offline.agents.agent import Agent, Networks, Target, Update, adam, setting
from vinci_offline.agents.registry import register
from vinci_offline.batches.names import NEXT_ACTION_MASK, TRANSITION, ColumnWish, IfRecorded
from vinci_offline.errors import UsageError
from vinci_offline.policies.stored_file import file_hash, policy_file
from vinci_offline.types import Metrics, Tensor

if TYPE_CHECKING:
    import keras

    from vinci_offline.batches.batch import Batch
    from vinci_offline.networks.builder import NetworkBuilder

RANDOM = "random"


@register("fqe")
@dataclass(frozen=True)
class FQE(Agent):
    """Fitted Q evaluation of a given policy (Le, Voloshin and Yue, 2019, https://arxiv.org/abs/1903.08738).

    The critic learns what the policy would earn, from rows of other policies. A stochastic policy counts by its
    expectation: exactly over choices, by several draws of continuous actions. The policy never changes. Training
    reports the mean value of the first observations of whole episodes. Defaults are d3rlpy's; it takes batches of 100.
    """

    action_kinds = ("continuous", "discrete")
    choose_when = "you have a policy and no simulator"
    columns: ClassVar[tuple[ColumnWish, ...]] = (*TRANSITION, IfRecorded(NEXT_ACTION_MASK))

    evaluation_policy: str = setting(
        RANDOM,
        "policy to evaluate: a run directory, a .keras file, or random, the uniform one; short: policy",
    )
    policy_hash: str | None = setting(
        None, "SHA-256 of the policy's file, another one is refused; none: that of the file now"
    )
    stochastic: bool = setting(
        True, "evaluate the distribution of a policy that has one; no: its mean or its most likely choice"
    )
    samples: int = setting(10, "draws in the expectation over continuous actions", low=1)
    critics: int = setting(1, "critics, each with a target of its own; their spread is reported", low=1)
    quantiles: int | None = setting(
        None, "learn so many quantiles of the return (arXiv 1710.10044); none: its mean", low=2
    )
    huber_delta: float = setting(
        1.0, "kappa, where the quantile loss turns linear (arXiv 1710.10044)", low=1e-8
    )
    hidden: tuple[int, ...] = setting((256, 256), "widths of the hidden layers (d3rlpy)", low=1)
    target_update: float = setting(
        100.0, "below 1: Polyak rate of the target; from 1 on: steps between hard copies (d3rlpy)", low=1e-8
    )
    learning_rate: float = setting(1e-4, "Adam's (d3rlpy)", low=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "evaluation_policy", str(self.evaluation_policy))
        if self.quantiles is not None and self.critics > 1:
            raise UsageError(
                f"agent {self.name!r}: quantiles belong to one critic: leave out critics={self.critics}"
            )
        if self.evaluation_policy != RANDOM:
            object.__setattr__(self, "policy_hash", self._checked_hash())

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Self:
        """Make the agent from settings; ``policy`` is short for ``evaluation_policy``."""
        short = "policy" in settings and "evaluation_policy" not in settings
        named = {"evaluation_policy" if short and key == "policy" else key: settings[key] for key in settings}
        return super().from_settings(named)

    @property
    def policy_network(self) -> str:
        """Name of the policy's network. It has the file's hash: weights of another policy never get into it."""
        return "policy" if self.policy_hash is None else f"policy_{self.policy_hash[:12]}"

    def networks(self, build: NetworkBuilder) -> dict[str, keras.Model]:
        """Make the frozen policy, and critics of values or of quantiles."""
        if self.evaluation_policy == RANDOM:
            policy = build.random_policy(self.policy_network)
        else:
            self._checked_hash()
            path = str(policy_file(self.evaluation_policy, stochastic=self.stochastic))
            policy = build.stored_policy(self.policy_network, path, stochastic=self.stochastic)
        if self.quantiles is not None:
            critic = build.quantile_critic("critic", self.hidden, self.quantiles)
        else:
            make = build.discrete_critics if build.discrete else build.critics
            critic = make("critic", self.hidden, count=self.critics)
        return {self.policy_network: policy, "critic": critic}

    def updates(self) -> tuple[Update, ...]:
        """Train the critic at every step."""
        target = Target.by_rate("critic", self.target_update)
        return (Update(self.critic_loss, "critic", adam(self.learning_rate), target=target),)

    def critic_loss(self, nets: Networks, batch: Batch, key: Tensor) -> tuple[Tensor, Metrics]:
        """Return ``(Q_i(s, a) - (r + discount * E_pi Q'_i(s', .)))^2``, or the quantile loss to all these returns."""
        from keras import ops

        allowed = batch.get(NEXT_ACTION_MASK)
        following = self.values_by(nets, nets.target_critic, batch.next_observation, key, allowed)
        values = functional.action_values(nets.critic, batch.observation, batch.action)
        if self.quantiles is not None:
            atoms, weight = following.mixture()
            target = ops.stop_gradient(batch.reward + batch.discount * atoms)
            loss = functional.quantile_huber_loss(values, target, self.huber_delta, weight=weight)
            return ops.mean(loss), functional.value_metrics(values, ops.sum(weight * target, axis=0))
        targets = [
            functional.td_target(batch.reward, batch.discount, each) for each in following.expectations()
        ]
        losses = [
            functional.ensemble_loss(values[i : i + 1], each, weight=self.row_weight(batch, i))
            for i, each in enumerate(targets)
        ]
        return sum(losses[1:], start=losses[0]), functional.value_metrics(values, ops.stack(targets))

    def row_weight(self, batch: Batch, critic: int) -> Tensor | None:
        """Return ``[B]`` how much each row counts for one of the critics; None counts all rows alike."""
        return None

    def values(
        self, nets: Networks, observation: Any, key: Tensor, allowed: Tensor | None = None
    ) -> functional.PolicyValues:
        """Return the critic's values of the policy's actions."""
        return self.values_by(nets, nets.critic, observation, key, allowed)

    def values_by(
        self, nets: Networks, critic: keras.Model, observation: Any, key: Tensor, allowed: Tensor | None
    ) -> functional.PolicyValues:
        """Return a critic's values of the policy's actions."""
        policy = nets[self.policy_network]
        found = functional.values_under_actor(
            critic, observation, policy, key, nets.bounds, samples=self.samples, allowed=allowed
        )
        return found._replace(quantiles=self.quantiles is not None)

    def too_short(
        self, trained: Mapping[str, int], gamma: float, longest: int, n_step: int = 1
    ) -> str | None:
        """Return that a fit is too short: each copy of the target lets the values look ``n_step`` steps further ahead.

        The arguments are those of `Agent.too_short`.
        """
        steps, rate = trained.get("critic", 0), self.target_update
        ahead = n_step * (steps * rate if rate < 1 else steps // rate)
        reach = min(longest, 1 / (1 - gamma)) if gamma < 1 else longest
        if ahead >= reach:
            return None
        told = f"{steps:,} steps let the values look {ahead:.0f} steps ahead"
        return f"{told}, and returns reach {reach:.0f}: give more --steps"

    def policy(self, nets: Networks, build: NetworkBuilder) -> keras.Model:
        """Return the evaluated policy's action, its mean or its most likely choice."""
        return build.policy(nets[self.policy_network])

    def stochastic_policy(self, nets: Networks, build: NetworkBuilder) -> keras.Model | None:
        """Return the evaluated policy's distribution."""
        return build.stochastic_policy(nets[self.policy_network])

    def _checked_hash(self) -> str:
        """Return the hash of the policy's file; refuse a file that is not the one of ``policy_hash``."""
        path = policy_file(self.evaluation_policy, stochastic=self.stochastic)
        found = file_hash(path)
        if self.policy_hash not in (None, found):
            raise UsageError(
                f"agent {self.name!r}: {path} is another file than before: its SHA-256 is {found[:12]}…, not "
                f"{str(self.policy_hash)[:12]}…"
            )
        return found
