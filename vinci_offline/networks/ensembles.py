"""Ensembles: few members are separate towers, many are one batched product."""

from __future__ import annotations

import keras
from keras import ops

from vinci_offline.networks.layers import NORM_EPSILON, LayerNorm, draw_weights, mlp
from vinci_offline.types import Tensor

_FIRST = "bi,eio->beo"
"""Equation of the first layer of an ensemble that is one batched product."""

MOST_TOWERS = 4
"""Greatest ensemble made of separate towers.

A CPU runs few towers faster than one batched product. But the compile time grows with the towers: 17 s for forty.
"""


def ensemble(
    x: Tensor, hidden: tuple[int, ...], outputs: int, name: str, count: int, layer_norm: LayerNorm = False
) -> Tensor:
    """Build an ensemble of independent ReLU networks on one input.

    Args:
        x: ``[B, F]``.
        hidden: widths of hidden layers.
        outputs: width of the last layer.
        name: prefix of layer names.
        count: number of members, E.
        layer_norm: normalise before or after each ReLU, as `mlp` does.

    Returns:
        ``[E, B, outputs]`` float32, or ``[E, B]`` for one output. If members are towers, layer ``member_i`` holds the
        output of member i.
    """
    if count <= MOST_TOWERS:
        towers = [
            mlp(x, hidden, outputs, f"{name}_{i}" if count > 1 else name, layer_norm) for i in range(count)
        ]
        return stack([ops.squeeze(tower, axis=-1) for tower in towers] if outputs == 1 else towers)
    x = _batched_dense(x, count, (hidden or (outputs,))[0], f"{name}_dense_1" if hidden else f"{name}_output")
    x = ops.transpose(x, (1, 0, 2))
    for depth, units in enumerate((*hidden[1:], outputs) if hidden else (), start=1):
        if layer_norm is True:
            x = _batched_norm(x, f"{name}_norm_{depth}")
        x = keras.layers.ReLU(name=f"{name}_relu_{depth}")(x)
        if layer_norm == "after":
            x = _batched_norm(x, f"{name}_norm_{depth}")
        last = depth == len(hidden)
        x = _batched_dense(x, count, units, f"{name}_output" if last else f"{name}_dense_{depth + 1}", last)
    return ops.squeeze(x, axis=-1) if outputs == 1 else x


def stack(towers: list[Tensor]) -> Tensor:
    """Stack towers as rows. A layer ``member_i`` marks row i, for `Networks.member`."""
    named = [
        keras.layers.Identity(name=f"member_{i}", dtype="float32")(tower) for i, tower in enumerate(towers)
    ]
    return ops.stack(named, axis=0)


def split_ensemble(model: keras.Model) -> tuple[keras.Model, keras.Model, keras.Variable] | None:
    """Split an ensemble that is one batched product after its first layer.

    Returns:
        A model from the inputs to that layer's output ``[B, E, H]``, a model from there to the values, and the layer's
        kernel ``[E, I, H]``, whose last rows are the action's; None for separate towers.
    """
    for layer in model.layers:
        if isinstance(layer, keras.layers.EinsumDense) and layer.equation == _FIRST:
            return (
                keras.Model(model.input, layer.output),
                keras.Model(layer.output, model.output),
                layer.kernel,
            )
    return None


def _batched_dense(x: Tensor, count: int, units: int, name: str, last: bool = False) -> Tensor:
    """Apply a linear layer of each member: ``[B, I]`` to ``[B, E, units]``, or ``[E, B, I]`` to ``[E, B, units]``."""
    first = len(x.shape) == 2
    limit = float(x.shape[-1]) ** -0.5
    layer = keras.layers.EinsumDense(
        _FIRST if first else "ebi,eio->ebo",
        output_shape=(count, units) if first else (None, units),
        bias_axes="eo",
        dtype="float32" if last else None,
        name=name,
    )
    output = layer(x)
    draw_weights(layer, limit)  # each member has its own draws
    return output


def _batched_norm(x: Tensor, name: str) -> Tensor:
    """Normalise ``[E, B, H]`` over H. Each member has its own scale and offset."""
    x = keras.layers.LayerNormalization(center=False, scale=False, epsilon=NORM_EPSILON, name=name)(x)
    return keras.layers.EinsumDense(
        "ebh,eh->ebh",
        output_shape=(None, x.shape[-1]),
        bias_axes="eh",
        kernel_initializer="ones",
        name=f"{name}_scale",
    )(x)
