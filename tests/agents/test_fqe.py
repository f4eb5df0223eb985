"""Fitted Q evaluation: its losses by hand, its fixed point against closed forms, and the policies that it takes."""

import hashlib
from functools import partial

import keras
import numpy as np
import pytest
from keras import ops
from linear_agents import BATCH, BOX, CHOICE, CHOICES, KEY, S2, loss_of, vector

from vinci_offline.agents.agent import Networks
from vinci_offline.agents.fqe import FQE
from vinci_offline.batches.batch import Batch
from vinci_offline.errors import SpecError, UsageError, VinciError
from vinci_offline.functional import random
from vinci_offline.networks.builder import NetworkBuilder
from vinci_offline.spec import BoxSpace, DiscreteSpace, EnvironmentSpec
from vinci_offline.testing.gradients import gradient
from vinci_offline.training.initial_value import States, initial_value

S, A, S2 = np.array([1.0, 2.0]), np.array([0.5, -0.5]), np.array(S2)
R, DISCOUNT = np.array([1.0, 2.0]), np.array([0.9, 0.0])


def policy_of(path, outputs, *extra):
    """Save a policy of linear layers without biases: a kernel for each output, applied to the observation."""
    raw = keras.Input((1,), name="observation")
    layers = {
        name: keras.layers.Dense(np.shape(kernel)[1], use_bias=False) for name, kernel in outputs.items()
    }
    made = {name: layer(raw) for name, layer in layers.items()}
    for name, kernel in outputs.items():
        layers[name].set_weights([np.asarray(kernel, "f4")])
    keras.Model(raw, made.get("action", made)).save(path)
    return str(path)


def nets_of(agent, spec=BOX, **weights):
    """Make the agent's networks, with linear critics of these kernels and their targets."""

    def ensemble(env):
        given = [env.state] if spec is not BOX else [env.state, env.action]
        joined = keras.layers.concatenate(given) if len(given) > 1 else env.state
        outputs = 1 if spec is BOX else spec.action_space.n
        outputs *= agent.quantiles or 1
        return keras.Model(
            given if len(given) > 1 else env.state, keras.layers.Dense(outputs, use_bias=False)(joined)
        )

    build = NetworkBuilder(spec, user_networks={"critic": ensemble})
    made = agent.networks(build)
    made["target_critic"] = keras.models.clone_model(made["critic"])
    for name, kernels in weights.items():
        made[name].set_weights([np.asarray(kernel, "f4") for kernel in kernels])
    return Networks(made, build.bounded, build.bounds)


LOGITS = [[0.0, np.log(2.0), np.log(0.5)]]
"""At s = 1 the probabilities are 2/7, 4/7, 1/7."""

TABLES = {"critic": [[[1, -1, 2]], [[2, 0, 1]]], "target_critic": [[[3, 1, 2]], [[-1, 2, 4]]]}


def test_loss_of_choices_takes_the_expectation_of_each_critic(tmp_path):
    # pi at s' = 2 is proportional to (1, 4, 1/4): (4, 16, 1) / 21. E_pi Q' = 2 * (12 + 16 + 2) / 21 for the first
    # critic, 2 * (-4 + 32 + 4) / 21 for the second. The second row ends, so its target is its reward 2.
    agent = FQE(evaluation_policy=policy_of(tmp_path / "p.keras", {"logits": LOGITS}), critics=2)
    loss, metrics = loss_of(agent, nets_of(agent, CHOICE, **TABLES), "critic", CHOICES)
    targets = np.array([[1 + 0.9 * 60 / 21, 2], [1 + 0.9 * 64 / 21, 2]])
    values = np.array([[-1, 4], [0, 2]])  # of the choices 1 and 2 at s = 1 and 2
    assert float(loss) == pytest.approx(((values - targets) ** 2).mean(axis=1).sum(), rel=1e-5)
    assert float(metrics["target/mean"]) == pytest.approx(targets.mean(), rel=1e-5)


@pytest.mark.parametrize("stochastic", [True, False])
def test_mode_is_taken_only_where_it_is_asked_for(tmp_path, stochastic):
    agent = FQE(evaluation_policy=policy_of(tmp_path / "p.keras", {"logits": LOGITS}), stochastic=stochastic)
    nets = nets_of(agent, CHOICE, critic=TABLES["critic"][:1], target_critic=TABLES["target_critic"][:1])
    found = agent.values(nets, BATCH.observation, KEY)
    # Q(1, .) = (1, -1, 2): the expectation is (2 - 4 + 2) / 7, the most likely choice has -1.
    assert float(found.expectations()[0][0]) == pytest.approx(0.0 if stochastic else -1.0, abs=1e-6)


