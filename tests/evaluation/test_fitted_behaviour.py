"""A fitted behaviour policy: crosswise by episode, and its quality. Masks of the judged policy."""

import json

import numpy as np
import pytest
from data_examples import box, discrete_spec, make_columns
from typer.testing import CliRunner

from vinci_offline import Dataset, DatasetError, UsageError, estimate
from vinci_offline.cli.app import app
from vinci_offline.evaluation.evidence import behaviour, evidence
from vinci_offline.evaluation.evidence.behaviour import (
    FittedBehaviour,
    calibration_error,
    clipped_levels,
    fit_behaviour,
    split,
)
from vinci_offline.evaluation.evidence.policy_actions import policy_actions
from vinci_offline.evaluation.evidence.ratios import counted_episodes, log_probs, with_ratios
from vinci_offline.policies.policy import Policy
from vinci_offline.spec import DiscreteSpace, EnvironmentSpec


class Frequencies(Policy):
    """A policy of choices that takes them as often as given rows did."""

    def __init__(self, actions, n=4):
        self._logs = np.log((np.bincount(actions, minlength=n) + 1) / (len(actions) + n))

    def act(self, observations, rngs):
        raise NotImplementedError

    def log_probs_of(self, observations, actions):
        return self._logs[actions]

    def parameters_of(self, observations):
        return {"logits": np.tile(self._logs, (len(observations), 1))}


class Masked(Policy):
    """A policy that takes each allowed choice alike."""

    takes_masks = True

    def act(self, observations, rngs):
        raise NotImplementedError

    def log_probs_of(self, observations, actions):
        assert sorted(observations) == ["action_mask", "observation"]
        mask = observations["action_mask"]
        assert mask.dtype == np.float32  # as acting gives it
        with np.errstate(divide="ignore"):
            return np.log(mask[np.arange(len(actions)), actions] / mask.sum(axis=1))


def choices(actions, lengths, **columns):
    """Return episodes with given choices, of which nothing tells the probability."""
    spec = discrete_spec(4)
    made = make_columns(spec, lengths, terminated=[True] * len(lengths))
    return Dataset.from_columns({**made, "actions": np.asarray(actions), **columns}, spec)


def test_the_calibration_error_of_choices():
    # 0.9 was sure twice and right once: 0.8 too much. 0.6 was right twice: 0.8 too little. 1.6 of 4 rows.
    levels = np.array([[0.9, 1], [0.9, 0], [0.6, 1], [0.6, 1]])
    assert calibration_error(levels, discrete=True) == pytest.approx(0.4)
    assert calibration_error(np.array([[1.0, 1], [1.0, 1]]), discrete=True) == 0


def test_the_calibration_error_of_continuous_actions():
    # Levels in the middle are inside every interval: off by the mean of 0.9, 0.8, ..., 0.1.
    assert calibration_error(np.full(5, 0.5), discrete=False) == pytest.approx(0.5)
    assert calibration_error((np.arange(1000) + 0.5) / 1000, discrete=False) < 1e-3


def test_levels_on_a_bound_are_drawn_beyond_it():
    space = box(1, low=-1, high=1)
    actions = np.array([[-1.0], [0.0], [1.0]], np.float32)
    levels = clipped_levels(actions, np.zeros((3, 1)), np.ones((3, 1)), space, np.full((3, 1), 0.5))
    # Half of the mass below -1 is 0.1587 / 2; all above 1 is 0.1587.
    np.testing.assert_allclose(levels[:, 0], [0.0793276, 0.5, 0.9206724], atol=1e-6)


def test_episodes_are_judged_by_fits_that_have_not_seen_them(monkeypatch):
    data = choices([0, 0, 0, 1, 1, 1, 2, 2, 3], [3, 3, 2, 1])
    fitted = []

    def cloned(training, *rest):
        fitted.append(training.columns["actions"][:])
        return Frequencies(fitted[-1])

    monkeypatch.setattr(behaviour, "_cloned", cloned)
    model = fit_behaviour(data, folds=4, progress=False)
    # Each choice is in one episode alone: its fit has never seen it, and finds 1 / (rows of the others + 4).
    others = np.array([6, 6, 6, 6, 6, 6, 7, 7, 8])
    np.testing.assert_allclose(model.log_probs, -np.log(others + 4))
    assert model.folds == len(fitted) == 4
    assert model.log_likelihood == pytest.approx(model.without_observations) == model.log_probs.mean()
    assert "no better than their frequencies" in model.notes[1]
    assert [part.tolist() for part in split(data, 2, 5)] == [part.tolist() for part in split(data, 2, 5)]


def test_one_episode_has_no_behaviour_policy():
    with pytest.raises(DatasetError, match="needs two episodes"):
        fit_behaviour(choices([0, 1], [2]))


