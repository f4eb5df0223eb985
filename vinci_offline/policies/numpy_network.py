"""Small Keras networks in NumPy. A call costs microseconds, and a process that calls one needs no TensorFlow.

A network is written down once: an array operation for each layer, with the layer's weights as they are then. Layers are
read from a closed list. A model with any other layer, or one whose NumPy form gives other numbers, is not translated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from vinci_offline.policies.numpy_layers import argmax, written
from vinci_offline.types import Array

if TYPE_CHECKING:
    import keras

Step: TypeAlias = "tuple[Callable[..., Any], tuple[int, ...], int]"
"""A function, the slots of its arguments, and the slot of its result."""

_MOST_WEIGHTS = 2**20
"""Larger networks gain more from all cores than they lose by the call."""


@dataclass(frozen=True)
class Input:
    """One input of a network: its name, the shape of a row, and its dtype."""

    name: str
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class NumpyNetwork:
    """A network as a list of array operations on numbered slots.

    Attributes:
        inputs: the inputs; their values fill the first slots.
        constants: weights by slot.
        steps: a function each, the slots of its arguments, and the slot of its result.
        output: the slot of the output, or the slots of several by name.
    """

    inputs: tuple[Input, ...]
    constants: Mapping[int, Any]
    steps: tuple[Step, ...]
    output: int | Mapping[str, int]

    def __call__(self, given: Array | Mapping[str, Array]) -> Any:
        """Return the network's output for a batch: an array, or arrays by name."""
        slots: dict[int, Any] = dict(self.constants)
        for index, each in enumerate(self.inputs):
            values = np.asarray(given[each.name] if isinstance(given, Mapping) else given, each.dtype)
            slots[index] = values if values.shape[1:] == each.shape else values.reshape(-1, *each.shape)
        with _one_thread():
            for function, arguments, place in self.steps:
                slots[place] = function(*[slots[index] for index in arguments])
        if isinstance(self.output, int):
            return slots[self.output]
        return {name: slots[index] for name, index in self.output.items()}


def numpy_network(model: keras.Model) -> NumpyNetwork | None:
    """Translate a model; None if it has a layer that is not known here, or if its numbers differ.

    Args:
        model: a functional or sequential model. Later changes of its weights do not reach the translation.
    """
    try:
        if model.count_params() > _MOST_WEIGHTS:
            return None
        network = _Translation(model).network()
        return network if _agrees(network, model) else None
    except Exception:  # noqa: BLE001 - Keras may fail in any way on a layer of a user; the model itself then acts
        return None


class _Slot(int):
    """The slot of a value that is computed at each call. A plain int is an argument of a layer."""


class _Translation:
    """Follows a model's graph, and notes a step for each layer."""

    def __init__(self, model: keras.Model) -> None:
        self._constants: dict[int, Any] = {}
        self._steps: list[Step] = []
        self._model = _functional(model)
        self._inputs = tuple(
            Input(name, tuple(map(int, tensor.shape[1:])), str(tensor.dtype))
            for name, tensor in _named(self._model)
        )
        self._next = len(self._inputs)

    def network(self) -> NumpyNetwork:
        """Return the network."""
        found = self._follow(self._model, list(map(_Slot, range(len(self._inputs)))))
        if not isinstance(found, Mapping):
            only = int(_slot(found))
            return NumpyNetwork(self._inputs, self._constants, self._needed({only}), only)
        named = {str(name): int(_slot(part)) for name, part in found.items()}
        return NumpyNetwork(self._inputs, self._constants, self._needed(set(named.values())), named)

    def _needed(self, slots: set[int]) -> tuple[Step, ...]:
        """Return the steps that lead to some slots: a policy of means has the deviations in its graph too."""
        needed = []
        for step in reversed(self._steps):
            if step[2] in slots:
                needed.append(step)
                slots.update(step[1])
        return tuple(reversed(needed))

    def _follow(self, model: Any, inputs: Sequence[_Slot]) -> Any:
        # Keras walks its graph with any function in place of a layer.
        return model._run_through_graph(inputs, operation_fn=self._operation)

    def _operation(self, operation: Any) -> Callable[..., Any]:
        import keras

        if isinstance(operation, keras.Model):
            model = _functional(operation)
            return lambda *given, **_: self._follow(model, _flat(given))
        if type(operation).__name__ == "TopK":
            return self._best(operation)
        function, weights = written(operation)

        def note(*given: Any, **named: Any) -> _Slot:
            if any(isinstance(value, _Slot) for value in named.values()):
                raise NotImplementedError
            places = [self._place(value) for value in (*_flat(given), *weights)]
            return self._note(function, places)

        return note

    def _best(self, operation: Any) -> Callable[..., Any]:
        """Return the note of the one best entry of each row: its value and its place."""
        if operation.k != 1:
            raise NotImplementedError
        value, place = partial(np.max, axis=-1, keepdims=True), partial(argmax, axis=-1, keepdims=True)
        return lambda x: (self._note(value, [_slot(x)]), self._note(place, [_slot(x)]))

    def _place(self, value: Any) -> int:
        if isinstance(value, _Slot):
            return value
        place = self._take()
        self._constants[place] = value
        return place

    def _note(self, function: Callable[..., Any], arguments: Sequence[int]) -> _Slot:
        place = self._take()
        self._steps.append((function, tuple(map(int, arguments)), place))
        return _Slot(place)

    def _take(self) -> int:
        self._next += 1
        return self._next - 1


