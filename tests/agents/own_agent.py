"""An own agent without ``from __future__ import annotations``: its fields' annotations are types."""

from dataclasses import dataclass, field

from keras import ops

from vinci_offline import Agent, Update, functional
from vinci_offline.agents.agent import adam


@dataclass(frozen=True)
class OwnAgent(Agent):
    """Actor that imitates, weighted by reward."""

    hidden: tuple[int, ...] = (8, 8)
    temperature: float = 2.0
    limit: float | None = None
    labels: list = field(default_factory=list)

    def networks(self, build):
        return {"actor": build.deterministic_actor("actor", self.hidden)}

    def updates(self):
        return (Update(self.actor_loss, "actor", adam(1e-3), role="actor"),)

    def actor_loss(self, nets, batch, key):
        weight = ops.softmax(self.temperature * batch.reward)
        error = ops.sum(functional.imitation_loss(nets.actor(batch.observation), batch.action), axis=-1)
        return ops.sum(weight * error), {}

    def policy(self, nets, build):
        return build.policy(nets.actor)
