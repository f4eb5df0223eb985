"""Marginal weights against the exact visits of a small decision process, and the method dice on datasets."""

import numpy as np
import pytest
from data_examples import box, continuous_spec, discrete_spec, make_columns

from vinci_offline import Dataset, DatasetError, estimate
from vinci_offline.evaluation.estimators.dice import marginal_weights
from vinci_offline.evaluation.estimators.features import Features
from vinci_offline.evaluation.estimators.marginal import Block, Flow
from vinci_offline.evaluation.evidence.evidence import Evidence
from vinci_offline.evaluation.evidence.policy_actions import PolicyActions, policy_actions
from vinci_offline.evaluation.evidence.ratios import counted_episodes
from vinci_offline.policies.policy import Decision, Policy
from vinci_offline.spec import DictSpace, DiscreteSpace, EnvironmentSpec

GAMMA = 0.9
MOVES = np.array([[[0.25, 0.75], [1.0, 0.0]], [[0.5, 0.5], [0.0, 1.0]]])
"""``[s, a, s']``. Four copies of each state and action hold each move as often as it is probable."""
POLICY = np.array([[0.3, 0.7], [0.6, 0.4]])
REWARDS = np.array([[1.0, -2.0], [0.5, 3.0]])
FIRST = np.repeat([[0.3, 0.7, 0, 0], [0, 0, 0.6, 0.4]], [9, 3], axis=0)
"""Expected features of twelve first states, nine of them 0."""


def every_row(copies=4):
    """Return rows of one-hot features, and the matrix of moves between states and actions under the policy."""
    features, following, rewards = [], [], []
    for state, action in np.ndindex(2, 2):
        counts = np.round(copies * MOVES[state, action]).astype(int)
        for after in np.repeat([0, 1], counts):
            features.append(np.eye(4)[2 * state + action])
            following.append(GAMMA * np.eye(2)[after][:, None] * POLICY[after])
            rewards.append(REWARDS[state, action])
    moves = (MOVES[:, :, :, None] * POLICY).reshape(4, 4)
    return np.array(features), np.array(following).reshape(-1, 4), np.array(rewards), moves


def flow_of(features, following, rewards, episode, episodes, counts=None, ridge=0.0):
    scale = np.sqrt(np.ones(episodes) if counts is None else counts)[episode]
    block = Block(features * scale[:, None], following * scale[:, None], rewards * scale, episode)
    return Flow.of(lambda: iter([block]), episodes, ridge)


def test_value_and_weights_are_those_of_the_process():
    features, following, rewards, moves = every_row()
    found, missing = flow_of(features, following, rewards, np.arange(16) % 12, 12).estimate(FIRST)
    visits = np.linalg.solve(
        np.eye(4) - GAMMA * moves.T, FIRST.mean(axis=0)
    )  # discounted, sum 1 / (1 - gamma)
    assert found.value == pytest.approx(visits @ REWARDS.ravel(), rel=1e-12)
    # Each state and action is in four rows, and a share 1 - gamma of all visits is one step's.
    by_row = features @ visits / 4
    by_episode = np.bincount(np.arange(16) % 12, by_row)
    np.testing.assert_allclose(found.weights, by_episode * 12 * (1 - GAMMA), rtol=1e-12)
    assert missing == 0


def test_terminal_rows_earn_nothing_more():
    features, following, rewards, moves = every_row()
    following = np.where(features[:, [3]] > 0, 0, following)  # state 1, action 1 ends
    moves[3] = 0
    found, _ = flow_of(features, following, rewards, np.arange(16) % 12, 12).estimate(FIRST)
    visits = np.linalg.solve(np.eye(4) - GAMMA * moves.T, FIRST.mean(axis=0))
    assert found.value == pytest.approx(visits @ REWARDS.ravel(), rel=1e-12)


def test_data_that_lack_an_action_of_the_policy_show_it():
    features, following, rewards, _ = every_row()
    kept = features[:, 1] == 0  # state 0 without action 1
    arrays = (each[kept] for each in (features, following, rewards))
    _, missing = flow_of(*arrays, np.arange(12), 12, ridge=1e-9).estimate(FIRST)
    assert missing > 0.3
    _, whole = flow_of(features, following, rewards, np.arange(16) % 12, 12, ridge=1e-9).estimate(FIRST)
    assert whole < 1e-6


