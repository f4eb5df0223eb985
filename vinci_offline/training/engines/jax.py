"""The compiled loop on JAX: the same step over Keras variables, made pure by stateless scopes."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, ClassVar, cast

import jax
import keras

from vinci_offline.functional import random
from vinci_offline.training.engines.engine import Engine, Loop, means
from vinci_offline.training.engines.tracing import traced_layers
from vinci_offline.training.learner import BoundUpdate, Learner
from vinci_offline.training.source import Source
from vinci_offline.types import Metrics, Tensor, Transitions


class JaxEngine(Engine):
    """Hundreds of gradient steps in one ``jax.jit``; the state is donated, so it exists once on the device."""

    side_by_side: ClassVar[bool] = True

    def __init__(
        self, learner: Learner, transitions: Transitions | Source, *, batch_size: int, seed: int
    ) -> None:
        super().__init__(learner, transitions, batch_size=batch_size, seed=seed)
        self._variables = list(learner.variables().values())
        self._member_loops: dict[tuple[int, ...], tuple[Callable[..., Any], list[list[str]]]] = {}

    def run_members(
        self, members: Sequence[Engine], updates: Sequence[BoundUpdate], start: int, count: int
    ) -> list[dict[str, float]]:
        """All members in one ``jax.vmap`` over the whole loop, traced over this engine's learner."""
        selection = tuple(bound.stream for bound in updates)
        if selection not in self._member_loops:
            names = self._metric_names(updates)
            self._member_loops[selection] = (
                self._compile_members(updates, [len(each) for each in names]),
                names,
            )
        loop, names = self._member_loops[selection]
        others = cast("Sequence[JaxEngine]", members)
        totals, told = self._totals(lambda first, steps: loop(others, first, steps), start, count)
        return [
            means(updates, names, [total[place] for total in totals], start, count) | told
            for place in range(len(members))
        ]

    def _compile(self, updates: Sequence[BoundUpdate], widths: Sequence[int]) -> Loop:
        compiled = jax.jit(self._loop(updates, widths), donate_argnums=0)

        def call(start: int, count: int) -> list[Tensor]:
            values, sums = compiled([v.value for v in self._variables], start, count, self._columns)
            self._assign(values)
            result: list[Tensor] = sums
            return result

        return call

    def _compile_members(
        self, updates: Sequence[BoundUpdate], widths: Sequence[int]
    ) -> Callable[[Sequence[JaxEngine], int, int], list[Tensor]]:
        streams = [bound.stream for bound in updates]

        def member(values: list[Tensor], initial: Any, seed: Tensor, *rest: Any) -> Any:
            # The template with another seed and other weights to return to: all else is in the values.
            one = copy.copy(self)
            one._seed = seed
            bounds = [replace(b, initial=tuple(w)) for b, w in zip(updates, initial, strict=True)]
            return one._loop(bounds, widths)(values, *rest)

        def loop(values: list[list[Tensor]], initial: list[Any], seeds: list[Tensor], *rest: Any) -> Any:
            # Stacked and taken apart inside: a learner's own variables stay the one place of its state.
            together = jax.vmap(member, in_axes=(0, 0, 0, None, None, None))
            stacked, sums = together(_stack(values), _stack(initial), _stack(seeds), *rest)
            return [[value[place] for value in stacked] for place in range(len(values))], sums

        compiled = jax.jit(loop, donate_argnums=0)

        def call(members: Sequence[JaxEngine], start: int, count: int) -> list[Tensor]:
            values = [[variable.value for variable in each._variables] for each in members]
            initial = [[list(each._learner.updates[s].initial) for s in streams] for each in members]
            seeds = [random.words(int(each._seed)) for each in members]
            values, sums = compiled(values, initial, seeds, start, count, self._columns)
            for each, left in zip(members, values, strict=True):
                each._assign(left)
            result: list[Tensor] = sums
            return result

        return call

    def _loop(self, updates: Sequence[BoundUpdate], widths: Sequence[int]) -> Callable[..., Any]:
        """The loop as a pure function of the variables' values."""

        def loop(values: list[Tensor], start: Tensor, count: Tensor, columns: Transitions) -> Any:
            def body(step: Tensor, carry: tuple[list[Tensor], list[Tensor]]) -> Any:
                values, sums = carry
                metrics, values = self._pure(lambda: self._step(updates, widths, columns, step + 1), values)
                return values, [total + each for total, each in zip(sums, metrics, strict=True)]

            zeros = [jax.numpy.zeros(width) for width in widths]
            return jax.lax.fori_loop(start, start + count, body, (values, zeros))

        return loop

    def _assign(self, values: Sequence[Tensor]) -> None:
        for variable, value in zip(self._variables, values, strict=True):
            variable.assign(value)

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
            with (
                keras.StatelessScope(state_mapping=list(zip(self._variables, values, strict=True))),
                traced_layers(jax.lax.optimization_barrier),
            ):
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
        self._assign(values)
        return result

    def _pure(self, function: Callable[[], Any], values: list[Tensor]) -> tuple[Any, list[Tensor]]:
        """``function()`` with the variables at ``values``: its result, and the values that it leaves."""
        with keras.StatelessScope(state_mapping=list(zip(self._variables, values, strict=True))):
            result = function()
            return result, [variable.value for variable in self._variables]


def _stack(trees: list[Any]) -> Any:
    """Arrays in like places of like trees as one array with a leading axis."""
    return jax.tree.map(lambda *leaves: jax.numpy.stack(leaves), *trees)
