"""Tests that agents reach higher returns than their data: ``pytest -m slow tests/learning``."""

import pytest

from vinci_offline import Dataset, evaluate, train

pytestmark = pytest.mark.slow


def learned_return(data, agent, tmp_path, **options):
    result = train(data, agent, output=tmp_path / "run", progress=False, **options)
    return evaluate(result.run, episodes=20, seed=1_000).return_mean


def data_return(data):
    return Dataset.open(data).episodes["return"].mean()


@pytest.mark.parametrize("agent", ["td3bc", "iql"])
def test_pendulum_agent_beats_its_data(agent, tmp_path):
    assert learned_return("pendulum-mixed", agent, tmp_path, steps=10_000) > data_return("pendulum-mixed")


@pytest.mark.parametrize("agent", ["bc", "dqn"])
def test_cartpole_agent_beats_its_data(agent, tmp_path):
    assert learned_return("cartpole-mixed", agent, tmp_path, steps=10_000) > 1.5 * data_return(
        "cartpole-mixed"
    )
