"""Agents that fit a dataset: by its actions, and by what its rows hold."""

import numpy as np
import pytest

from vinci_offline import EnvironmentSpec
from vinci_offline.agents.agent import Agent
from vinci_offline.agents.fit import fitting_agents
from vinci_offline.agents.registry import agents
from vinci_offline.spec import BoxSpace, DiscreteSpace, MultiDiscreteSpace
from vinci_offline.testing.agent_contract import BOX, DISCRETE

SUMMARY = {
    "rows": 100,
    "episodes": 10,
    "fragments": 0,
    "terminals": 7,
    "infos": ["cost"],
    "no_reward_signal": None,
}
IMAGES = EnvironmentSpec(
    BoxSpace((8, 8, 3), "uint8", np.zeros((8, 8, 3)), np.full((8, 8, 3), 255)), DiscreteSpace(2)
)


def fits(spec=BOX, **facts):
    return {each.agent: (each.fits, each.because) for each in fitting_agents(spec, {**SUMMARY, **facts})}


@pytest.mark.parametrize(("spec", "kind"), [(BOX, "continuous"), (DISCRETE, "discrete")])
def test_agents_are_those_of_the_kind_of_action(spec, kind):
    assert list(fits(spec)) == [name for name, cls in agents().items() if kind in cls.action_kinds]


def test_several_choices_at_once_fit_no_agent():
    assert (
        fitting_agents(
            EnvironmentSpec(
                BOX.observation_space, MultiDiscreteSpace((2,), "int64", np.zeros(2), np.array([1, 2]))
            ),
            SUMMARY,
        )
        == []
    )


@pytest.mark.parametrize(
    ("spec", "agent", "facts", "expected"),
    [
        (BOX, "td3bc", {}, (True, "continuous actions")),
        # Ten episodes, seven of them terminate: three last rows have no next action and would need one.
        (BOX, "rebrac", {}, (True, "continuous actions; next actions, of all rows but 3")),
        (DISCRETE, "sarsa", {"terminals": 10}, (True, "discrete actions; next actions, of all rows")),
        (
            BOX,
            "onestep",
            {"episodes": 100, "terminals": 0},
            (False, "no row has a next action: every one ends its episode"),
        ),
        (
            BOX,
            "calql",
            {"fragments": 4},
            (True, "continuous actions; returns, of 6 whole episodes; of 4 fragments they are guessed"),
        ),
        (BOX, "calql", {"fragments": 10}, (False, "no episode is whole, so no return is known")),
        (BOX, "iql", {"no_reward_signal": "all rewards are 0"}, (False, "all rewards are 0")),
        (BOX, "bc", {"no_reward_signal": "all rewards are 0"}, (True, "continuous actions")),
        (IMAGES, "dqn", {}, (True, "discrete actions; images, which each network encodes first")),
    ],
)
def test_reason_is_what_the_rows_hold(spec, agent, facts, expected):
    assert fits(spec, **facts)[agent] == expected


def test_recorded_column_that_an_agent_asks_for_is_needed(monkeypatch):
    class Costly(Agent):
        columns = ("infos/cost", "infos/risk")

    monkeypatch.setattr("vinci_offline.agents.fit.agents", lambda: {"costly": Costly})
    assert fits() == {"costly": (False, "the column infos/risk is not recorded")}
    assert fits(infos=["cost", "risk"])["costly"] == (True, "continuous actions")