def test_loss_of_continuous_actions_draws_from_the_policy(tmp_path):
    # The file's mean 0.8 s and deviation exp(-0.5 s) are in environment units, twice the scaled ones.
    path = policy_of(tmp_path / "p.keras", {"mean": [[0.8]], "log_std": [[-0.5]]})
    agent = FQE(evaluation_policy=path, samples=5)
    nets = nets_of(agent, critic=[[[1], [2]]], target_critic=[[[0.5], [1]]])
    noise = ops.convert_to_numpy(random.normal(KEY, (10, 1))).reshape(2, 5)
    action = np.clip(0.4 * S2[:, None] + 0.5 * np.exp(-0.5 * S2[:, None]) * noise, -1, 1)
    target = R + DISCOUNT * (0.5 * S2[:, None] + action).mean(axis=1)
    by_hand = ((S + 2 * A - target) ** 2).mean()
    assert float(loss_of(agent, nets, "critic")[0]) == pytest.approx(by_hand, rel=1e-5)


def test_deterministic_file_and_sampler_are_asked_for_their_actions(tmp_path):
    # Environment actions 0.4 s: scaled 0.2 s. Target 1 + 0.9 * (0.5 * 2 + 0.4) = 2.26; the values are (2, 1).
    agent = FQE(evaluation_policy=policy_of(tmp_path / "p.keras", {"action": [[0.4]]}))
    weights = {"critic": [[[1], [2]]], "target_critic": [[[0.5], [1]]]}
    by_hand = ((2 - 2.26) ** 2 + (1 - 2) ** 2) / 2
    assert float(loss_of(agent, nets_of(agent, **weights), "critic")[0]) == pytest.approx(by_hand, rel=1e-5)

    raw, noise = keras.Input((1,), name="observation"), keras.Input((1,), name="noise")
    model = keras.Model({"observation": raw, "noise": noise}, 0.4 * raw + 0.2 * noise)
    model.save(tmp_path / "sampler.keras")
    agent = FQE(evaluation_policy=str(tmp_path / "sampler.keras"), samples=4)
    drawn = ops.convert_to_numpy(random.normal(KEY, (8, 1))).reshape(2, 4)
    action = np.clip(0.2 * S2[:, None] + 0.1 * drawn, -1, 1)
    target = R + DISCOUNT * (0.5 * S2[:, None] + action).mean(axis=1)
    by_hand = ((S + 2 * A - target) ** 2).mean()
    assert float(loss_of(agent, nets_of(agent, **weights), "critic")[0]) == pytest.approx(by_hand, rel=1e-5)


def quantile_loss(quantiles, atoms, weight):
    """Return the quantile Huber loss of one row with kappa 1."""
    total = 0.0
    for i, quantile in enumerate(quantiles):
        probability = (i + 0.5) / len(quantiles)
        for atom, share in zip(atoms, weight, strict=True):
            error = atom - quantile
            huber = 0.5 * error**2 if abs(error) <= 1 else abs(error) - 0.5
            total += share * abs(probability - (error < 0)) * huber
    return total


def test_quantile_loss_of_choices_mixes_all_of_them(tmp_path):
    agent = FQE(evaluation_policy=policy_of(tmp_path / "p.keras", {"logits": LOGITS}), quantiles=2)
    # Two quantiles of each of three choices, the first choice's first.
    nets = nets_of(agent, CHOICE, critic=[[[1, 3, -1, 1, 2, 4]]], target_critic=[[[3, 4, 1, 1.5, 2, 6]]])
    atoms = 1 + 0.9 * 2 * np.array([3, 4, 1, 1.5, 2, 6])
    first = quantile_loss([-1, 1], atoms, np.repeat([4 / 21, 16 / 21, 1 / 21], 2) / 2)
    second = quantile_loss([4, 8], [2], [1])
    loss, metrics = loss_of(agent, nets, "critic", CHOICES)
    assert float(loss) == pytest.approx((first + second) / 2, rel=1e-5)
    mean = 1 + 1.8 * (4 * 3.5 + 16 * 1.25 + 4) / 21
    assert float(metrics["target/mean"]) == pytest.approx((mean + 2) / 2, rel=1e-5)


