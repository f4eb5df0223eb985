"""Losses of choices with action masks by hand, on the linear networks of `linear_agents`.

S = (1, 2), S' = (2, 3), recorded choices (1, 2), rewards (1, 2); row 2 is terminal. Q = s * (1, -1, 2) and
Q' = s' * (3, 1, 2), so that at s' = 2 the online values are (2, -2, 4) and those of the target (6, 2, 4).
"""

import math

import numpy as np
import pytest
from keras import ops
from linear_agents import CHOICE, CHOICES, CHOOSING, linear, loss_of, networks

from vinci_offline import functional
from vinci_offline.agents.awac import AWAC
from vinci_offline.agents.bc import BC
from vinci_offline.agents.bcq import BCQ
from vinci_offline.agents.cql import CQL
from vinci_offline.agents.crr import CRR
from vinci_offline.agents.dqn import DQN
from vinci_offline.agents.iql import IQL
from vinci_offline.agents.nfq import NFQ
from vinci_offline.agents.onestep import OneStep
from vinci_offline.agents.qrdqn import QRDQN
from vinci_offline.agents.sac import SAC
from vinci_offline.agents.sql import EQL, SQL
from vinci_offline.agents.xql import XQL
from vinci_offline.functional.masks import EXCLUDED
from vinci_offline.testing.agent_contract import bench
from vinci_offline.testing.gradients import gradient

FIRST_TWO = np.array([[1, 1, 0], [1, 1, 0]], bool)
"""The third choice is not allowed, though row 2 recorded it."""


def masks(own=FIRST_TWO, following=FIRST_TWO):
    return CHOICES.replace(
        action_mask=ops.convert_to_tensor(own), next_action_mask=ops.convert_to_tensor(following)
    )


def test_scores_without_a_mask_are_the_same_object():
    scores = ops.ones((2, 3))
    assert functional.masked(scores, None) is scores


def test_masked_scores():
    scores = ops.convert_to_tensor(np.array([[[1, 2, 3], [4, 5, 6]]], "f4"))
    allowed = ops.convert_to_tensor(FIRST_TWO)
    found = ops.convert_to_numpy(functional.masked(scores, allowed))
    assert found[0] == pytest.approx(np.array([[1, 2, EXCLUDED], [4, 5, EXCLUDED]]))
    recorded = ops.convert_to_tensor(np.array([1, 2], "int32"))
    found = ops.convert_to_numpy(functional.masked(scores[0], allowed, recorded=recorded))
    assert found == pytest.approx(np.array([[1, 2, EXCLUDED], [4, 5, 6]]))


@pytest.mark.parametrize(
    ("agent", "next_value"),
    [
        (DQN(double=True, huber_delta=None), 6),  # the online values select the first of the two
        (DQN(double=False, huber_delta=None), 6),
        (NFQ(huber_delta=None), 2),  # its own values: (2, -2)
    ],
)
def test_maxima_leave_masked_choices_out(agent, next_value):
    weights = {"critic": CHOOSING["critic"]} if agent.name == "nfq" else CHOOSING
    loss, _ = loss_of(agent, networks(agent, CHOICE, **weights), "critic", masks())
    # Q(s, a) = (-1, 4) against (1 + 0.9 V, 2).
    assert float(loss) == pytest.approx(((2 + 0.9 * next_value) ** 2 + 4) / 2, rel=1e-5)


def test_qrdqn_selects_among_allowed_choices():
    # Means of Q'(s') = 2 * (2, 0.5, 2.5): without the third the first is best, with the quantiles 2 * (1, 3).
    agent = QRDQN(quantiles=2)
    kernels = {"critic": [[[0, 0, 0, 0, 0, 0]]], "target_critic": [[[1, 3, 0, 1, 2, 3]]]}
    _, metrics = loss_of(agent, networks(agent, CHOICE, critic_outputs=6, **kernels), "critic", masks())
    assert float(metrics["target/mean"]) == pytest.approx(((1 + 0.9 * 4) + 2) / 2, rel=1e-5)


def test_cql_sums_over_allowed_and_recorded_choices():
    agent = CQL(conservatism=0.5)
    kernel, target = CHOOSING["critic"][0], CHOOSING["target_critic"][0]
    nets = networks(agent, CHOICE, critic=[kernel, kernel], target_critic=[target, target])
    # Row 1: log(e^1 + e^-1) + 1. Row 2 recorded the third: log(e^2 + e^-2 + e^4) - 4.
    gap = math.log(math.e + math.exp(-1)) + 1 + math.log(math.exp(2) + math.exp(-2) + math.exp(4)) - 4
    # Errors of 7.4 and 2, where the Huber loss is |e| - 1/2.
    by_hand = 2 * ((2 + 0.9 * 6 - 0.5 + 1.5) / 2 + 0.5 * gap / 2)
    assert float(loss_of(agent, nets, "critic", masks())[0]) == pytest.approx(by_hand, rel=1e-5)


def test_bcq_takes_likely_choices_among_those_allowed():
    # Logits s' * (0, 1, 2): of the first two the second is likelier; alone the third would be.
    agent = BCQ(threshold=0.3)
    nets = networks(agent, CHOICE, users={"behaviour": linear(3)}, **CHOOSING, behaviour=[[[0, 1, 2]]])
    loss, _ = loss_of(agent, nets, "critic", masks())
    assert float(loss) == pytest.approx((2 + 0.9 * 2 - 0.5 + 1.5) / 2, rel=1e-5)
    assert float(loss_of(agent, nets, "critic", CHOICES)[0]) == pytest.approx(
        (2 + 0.9 * 4 - 0.5 + 1.5) / 2, rel=1e-5
    )


