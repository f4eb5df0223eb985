"""Arithmetic inside networks: float32, or bfloat16 with weights and losses in float32."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import keras

POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16"}
"""Keras' dtype policy of each precision."""


@contextmanager
def precision(name: str) -> Iterator[None]:
    """Make networks in this precision. Each layer keeps its precision, also in its file.

    ``bfloat16`` is Keras' mixed precision (Micikevicius et al., 2018, https://arxiv.org/abs/1710.03740, section 3.1):
    weights, optimizers and the outputs of networks stay float32. bfloat16 has the range of float32, so losses need no
    scaling.

    Args:
        name: a key of `POLICIES`.
    """
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(POLICIES[name])
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def slow_here() -> bool:
    """Return True if bfloat16 is likely slower than float32: Keras sees CPUs only."""
    return all(device.lower().startswith("cpu") for device in keras.distribution.list_devices())
