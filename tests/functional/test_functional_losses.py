"""Numbers worked out by hand from the papers' equations."""

import math

import keras
import numpy as np
import pytest
from keras import ops

from vinci_offline import functional
from vinci_offline.errors import SpecError
from vinci_offline.functional.shapes import check_shapes
from vinci_offline.testing.gradients import gradient


def f32(values):
    return ops.convert_to_tensor(np.asarray(values, "float32"))


def test_td_target_multiplies_next_value_by_discount():
    # A running row, a terminated row (discount 0), a truncated row (discount as any other), a three-step row.
    target = functional.td_target(f32([1, 1, 1, 2.71]), f32([0.9, 0, 0.9, 0.729]), f32([10, 10, 10, 10]))
    np.testing.assert_allclose(target, [10.0, 1.0, 10.0, 10.0], rtol=1e-6)


def test_no_gradient_flows_through_targets_and_weights():
    values = keras.Variable([2.0, 3.0])

    def target():
        return ops.sum(functional.td_target(f32([1, 1]), f32([0.9, 0.9]), ops.convert_to_tensor(values)))

    def weight():
        return ops.sum(functional.advantage_weight(ops.convert_to_tensor(values), 1.0, 100.0))

    for function in (target, weight):
        (found,) = gradient(lambda function=function: function() + ops.sum(ops.square(values)), [values])
        np.testing.assert_allclose(found, [4.0, 6.0])  # of the square alone


@pytest.mark.parametrize("name", ["reward", "discount", "next_value"])
def test_td_target_refuses_columns(name):
    arrays = {"reward": f32([1, 2, 3]), "discount": f32([1, 1, 1]), "next_value": f32([1, 2, 3])}
    arrays[name] = ops.expand_dims(arrays[name], -1)
    with pytest.raises(SpecError, match=rf"{name} must have shape \[B\], not \[3, 1\]"):
        functional.td_target(**arrays)


def test_td_target_refuses_another_batch():
    with pytest.raises(SpecError, match="reward and next_value must have the same size B"):
        functional.td_target(f32([1, 2, 3]), f32([1, 1, 1]), f32([1, 2]))


def test_clipped_double_q_is_minimum_over_members():
    np.testing.assert_array_equal(functional.clipped_double_q(f32([[1, 5, 0], [2, -3, 4]])), [1, -3, 0])
    with pytest.raises(SpecError, match="values must have shape"):
        functional.clipped_double_q(f32([1, 2]))


def test_squared_error():
    np.testing.assert_array_equal(functional.squared_error(f32([1, 4]), f32([3, 3])), [4, 1])
    np.testing.assert_array_equal(
        functional.squared_error(f32([[1, 4], [3, 0]]), f32([3, 3])), [[4, 1], [0, 9]]
    )


def test_squared_error_refuses_a_column_of_values():
    with pytest.raises(SpecError, match="must have the same size B"):
        functional.squared_error(f32([[1], [2], [3]]), f32([1, 2, 3]))
    with pytest.raises(SpecError, match="target must have shape"):
        functional.squared_error(f32([1, 2, 3]), f32([[1], [2], [3]]))


def test_huber_loss_is_quadratic_then_linear():
    # delta 2: 0.5 * 1 = 0.5; at the corner 0.5 * 4 = 2; beyond 2 * (5 - 1) = 8, both ways.
    loss = functional.huber_loss(f32([1, 2, 5, -5]), f32([0, 0, 0, 0]), 2.0)
    np.testing.assert_array_equal(loss, [0.5, 2, 8, 8])


def test_ensemble_loss_sums_members_and_averages_rows():
    values, target = f32([[1, 3, 1, 1], [2, 2, 1, 1]]), f32([1, 1, 1, 1])
    # Member 1: (0 + 4 + 0 + 0) / 4; member 2: (1 + 1 + 0 + 0) / 4.
    assert float(functional.ensemble_loss(values, target)) == 1.5
    # Huber with delta 1: (0 + 1.5 + 0 + 0) / 4 + (0.5 + 0.5 + 0 + 0) / 4.
    assert float(functional.ensemble_loss(values, target, 1.0)) == 0.625


def test_expectile_loss_is_asymmetric():
    # |0.7 - 0| * 4 for a value below, |0.7 - 1| * 4 for one above.
    np.testing.assert_allclose(functional.expectile_loss(f32([2, -2]), 0.7), [2.8, 1.2], rtol=1e-6)


