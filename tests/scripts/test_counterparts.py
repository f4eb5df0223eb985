"""Each agent with a counterpart in d3rlpy has a configuration of it, with the agent's own settings."""

import sys

import pytest

pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("ignore")]


@pytest.fixture
def counterparts(monkeypatch, parity):
    return sys.modules["counterparts"]


def test_settings_reach_the_configuration(counterparts):
    for discrete, table in ((False, counterparts.CONTINUOUS), (True, counterparts.CHOICES)):
        for agent in table:
            settings = {"hidden": "7,5"}
            if agent == "bcq":
                settings |= {"acting_samples": 10, "choice_hidden": "7,5"}
            config = counterparts.counterpart(agent, settings, discrete=discrete, batch_size=3, gamma=0.9)
            critic = getattr(config, "critic_encoder_factory", None) or config.encoder_factory
            assert (critic.hidden_units, config.batch_size) == ([7, 5], 3), agent


def test_polyak_rate_becomes_as_many_steps_between_copies(counterparts):
    config = counterparts.counterpart("dqn", {"target_update": "0.005"}, discrete=True)
    assert config.target_update_interval == 200


def test_setting_that_d3rlpy_lacks_is_refused(counterparts):
    with pytest.raises(ValueError, match="dueling"):
        counterparts.counterpart("dqn", {"dueling": "true"}, discrete=True)
