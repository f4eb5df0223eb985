"""The arithmetic inside networks: float32, or bfloat16 with weights and losses in float32."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import keras

POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16"}
"""Keras' dtype policy of each precision."""


@contextmanager
def precision(name: str) -> Iterator[None]:
    """Networks made inside compute in this precision; each layer remembers it, in its file too.

    ``bfloat16`` is Keras' mixed precision (Micikevicius et al., 2018, https://arxiv.org/abs/1710.03740, section 3.1):
    weights, optimizers and whatever a network returns stay float32. bfloat16 has float32's range, so no loss is
    scaled.

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
    """Whether bfloat16 is likely to be slower than float32: there is no accelerator, only CPUs."""
    return all(device.lower().startswith("cpu") for device in keras.distribution.list_devices())
