from pathlib import Path

import pytest

from vinci_offline.agents.outline import outline
from vinci_offline.agents.registry import agent_class
from vinci_offline.errors import UsageError

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
