"""Estimates for data of one step: numbers by hand, enumeration, and the model of rewards."""

import itertools

import numpy as np
import pytest
from data_examples import box, discrete_spec, make_columns

from vinci_offline import Dataset, UsageError, estimate
from vinci_offline.evaluation.estimators.doubly_robust import RowValues, doubly_robust
from vinci_offline.evaluation.estimators.importance import importance_sampling
from vinci_offline.evaluation.estimators.one_step import direct, shrinkage, switch
from vinci_offline.evaluation.estimators.reward_model import RewardModel, cross_fitted_rewards
from vinci_offline.evaluation.evidence.evidence import Evidence
from vinci_offline.evaluation.evidence.logged_episodes import LoggedEpisodes
from vinci_offline.evaluation.evidence.ratios import counted_episodes
from vinci_offline.policies.policy import Decision, Policy
from vinci_offline.policies.random_policy import RandomPolicy
from vinci_offline.spec import DiscreteSpace, EnvironmentSpec

RATIOS, REWARDS = np.array([2, 0.5, 0]), np.array([1.0, 0, 1])
VALUES = RowValues(np.full(3, 0.5), np.array([0.4, 0.6, 0.2]))


def one_step(rewards, ratios):
    with np.errstate(divide="ignore"):
        return LoggedEpisodes(rewards, np.log(ratios), np.ones(len(rewards), int), 1.0)


def test_golden_numbers():
    assert direct(VALUES).value == pytest.approx(0.4)
    # V + w (r - Q): 0.4 + 2 * 0.5, 0.6 - 0.5 * 0.5, 0.2.
    assert doubly_robust(one_step(REWARDS, RATIOS), VALUES).value == pytest.approx((1.4 + 0.35 + 0.2) / 3)
    # The weight 2 is above 1: 0.4, 0.35, 0.2.
    assert switch(RATIOS, REWARDS, VALUES, 1.0).value == pytest.approx(0.95 / 3)
    # w / (w^2 + 1) is 0.4, 0.4, 0: 0.4 + 0.4 * 0.5, 0.6 - 0.4 * 0.5, 0.2.
    assert shrinkage(RATIOS, REWARDS, VALUES, 1.0).value == pytest.approx(1.2 / 3)


def test_limits_are_the_direct_and_the_doubly_robust_method():
    robust = doubly_robust(one_step(REWARDS, RATIOS), VALUES).value
    for estimator in (switch, shrinkage):
        assert estimator(RATIOS, REWARDS, VALUES, 0.0).value == pytest.approx(0.4)
        assert estimator(RATIOS, REWARDS, VALUES, np.inf).value == pytest.approx(robust)
        assert estimator(RATIOS, REWARDS, VALUES, np.inf).caveat is None
    assert "1 weights above 1 count by the reward model" in switch(RATIOS, REWARDS, VALUES, 1.0).caveat
    assert "lambda 4" in shrinkage(RATIOS, REWARDS, VALUES, 4.0).caveat


def test_any_model_is_right_where_all_outcomes_are_enumerated():
    """Each pair of a context and a choice is in the data as often as it is probable: no chance is left."""
    behaviour, policy = np.array([[0.2, 0.8], [0.5, 0.5]]), np.array([[0.9, 0.1], [0.3, 0.7]])
    means = np.array([[1.0, 3.0], [2.0, -1.0]])
    truth = (policy * means).sum(axis=1).mean()
    rows = [
        (context, choice)
        for context, choice in itertools.product(range(2), range(2))
        for _ in range(round(10 * behaviour[context, choice]))
    ]
    contexts, choices = np.array(rows).T
    ratios, rewards = (policy / behaviour)[contexts, choices], means[contexts, choices]
    model = np.random.default_rng(0).normal(size=(2, 2))
    values = RowValues(model[contexts, choices], (policy * model).sum(axis=1)[contexts])
    episodes = one_step(rewards, ratios)
    assert importance_sampling(episodes).value == pytest.approx(truth)
    assert doubly_robust(episodes, values).value == pytest.approx(truth)
    right = RowValues(rewards, (policy * means).sum(axis=1)[contexts])
    for estimator in (switch, shrinkage):
        assert estimator(ratios, rewards, values, np.inf).value == pytest.approx(truth)
        assert estimator(ratios, rewards, right, 0.5).value == pytest.approx(truth)
    assert direct(right).value == pytest.approx(truth)


