"""One-step policy improvement."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vinci_offline import functional
from vinci_offline.agents.agent import Networks, setting
from vinci_offline.agents.in_sample import InSampleAgent
from vinci_offline.agents.registry import register
from vinci_offline.batches.names import NEXT_ACTION
from vinci_offline.types import Metrics, Tensor

if TYPE_CHECKING:
    from vinci_offline.batches.batch import Batch


@register("onestep")
@dataclass(frozen=True)
class OneStep(InSampleAgent):
    """One step of policy improvement (Brandfonbrener et al., 2021, https://arxiv.org/abs/2106.08909).

    The critics learn the value of the behaviour itself, by SARSA on the recorded next actions, and the policy improves
    on it once, by advantage-weighted regression (the paper's exponentially weighted imitation). Nothing is ever
    evaluated outside the data, and errors of the values cannot feed themselves. The paper trains the critics to the end
    before the policy: ``--only critic``, then ``--only actor``. It has layers of 1024, rates of 1e-4, batches of 512;
    the defaults here are those of ``iql``. A row whose next action was not recorded does not count for the critics.
    """

    choose_when = "many improvements diverge"
    columns = (*InSampleAgent.columns, NEXT_ACTION)

    temperature: float = setting(
        3.0,
        "tau, the factor of the advantage in the actor's weights: 0 clones (0.1 to 10 in the paper)",
        low=0,
    )

    def critic_loss(self, nets: Networks, batch: Batch, key: Tensor) -> tuple[Tensor, Metrics]:
        """Return ``(Q(s, a) - (r + discount * min Q'(s', a')))^2`` with the recorded ``a'``."""
        following = functional.action_values(nets.target_critic, batch.next_observation, batch.next_action)
        target = functional.td_target(batch.reward, batch.discount, functional.clipped_double_q(following))
        values = functional.action_values(nets.critic, batch.observation, batch.action)
        loss = functional.ensemble_loss(values, target, weight=batch.has_next_action)
        return loss, functional.value_metrics(values, target)

    def value_loss(self, nets: Networks, batch: Batch, key: Tensor) -> tuple[Tensor, Metrics]:
        """Return ``(Q'(s, a) - V(s))^2``: the value of the behaviour."""
        from keras import ops

        advantage = self.advantage(nets, batch)
        return ops.mean(ops.square(advantage)), {"advantage/mean": ops.mean(advantage)}

    def weight(self, advantage: Tensor) -> Tensor:
        """Return ``min(exp(tau * A), clip)``."""
        return functional.advantage_weight(advantage, self.temperature, self.weight_clip)