def _slot(value: Any) -> _Slot:
    if not isinstance(value, _Slot):
        raise NotImplementedError
    return value


def _flat(given: Any) -> list[Any]:
    """Return the arguments of a layer in a row; a layer takes one tensor or a list of them."""
    rows = (
        value
        if isinstance(value, list | tuple) and any(isinstance(part, _Slot) for part in value)
        else [value]
        for value in given
    )
    return [part for row in rows for part in row]


def _functional(model: keras.Model) -> Any:
    """Return a model whose graph can be followed: a sequential one has its graph inside."""
    import keras

    return keras.Model(model.inputs, model.outputs[0]) if isinstance(model, keras.Sequential) else model


def _named(model: Any) -> Iterator[tuple[str, Any]]:
    """Yield the inputs in the graph's order, under the names by which they are given."""
    names = (
        {id(tensor): name for name, tensor in model.input.items()} if isinstance(model.input, Mapping) else {}
    )
    for tensor in model.inputs:
        yield str(names.get(id(tensor), tensor.name)), tensor


def _agrees(network: NumpyNetwork, model: keras.Model) -> bool:
    """Return True where the translation gives a model's numbers, but for rounding, on observations of several sizes."""
    rng = np.random.default_rng(0)
    scales = np.repeat([0.0, 1.0, 30.0], [1, 8, 7])
    given = {
        each.name: (rng.standard_normal((*each.shape[::-1], len(scales))) * scales).T.astype(each.dtype)
        for each in network.inputs
    }
    # A sequential model that was just loaded has no `input` yet.
    by_name = len(given) > 1 or isinstance(getattr(model, "input", None), Mapping)
    own, theirs = network(given), model(given if by_name else next(iter(given.values())), training=False)
    pairs = [(own[name], theirs[name]) for name in own] if isinstance(own, Mapping) else [(own, theirs)]
    return all(_alike(ours, np.asarray(output)) for ours, output in pairs)


def _alike(ours: Array, wanted: Array) -> bool:
    return (
        ours.shape == wanted.shape
        and ours.dtype == wanted.dtype
        and np.allclose(ours, wanted, rtol=1e-4, atol=1e-5)
    )


@contextmanager
def _one_thread() -> Iterator[None]:
    """Keep matrix products on one core: their last digits depend on the number of threads."""
    libraries = _blas()
    before = [library.get_num_threads() for library in libraries]
    for library in libraries:
        library.set_num_threads(1)
    try:
        yield
    finally:
        for library, threads in zip(libraries, before, strict=True):
            library.set_num_threads(threads)


@cache
def _blas() -> list[Any]:
    from threadpoolctl import ThreadpoolController

    return list(ThreadpoolController().select(user_api="blas").lib_controllers)
