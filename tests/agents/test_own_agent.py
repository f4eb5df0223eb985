from pathlib import Path

import pytest

from vinci_offline.agents.agent import Agent, Update, adam
from vinci_offline.agents.outline import outline
from vinci_offline.agents.registry import agent_class
from vinci_offline.errors import UsageError, VinciError
from vinci_offline.networks.builder import NetworkBuilder
from vinci_offline.testing.agent_contract import BOX
from vinci_offline.training.learner import Learner

FILE = Path(__file__).with_name("own_agent.py")


def test_own_agent_reads_settings_from_strings():
    cls = agent_class(f"{FILE}:OwnAgent")
    agent = cls.from_settings({"temperature": "3", "hidden": "4,4", "limit": "0.5"})
    assert (agent.name, agent.temperature, agent.hidden, agent.limit) == ("ownagent", 3.0, (4, 4), 0.5)
    assert cls.from_settings({"limit": "none"}).limit is None
    assert outline(cls)["hyperparameters"]["temperature"]["type"] == "float"


def test_setting_of_unsupported_type_is_refused():
    with pytest.raises(
        UsageError, match="labels has the annotation list, which cannot be set: use bool, int"
    ):
        agent_class(f"{FILE}:OwnAgent").from_settings({"labels": "a"})


def test_object_that_is_no_agent_is_refused():
    with pytest.raises(UsageError, match="not a subclass of"):
        agent_class(f"{FILE}:dataclass")


class Halfway(Agent):
    """An agent without its policy."""

    name = "halfway"

    def networks(self, build):
        return {"actor": build.deterministic_actor("actor", (4,))}

    def updates(self):
        return (Update(lambda nets, batch, key: self.loss(nets, batch), "actor", adam(1e-3), role="actor"),)


def test_agent_without_a_method_is_refused():
    with pytest.raises(UsageError, match=r"^agent 'halfway' lacks the method policy: write it in Halfway$"):
        Halfway()
    with pytest.raises(
        UsageError, match="lacks the methods networks, policy, updates: write them in Nothing"
    ):
        type("Nothing", (Agent,), {}).from_settings({})


@pytest.mark.parametrize(
    ("policy", "told"),
    [
        (lambda nets, build: None, r"policy\(\) returned a value of type NoneType: return a Keras model"),
        (
            lambda nets, build: build.critics("other", (4,), 2),
            r"the model of policy\(\) has outputs of shape \(.*\), and an action has \(2,\): return a model of ac",
        ),
        (lambda nets, build: 1 / 0, r"agent 'halfway': policy\(\) failed: ZeroDivisionError"),
    ],
)
def test_policy_that_is_none_is_refused_before_training(policy, told):
    agent = type("Whole", (Halfway,), {"policy": lambda self, nets, build: policy(nets, build)})()
    with pytest.raises(VinciError, match=told) as raised:
        Learner(agent, NetworkBuilder(BOX), seed=0)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("returned", [None, 1.0, (1.0, {}, 2)])
def test_loss_that_returns_no_pair_is_named(returned):
    update = Update(lambda nets, batch, key: returned, "actor", adam(1e-3), role="actor")
    with pytest.raises(TypeError, match=r"it returned a \w+: return \(loss, metrics\), a scalar and a dict"):
        update.call(None, None, None, None)