def test_likelihood_counts_allowed_and_recorded_choices():
    # Logits (0, 1, 2) and 2 * (0, 1, 2). Row 1 chose the second of two, row 2 the third of three.
    by_hand = (math.log(1 + math.e) - 1 + math.log(1 + math.exp(2) + math.exp(4)) - 4) / 2
    agent = BC()
    nets = networks(agent, CHOICE, actor=[[[0, 1, 2]]])
    assert float(loss_of(agent, nets, "actor", masks())[0]) == pytest.approx(by_hand, rel=1e-5)
    agent = IQL(temperature=0.0)
    nets = networks(agent, CHOICE, actor=[[[0, 1, 2]]], **twice(CHOOSING), value=[[[0.3]]])
    assert float(loss_of(agent, nets, "actor", masks())[0]) == pytest.approx(by_hand, rel=1e-5)
    assert float(agent.actor_validation_loss(nets, masks(), None)[0]) == pytest.approx(by_hand, rel=1e-5)


def twice(kernels):
    return {name: [kernel[0], kernel[0]] for name, kernel in kernels.items()}


class TestExpectations:
    """Policies with logits 0: of two allowed choices each has probability 1/2."""

    even = (((0, 0, 0),),)

    def test_sac(self):
        agent = SAC(initial_temperature=0.5)
        scalar = {"log_temperature": math.log(0.5)}
        nets = networks(agent, CHOICE, **twice(CHOOSING), actor=self.even, **scalar)
        # V(s') = (6 + 2) / 2 + log(2) / 2; V(s) = (s - s) / 2 + log(2) / 2.
        target = 1 + 0.9 * (4 + 0.5 * math.log(2))
        loss, _ = loss_of(agent, nets, "critic", masks())
        assert float(loss) == pytest.approx(2 * ((target + 1) ** 2 + 4) / 2, rel=1e-5)
        loss, _ = loss_of(agent, nets, "actor", masks())
        assert float(loss) == pytest.approx(-0.5 * math.log(2), rel=1e-5)
        # Row 1 allows two choices, row 2 one: entropies log 2 and 0, targets 0.98 of them.
        own = np.array([[1, 1, 0], [0, 1, 0]], bool)
        loss, metrics = loss_of(agent, nets, "log_temperature", masks(own))
        assert float(metrics["actor/entropy"]) == pytest.approx(math.log(2) / 2, rel=1e-5)
        assert float(loss) == pytest.approx(0.5 * 0.02 * math.log(2) / 2, rel=1e-4)

    @pytest.mark.parametrize("agent", [AWAC(temperature=1.0, hidden=()), CRR(hidden=())], ids=["awac", "crr"])
    def test_advantage_weighted(self, agent):
        kernels = {**twice(CHOOSING), "actor": self.even}
        if agent.name == "crr":
            kernels["target_actor"] = self.even
        nets = networks(agent, CHOICE, **kernels)
        # V'(s') = (6 + 2) / 2.
        loss, _ = loss_of(agent, nets, "critic", masks())
        assert float(loss) == pytest.approx(2 * ((1 + 0.9 * 4 + 1) ** 2 + 4) / 2, rel=1e-5)
        # Advantages: Q(s, a) - 0 = (-1, 4); log likelihoods -log 2 and, with the recorded third choice, -log 3.
        loss, _ = loss_of(agent, nets, "actor", masks())
        greatest = agent.weight_clip
        by_hand = (math.exp(-1) * math.log(2) + min(math.exp(4), greatest) * math.log(3)) / 2
        assert float(loss) == pytest.approx(by_hand, rel=1e-5)


AGENTS = [
    BC(),
    DQN(),
    DQN(double=False),
    NFQ(),
    QRDQN(quantiles=3),
    CQL(),
    BCQ(logit_penalty=0.0),
    IQL(),
    XQL(),
    SQL(),
    EQL(),
    OneStep(),
    AWAC(),
    CRR(),
    SAC(),
    SAC(initial_temperature=1e5),
]


def with_other_third_choice(nets, names):
    """Return networks whose outputs for the third choice are larger by 7."""
    import keras

    def moved(model):
        output = model.output
        logits = isinstance(output, dict)
        scores = output["logits"] if logits else output
        other = scores + np.array([0, 0, 7], "f4")
        return keras.Model(model.input, {"logits": other} if logits else other)

    return nets.extended({name: moved(nets[name]) for name in names})


@pytest.mark.parametrize("agent", AGENTS, ids=lambda agent: agent.name)
def test_no_loss_and_no_gradient_depends_on_masked_choices(agent):
    """Row 1 and row 2 recorded the second and the first choice; nothing may ask about the third."""
    small = {"choice_hidden": (4,)} if isinstance(agent, BCQ) else {"hidden": (4,)}
    agent = type(agent)(**{**agent.to_json(), **small})
    made = bench(agent, CHOICE)
    nets, updates = made.nets, made.updates
    choosing = [name for name, model in nets.models().items() if not name.endswith("value")]
    batch = masks().replace(
        action=ops.convert_to_tensor(np.array([1, 0], "int32")),
        next_action=ops.convert_to_tensor(np.array([0, 1], "int32")),
        has_next_action=ops.ones(2),
    )
    for update in updates:
        key = functional.random.key(0, ops.convert_to_tensor(1), 0)

        def loss(given, update=update, key=key):
            return update.loss(given, batch, key)[0]

        found, other = (float(loss(given)) for given in (nets, with_other_third_choice(nets, choosing)))
        assert found == pytest.approx(other, rel=1e-6), update.name
        assert np.isfinite(found)
        slopes = gradient(
            lambda update=update: loss(nets, update), [v for n in update.networks for v in nets.trainable(n)]
        )
        assert all(np.isfinite(slope).all() for slope in slopes), update.name
