import pytest
from backends import tensorflow_only

from vinci_offline.agents.bc import BC
from vinci_offline.agents.ddpg import DDPG
from vinci_offline.agents.dqn import DQN
from vinci_offline.agents.iql import IQL
from vinci_offline.agents.td3bc import TD3BC
from vinci_offline.testing.agent_contract import BOX, DISCRETE, AgentContract

SMALL = {"hidden": (8, 8)}


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
    ],
)
class TestShippedAgents(AgentContract):
    pass


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
    ],
)
class TestVariants(AgentContract):
    """Other options of the same agents: other losses and policies in the same loop, whose tests compile longest."""

    test_training_is_deterministic = None
    test_phase_of_one_role_freezes_the_rest = None
