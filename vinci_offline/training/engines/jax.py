"""JAX engine: the step over Keras variables, made a pure function by stateless scopes."""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, cast

import jax
import keras

from vinci_offline.batches.source import Pool
from vinci_offline.functional import random
from vinci_offline.training.engines.engine import Data, Engine, Look, Loop, Moment
from vinci_offline.training.engines.metrics import mean_metrics
from vinci_offline.training.engines.tracing import FastLayers
from vinci_offline.training.learner import BoundUpdate, Learner
from vinci_offline.training.varied import varied_settings, with_settings
from vinci_offline.types import Metrics, Tensor

_ON_CUDA = {
    "xla_gpu_enable_command_buffer": "FUSION,CUBLAS,CUBLASLT,CUDNN,CUSTOM_CALL,CONDITIONAL,WHILE",
    "xla_gpu_graph_min_graph_size": 1,
}
"""Options that make the whole loop one CUDA graph, with its conditionals. The host launches it once and never waits.

XLA by default leaves loops and conditionals out of the graph. TD3+BC on an H100 took 6,200 steps a second by default,
7,900 with these options, and 9,400 with the steps of a span written out as well.
"""

_LONGEST_SPAN = 4
"""Most steps that a turn of the loop on a GPU writes out. Compile time grows with their number."""


