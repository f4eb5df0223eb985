from dataclasses import replace
from functools import partial

import pytest
from backends import tensorflow_only

from vinci_offline.agents.awac import AWAC
from vinci_offline.agents.bc import BC
from vinci_offline.agents.bcq import BCQ
from vinci_offline.agents.bear import BEAR
from vinci_offline.agents.calql import CalQL
from vinci_offline.agents.cql import CQL
from vinci_offline.agents.crr import CRR
from vinci_offline.agents.ddpg import DDPG
from vinci_offline.agents.dqn import DQN
from vinci_offline.agents.edac import EDAC
from vinci_offline.agents.fqe import FQE
from vinci_offline.agents.iql import IQL
from vinci_offline.agents.nfq import NFQ
from vinci_offline.agents.onestep import OneStep
from vinci_offline.agents.plas import PLAS
from vinci_offline.agents.qrdqn import QRDQN
from vinci_offline.agents.qtopt import QTOpt
from vinci_offline.agents.rebrac import ReBRAC
from vinci_offline.agents.sac import SAC
from vinci_offline.agents.sacn import SACN
from vinci_offline.agents.sarsa import SARSA
from vinci_offline.agents.sql import EQL, SQL
from vinci_offline.agents.td3 import TD3
from vinci_offline.agents.td3bc import TD3BC
from vinci_offline.agents.xql import XQL
from vinci_offline.testing.agent_contract import BOX, DISCRETE, AgentContract

SMALL = {"hidden": (8, 8)}
LATENT = {"latent_hidden": (8, 8)}
on_tensorflow = partial(pytest.param, marks=tensorflow_only)
"""An agent whose losses are of the kinds that others show on every backend."""


@pytest.mark.parametrize(
    ("agent", "spec"),
    [
        pytest.param(BC(**SMALL, gaussian=True, state_dependent_std=True), BOX, id="bc-gaussian-state"),
        pytest.param(BC(**SMALL), DISCRETE, id="bc-discrete"),
        pytest.param(
            DDPG(**SMALL, critic_huber_delta=1.0, critic_l2=0.01, target_update=10.0, invert_gradients=True),
            BOX,
            id="ddpg-options",
        ),
        pytest.param(TD3BC(**SMALL), BOX, id="td3bc"),
        pytest.param(IQL(**SMALL), BOX, id="iql"),
        pytest.param(
            DQN(**SMALL, double=False, dueling=True, huber_delta=None, target_update=100.0),
            DISCRETE,
            id="dqn-dueling",
        ),
        on_tensorflow(TD3(**SMALL), BOX, id="td3"),
        pytest.param(ReBRAC(**SMALL), BOX, id="rebrac"),
        on_tensorflow(XQL(**SMALL), BOX, id="xql"),
        on_tensorflow(SQL(**SMALL), BOX, id="sql"),
        on_tensorflow(EQL(**SMALL), BOX, id="eql"),
        on_tensorflow(IQL(**SMALL), DISCRETE, id="iql-discrete"),
        pytest.param(SAC(**SMALL), BOX, id="sac"),
        on_tensorflow(SAC(**SMALL), DISCRETE, id="sac-discrete"),
        on_tensorflow(SACN(**SMALL, critics=5), BOX, id="sacn"),
        pytest.param(AWAC(**SMALL), BOX, id="awac"),
        on_tensorflow(AWAC(**SMALL), DISCRETE, id="awac-discrete"),
        on_tensorflow(CRR(**SMALL), BOX, id="crr"),
        pytest.param(CRR(**SMALL, binary=True), DISCRETE, id="crr-discrete"),
        on_tensorflow(CQL(**SMALL), DISCRETE, id="cql-discrete"),
        on_tensorflow(BCQ(**LATENT, **SMALL, acting_samples=5), BOX, id="bcq"),
        on_tensorflow(BCQ(choice_hidden=(8, 8)), DISCRETE, id="bcq-discrete"),
        on_tensorflow(PLAS(**LATENT, **SMALL), BOX, id="plas"),
        pytest.param(BEAR(**LATENT, **SMALL, acting_samples=5, warm_up=2), BOX, id="bear"),
        pytest.param(EDAC(**SMALL, critics=5), BOX, id="edac"),
        on_tensorflow(OneStep(**SMALL), BOX, id="onestep"),
        on_tensorflow(NFQ(**SMALL), DISCRETE, id="nfq"),
        pytest.param(SARSA(**SMALL), DISCRETE, id="sarsa"),
        pytest.param(QRDQN(**SMALL, quantiles=5), DISCRETE, id="qrdqn"),
        pytest.param(QTOpt(**SMALL, samples=8, elites=3), BOX, id="qtopt"),
        pytest.param(FQE(**SMALL, critics=2, target_update=2.0), BOX, id="fqe"),
    ],
)
class TestShippedAgents(AgentContract):
    pass


@pytest.mark.parametrize(
    ("agent", "spec"),
    [
        pytest.param(CQL(**SMALL, samples=3), BOX, id="cql"),
        on_tensorflow(CalQL(**SMALL, samples=3), BOX, id="calql"),
    ],
)
class TestConservativeAgents(AgentContract):
    """Agents whose penalty takes the policy's actions at the next state, terminal or not, as their papers do."""

    def test_terminal_rows_ignore_the_next_observation(self, agent, spec):
        super().test_terminal_rows_ignore_the_next_observation(replace(agent, conservatism=0.0), spec)


@tensorflow_only
@pytest.mark.parametrize(
    ("agent", "spec"),
    [
        pytest.param(BC(**SMALL), BOX, id="bc"),
        pytest.param(BC(**SMALL, gaussian=True), BOX, id="bc-gaussian"),
        pytest.param(DDPG(**SMALL), BOX, id="ddpg"),
        pytest.param(
            IQL(**SMALL, deterministic_actor=True, actor_cosine_steps=100), BOX, id="iql-deterministic"
        ),
        pytest.param(DQN(**SMALL), DISCRETE, id="dqn"),
        pytest.param(FQE(**SMALL, quantiles=5), DISCRETE, id="fqe-quantiles"),
    ],
)
class TestVariants(AgentContract):
    """Other options of the same agents: other losses and policies in the same loop, whose tests compile longest."""

    test_training_is_deterministic = None
