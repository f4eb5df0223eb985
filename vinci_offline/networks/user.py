"""User networks: make them on placeholders, check them, copy them for ensembles."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import keras

from vinci_offline.errors import SpecError
from vinci_offline.loading import describe
from vinci_offline.networks.inputs import Source
from vinci_offline.networks.placeholders import Placeholders
from vinci_offline.types import Tensor

UserNetwork: TypeAlias = Callable[[Placeholders], keras.Model] | keras.Model
"""Keras model, or a function ``actor(env)`` that returns one."""

_ACTS_DIFFERENTLY = (
    keras.layers.BatchNormalization,
    keras.layers.Dropout,
    keras.layers.AlphaDropout,
    keras.layers.GaussianDropout,
    keras.layers.GaussianNoise,
)


def make(name: str, network: UserNetwork, env: Placeholders) -> keras.Model:
    """Make a user network and check its layers.

    Raises:
        SpecError: the function fails, or training or `policy.keras` does not support its model.
    """
    if not isinstance(network, keras.Model):
        try:
            with warnings.catch_warnings():
                # Dense(units, input_shape=(env.state_space_dim,)) is as good as an Input layer.
                warnings.filterwarnings("ignore", "Do not pass an `input_shape`")
                network = network(env)
        except SpecError:
            raise
        except Exception as error:
            raise SpecError(f"network {name!r}: {name}(env) failed: {describe(error)}") from error
    # A user's own class could be neither copied for a target nor loaded without its code.
    if not isinstance(network, keras.Model) or not _stock(network):
        raise SpecError(
            f"network {name!r}: expected a Keras Sequential or functional model, "
            f"not {type(network).__name__}: return it from {name}(env)"
        )
    for layer in _layers(network):
        _check_layer(name, layer)
    return network


def towers(
    name: str, model: keras.Model, sources: Sequence[Source], outputs: int | None, count: int
) -> list[Tensor]:
    """Connect a user's model and copies of it to a network's inputs. Each copy has its own initial weights.

    Args:
        name: name of the network, for messages.
        model: user's model, the first member.
        sources: inputs of the network.
        outputs: width that the model must return; None allows any.
        count: number of members.

    Returns:
        ``count`` tensors ``[B, outputs]`` float32.

    Raises:
        SpecError: the model has the wrong inputs or the wrong output shape.
    """
    inputs = _in_order(name, model, {key: x for source in sources for key, x in source.prepared.items()})
    first = _call(name, model, inputs, outputs)  # builds a Sequential, which has no layers to copy before
    copies = [keras.models.clone_model(model, clone_function=_reseeded(i)) for i in range(1, count)]
    for i, copy in enumerate(copies, start=1):
        copy.name = f"{model.name}_member_{i}"  # names within a model must differ
    return [first, *(_call(name, copy, inputs, outputs) for copy in copies)]


def _call(name: str, model: keras.Model, inputs: list[Tensor], outputs: int | None) -> Tensor:
    try:
        result = model(inputs[0] if len(inputs) == 1 else inputs)
    except (ValueError, TypeError) as error:
        shapes = ", ".join(str(tuple(x.shape)) for x in inputs)
        first_line = str(error).strip().splitlines()[0]
        raise SpecError(f"network {name!r} does not take inputs of shape {shapes}: {first_line}") from error
    found = list(result.values()) if isinstance(result, dict) else result
    found = found if isinstance(found, list | tuple) else [found]
    shape = tuple(found[0].shape[1:])
    if len(found) != 1 or len(shape) != 1 or outputs not in (None, *shape):
        shapes = ", ".join(str(tuple(x.shape)) for x in found)
        wanted = "F" if outputs is None else outputs
        raise SpecError(f"network {name!r} must have one output of shape (None, {wanted}), not {shapes}")
    return keras.ops.cast(found[0], "float32")


def _reseeded(member: int) -> Callable[[keras.layers.Layer], keras.layers.Layer]:
    """Return a function that copies a layer. It changes fixed seeds of initialisers, so that members differ."""

    def change(config: Any) -> Any:
        if isinstance(config, dict):
            return {
                key: value + member if key == "seed" and isinstance(value, int) else change(value)
                for key, value in config.items()
            }
        return [change(item) for item in config] if isinstance(config, list) else config

    def copy(layer: keras.layers.Layer) -> keras.layers.Layer:
        return type(layer).from_config(change(layer.get_config()))

    return copy


def _in_order(name: str, model: keras.Model, inputs: Mapping[str, Tensor]) -> list[Tensor]:
    """Return inputs in the model's order, matched by placeholder names if the model has them."""
    if not model.built or not getattr(model, "inputs", None):  # a Sequential without an input shape
        return list(inputs.values())
    if len(model.inputs) != len(inputs):
        wanted = ", ".join(_written(key) for key in inputs)
        wanted = f"[{wanted}]" if len(inputs) > 1 else wanted
        raise SpecError(f"network {name!r} must take {wanted}, but it has {len(model.inputs)} inputs")
    names = [x.name for x in model.inputs]
    ordered = [inputs[key] for key in names] if set(names) == set(inputs) else list(inputs.values())
    return [_fitted(x, tuple(wanted.shape)) for x, wanted in zip(ordered, model.inputs, strict=True)]


def _written(placeholder: str) -> str:
    """Return a placeholder as user code writes it."""
    return (
        f"env.{placeholder}" if placeholder in {"state", "action", "goal"} else f'env.state["{placeholder}"]'
    )


def _fitted(x: Tensor, wanted: tuple[int | None, ...]) -> Tensor:
    """Flatten an observation if the model was built from ``state_space_dim``."""
    return keras.ops.reshape(x, (-1, wanted[1])) if len(wanted) == 2 and len(x.shape) > 2 else x


def _layers(model: keras.Model) -> list[keras.layers.Layer]:
    return list(model._flatten_layers(include_self=False))


def _check_layer(name: str, layer: keras.layers.Layer) -> None:
    kind = type(layer).__name__
    if isinstance(layer, _ACTS_DIFFERENTLY):
        raise SpecError(
            f"network {name!r}: {kind} acts differently in training and in acting, and value learning "
            "then diverges: remove it, or use LayerNormalization"
        )
    if isinstance(layer, keras.layers.Lambda) or not _stock(layer):
        raise SpecError(
            f"network {name!r}: {kind} cannot be loaded from policy.keras in Keras's safe mode: "
            "use stock layers and keras.ops"
        )


def _stock(layer: keras.layers.Layer) -> bool:
    return type(layer).__module__.startswith("keras.")
