import subprocess
import sys
from dataclasses import dataclass, field

import pytest

from vinci_offline.agents.bc import BC
from vinci_offline.agents.iql import IQL
from vinci_offline.agents.outline import outline
from vinci_offline.agents.registry import agent_class, agents
from vinci_offline.agents.td3bc import TD3BC
from vinci_offline.errors import UsageError


def test_shipped_agents():
    assert {"bc", "ddpg", "dqn", "iql", "td3bc"} <= set(agents())
    assert agent_class("iql") is IQL


def test_settings_from_strings():
    agent = TD3BC.from_settings({"alpha": "1", "hidden": "400,300", "normalize_observations": "no"})
    assert (agent.alpha, agent.hidden, agent.normalize_observations) == (1.0, (400, 300), False)
    assert IQL.from_settings({"actor_cosine_steps": "1e3"}).actor_cosine_steps == 1000
    assert IQL.from_settings({"actor_cosine_steps": "none"}).actor_cosine_steps is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"expectil": "0.7"}, "no hyperparameter 'expectil'; it has: .*expectile"),
        ({"expectile": "high"}, "expectile='high' is not valid: it takes a number"),
        ({"expectile": "1.5"}, "expectile=1.5 is not valid: it takes numbers from 0 to 1"),
        ({"expectile": "nan"}, "expectile=nan is not valid"),
        ({"hidden": "64,0"}, "hidden=.64, 0. is not valid: it takes numbers from 1 on"),
        ({"actor_learning_rate": "-1"}, "actor_learning_rate=-1.0 is not valid: it takes numbers from 0 on"),
    ],
)
def test_invalid_settings_are_refused(settings, message):
    with pytest.raises(UsageError, match=message):
        IQL.from_settings(settings)


def test_every_setting_has_a_description_and_a_default():
    for name, cls in agents().items():
        content = outline(cls)
        assert content["doc"], name
        assert content["networks"], name
        assert all(setting["doc"] for setting in content["hyperparameters"].values()), name


def test_outline_of_td3bc():
    content = outline(TD3BC)
    assert content["networks"]["critic"] == "observation, action → value (ensemble of 2)"
    assert content["updates"][1] == {
        "trains": "actor",
        "role": "actor",
        "runs": "every 2 steps",
        "target": "follows at 0.005 every 2 steps",
    }
    assert content["hyperparameters"]["alpha"]["default"] == 2.5
    assert "or observation → logits" in outline(agents()["bc"])["networks"]["actor"]


def test_outline_refuses_a_setting_without_default():
    @dataclass(frozen=True)
    class Bare(BC):
        needed: int = field(kw_only=True)

    with pytest.raises(UsageError, match="give every hyperparameter a default"):
        outline(Bare)


def test_listing_agents_does_not_import_keras():
    code = """
import sys
from vinci_offline.agents.outline import outline
from vinci_offline.agents.registry import agents
for cls in agents().values():
    outline(cls)
sys.exit("keras" in sys.modules or "tensorflow" in sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