def test_influence_is_the_derivative_by_an_episodes_share():
    rng = np.random.default_rng(0)
    episode = np.repeat(np.arange(6), [3, 5, 2, 4, 6, 4])
    features, following = rng.normal(size=(24, 3)), 0.5 * rng.normal(size=(24, 3))
    rewards, first = rng.normal(size=24), rng.normal(size=(6, 3))
    found, _ = flow_of(features, following, rewards, episode, 6).estimate(first)
    assert found.influence.mean() == pytest.approx(0, abs=1e-12)
    for place in range(6):
        counts = np.ones(6)
        counts[place] += 1e-6
        values = flow_of(features, following, rewards, episode, 6, counts).values
        moved = counts @ first / counts.sum() @ values
        assert (moved - found.value) / 1e-6 * 6 == pytest.approx(found.influence[place], rel=1e-4)


class Choices(Policy):
    """A policy of two choices in states 0 and 1."""

    def act(self, observations, rngs):
        raise NotImplementedError

    def log_probs_of(self, observations, actions):
        return np.log(POLICY[observations, actions])


class Coin(Choices):
    """A policy that prefers one of two choices everywhere."""

    def log_probs_of(self, observations, actions):
        return np.log(np.array([0.3, 0.7])[actions])


def process(episodes, steps, seed=0, only=None):
    """Return episodes of the process that start in state 0 and are cut, by a behaviour that tosses a coin."""
    rng = np.random.default_rng(seed)
    states, actions, following = [], [], []
    for _ in range(episodes):
        state = 0
        for _ in range(steps):
            action = int(rng.integers(2)) if only is None else only
            after = int(rng.random() < MOVES[state, action, 1])
            states.append(state), actions.append(action), following.append(after)
            state = after
    states, actions = np.array(states), np.array(actions)
    spec = EnvironmentSpec(DiscreteSpace(2), DiscreteSpace(2))
    columns = {
        "observations": states,
        "next_observations": np.array(following),
        "actions": actions,
        "rewards": REWARDS[states, actions].astype(np.float32),
        "terminals": np.zeros(len(states), np.bool_),
        "timeouts": np.arange(1, len(states) + 1) % steps == 0,
    }
    return Dataset.from_columns(columns, spec)


def evidence_of(data, policy):
    return Evidence(data, policy, counted_episodes(data, GAMMA), GAMMA)


def test_dice_needs_no_propensities_and_no_short_horizon(monkeypatch):
    from vinci_offline.evaluation import estimates

    monkeypatch.setattr(estimates, "load_policy", lambda *_, **__: Choices())
    data = process(60, 50)
    found = estimate("any", data, methods=["dice", "wis"], gamma=GAMMA, interval="t")
    expected = (POLICY * REWARDS).sum(axis=1)
    truth = np.linalg.solve(np.eye(2) - GAMMA * np.einsum("sa,sat->st", POLICY, MOVES), expected)[0]
    told = found.methods["dice"]
    assert told.low < truth < told.high
    assert told.high - told.low < 2
    assert "goes on after the time limit" in told.warning
    assert "no propensities" in found.refusals["wis"]
    # 0.9^50 is 0.005: the gain is about the difference to the logged mean.
    assert found.gain.value == pytest.approx(told.value - found.logged.value, abs=0.2)
    assert "by dice" in found.verdict


def test_gain_compares_the_recorded_steps_alone():
    data = process(400, 5)
    found = marginal_weights(evidence_of(data, Choices()))
    expected = (POLICY * REWARDS).sum(axis=1)
    values = np.linalg.solve(np.eye(2) - GAMMA * np.einsum("sa,sat->st", POLICY, MOVES), expected)
    last = data.columns["next_observations"].reshape(400, 5)[:, -1]
    returns = data.columns["rewards"].reshape(400, 5) @ GAMMA ** np.arange(5)
    truth = (values[0] - GAMMA**5 * values[last] - returns).mean()
    error = found.gain.influence.std() / 20
    assert abs(found.gain.value - truth) < 4 * error < 1