def test_quantile_loss_of_continuous_actions(tmp_path):
    # Z'(s', a') = (0.5 s' + a', s' + a') at a' = 0.2 s': (1.4, 2.4) at s' = 2. Z(1, 0.5) = (2, 1), Z(2, -0.5) = (1, 3).
    agent = FQE(evaluation_policy=policy_of(tmp_path / "p.keras", {"action": [[0.4]]}), quantiles=2)
    nets = nets_of(agent, critic=[[[1, 1], [2, 0]]], target_critic=[[[0.5, 1], [1, 1]]])
    by_hand = quantile_loss([2, 1], [1 + 0.9 * 1.4, 1 + 0.9 * 2.4], [0.5, 0.5]) + quantile_loss(
        [1, 2], [2], [1]
    )
    assert float(loss_of(agent, nets, "critic")[0]) == pytest.approx(by_hand / 2, rel=1e-5)


STATES = EnvironmentSpec(DiscreteSpace(3), DiscreteSpace(2))
TRANSITIONS = [  # of (state, choice): the reward, whether it ends, and two next states that are equally likely
    (0, 0, 1.0, False, 1, 2),
    (0, 1, 0.0, False, 2, 2),
    (1, 0, 2.0, False, 0, 1),
    (1, 1, -1.0, True, 0, 0),
    (2, 0, 0.5, False, 2, 0),
    (2, 1, 4.0, False, 1, 1),
]
CHANCE = np.array([[0.6, 0.4], [0.3, 0.7], [0.55, 0.45]])
"""Probabilities of the choices in each state: the most likely ones, 0, 1, 0, earn much less than the policy."""


def closed_form(chance, gamma):
    """Return V = (I - gamma P_pi)^-1 r_pi."""
    paid, moves = np.zeros(3), np.zeros((3, 3))
    for state, choice, reward, ends, *following in TRANSITIONS:
        paid[state] += chance[state, choice] * reward
        for each in following:
            moves[state, each] += 0.5 * chance[state, choice] * (not ends)
    return np.linalg.solve(np.eye(3) - gamma * moves, paid)


def test_value_of_a_stochastic_policy_is_the_closed_form(tmp_path):
    raw = keras.Input((), dtype="int32", name="observation")
    table = keras.layers.Dense(2, use_bias=False)
    model = keras.Model(raw, {"logits": table(ops.one_hot(raw, 3))})
    table.set_weights([np.log(CHANCE)])
    model.save(tmp_path / "policy.keras")
    gamma = 0.6
    rows = [(s, a, r, e, after) for s, a, r, e, *following in TRANSITIONS for after in following]
    state, choice, reward, ends, after = map(np.array, zip(*rows, strict=True))
    batch = Batch(
        {
            "observation": ops.convert_to_tensor(state.astype("i4")),
            "action": ops.convert_to_tensor(choice.astype("i4")),
            "reward": vector(reward),
            "discount": vector(gamma * ~ends),
            "next_observation": ops.convert_to_tensor(after.astype("i4")),
        }
    )
    for stochastic, chance in ((True, CHANCE), (False, np.array([[1, 0], [0, 1], [1, 0]]))):
        agent = FQE(evaluation_policy=str(tmp_path / "policy.keras"), stochastic=stochastic)
        nets = nets_of(agent, STATES, critic=[np.zeros((3, 2))], target_critic=[np.zeros((3, 2))])
        loss = partial(agent.critic_loss, nets, batch, KEY)
        for _ in range(25):
            (slope,) = gradient(lambda of=loss: of()[0], nets.trainable("critic"))
            # The loss is quadratic with curvature 2 * 2 / 12 for each entry: one Newton step is a regression.
            nets.critic.set_weights([nets.critic.get_weights()[0] - slope * 12 / 4])
            nets.target_critic.set_weights(nets.critic.get_weights())
        found = initial_value(agent, nets, States(np.array([0, 2, 2], "i4")))
        truth = closed_form(chance, gamma)
        assert found.mean == pytest.approx((truth[0] + 2 * truth[2]) / 3, rel=1e-5)
        assert found.states == 3
    assert closed_form(CHANCE, gamma)[0] - truth[0] > 0.5  # mode and expectation differ


