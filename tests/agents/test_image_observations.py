"""Each agent takes images: every trained network that sees them has an encoder, and the policy acts on them."""

from dataclasses import replace

import numpy as np
import pytest

from vinci_offline.agents.registry import agents
from vinci_offline.spec import BoxSpace
from vinci_offline.testing.agent_contract import BOX, DISCRETE, bench, evaluate_loss, transitions

SHAPE = (8, 8, 3)
IMAGE = BoxSpace(SHAPE, "uint8", np.zeros(SHAPE), np.full(SHAPE, 255))
SPECS = {
    "continuous": replace(BOX, observation_space=IMAGE),
    "discrete": replace(DISCRETE, observation_space=IMAGE),
}
TINY = {
    "hidden": (8,),
    "latent_hidden": (8,),
    "choice_hidden": (8,),
    "critics": 2,
    "samples": 2,
    "elites": 1,
    "acting_samples": 2,
    "discrepancy_samples": 2,
}
FAST = ("iql-continuous", "bcq-discrete")
CASES = [(name, kind) for name, cls in agents().items() for kind in cls.action_kinds]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        pytest.param(
            name, kind, id=(both := f"{name}-{kind}"), marks=() if both in FAST else pytest.mark.slow
        )
        for name, kind in CASES
    ],
)
def test_agent_takes_images(name, kind):
    cls, spec = agents()[name], SPECS[kind]
    agent = cls(**{key: value for key, value in TINY.items() if key in cls.__dataclass_fields__})
    made, batch = bench(agent, spec), transitions(spec, agent=agent)
    for update in made.updates:
        loss, _ = evaluate_loss(made, update, batch)
        assert np.isfinite(loss), update.name
        for network in update.networks:
            inputs = getattr(made.nets[network], "inputs", [])
            if any(tuple(each.shape[1:]) == SHAPE for each in inputs):
                kernels = [variable.shape for variable in made.nets[network].trainable_variables]
                assert any(len(shape) == 4 for shape in kernels), f"{network} has no convolution"
    policy = agent.policy(made.nets, made.build)
    acted = np.asarray(policy(np.zeros((2, *SHAPE), "uint8")))
    assert acted.shape == (2, *getattr(spec.action_space, "shape", ()))