def test_dice_refuses_data_without_the_policys_actions():
    with pytest.raises(DatasetError, match="the data lack what the policy does"):
        marginal_weights(evidence_of(process(20, 10, only=0), Choices()))


def test_dice_refuses_images():
    spec = EnvironmentSpec(box(8, 8, 3, dtype="uint8", low=0, high=255), DiscreteSpace(2))
    data = Dataset.from_columns(make_columns(spec, [2, 2]), spec)
    with pytest.raises(DatasetError, match=r"at most 100 numbers.*these have 192: the method fqe takes any"):
        Features.of(data, np.arange(4), 0)


def test_dice_takes_a_dict_as_its_numbers_side_by_side():
    flat = EnvironmentSpec(box(5), DiscreteSpace(2))
    nested = DictSpace({"body": DictSpace({"at": box(2), "turn": box()}), "mode": DiscreteSpace(2, start=1)})
    rng = np.random.default_rng(0)
    columns = make_columns(flat, [20] * 10)
    modes = rng.integers(2, size=(2, 200))
    parts = {}
    for root, mode in zip(("observations", "next_observations"), modes, strict=True):
        numbers = columns[root]
        numbers[:, 3:] = np.eye(2)[mode]
        parts |= {f"{root}/body/at": numbers[:, :2], f"{root}/body/turn": numbers[:, 2]}
        parts |= {f"{root}/mode": mode + 1}
    others = {name: values for name, values in columns.items() if not name.endswith("observations")}
    spec = EnvironmentSpec(nested, flat.action_space)
    found = [
        marginal_weights(evidence_of(Dataset.from_columns(each, space), Coin()))
        for each, space in ((columns, flat), (others | parts, spec))
    ]
    assert found[1].value == pytest.approx(found[0].value, rel=1e-9)
    assert found[0].value != pytest.approx(columns["rewards"].mean())


def test_features_of_a_distribution_are_expectations():
    for spec in (discrete_spec(3), continuous_spec()):
        data = Dataset.from_columns(make_columns(spec, [6, 6]), spec)
        rows, features = np.arange(4), Features.of(data, np.arange(12), 0)
        seen, actions = data.columns["observations"][rows], data.columns["actions"]
        one, other = actions[rows], actions[rows + 4]
        weights = np.tile([0.25, 0.75], (4, 1))
        found = features.expected(seen, PolicyActions(np.stack([one, other], axis=1), weights))
        by_hand = 0.25 * features.at(seen, one) + 0.75 * features.at(seen, other)
        np.testing.assert_allclose(found, by_hand, rtol=1e-12, atol=1e-12)


class Draws(Policy):
    """A policy of continuous actions that draws, or that does not."""

    def __init__(self, deterministic):
        self.deterministic = deterministic

    def act(self, observations, rngs):
        noise = 0 if self.deterministic else np.array([rng.normal() for rng in rngs])[:, None]
        return Decision(observations[:, :2] + noise, None)


def test_actions_of_policies_are_all_choices_one_action_or_draws():
    data = process(2, 3)
    found = policy_actions(data, Choices(), np.arange(6), following=True)
    np.testing.assert_array_equal(found.actions, [[0, 1]] * 6)
    np.testing.assert_allclose(found.weights, POLICY[data.columns["next_observations"]])
    data = Dataset.from_columns(make_columns(continuous_spec(), [3, 2]), continuous_spec())
    rows = np.array([4, 1])
    one = policy_actions(data, Draws(True), rows)
    np.testing.assert_array_equal(one.actions[:, 0], data.columns["observations"][rows, :2])
    assert one.weights.tolist() == [[1], [1]]
    several = policy_actions(data, Draws(False), rows, samples=5)
    assert several.actions.shape == (2, 5, 2)
    assert len(np.unique(several.actions[:, :, 0])) == 10  # no two draws are equal
    again = policy_actions(data, Draws(False), rows, samples=5)
    np.testing.assert_array_equal(several.actions, again.actions)