def test_random_is_uniform_over_choices_and_between_bounds():
    agent = FQE(samples=4000)
    found = agent.values(nets_of(agent, CHOICE, critic=TABLES["critic"][:1]), BATCH.observation, KEY)
    np.testing.assert_allclose(found.expectations()[0], [2 / 3, 4 / 3], rtol=1e-5)
    nets = nets_of(agent, critic=[[[1], [2]]])
    np.testing.assert_allclose(agent.values(nets, BATCH.observation, KEY).expectations()[0], S, atol=0.06)
    free = EnvironmentSpec(
        BOX.observation_space, BoxSpace((1,), "float32", np.array([0], "f4"), np.array([np.inf], "f4"))
    )
    with pytest.raises(SpecError, match="the random policy is uniform between bounds"):
        agent.networks(NetworkBuilder(free))


def test_hash_of_the_file_is_kept_and_another_file_is_refused(tmp_path):
    path = policy_of(tmp_path / "policy.keras", {"action": [[0.4]]})
    agent = FQE(evaluation_policy=path, hidden=(4,))
    assert agent.policy_hash == hashlib.sha256((tmp_path / "policy.keras").read_bytes()).hexdigest()
    assert agent.policy_network in agent.networks(NetworkBuilder(BOX))
    policy_of(tmp_path / "policy.keras", {"action": [[0.5]]})
    with pytest.raises(UsageError, match=r"policy.keras is another file than before: its SHA-256 is"):
        agent.networks(NetworkBuilder(BOX))
    with pytest.raises(UsageError, match="another file than before"):
        FQE.from_settings(agent.to_json())
    assert (
        FQE(evaluation_policy=path).policy_network != agent.policy_network
    )  # so a checkpoint of the other one does not fit


def test_run_directory_gives_its_distribution_where_it_has_one(tmp_path):
    policy_of(tmp_path / "policy.keras", {"action": [[0.4]]})
    build = NetworkBuilder(BOX)
    assert not isinstance(
        FQE(evaluation_policy=str(tmp_path))
        .networks(build)[FQE(evaluation_policy=str(tmp_path)).policy_network]
        .output,
        dict,
    )
    policy_of(tmp_path / "stochastic_policy.keras", {"mean": [[0.8]], "log_std": [[-0.5]]})
    for stochastic, kind in ((True, dict), (False, keras.KerasTensor)):
        agent = FQE(evaluation_policy=str(tmp_path), stochastic=stochastic)
        assert isinstance(agent.networks(NetworkBuilder(BOX))[agent.policy_network].output, kind)


def test_policy_is_short_for_evaluation_policy():
    assert FQE.from_settings({"policy": "random"}) == FQE()
    with pytest.raises(UsageError, match="no hyperparameter 'policy'"):
        FQE.from_settings({"policy": "random", "evaluation_policy": "random"})


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nothing.keras", "nothing.keras does not exist"),
        ("sb3:ppo:file.zip", "give a run directory, a .keras file, or random"),
        (".", "has no policy.keras"),
    ],
)
def test_missing_policy_is_one_line(tmp_path, monkeypatch, name, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(VinciError, match=message):
        FQE.from_settings({"evaluation_policy": name})


def test_policy_of_another_kind_of_action_is_refused(tmp_path):
    agent = FQE(evaluation_policy=policy_of(tmp_path / "p.keras", {"action": [[0.4, 1.0]]}))
    with pytest.raises(
        SpecError, match=r"returns actions of shape \(None, 2\), but the environment needs \(1,\)"
    ):
        agent.networks(NetworkBuilder(BOX))
    with pytest.raises(SpecError, match="but the environment needs Discrete"):
        agent.networks(NetworkBuilder(CHOICE))
    with pytest.raises(UsageError, match="quantiles belong to one critic"):
        FQE(quantiles=5, critics=2)


def test_policy_that_takes_a_mask_beside_the_observation_is_refused(tmp_path):
    """As many choices as numbers in an observation: each would pass for the other."""
    count = 2
    bounds = np.full(count, -1, "f4"), np.full(count, 1, "f4")
    spec = EnvironmentSpec(BoxSpace((count,), "float32", *bounds), DiscreteSpace(count))
    observation, mask = keras.Input((count,), name="observation"), keras.Input((count,), name="action_mask")
    scores = keras.layers.Multiply()([keras.layers.Dense(count)(observation), mask])
    model = keras.Model({"observation": observation, "action_mask": mask}, scores)
    model.save(tmp_path / "policy.keras")
    agent = FQE(evaluation_policy=str(tmp_path / "policy.keras"), hidden=(4,))
    with pytest.raises(SpecError, match=r"policy\.keras takes a mask of actions beside the observation"):
        agent.networks(NetworkBuilder(spec))