def test_parameters_follow_the_estimated_error():
    rng = np.random.default_rng(0)
    ratios = np.where(rng.random(2000) < 0.01, 100.0, 0.0)
    rewards = rng.normal(size=2000)
    right, wrong = RowValues(np.zeros(2000), np.zeros(2000)), RowValues(rewards - 3, np.zeros(2000))
    # A right model needs no heavy weights. One that is wrong by 3 on every row is needed with all of them.
    assert direct(right).value == pytest.approx(switch(ratios, rewards, right).value)
    assert shrinkage(ratios, rewards, right).details["lambda"] == 0
    assert switch(ratios, rewards, wrong).details == {}
    assert switch(ratios, rewards, wrong).value == pytest.approx(3 * ratios.mean())


def test_ridge_shrinks_towards_the_mean_reward():
    model = RewardModel.of(np.ones((3, 1)), np.array([0, 0, 1]), np.array([1.0, 1.0, 0.0]), 3)
    # The mean is 2/3. Choice 0: (1/3 + 1/3) / (2 + 1) above it. Choice 1: 2/3 / (1 + 1) below it. Choice 2: unknown.
    np.testing.assert_allclose(model.at(np.ones((3, 1)), np.arange(3)), [8 / 9, 1 / 3, 2 / 3])


def logged_choices(rewards, actions, **columns):
    spec = discrete_spec(4)
    made = make_columns(spec, [1] * len(rewards), terminated=[True] * len(rewards))
    made |= {"rewards": np.asarray(rewards, np.float32), "actions": np.asarray(actions)}
    made["infos/propensity"] = np.full(len(rewards), 0.25)
    return Dataset.from_columns({**made, **columns}, spec)


def test_rows_are_judged_by_models_that_have_not_seen_them():
    data = logged_choices([1, 0], [2, 2])
    values = cross_fitted_rewards(Evidence(data, RandomPolicy(data.spec), counted_episodes(data, 1.0), 1.0))
    # Each model knows one row, and expects its reward everywhere.
    assert values.logged.tolist() == values.policy.tolist() == [0, 1]


def test_the_model_of_continuous_actions_is_quadratic():
    """The reward is x + 2 a - a^2, and the policy takes a = 0.5: its value is the mean of x, plus 0.75."""
    spec = EnvironmentSpec(box(1), box(1, low=-1, high=1), id="Line-v0")
    made = make_columns(spec, [1] * 400, terminated=[True] * 400)
    x, a = made["observations"][:, 0], made["actions"][:, 0]
    data = Dataset.from_columns({**made, "rewards": x + 2 * a - a * a}, spec)

    class Half(Policy):
        deterministic = True

        def act(self, observations, rngs):
            return Decision(np.full((len(observations), 1), 0.5, np.float32), None)

    found = direct(cross_fitted_rewards(Evidence(data, Half(), counted_episodes(data, 1.0), 1.0)))
    assert found.value == pytest.approx(x.mean() + 0.75, abs=0.02)


def test_estimate_takes_all_methods_of_one_step():
    rng = np.random.default_rng(3)
    actions = rng.integers(4, size=200)
    data = logged_choices(actions == 1, actions)
    found = estimate("random", data, interval="t")
    assert [*found.methods] == ["dm", "switch", "shrinkage", "ipw", "snipw", "dr"]
    assert found.verdict.startswith("the same as the policy that was logged")
    assert found.by == "snipw"
    assert "errors of the reward model" in found.methods["dm"].warning
    assert found.methods["dr"].warning is None
    told = estimate("random", data, methods=["switch"], interval="t", settings={"switch.threshold": "0.5"})
    assert told.methods["switch"].to_json()["threshold"] == 0.5
    with pytest.raises(UsageError, match=r"switch has no setting 'limit': its only one is switch.threshold"):
        estimate("random", data, settings={"switch.limit": 3})
    with pytest.raises(UsageError, match=r"shrinkage.lambda must be a number from 0 on"):
        estimate("random", data, settings={"shrinkage.lambda": "much"})


def test_large_observations_have_no_linear_model():
    spec = EnvironmentSpec(box(20, 30), DiscreteSpace(2), id="Picture-v0")
    made = make_columns(spec, [1] * 40, terminated=[True] * 40)
    data = Dataset.from_columns({**made, "infos/propensity": np.full(40, 0.5)}, spec)
    found = estimate("random", data, interval="t")
    assert (
        "takes at most 500 numbers, and observations have 600" in found.refusals["dm, switch, shrinkage, dr"]
    )
    assert found.by == "snipw"
