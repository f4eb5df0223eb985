"""The compiled loop on JAX: the same step over Keras variables, made pure by stateless scopes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import keras

from vinci_offline.training.engines.engine import Engine, Loop
from vinci_offline.training.learner import BoundUpdate, Learner
from vinci_offline.training.source import Source
from vinci_offline.types import Metrics, Tensor, Transitions


class JaxEngine(Engine):
    """Hundreds of gradient steps in one ``jax.jit``; the state is donated, so it exists once on the device."""

    def __init__(
        self, learner: Learner, transitions: Transitions | Source, *, batch_size: int, seed: int
    ) -> None:
        super().__init__(learner, transitions, batch_size=batch_size, seed=seed)
        self._variables = list(learner.variables().values())

    def _compile(self, updates: Sequence[BoundUpdate], widths: Sequence[int]) -> Loop:
        def loop(values: list[Tensor], start: Tensor, count: Tensor, columns: Transitions) -> Any:
            def body(step: Tensor, carry: tuple[list[Tensor], list[Tensor]]) -> Any:
                values, sums = carry
                metrics, values = self._pure(lambda: self._step(updates, widths, columns, step + 1), values)
                return values, [total + each for total, each in zip(sums, metrics, strict=True)]

            zeros = [jax.numpy.zeros(width) for width in widths]
            return jax.lax.fori_loop(start, start + count, body, (values, zeros))

        compiled = jax.jit(loop, donate_argnums=0)

        def call(start: int, count: int) -> list[Tensor]:
            values, sums = compiled([v.value for v in self._variables], start, count, self._columns)
            for variable, value in zip(self._variables, values, strict=True):
                variable.assign(value)
            result: list[Tensor] = sums
            return result

        return call

    def _compile_pure(self, function: Callable[[Transitions, Tensor], Any]) -> Callable[..., Any]:
        compiled = jax.jit(lambda values, *given: self._pure(lambda: function(*given), values)[0])
        return lambda *given: compiled([v.value for v in self._variables], *given)

    def _gradients(
        self, loss: Callable[[], tuple[Tensor, Metrics]], bound: BoundUpdate
    ) -> tuple[Tensor, Metrics, list[Tensor]]:
        # Scopes do not chain: the inner one must map every variable, those of the outer scope at their values now.
        current = {id(variable): variable.value for variable in self._variables}

        def of(trained: list[Tensor]) -> tuple[Tensor, Metrics]:
            moved = dict(zip(map(id, bound.variables), trained, strict=True))
            values = [{**current, **moved}[id(variable)] for variable in self._variables]
            with keras.StatelessScope(state_mapping=list(zip(self._variables, values, strict=True))):
                return loss()

        differentiate = jax.value_and_grad(of, has_aux=True)
        (result, metrics), gradients = differentiate([current[id(v)] for v in bound.variables])
        return result, metrics, gradients

    def _cond(self, due: Tensor, run: Callable[[], Tensor], otherwise: Callable[[], Tensor]) -> Tensor:
        # A branch may not assign what lives outside it: it returns the values, and they are assigned here.
        result, values = jax.lax.cond(
            due,
            lambda values: self._pure(run, values),
            lambda values: self._pure(otherwise, values),
            [variable.value for variable in self._variables],
        )
        for variable, value in zip(self._variables, values, strict=True):
            variable.assign(value)
        return result

    def _pure(self, function: Callable[[], Any], values: list[Tensor]) -> tuple[Any, list[Tensor]]:
        """``function()`` with the variables at ``values``: its result, and the values that it leaves."""
        with keras.StatelessScope(state_mapping=list(zip(self._variables, values, strict=True))):
            result = function()
            return result, [variable.value for variable in self._variables]