class JaxEngine(Engine):
    """Engine that runs hundreds of steps in one ``jax.jit``. The state is donated, so the device holds it once."""

    side_by_side: ClassVar[bool] = True

    def __init__(self, learner: Learner, data: Data, *, batch_size: int, seed: int) -> None:
        super().__init__(learner, data, batch_size=batch_size, seed=seed)
        self._fast = FastLayers(learner.nets.models().values(), jax.lax.optimization_barrier)
        self._variables = list(learner.variables().values())
        self._on_cuda = "cuda" in jax.local_devices()[0].client.platform_version.lower()
        self._member_loops: dict[Hashable, tuple[Callable[..., Any], list[list[str]]]] = {}

    def run_members(
        self, members: Sequence[Engine], updates: Sequence[BoundUpdate], start: int, count: int
    ) -> list[dict[str, float]]:
        """Run all members in one ``jax.vmap`` over the whole loop, traced with this engine's learner.

        Members may differ in numbers of their agents, where `varies` says so.
        """
        others = cast("Sequence[JaxEngine]", members)
        varied = varied_settings([each._learner.agent for each in others])
        selection = (tuple(bound.stream for bound in updates), varied)
        if selection not in self._member_loops:
            names = self._metric_names(updates)
            self._member_loops[selection] = (
                self._compile_members(updates, [len(each) for each in names], varied),
                names,
            )
        loop, names = self._member_loops[selection]
        totals, told = self._totals(lambda first, steps: loop(first, steps, others), start, count)
        return [
            mean_metrics(updates, names, [total[place] for total in totals], start, count) | told
            for place in range(len(members))
        ]

    def varies(self, name: str) -> bool:
        """Return True where members may differ in a number of their agents: no step looks at it while it is traced."""
        updates = self._learner.updates
        widths = [len(each) for each in self._metric_names(updates)]

        def step(number: Tensor, values: list[Tensor], columns: Pool) -> Any:
            one, bounds = self._varied({name: number}, updates)
            return one._pure(
                functools.partial(one._step, bounds, widths, columns, Moment(jax.numpy.int32(1))), values
            )

        number = jax.numpy.float32(getattr(self._learner.agent, name))
        self._load(0)
        try:
            jax.eval_shape(step, number, [variable.value for variable in self._variables], self._columns)
        except Exception:  # noqa: BLE001 - of any kind: the step makes something else of a traced number
            return False
        return True

    def _varied(
        self, settings: Mapping[str, Tensor], updates: Sequence[BoundUpdate]
    ) -> tuple[JaxEngine, Sequence[BoundUpdate]]:
        """Return a copy of this engine whose agent has other numbers, and its updates."""
        if not settings:
            return self, updates
        one = copy.copy(self)
        one._learner, bounds = with_settings(self._learner, settings, updates)
        return one, bounds

    def _compile(self, updates: Sequence[BoundUpdate], widths: Sequence[int]) -> Loop:
        def compiled(span: int) -> Callable[[int, int], list[Tensor]]:
            loop = self._jit(self._loop(updates, widths, span))

            def call(start: int, turns: int) -> list[Tensor]:
                values, sums = loop([v.value for v in self._variables], start, turns, self._columns)
                self._assign(values)
                result: list[Tensor] = sums
                return result

            return call

        return self._in_spans(updates, compiled)

    def _compile_members(
        self, updates: Sequence[BoundUpdate], widths: Sequence[int], varied: Sequence[str] = ()
    ) -> Callable[[int, int, Sequence[JaxEngine]], list[Tensor]]:
        streams = [bound.stream for bound in updates]

        def compiled(span: int) -> Callable[[int, int, Sequence[JaxEngine]], list[Tensor]]:
            def member(values: list[Tensor], initial: Any, seed: Tensor, settings: Any, *rest: Any) -> Any:
                # A copy of this engine with the member's seed, numbers and initial weights; `values` hold all other
                # state.
                one, ours = self._keyed(seed)._varied(settings, updates)
                bounds = [replace(b, initial=tuple(w)) for b, w in zip(ours, initial, strict=True)]
                return one._loop(bounds, widths, span)(values, *rest)

            def together(
                values: list[list[Tensor]],
                initial: list[Any],
                seeds: list[Tensor],
                settings: dict[str, Tensor],
                *rest: Any,
            ) -> Any:
                # Stack and unstack inside the compiled call, so the state stays in each learner's variables.
                mapped = jax.vmap(member, in_axes=(0, 0, 0, 0, None, None, None))
                stacked, sums = mapped(_stack(values), _stack(initial), _stack(seeds), settings, *rest)
                return [[value[place] for value in stacked] for place in range(len(values))], sums

            loop = self._jit(together)

            def call(start: int, turns: int, members: Sequence[JaxEngine]) -> list[Tensor]:
                values = [[variable.value for variable in each._variables] for each in members]
                initial = [[list(each._learner.updates[s].initial) for s in streams] for each in members]
                seeds = [random.words(int(each._seed)) for each in members]
                settings = {
                    name: jax.numpy.array([getattr(each._learner.agent, name) for each in members], "float32")
                    for name in varied
                }
                values, sums = loop(values, initial, seeds, settings, start, turns, self._columns)
                for each, left in zip(members, values, strict=True):
                    each._assign(left)
                result: list[Tensor] = sums
                return result

            return call

        return self._in_spans(updates, compiled)

    def _jit(self, loop: Callable[..., Any]) -> Callable[..., Any]:
        """Compile a loop for the device; donate its first argument."""
        options = _ON_CUDA if self._on_cuda else None
        compiled: Callable[..., Any] = jax.jit(loop, donate_argnums=0, compiler_options=options)
        return compiled

    def _in_spans(
        self, updates: Sequence[BoundUpdate], compiled: Callable[[int], Callable[..., list[Tensor]]]
    ) -> Callable[..., list[Tensor]]:
        """Return a loop over steps, made of loops over spans; ``compiled`` makes the loop for a length of span.

        On a GPU a span is as long as the common period of the updates. The trace then knows which updates are due,
        and the device decides nothing. On a CPU a span is one step, so results are bitwise equal however a run is
        cut.
        """
        period = math.lcm(*(bound.update.every for bound in updates))
        span = period if self._on_cuda and period <= _LONGEST_SPAN else 1
        loop = functools.cache(compiled)

        def call(start: int, count: int, *rest: Any) -> list[Tensor]:
            parts = [loop(size)(first, turns, *rest) for first, turns, size in spans(start, count, span)]
            return [sum(sums[1:], start=sums[0]) for sums in zip(*parts, strict=True)]

        return call

    def _loop(self, updates: Sequence[BoundUpdate], widths: Sequence[int], span: int) -> Callable[..., Any]:
        """Return the loop as a pure function of the variables' values, ``span`` steps a turn.

        Its ``start`` must be a multiple of ``span``.
        """

        def loop(values: list[Tensor], start: Tensor, turns: Tensor, columns: Pool) -> Any:
            def body(turn: Tensor, carry: tuple[list[Tensor], list[Tensor]]) -> Any:
                values, sums = carry
                for place in range(1, span + 1):
                    now = Moment(start + turn * span + place, span, place % span)
                    metrics, values = self._pure(
                        functools.partial(self._step, updates, widths, columns, now), values
                    )
                    sums = [total + each for total, each in zip(sums, metrics, strict=True)]
                return values, sums

            zeros = [jax.numpy.zeros(width) for width in widths]
            return jax.lax.fori_loop(0, turns, body, (values, zeros))

        return loop

    def _assign(self, values: Sequence[Tensor]) -> None:
        for variable, value in zip(self._variables, values, strict=True):
            variable.assign(value)

    def _compile_pure(self, kind: Hashable, function: Look) -> Look:
        compiled = jax.jit(lambda values, *given: self._pure(lambda: function(*given), values)[0])
        return lambda *given: compiled([v.value for v in self._variables], *given)

    def _gradients(
        self, loss: Callable[[], tuple[Tensor, Metrics]], bound: BoundUpdate
    ) -> tuple[Tensor, Metrics, list[Tensor]]:
        # Scopes do not chain: the inner scope must map every variable, at its value in the outer scope.
        current = {id(variable): variable.value for variable in self._variables}

        def of(trained: list[Tensor]) -> tuple[Tensor, Metrics]:
            moved = dict(zip(map(id, bound.variables), trained, strict=True))
            values = [{**current, **moved}[id(variable)] for variable in self._variables]
            with (
                keras.StatelessScope(state_mapping=list(zip(self._variables, values, strict=True))),
                self._fast,
            ):
                return loss()

        differentiate = jax.value_and_grad(of, has_aux=True)
        (result, metrics), gradients = differentiate([current[id(v)] for v in bound.variables])
        return result, metrics, gradients

    def _cond(self, due: Tensor, run: Callable[[], Tensor], otherwise: Callable[[], Tensor]) -> Tensor:
        # A branch may not assign variables from outside it: it returns their values, which are assigned here.
        result: Tensor
        result, values = jax.lax.cond(
            due,
            lambda values: self._pure(run, values),
            lambda values: self._pure(otherwise, values),
            [variable.value for variable in self._variables],
        )
        self._assign(values)
        return result

    def _pure(self, function: Callable[[], Any], values: list[Tensor]) -> tuple[Any, list[Tensor]]:
        """Call ``function`` with the variables at ``values``; return its result and the variables' new values."""
        with keras.StatelessScope(state_mapping=list(zip(self._variables, values, strict=True))):
            result = function()
            return result, [variable.value for variable in self._variables]


def spans(start: int, count: int, span: int) -> Iterator[tuple[int, int, int]]:
    """Divide ``count`` steps after ``start`` into turns of ``span`` steps, and single steps before and after them.

    Turns of ``span`` start at its multiples.

    Yields:
        The step before the first turn, the number of turns, and the steps of each turn. A count of 0 gives 0 turns
        of ``span``.
    """
    before = min(count, -start % span)
    turns, after = divmod(count - before, span)
    if before:
        yield start, before, 1
    if turns or not count:
        yield start + before, turns, span
    if after:
        yield start + count - after, after, 1


def _stack(trees: list[Any]) -> Any:
    """Stack the arrays of like trees along a new leading axis."""
    return jax.tree.map(lambda *leaves: jax.numpy.stack(leaves), *trees)
