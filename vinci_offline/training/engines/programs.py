"""Compiled TensorFlow functions, shared by like learners of one process.

A compiled function reads and writes variables through handles, which are inputs of it that the trace captured. For
another learner the handles of its variables take their places, so neither tracing nor XLA runs again. That also bounds
memory: TensorFlow keeps what XLA compiled until the process ends.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import tensorflow as tf
from tensorflow.python.framework import ops  # type: ignore[import-not-found]  # no stubs

from vinci_offline.types import Tensor

_KEPT = 8
"""Most functions kept for later learners. A run has one for each phase, and two for held-out losses."""


class Programs:
    """Compiled functions by key and by the layout of their arguments; the least recently used one goes first.

    Attributes:
        traces: number of functions compiled so far.
    """

    def __init__(self) -> None:
        self.traces = 0
        self._lock = threading.Lock()
        self._programs: OrderedDict[Hashable, _Program] = OrderedDict()

    def run(
        self,
        key: Hashable,
        function: Callable[..., list[Tensor]],
        jit: bool,
        variables: Sequence[keras.Variable],
        args: Sequence[Any],
    ) -> list[Tensor]:
        """Call a function that reads and assigns a learner's variables; compile it if no like one is kept.

        Args:
            key: what decides the function, besides the layouts of the arguments.
            function: the function of ``args``, with the variables inside it.
            jit: compile with XLA.
            variables: the learner's variables, in the same order for each like learner.
            args: nested tensors.
        """
        shared: Hashable = (key, _layout(args))
        own: Hashable = (shared, *map(id, _handles(variables)[:1]))
        with self._lock:
            name = shared if shared in self._programs else own
            if name not in self._programs:
                program = _Program(function, jit, variables, args)
                name = own if program.owners else shared
                self._programs[name] = program
                self.traces += 1
            program = self._programs[name]
            self._programs.move_to_end(name)
            if len(self._programs) > _KEPT:
                self._programs.popitem(last=False)
        return program(variables, args)


class _Program:
    """One compiled function.

    Attributes:
        owners: handles of the learner's variables, if the function reads others too. A later learner would read the
            same others, so it must not take the function over. Empty if every like learner may.
    """

    def __init__(
        self,
        function: Callable[..., list[Tensor]],
        jit: bool,
        variables: Sequence[keras.Variable],
        args: Sequence[Any],
    ) -> None:
        compiled: Any = tf.function(function, jit_compile=jit, autograph=False)
        with _forgotten_gradients():
            self._function = compiled.get_concrete_function(*args)
        self._lock = threading.Lock()
        places = {id(handle): place for place, handle in enumerate(_handles(variables))}
        # The place of a variable's handle, or the tensor itself where it is none.
        self._captured = [places.get(id(each), each) for each in self._function.captured_inputs]
        foreign = any(not isinstance(each, int) and each.dtype.name == "resource" for each in self._captured)
        self.owners = _handles(variables) if foreign else []

    def __call__(self, variables: Sequence[keras.Variable], args: Sequence[Any]) -> list[Tensor]:
        handles = _handles(variables)
        captured = [handles[each] if isinstance(each, int) else each for each in self._captured]
        with self._lock:  # the handles are an attribute of the function
            self._function.set_external_captures(captured)
            result: list[Tensor] = self._function(*args)
        return result


@contextmanager
def _forgotten_gradients() -> Iterator[None]:
    """Remove custom gradients that a trace registers: each holds the whole graph, and nothing differentiates it again.

    TensorFlow has no function for that, and its registry only grows.
    """
    registry: dict[str, Any] = getattr(ops.gradient_registry, "_registry", {})
    before = set(registry)
    try:
        yield
    finally:
        for name in set(registry) - before:
            if name.startswith("CustomGradient-"):
                del registry[name]


def _layout(value: Any) -> Hashable:
    """Return names, types and shapes of nested tensors."""
    if isinstance(value, Mapping):
        return tuple((name, _layout(each)) for name, each in value.items())
    if isinstance(value, list | tuple):
        return tuple(map(_layout, value))
    return value.dtype.name, tuple(value.shape)


def _handles(variables: Sequence[keras.Variable]) -> list[Any]:
    values: list[Any] = [variable.value for variable in variables]
    return [value.handle for value in values]


SHARED = Programs()
"""The functions of this process."""
