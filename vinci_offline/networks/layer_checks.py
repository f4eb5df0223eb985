"""Checks of the layers of user networks. Training calls a network as acting does and must not ignore a part of it."""

from __future__ import annotations

import random
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from vinci_offline.errors import SpecError
from vinci_offline.types import Array, Tensor


def check_layers(name: str, model: keras.Model) -> None:
    """Refuse layers whose parts training or `policy.keras` would leave out. The model need not be built.

    Raises:
        SpecError: one line that names the network and the layer.
    """
    # Inner layers first: a wrapper's configuration holds that of its layer.
    for layer in reversed(model._flatten_layers(include_self=False)):
        kind = type(layer).__name__
        if isinstance(layer, keras.layers.Lambda) or not is_stock(layer):
            raise SpecError(
                f"network {name!r}: {kind} cannot be loaded from policy.keras in Keras's safe mode: "
                "use stock layers and keras.ops"
            )
        if not isinstance(layer, keras.Model) and (foreign := _foreign_part(layer)):
            raise SpecError(
                f"network {name!r}: {kind} uses {foreign}, which cannot be loaded from policy.keras in Keras's safe "
                "mode: use what Keras has, by name"
            )
        if layer.activity_regularizer is not None:
            raise SpecError(
                f"network {name!r}: the activity regularizer of {kind} is no part of an agent's loss: remove it, or "
                "regularize weights by kernel_regularizer"
            )
        if isinstance(layer, keras.layers.Normalization) and layer.input_mean is None:
            raise SpecError(
                f"network {name!r}: copies of an adapted Normalization lose its moments: give them as mean= and "
                "variance=, or leave the layer out, because observations arrive normalised"
            )


def check_calls(name: str, model: keras.Model, inputs: Sequence[Tensor]) -> None:
    """Refuse a model that acts differently in training, or that remembers earlier calls.

    The built model is called on two rows, twice as losses call it and once with ``training=True``. Its variables are
    restored.

    Args:
        name: name of the network, for messages.
        model: the user's model.
        inputs: symbolic inputs of the model.

    Raises:
        SpecError: one line that names the network and the layer.
    """
    generator = np.random.default_rng(0)
    rows = [generator.uniform(size=(2, *x.shape[1:])).astype(np.float32) for x in inputs]
    before = [_array(variable) for variable in model.variables]
    try:
        acting, again = _outputs(model, rows), _outputs(model, rows)
        remembered = _changed(model, before)
        learning = _outputs(model, rows, training=True)
        changed = _changed(model, before)
    except Exception as error:  # a user's layers may fail in any way
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise SpecError(f"network {name!r} fails on two rows: {reason}") from error
    finally:
        for variable, value in zip(model.variables, before, strict=True):
            variable.assign(value)
    if not _alike(acting, again):
        raise SpecError(
            f"network {name!r}: {_owner(model, remembered)} changes with every call, so a row's value depends on "
            "earlier batches: remove it"
        )
    if changed or not _alike(acting, learning):
        raise SpecError(
            f"network {name!r}: {_owner(model, changed)} acts differently in training and in acting, and value "
            "learning then diverges: remove it, or use LayerNormalization"
        )


def is_stock(layer: keras.layers.Layer) -> bool:
    """Return True if a layer is Keras' own."""
    return type(layer).__module__.startswith("keras.")


def _foreign_part(layer: keras.layers.Layer) -> str | None:
    """Return the name of a function or an object in a layer that is not Keras' own, such as an activation; or None."""
    stored: Any = None
    state = random.getstate()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Keras warns of a lambda that it stores
            stored = keras.saving.serialize_keras_object(layer)
            keras.saving.deserialize_keras_object(stored, safe_mode=True)
    except Exception:  # noqa: BLE001 - Keras raises errors of any type here
        return _foreign(stored) or "a function of your own"
    finally:
        random.setstate(state)  # a layer that Keras makes draws its seeds there
    return _foreign(stored)  # a registered object loads in this process alone


def _foreign(stored: Any) -> str | None:
    """Return the name of a part of a stored configuration that is not Keras' own; None if all parts are."""
    parts: list[Any] = []
    if isinstance(stored, Mapping):
        kind, module = stored.get("class_name"), stored.get("module", "keras")
        if kind == "function":
            return repr(stored["config"])
        if kind is not None and not str(module).startswith("keras"):
            return repr(kind)
        parts = list(stored.values())
    elif isinstance(stored, list | tuple):
        parts = list(stored)
    return next(filter(None, map(_foreign, parts)), None)


def _outputs(model: keras.Model, rows: Sequence[Array], **options: Any) -> list[Array]:
    found: Any = model(rows[0] if len(rows) == 1 else list(rows), **options)
    outputs = found.values() if isinstance(found, dict) else found if isinstance(found, list) else [found]
    return [np.asarray(keras.ops.convert_to_numpy(each)) for each in outputs]


def _alike(one: Sequence[Array], other: Sequence[Array]) -> bool:
    """Return True if outputs are equal but for the rounding of another implementation of a layer."""
    return all(np.allclose(*pair, 1e-4, 1e-5) for pair in zip(one, other, strict=True))


def _changed(model: keras.Model, before: Sequence[Array]) -> list[keras.Variable]:
    """Return the variables that differ from their earlier values, those that no optimizer moves first."""
    pairs = zip(model.variables, before, strict=True)
    found = [variable for variable, value in pairs if not np.array_equal(_array(variable), value)]
    return sorted(found, key=lambda variable: variable.trainable)


def _owner(model: keras.Model, changed: Sequence[keras.Variable]) -> str:
    """Return the kind of the innermost layer that holds the first of some variables."""
    owners = [
        layer
        for layer in model._flatten_layers(include_self=False)
        if changed
        and any(each is changed[0] for each in layer.variables)
        and not type(layer).__name__.endswith(("Cell", "Cells"))  # a part of the layer that the user named
    ]
    if not owners:
        return "a layer"
    dropout = getattr(owners[-1], "dropout", 0) or getattr(owners[-1], "recurrent_dropout", 0)
    return type(owners[-1]).__name__ + (" with dropout" if dropout else "")


def _array(variable: keras.Variable) -> Array:
    return np.array(keras.ops.convert_to_numpy(variable.value))
