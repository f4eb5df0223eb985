"""The one rule of deviations that are printed or stored."""

import math

import numpy as np
import pytest

from vinci_offline.deviation import finite, sample_deviation, sample_scale


def test_sample_deviation_divides_by_n_minus_one():
    # Mean 2, squares 1 + 0 + 1: sqrt(2 / 2).
    assert sample_deviation([1.0, 2.0, 3.0]) == 1.0
    assert sample_deviation(np.array([1.0, 4.0], np.float32)) == pytest.approx(3 / math.sqrt(2))


@pytest.mark.parametrize("values", [[], [5.0], [1.0, math.nan], [1.0, math.inf]])
def test_deviation_of_one_value_or_not_finite_values_is_nan(values):
    assert math.isnan(sample_deviation(values))


def test_scale_turns_population_into_sample():
    values = np.random.default_rng(0).normal(size=7)
    assert values.std() * sample_scale(7) == pytest.approx(sample_deviation(values))
    assert math.isnan(sample_scale(1))


def test_numbers_that_json_lacks_become_none():
    assert [finite(value) for value in (1.5, math.nan, math.inf)] == [1.5, None, None]