def test_expectile_loss_has_the_expectile_as_its_minimum():
    # The 0.9-expectile m of {0, 1} solves 0.9 * (1 - m) = 0.1 * m.
    sample, grid = np.array([0.0, 1.0]), np.linspace(0, 1, 1001)
    loss = functional.expectile_loss(f32(sample[None] - grid[:, None]), 0.9)
    assert grid[np.argmin(np.sum(loss, axis=1))] == pytest.approx(0.9)


def test_advantage_weight_is_clipped():
    weight = functional.advantage_weight(f32([0, 1, -1, 10]), 3.0, 100.0)
    np.testing.assert_allclose(weight, [1, math.exp(3), math.exp(-3), 100], rtol=1e-6)


def test_l2_penalty_counts_kernels_only():
    import keras

    net = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    net.set_weights([np.array([[3.0], [4.0]]), np.array([5.0])])
    assert float(functional.l2_penalty(net)) == 25.0


def test_value_metrics():
    metrics = functional.value_metrics(f32([[1, 3]]), f32([0, 1]))
    assert {name: float(value) for name, value in metrics.items()} == {
        "q/mean": 2.0,
        "q/min": 1.0,
        "q/max": 3.0,
        "target/mean": 0.5,
    }


def test_imitation_loss_refuses_other_shapes():
    np.testing.assert_array_equal(functional.imitation_loss(f32([[1, 2]]), f32([[0, 4]])), [[1, 4]])
    with pytest.raises(SpecError, match="recorded must have shape"):
        functional.imitation_loss(f32([[1], [2]]), f32([1, 2]))


def test_shapes_are_compared_after_an_unknown_size():
    action, mean = keras.KerasTensor((None, 2)), keras.KerasTensor((None, 3))
    with pytest.raises(SpecError, match="action and mean must have the same size A"):
        check_shapes("action B A, mean B A", action=action, mean=mean)


def test_every_public_name_exists():
    assert all(hasattr(functional, name) for name in functional.__all__)
    with pytest.raises(AttributeError, match="nothing"):
        functional.nothing


def test_gumbel_loss_is_least_at_the_soft_maximum():
    values, beta = np.array([0.0, 1.0, 3.0]), 0.7
    best = beta * math.log(np.exp(values / beta).mean())
    losses = [
        float(
            ops.mean(functional.gumbel_loss(ops.convert_to_tensor(((values - v) / beta).astype("f4")), 20.0))
        )
        for v in (best - 0.05, best, best + 0.05)
    ]
    # The scale differs between the three by exp(0.05 / beta) at most: compare without it.
    scales = [math.exp(max((3.0 - v) / beta, -1.0)) for v in (best - 0.05, best, best + 0.05)]
    low, least, high = (loss * scale for loss, scale in zip(losses, scales, strict=True))
    assert least < low
    assert least < high


def test_weighted_ensemble_loss_is_a_weighted_mean():
    values, target = ops.convert_to_tensor([[1.0, 2.0, 3.0]]), ops.convert_to_tensor([0.0, 0.0, 0.0])
    loss = functional.ensemble_loss(values, target, weight=ops.convert_to_tensor([1.0, 0.0, 3.0]))
    assert float(loss) == pytest.approx((1 + 27) / 4)


@pytest.mark.parametrize(
    ("weight", "slopes"),
    [
        # Two quantiles, 0 and 2, of probabilities 1/4 and 3/4; targets 1 and -3. The errors are (1, -3) and (-1, -5),
        # clipped to (1, -1) and (-1, -1), with weights (1/4, 3/4) and (1/4, 1/4).
        (None, [-(0.25 - 0.75) / 2, (0.25 + 0.25) / 2]),
        ([[0.9], [0.1]], [-(0.9 * 0.25 - 0.1 * 0.75), 0.25]),
    ],
)
def test_slopes_of_quantile_loss_by_hand(weight, slopes):
    quantiles = keras.Variable(np.array([[0.0], [2.0]], "float32"))
    target = np.array([[1.0], [-3.0]], "float32")
    weight = None if weight is None else np.array(weight, "float32")
    (found,) = gradient(
        lambda: keras.ops.sum(functional.quantile_huber_loss(quantiles * 1.0, target, 1.0, weight=weight)),
        [quantiles],
    )
    np.testing.assert_allclose(np.ravel(found), slopes, atol=1e-6)
