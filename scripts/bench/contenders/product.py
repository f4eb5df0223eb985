"""The machine's limit: a loop of float32 products of 1024 x 1024 matrices."""

from __future__ import annotations

from contenders.task import Steps, Task

SIZE = 1024
FLOP = 2.0 * SIZE**3
"""Floating-point operations of one product. A step of this contender is one product."""


def build(task: Task, variant: str) -> Steps:
    """Build the loop of ``variant``: ``tensorflow`` or ``pytorch``."""
    return tensorflow_product() if variant == "tensorflow" else pytorch_product(task.torch_device)


def tensorflow_product() -> Steps:
    import tensorflow as tf

    matrix = tf.random.normal((SIZE, SIZE))

    def steps(count: int) -> None:
        for _ in range(count):
            product = matrix @ matrix
        product.numpy()

    return steps


def pytorch_product(device: str) -> Steps:
    import torch

    matrix = torch.randn(SIZE, SIZE, device=device)

    def steps(count: int) -> None:
        for _ in range(count):
            product = matrix @ matrix
        product[0, 0].item()

    return steps