@pytest.mark.slow
def test_a_fit_by_bc_finds_choices_at_places(capsys):
    """The observation is a number of a place, and there the behaviour mostly takes the choice of that number."""
    spec = EnvironmentSpec(DiscreteSpace(3), DiscreteSpace(3), id="Places-v0")
    rng = np.random.default_rng(0)
    places = rng.integers(3, size=400)
    actions = np.where(rng.random(400) < 0.8, places, rng.integers(3, size=400))
    made = make_columns(spec, [4] * 100, terminated=[True] * 100)
    data = Dataset.from_columns({**made, "observations": places, "actions": actions}, spec)
    options = {"hidden": (8,), "learning_rate": 0.02}
    model = fit_behaviour(data, settings=options, steps=100, folds=2, progress=False)
    right = np.where(actions == places, np.log(0.8 + 0.2 / 3), np.log(0.2 / 3))
    assert abs(model.log_likelihood - right.mean()) < 0.05 < model.log_likelihood - model.without_observations
    assert model.calibration_error < 0.1
    assert capsys.readouterr().err == ""


@pytest.fixture
def known(monkeypatch):
    """Stand in for the fit: the behaviour took choice 0 with probability 0.4, and the others with 0.2."""

    def fit(dataset, **options):
        logs = np.log(np.where(dataset.columns["actions"][:] == 0, 0.4, 0.2))
        return FittedBehaviour(logs, 3, -1.2, -1.3, 0.02)

    monkeypatch.setattr(evidence, "fit_behaviour", fit)


def test_fitted_densities_stand_for_recorded_ones(known, tmp_path):
    rng = np.random.default_rng(1)
    actions = rng.choice(4, 300, p=[0.4, 0.2, 0.2, 0.2])
    logs = np.log(np.where(actions == 0, 0.4, 0.2))
    logged = estimate("random", choices(actions, [2] * 150, **{"infos/action_log_probs": logs}))
    data = choices(actions, [2] * 150)
    found = estimate("random", data, behaviour="fit")
    for name, each in found.methods.items():
        assert each.value == pytest.approx(logged.methods[name].value)
    assert found.to_json()["behaviour"] == {
        "fitted": "bc", "folds": 3, "log_likelihood": -1.2, "without_observations": -1.3, "calibration_error": 0.02,
    }  # fmt: skip
    assert "behaviour" not in logged.to_json()
    path = data.save(tmp_path / "data.h5").path
    run = CliRunner().invoke(app, ["estimate", "random", str(path), "--behaviour", "fit"])
    assert "note: the behaviour policy was fitted by bc on 3 folds of episodes" in run.stdout
    assert "note: intervals do not count the error of the fitted behaviour policy" in run.stdout
    run = CliRunner().invoke(app, ["estimate", "random", str(path), "--json"])
    assert "--behaviour fit learns them" in json.loads(run.stdout)["wis"]["refused"]
    assert "behaviour='fit' learns them" in estimate("random", data).to_json()["wis"]["refused"]
    with pytest.raises(UsageError, match="unknown behaviour 'fitted'"):
        estimate("random", data, behaviour="fitted")


def test_masked_policies_get_the_recorded_masks():
    masks = np.array([[1, 1, 0, 0], [1, 1, 1, 1], [0, 0, 1, 0], [1, 0, 1, 1]], np.int8)
    data = choices([0, 3, 2, 1], [2, 2], **{"infos/action_mask": masks})
    with np.errstate(divide="ignore"):
        np.testing.assert_allclose(log_probs(data, Masked()), np.log([0.5, 0.25, 1, 0]))
    without = choices([0, 1], [2])
    with pytest.raises(DatasetError, match="has no infos/action_mask; collect records it"):
        with_ratios(without, Masked(), counted_episodes(without, 0.9), 0.9, lambda: np.zeros(2))


def test_expectations_of_masked_policies_take_the_masks_of_their_rows():
    masks = np.array([[1, 1, 0, 0], [1, 1, 1, 1], [0, 0, 1, 0], [1, 0, 1, 1]], np.int8)
    data = choices([0, 3, 2, 1], [2, 2], **{"infos/action_mask": masks})
    here = policy_actions(data, Masked(), np.array([2, 0]))
    np.testing.assert_allclose(here.weights, [[0, 0, 1, 0], [0.5, 0.5, 0, 0]])
    # Rows 1 and 3 end an episode: every action counts as allowed after them.
    after = policy_actions(data, Masked(), np.arange(4), following=True).weights
    np.testing.assert_allclose(after, [[0.25] * 4, [0.25] * 4, [1 / 3, 0, 1 / 3, 1 / 3], [0.25] * 4])
    # A column of its own tells the next masks; row 1 is terminal, so that its mask has no meaning.
    following = np.array([[1, 0, 0, 0], [0, 0, 0, 0], [0, 1, 1, 0], [1, 1, 1, 1]], np.int8)
    told = choices([0, 3, 2, 1], [2, 2], **{"infos/action_mask": masks, "infos/next_action_mask": following})
    after = policy_actions(told, Masked(), np.arange(4), following=True).weights
    np.testing.assert_allclose(after, [[1, 0, 0, 0], [0.25] * 4, [0, 0.5, 0.5, 0], [0.25] * 4])
    without = choices([0, 1], [2])
    with pytest.raises(DatasetError, match="has no infos/action_mask; collect records it"):
        policy_actions(without, Masked(), np.arange(2))
