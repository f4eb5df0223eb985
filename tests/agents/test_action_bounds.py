"""Each agent on each kind of action bounds: the unit of a dimension, and the bounds that its policy obeys."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest
from keras import ops

from vinci_offline import EnvironmentSpec, functional
from vinci_offline.agents.bc import BC
from vinci_offline.agents.ddpg import DDPG
from vinci_offline.agents.iql import IQL
from vinci_offline.agents.td3bc import TD3BC
from vinci_offline.batches.batch import Batch
from vinci_offline.functional import random
from vinci_offline.networks.action_scaling import squash_tensor
from vinci_offline.networks.builder import NetworkBuilder
from vinci_offline.networks.nets import Networks
from vinci_offline.spec import BoxSpace
from vinci_offline.spec.action_scaling import BoxScaling, scale_actions, unscale_actions
from vinci_offline.spec.units import Units
from vinci_offline.training.learner import Learner

HUGE = float(np.finfo(np.float32).max)
RNG = np.random.default_rng(0)
DRAWS = RNG.uniform(-1, 1, 500)
KINDS = {
    # kind: (low, high, recorded actions, scale, offset, scaled bounds)
    "bounded": (-2, 2, 2 * DRAWS, 2, 0, (-1, 1)),
    "bounded, asymmetric": (0, 0.5, 0.25 + 0.2 * DRAWS, 0.25, 0.25, (-1, 1)),
    "bounded, narrow data": (-1, 1, 0.9 + 0.002 * DRAWS, 1, 0, (-1, 1)),
    "bounded, constant": (-1, 1, np.zeros(500), 1, 0, (-1, 1)),
    "one value": (3, 3, np.full(500, 3.0), 1, 3, (-1, 1)),
    "from zero on": (0, np.inf, 1 + DRAWS, None, None, "low"),
    "up to zero": (-np.inf, 0, -1 - DRAWS, None, None, "high"),
    "unbounded": (-np.inf, np.inf, 1000 + 200 * DRAWS, None, None, None),
    "unbounded, constant": (-np.inf, np.inf, np.full(500, 7.0), 1, 7, None),
    "largest float32": (-HUGE, HUGE, 0.5 + 0.1 * DRAWS, None, None, None),
    "largest float32, constant": (-HUGE, HUGE, np.full(500, 0.5), 1, 0.5, None),
    "a million": (-1e6, 1e6, 0.5 + 0.1 * DRAWS, None, None, "both"),
    "a million from zero": (0, 1e6, 0.5 + 0.1 * DRAWS, None, None, "both"),
}
AGENTS = {
    "bc": BC(hidden=(4,)),
    "bc gaussian": BC(hidden=(4,), gaussian=True),
    "td3bc": TD3BC(hidden=(4,)),
    "ddpg": DDPG(hidden=(4,)),
    "ddpg inverting": DDPG(hidden=(4,), invert_gradients=True),
    "iql": IQL(hidden=(4,)),
    "iql deterministic": IQL(hidden=(4,), deterministic_actor=True),
}


def space_of(kind):
    low, high = (np.array([bound], np.float32) for bound in KINDS[kind][:2])
    return BoxSpace((1,), "float32", low, high)


def recorded(kind):
    return KINDS[kind][2].astype(np.float32)[:, None]


def scaling_of(kind):
    actions = recorded(kind).astype(np.float64)
    return BoxScaling.of_data(space_of(kind), actions.mean(0), actions.std(0), actions.min(0), actions.max(0))


# One action space with a dimension of each kind: an agent is built once for all of them.
LOW, HIGH = (np.array([kind[place] for kind in KINDS.values()], np.float32) for place in (0, 1))
SPACE = BoxSpace((len(KINDS),), "float32", LOW, HIGH)
ACTIONS = np.concatenate([recorded(kind) for kind in KINDS], axis=1)
EXACT = ACTIONS.astype(np.float64)
SCALING = BoxScaling.of_data(SPACE, EXACT.mean(0), EXACT.std(0), EXACT.min(0), EXACT.max(0))


@pytest.fixture(scope="module")
def learner():
    limits = np.full(2, np.inf, np.float32)
    spec = EnvironmentSpec(BoxSpace((2,), "float32", -limits, limits), SPACE)
    made = {}

    def of(agent):
        if agent not in made:
            made[agent] = Learner(AGENTS[agent], NetworkBuilder(spec, None, None, Units(spec, SCALING)), 0)
        return made[agent]

    return of


def batch():
    rng = np.random.default_rng(1)
    observations = rng.normal(size=(2, 64, 2)).astype(np.float32)
    columns = {
        "observation": observations[0],
        "action": scale_actions(SPACE, ACTIONS[:64], SCALING),
        "reward": np.ones(64, np.float32),
        "discount": np.full(64, 0.9, np.float32),
        "next_observation": observations[1],
    }
    return Batch({name: ops.convert_to_tensor(column) for name, column in columns.items()})


@pytest.mark.parametrize("kind", KINDS)
def test_unit_by_hand(kind):
    low, high, actions, scale, offset, bounds = KINDS[kind]
    scaling = scaling_of(kind)
    by_data = scale is None or bounds is None
    assert scaling.bounded.tolist() == [not by_data]
    np.testing.assert_allclose(scaling.scale, [actions.std() if scale is None else scale], rtol=1e-5)
    np.testing.assert_allclose(
        scaling.offset, [actions.mean() if offset is None else offset], rtol=1e-5, atol=1e-7
    )
    if isinstance(bounds, tuple):
        assert (*scaling.bounds.low, *scaling.bounds.high) == bounds
    else:
        ends = [(end - float(scaling.offset[0])) / float(scaling.scale[0]) for end in (low, high)]
        wanted = [
            -np.inf if bounds in (None, "high") else ends[0],
            np.inf if bounds in (None, "low") else ends[1],
        ]
        np.testing.assert_allclose([*scaling.bounds.low, *scaling.bounds.high], wanted, rtol=1e-5)
    back = unscale_actions(space_of(kind), scale_actions(space_of(kind), recorded(kind), scaling), scaling)
    np.testing.assert_allclose(back, recorded(kind), rtol=1e-5, atol=1e-6)
    assert (scaling.to_json() is None) == (not by_data)
    again = BoxScaling.from_json(space_of(kind), scaling.to_json())
    assert (again.scale, again.offset) == (scaling.scale, scaling.offset)


@pytest.mark.parametrize("agent", AGENTS)
def test_policy_is_in_the_data_and_inside_the_bounds(agent, learner):
    policy = learner(agent).policy
    near = np.asarray(policy(RNG.normal(size=(64, 2)).astype(np.float32)))
    assert (np.abs(near - SCALING.offset) <= 6 * SCALING.scale).all()  # not 3.4e38 times a rounding error
    far = np.asarray(policy(1e4 * RNG.normal(size=(64, 2)).astype(np.float32)))
    assert np.isfinite(far).all()
    assert ((far >= LOW) & (far <= HIGH)).all()


@pytest.mark.parametrize("agent", AGENTS)
def test_losses_are_of_the_size_of_the_units(agent, learner):
    made, rows = learner(agent), batch()
    for bound in made.updates:
        loss, metrics = bound.update.loss(made.nets, rows, random.key(0, ops.convert_to_tensor(1), 0))
        assert abs(float(loss)) < 1000
        assert all(np.isfinite(float(value)) for value in metrics.values())


@pytest.mark.parametrize("agent", ["td3bc", "ddpg"])
def test_targets_value_actions_inside_the_bounds(agent, learner):
    """A target actor that leaves the bounds is valued at the bound, as its action would be executed."""
    made = learner(agent)
    valued = []

    def critic(inputs):
        valued.append(ops.convert_to_numpy(inputs[1]))
        return ops.zeros((2, 64))

    class Watched(Networks):
        target_actor = staticmethod(lambda observation: ops.tile(50.0 * observation[:, :1], (1, len(KINDS))))
        target_critic = staticmethod(critic)

    nets = Watched(dict(made.nets), made.nets.bounded, made.nets.bounds)
    AGENTS[agent].critic_loss(nets, batch(), random.key(0, ops.convert_to_tensor(1), 0))
    executed = valued[0].astype(np.float64) * SCALING.scale + SCALING.offset
    slack = 1e-5 * np.maximum(1.0, np.abs(executed).max(axis=0))
    several = LOW < HIGH
    inside = (executed >= LOW - slack) & (executed <= HIGH + slack)
    assert inside[:, several].all()
    assert valued[0].max() > 20  # where there is no bound


def test_noise_and_deviation_count_in_units_of_the_data(learner):
    some = [list(KINDS).index(kind) for kind in ("unbounded", "largest float32", "from zero on")]
    still = ops.zeros((4000, len(KINDS)))
    noise = functional.target_policy_smoothing(
        still, random.key(0, ops.convert_to_tensor(1), 0), 0.2, 0.5, SCALING.bounds
    )
    spread = ops.convert_to_numpy(noise).std(axis=0) * SCALING.scale
    np.testing.assert_allclose(spread[some], 0.2 * ACTIONS.std(axis=0)[some], rtol=0.1)
    stochastic = learner("iql").stochastic_policy(np.zeros((1, 2), np.float32))
    np.testing.assert_allclose(np.exp(stochastic["log_std"])[0, some], ACTIONS.std(axis=0)[some], rtol=1e-4)


@pytest.mark.parametrize(("low", "high"), [(-1.5, np.inf), (-np.inf, 0.7), (-0.2, 9.0), (-1000.0, np.inf)])
def test_squash_by_hand(low, high):
    scaling = BoxScaling(
        BoxSpace((1,), "float64", np.array([low]), np.array([high])),
        np.array([True]),
        np.ones(1),
        np.zeros(1),
    )
    raw = np.array([[-1e4], [-3.0], [0.0], [3.0], [1e4]], np.float32)
    squashed = ops.convert_to_numpy(squash_tensor(scaling, ops.convert_to_tensor(raw)))[:, 0]
    assert (np.diff(squashed) >= 0).all()
    assert ((squashed >= np.float32(low)) & (squashed <= np.float32(high))).all()
    assert squashed[2] == pytest.approx(0, abs=0.02)  # the mean of the data
    assert squashed[0] == pytest.approx(low if low > -1e3 else -1000, abs=1e-3) or low == -np.inf
    assert squashed[4] == pytest.approx(high, abs=1e-3) or high == np.inf
    if low == -1000:  # a far bound changes nothing near the data
        np.testing.assert_array_equal(squashed[1:], raw[1:, 0])


def test_squash_has_a_gradient_beyond_a_bound():
    scaling = scaling_of("from zero on")
    with_gradient = keras.Variable(np.full((1, 1), -4.0, np.float32))
    from vinci_offline.testing.gradients import gradient

    (found,) = gradient(lambda: ops.sum(squash_tensor(scaling, with_gradient * 1.0)), [with_gradient])
    assert 0 < found.item() < 0.1


def test_inverted_gradients_turn_back_at_a_single_bound():
    from vinci_offline.testing.gradients import gradient

    bounds = scaling_of("from zero on").bounds  # about -1.73, and no upper bound
    low = bounds.low[0]
    action = keras.Variable(np.array([[low + 0.25], [low - 0.5], [5.0]], np.float32))
    # Descent on the sum lowers actions: the factor is the distance to the bound, at most 1.
    (found,) = gradient(lambda: ops.sum(functional.invert_gradients(action * 1.0, bounds)), [action])
    np.testing.assert_allclose(found, [[0.25], [-0.5], [1.0]], rtol=1e-5)
    (found,) = gradient(lambda: -ops.sum(functional.invert_gradients(action * 1.0, bounds)), [action])
    np.testing.assert_allclose(found, [[-1.0], [-1.0], [-1.0]], rtol=1e-5)


def test_large_offsets_of_float64_actions_are_exact():
    space = BoxSpace((1,), "float64", np.array([-np.inf]), np.array([np.inf]))
    actions = (1.7e9 + np.arange(50.0))[:, None]
    scaling = BoxScaling.of_data(space, actions.mean(0), actions.std(0), actions.min(0), actions.max(0))
    scaled = scale_actions(space, actions, scaling)
    np.testing.assert_allclose(scaled, (actions - actions.mean()) / actions.std(), atol=1e-5)
    np.testing.assert_allclose(unscale_actions(space, scaled, scaling), actions, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("low", "high", "near", "off"),
    [
        (-1.5, np.inf, [-1.495, -9], [-1.48, 9]),
        (-np.inf, 2.0, [1.995, 9], [1.98, -9]),
        (-1, 1, [0.995, -0.995], [0.98, -0.98]),
    ],
)
def test_saturation_is_counted_at_each_bound(low, high, near, off):
    bounds = (
        None if (low, high) == (-1, 1) else SimpleNamespace(low=np.float32([low]), high=np.float32([high]))
    )
    actions = ops.convert_to_tensor(np.float32([*near, *off])[:, None])
    found = ops.convert_to_numpy(DDPG._saturated(SimpleNamespace(bounds=bounds), actions))
    assert found[:, 0].tolist() == [True, True, False, False]
