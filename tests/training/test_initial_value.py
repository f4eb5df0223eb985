from dataclasses import replace

import numpy as np
import pytest

from vinci_offline import train
from vinci_offline.agents.fqe import FQE
from vinci_offline.agents.nfq import NFQ
from vinci_offline.cli.train import _value_words
from vinci_offline.data.dataset import Dataset
from vinci_offline.errors import VinciWarning
from vinci_offline.functional import PolicyValues
from vinci_offline.spec import BoxSpace, DiscreteSpace, EnvironmentSpec
from vinci_offline.spec.units import RewardScaling, Units
from vinci_offline.training import initial_value
from vinci_offline.training.initial_value import InitialValue, first_states
from vinci_offline.training.task import _first_states

LINE = EnvironmentSpec(BoxSpace((1,), "float64", np.array([-np.inf]), np.array([np.inf])), DiscreteSpace(2))


def chain():
    """Make three episodes of three rows, with the observations 0 to 8."""
    seen = np.arange(9.0)[:, None]
    return Dataset.from_columns(
        {
            "observations": seen,
            "next_observations": seen + 0.5,
            "actions": np.zeros(9, np.int64),
            "rewards": np.ones(9),
            "terminals": np.arange(9) == 2,
            "timeouts": np.isin(np.arange(9), (5, 8)),
        },
        LINE,
    )


def test_first_observations_are_those_of_whole_episodes(monkeypatch):
    data = chain()
    np.testing.assert_array_equal(first_states(data).observations, np.array([[0], [3], [6]], "f4"))
    pieces = data.rows(np.array([1, 2, 3, 4, 5, 6, 7]))  # the second episode alone is whole
    np.testing.assert_array_equal(first_states(pieces).observations, np.array([[3]], "f4"))
    assert first_states(data.rows(np.array([1, 2]))) is None
    monkeypatch.setattr(initial_value, "_MOST_STATES", 2)
    np.testing.assert_array_equal(first_states(data).observations, np.array([[0], [6]], "f4"))


def test_value_is_the_mean_over_states_and_critics():
    # Two critics, three states, two actions. By critic: (0.5, 2, 3) and (1.5, 2, 5).
    values = np.array([[[0, 1], [2, 2], [3, 7]], [[1, 2], [2, 2], [5, 0]]])
    weight = np.array([[0.5, 0.5], [0.2, 0.8], [1.0, 0.0]])
    found = InitialValue.of(PolicyValues(values, weight))
    assert found.mean == pytest.approx(14 / 6)
    np.testing.assert_allclose(found.members, [5.5 / 3, 8.5 / 3])
    # By state (1, 2, 4): deviation sqrt(7 / 3), over sqrt(3).
    assert found.metrics() == pytest.approx(
        {
            "value/initial": 14 / 6,
            "value/states": 3,
            "value/standard_error": np.sqrt(7) / 3,
            "value/critics_std": 1 / np.sqrt(2),
        }
    )


def test_distribution_of_the_return_mixes_states_actions_and_quantiles():
    # One state; quantiles (-4, 10) of an action with probability 0.1 and (0, 2) of one with 0.9:
    # -4 (0.05), 0 (0.45), 2 (0.45), 10 (0.05).
    values, weight = np.array([[[-4, 0]], [[10, 2]]]), np.array([[0.1, 0.9]])
    found = InitialValue.of(PolicyValues(values, weight, quantiles=True))
    assert found.mean == pytest.approx(0.1 * 3 + 0.9)
    assert [found.quantile(p) for p in (0.05, 0.06, 0.5, 0.51, 0.95, 1.0)] == [-4, 0, 0, 2, 2, 10]
    # The worst tenth: -4 with half of it, 0 with the other half.
    assert found.tail_mean(0.1) == pytest.approx(-2)
    assert found.tail_mean(1.0) == pytest.approx(found.mean)
    assert found.metrics()["value/cvar_10"] == pytest.approx(-2)
    assert "value/standard_error" not in found.metrics()  # of one state


def test_run_reports_the_value_in_recorded_rewards(tmp_path):
    # No step moves the critic by more than its tiny rate: values of rewards 10 times as large are divided by 10.
    settings = {"hidden": (4,), "learning_rate": 1e-9}
    told = [
        train(
            chain(),
            "fqe",
            settings=settings,
            steps=1,
            jit="off",
            reward=reward,
            progress=False,
            output=tmp_path / name,
        ).final_metrics
        for name, reward in (("plain", None), ("scaled", "scale:10"))
    ]
    assert told[0]["value/states"] == 3
    assert told[1]["value/initial"] == pytest.approx(told[0]["value/initial"] / 10, rel=1e-4)
    assert "value of the policy" in _value_words(told[0])
    assert "over 3 first states" in _value_words(told[0])


def test_data_without_a_whole_episode_report_no_value():
    units = Units.of(LINE)
    with pytest.warns(VinciWarning, match="no episode of the data is whole"):
        assert _first_states(FQE(), chain().rows(np.array([1, 2])), units) is None
    with pytest.warns(VinciWarning, match="counts the shift of every step"):
        _first_states(FQE(), chain(), replace(units, rewards=RewardScaling(1.0, -1.0)))
    assert _first_states(NFQ(), chain(), units) is None
