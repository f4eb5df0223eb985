from pathlib import Path

import pytest

from vinci_offline.agents.outline import outline
from vinci_offline.agents.registry import agent_class
from vinci_offline.errors import UsageError

FILE = Path(__file__).with_name("own_agent.py")


def test_an_agent_of_ones_own_is_set_from_strings():
    cls = agent_class(f"{FILE}:OwnAgent")
    agent = cls.from_settings({"temperature": "3", "hidden": "4,4", "limit": "0.5"})
    assert (agent.name, agent.temperature, agent.hidden, agent.limit) == ("ownagent", 3.0, (4, 4), 0.5)
    assert cls.from_settings({"limit": "none"}).limit is None
    assert outline(cls)["hyperparameters"]["temperature"]["type"] == "float"


def test_what_cannot_be_set_is_said():
    with pytest.raises(UsageError, match="labels is annotated list, which cannot be set: use bool, int"):
        agent_class(f"{FILE}:OwnAgent").from_settings({"labels": "a"})


def test_other_objects_are_not_agents():
    with pytest.raises(UsageError, match="not a subclass of"):
        agent_class(f"{FILE}:dataclass")
