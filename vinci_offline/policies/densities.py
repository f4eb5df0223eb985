"""Log densities of actions under a behaviour policy, in NumPy."""

from __future__ import annotations

import math

import numpy as np

from vinci_offline.types import Array, FloatArray

_LOG_SQRT_2PI = 0.5 * math.log(2 * math.pi)
_erfc = np.frompyfunc(math.erfc, 1, 1)


def clipped_gaussian_log_prob(action: Array, mean: Array, std: Array, low: Array, high: Array) -> FloatArray:
    """Return the log likelihood of actions drawn from a diagonal Gaussian and then clipped to bounds.

    Clipping moves the tails to the bounds: the distribution has a density between the bounds and an atom on each.
    The likelihood is with respect to that mixed measure (a censored, or Tobit, likelihood: Tobin, 1958). A dimension
    strictly inside gives its log density, a dimension at a bound the log of the mass beyond it. Ratios of such
    likelihoods under two policies are importance weights.

    Args:
        action: ``[L, ...]`` clipped actions.
        mean: ``[L, ...]`` means before clipping.
        std: ``[L, ...]`` standard deviations, positive.
        low: lower bounds, of one action's shape; -inf where there is none.
        high: upper bounds.

    Returns:
        ``[L]`` float64, summed over the action's dimensions.
    """
    action, mean, std, low, high = np.broadcast_arrays(
        *(np.asarray(part, np.float64) for part in (action, mean, std, low, high))
    )
    z = (action - mean) / std
    terms = -0.5 * z * z - np.log(std) - _LOG_SQRT_2PI
    at_low, at_high = action <= low, action >= high
    terms[at_low] = log_tail(((mean - low) / std)[at_low])
    terms[at_high] = log_tail(((high - mean) / std)[at_high])
    terms[at_low & at_high] = 0.0
    total: FloatArray = terms.reshape(len(terms), -1).sum(axis=1)
    return total


def squashed_gaussian_log_prob(raw: Array, mean: Array, std: Array, low: Array, high: Array) -> FloatArray:
    """Return the log density of ``low + (tanh(raw) + 1) (high - low) / 2`` where ``raw`` is a diagonal Gaussian.

    Haarnoja et al. (2018), https://arxiv.org/abs/1801.01290, equation 21, with the scale of the bounds. The form
    ``log(1 - tanh(u)^2) = 2 (log 2 - u - softplus(-2 u))`` keeps its precision where tanh saturates.

    Args:
        raw: ``[L, ...]`` draws before squashing.
        mean: ``[L, ...]`` their means.
        std: ``[L, ...]`` their standard deviations, positive.
        low: finite lower bounds, of one action's shape.
        high: finite upper bounds.

    Returns:
        ``[L]`` float64, summed over the action's dimensions.
    """
    raw, mean, std, low, high = (np.asarray(part, np.float64) for part in (raw, mean, std, low, high))
    z = (raw - mean) / std
    log_slope = 2 * (math.log(2) - raw - np.logaddexp(0, -2 * raw)) + np.log((high - low) / 2)
    terms = -0.5 * z * z - np.log(std) - _LOG_SQRT_2PI - log_slope
    total: FloatArray = terms.reshape(len(terms), -1).sum(axis=1)
    return total


def log_tail(z: Array) -> FloatArray:
    """Return ``log P(X > z)`` of a standard normal X, elementwise, accurate far into the tail.

    `math.erfc` underflows beyond z = 37. From z = 30 on this is the asymptotic series of Mills' ratio, whose first
    terms have double precision there (Abramowitz and Stegun, 26.2.12).
    """
    z = np.asarray(z, np.float64)
    near = np.minimum(z, 30.0)
    result: FloatArray = np.log(0.5 * np.asarray(_erfc(near / math.sqrt(2)), np.float64))
    far = z > 30.0
    if far.any():
        x = z[far]
        inverse = 1 / (x * x)
        series = -inverse * (1 - inverse * (3 - inverse * (15 - inverse * 105)))
        result[far] = -0.5 * x * x - np.log(x) - _LOG_SQRT_2PI + np.log1p(series)
    return result


def log_softmax(logits: Array) -> FloatArray:
    """Turn ``[L, n]`` logits into ``[L, n]`` log probabilities, float64."""
    shifted = np.asarray(logits, np.float64)
    shifted = shifted - shifted.max(axis=-1, keepdims=True)
    result: FloatArray = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return result
