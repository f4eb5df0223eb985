"""Count the arithmetic of a gradient step in the graphs of the updates' gradients."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import tensorflow as tf

from contenders.ours import columns_of, make_learner, updates_of
from contenders.task import EPISODE, OBSERVATIONS, Task
from vinci_offline.batches.batch import Batch
from vinci_offline.functional import random
from vinci_offline.training.learner import BoundUpdate, Learner
from vinci_offline.types import Tensor

PRODUCTS = ("MatMul", "BatchMatMul", "BatchMatMulV2", "Einsum")


def step_flop(task: Task) -> float:
    """Return the multiplications and additions of a step's matrix products.

    An update that runs every n steps counts 1/n. Each update's loss and gradient are traced for the task's shapes. Only
    products that the gradient depends on count. A product that two updates could share counts twice: only IQL has one,
    the targets' values of the recorded actions, 11% of its step at 2 x 256.
    """
    learner = make_learner(task, np.zeros((2, OBSERVATIONS), np.float32))
    rows = columns_of(replace(task, rows=EPISODE), learner)
    updates = updates_of(task, learner)
    return sum(update_flop(learner, bound, rows, task.batch_size) / bound.update.every for bound in updates)


def update_flop(learner: Learner, bound: BoundUpdate, rows: Mapping[str, Any], batch_size: int) -> float:
    """Return the multiplications and additions of one update's gradient, for batches of such rows."""

    def gradients(*columns: Tensor) -> list[Tensor]:
        batch, step = Batch(dict(zip(rows, columns, strict=True))), tf.constant(1)
        values = [variable.value for variable in bound.variables]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            for value in values:
                tape.watch(value)
            loss, _ = bound.update.call(learner.nets, batch, random.key(0, step, 0), step)
        return [gradient for gradient in tape.gradient(loss, values) if gradient is not None]

    specs = [tf.TensorSpec((batch_size, *column.shape[1:]), column.dtype) for column in rows.values()]
    function: Any = tf.function(gradients, autograph=False)
    graph = function.get_concrete_function(*specs).graph
    return sum(product_flop(op) for op in needed(graph.outputs) if op.type in PRODUCTS)


def needed(outputs: Iterable[Any]) -> set[tf.Operation]:
    """Return the operations that these outputs depend on."""
    found: set[tf.Operation] = set()
    waiting = [tensor.op for tensor in outputs]
    while waiting:
        op = waiting.pop()
        if op not in found:
            found.add(op)
            waiting += [tensor.op for tensor in op.inputs]
    return found


def product_flop(op: tf.Operation) -> float:
    """Return ``2 * m * k * n`` for an ``m x k`` by ``k x n`` product, times its number in a batch of them."""
    if op.type == "Einsum":
        terms = op.get_attr("equation").decode().partition("->")[0].split(",")
        sizes = {
            label: size
            for term, tensor in zip(terms, op.inputs, strict=True)
            for label, size in zip(term, tensor.shape, strict=True)
        }
        return 2.0 * math.prod(sizes.values()) if len(terms) > 1 else 0.0
    transposed = op.get_attr("transpose_a" if op.type == "MatMul" else "adj_x")
    inner = op.inputs[0].shape[-2 if transposed else -1]
    return float(2.0 * inner * math.prod(op.outputs[0].shape))
