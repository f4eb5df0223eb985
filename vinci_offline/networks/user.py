"""User networks: make them on placeholders, check them, copy them for ensembles."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary

import keras

from vinci_offline.errors import SpecError
from vinci_offline.loading import describe
from vinci_offline.networks.inputs import Source
from vinci_offline.networks.layer_checks import check_calls, check_layers, is_stock
from vinci_offline.networks.placeholders import Placeholders
from vinci_offline.types import Tensor

UserNetwork: TypeAlias = Callable[[Placeholders], keras.Model] | keras.Model
"""Keras model, or a function ``actor(env)`` that returns one."""

Owners: TypeAlias = WeakKeyDictionary[keras.layers.Layer, str]
"""Names of networks by the layers that they own."""

_MADE: WeakKeyDictionary[keras.layers.Layer, None] = WeakKeyDictionary()
"""Layers with weights of all networks so far that a function made."""


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
    if not isinstance(network, keras.Model) or not is_stock(network):
        raise SpecError(
            f"network {name!r}: expected a Keras Sequential or functional model, "
            f"not {type(network).__name__}: return it from {name}(env)"
        )
    check_layers(name, network)
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
        SpecError: the model has the wrong inputs or the wrong output shape, or cannot be trained as it is.
    """
    inputs = _in_order(name, model, {key: x for source in sources for key, x in source.prepared.items()})
    found = [_call(name, model, inputs, outputs)]  # builds a Sequential, which has no layers to copy before
    check_calls(name, model, inputs)
    for i in range(1, count):
        copy = keras.models.clone_model(model, clone_function=_reseeded(i))
        copy.name = f"{model.name}_member_{i}"  # names within a model must differ
        found.append(_call(name, copy, inputs, outputs))
        _keep_frozen(name, model, copy)
    return found


def claim(name: str, model: keras.Model, owners: Owners, *, anew: bool) -> None:
    """Record that a network owns the layers of its model. Refuse layers that it would share.

    A shared layer would move with each network that it is part of, also where one of them is not trained.

    Args:
        name: name of the network.
        model: its built model.
        owners: names of the networks of one run by their layers; this adds to it.
        anew: True if a function made the model. Its layers must not be part of an earlier run either.

    Raises:
        SpecError: another network, or an earlier run, has one of the layers.
    """
    for layer in model._flatten_layers():
        if not layer.variables:
            continue
        owner = owners.setdefault(layer, name)
        if owner != name:
            raise SpecError(
                f"the networks {owner!r} and {name!r} share the layer {layer.name!r}, and training one would move the "
                "other: make the layer inside each function"
            )
        if anew and layer in _MADE:
            raise SpecError(
                f"network {name!r}: the layer {layer.name!r} is part of an earlier run, which trained it: make it "
                f"inside the function {name}(env)"
            )
    if anew:
        _MADE.update((layer, None) for layer in model._flatten_layers() if layer.trainable_variables)


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


def _keep_frozen(name: str, model: keras.Model, copy: keras.Model) -> None:
    """Give a copy the model's own weights where they are frozen: drawn anew, they would never learn."""
    if len(copy.variables) != len(model.variables):
        raise SpecError(
            f"network {name!r}: two of its inner models share a layer, and a copy of the network would not: call "
            "the layer itself, outside the inner models"
        )
    learning = {id(variable) for variable in model.trainable_variables}
    for variable, twin in zip(model.variables, copy.variables, strict=True):
        if id(variable) not in learning:
            twin.assign(variable)


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
