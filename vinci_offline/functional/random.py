"""Counter-based random draws: a key determines them, on every backend and under every compiler.

A key is made of (seed, global step, stream). Draws therefore depend neither on how steps are grouped into compiled
calls, nor on where a run was interrupted. The generator hashes a counter with two rounds of the ``lowbias32`` integer
mix (C. Wellons, https://nullprogram.com/blog/2018/07/31/), one for each word of the key. Normal and uniform draws are
made from these integers: compilers change the results of float generators, not of integer ones.
"""

from __future__ import annotations

import math

from keras import ops

from vinci_offline.types import Tensor

_WEYL = 0x9E3779B9  # 2**32 / golden ratio: spreads consecutive counters over the range


def key(seed: int | Tensor, step: Tensor, stream: int) -> Tensor:
    """Return the key of one draw.

    Args:
        seed: the run's seed, from 0 to 2**64 - 1, or its `words`.
        step: scalar integer tensor, the global step.
        stream: number of the use; uses within a step are independent.

    Returns:
        ``[2]`` uint32.
    """
    seed_low, seed_high = map(_word, _halves(seed)) if isinstance(seed, int) else (seed[0], seed[1])
    counter = _mix(ops.cast(step, "uint32") + _word(_WEYL))
    low = _mix(ops.bitwise_xor(counter, seed_low))
    high = _mix(ops.bitwise_xor(_mix(low), seed_high))
    return fold(ops.stack([low, high]), stream)


def words(seed: int) -> Tensor:
    """Return a seed as a ``[2]`` uint32 tensor, for a compiled function with the seed as an input."""
    return ops.stack([_word(half) for half in _halves(seed)])


def fold(key: Tensor, number: int) -> Tensor:
    """Return another key, independent for each ``number``: a loss that draws twice needs two keys."""
    step = _word((number * _WEYL + 0x85EBCA6B) & 0xFFFFFFFF)
    low, high = key[0], key[1]
    return ops.stack([_mix(ops.bitwise_xor(low, step)), _mix(high + _mix(low + step))])


def bits(key: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return uniform 32-bit integers: uint32 of ``shape``."""
    count = math.prod(shape)
    counter = ops.cast(ops.arange(count, dtype="int32"), "uint32") * _word(_WEYL)
    return ops.reshape(_mix(ops.bitwise_xor(_mix(counter + key[0]), key[1])), shape)


def uniform(key: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return uniform draws in [0, 1): float32 of ``shape``, multiples of 2**-24."""
    return _shifted(bits(key, shape), 8, "float32") * (1.0 / 2**24)


def normal(key: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return standard normal draws by the method of Box and Muller (1958): float32 of ``shape``."""
    # Add half a unit: the logarithm of zero is not finite.
    radius = ops.sqrt(-2.0 * ops.log(uniform(fold(key, 1), shape) + 0.5 / 2**24))
    return radius * ops.cos((2.0 * math.pi) * uniform(fold(key, 2), shape))


def integers(key: Tensor, shape: tuple[int, ...], maximum: int) -> Tensor:
    """Return uniform draws from ``0 … maximum - 1``: int32 of ``shape``.

    Each draw scales 64 random bits by multiplication (Lemire, 2019, https://arxiv.org/abs/1805.10941). The error of
    a number's probability is at most maximum / 2**64. With 32 bits some rows of a large dataset would be drawn
    percents more often.

    Args:
        key: key of the draw.
        shape: shape of the result.
        maximum: from 1 to 2**31 - 1.
    """
    scale = _word(maximum)
    high, low = bits(fold(key, 1), shape), bits(fold(key, 2), shape)
    carried = high * scale + _multiply_high(low, scale)
    carry = ops.cast(carried < high * scale, "uint32")
    return ops.cast(_multiply_high(high, scale) + carry, "int32")


def _multiply_high(a: Tensor, b: Tensor) -> Tensor:
    """Return the upper 32 bits of the product of uint32 tensors, by 16-bit halves: not every backend has uint64."""
    mask, half = _word(0xFFFF), 16
    a_low, a_high = ops.bitwise_and(a, mask), _shifted(a, half)
    b_low, b_high = ops.bitwise_and(b, mask), _shifted(b, half)
    middle = a_high * b_low + _shifted(a_low * b_low, half)
    other = a_low * b_high + ops.bitwise_and(middle, mask)
    return a_high * b_high + _shifted(middle, half) + _shifted(other, half)


def _mix(x: Tensor) -> Tensor:
    x = ops.bitwise_xor(x, _shifted(x, 16)) * _word(0x7FEB352D)
    x = ops.bitwise_xor(x, _shifted(x, 15)) * _word(0x846CA68B)
    return ops.bitwise_xor(x, _shifted(x, 16))


def _shifted(x: Tensor, places: int, dtype: str = "uint32") -> Tensor:
    return ops.cast(ops.right_shift(x, _word(places)), dtype)


def _halves(seed: int) -> tuple[int, int]:
    return seed & 0xFFFFFFFF, (seed >> 32) & 0xFFFFFFFF


def _word(value: int) -> Tensor:
    return ops.convert_to_tensor(value, dtype="uint32")
