"""Several runs in lockstep: one call steps all runs that ask for the same chunk."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing

from vinci_offline.errors import VinciError
from vinci_offline.hooks.hook import RunInfo
from vinci_offline.training.result import Outcome
from vinci_offline.training.run import Chunk, Run, Taken


class Lockstep:
    """Runs of like learners on the same data, each with its own hooks and directory.

    The run with the earliest chunk goes first, together with all runs that ask for the same chunk. So runs that
    resume from different steps meet, and a run that ends early does not stop the others.

    Args:
        runs: the runs, each with the information for its hooks.

    Attributes:
        steps: gradient steps of all runs together.
        seconds: time of these steps, without compilation.
    """

    def __init__(self, runs: Sequence[tuple[Run, RunInfo]]) -> None:
        self.steps = 0
        self.seconds = 0.0
        self._runs = [run for run, _ in runs]
        self._infos = [info for _, info in runs]
        self._waiting: dict[int, Chunk] = {}

    def execute(self, interrupted: threading.Event) -> list[Outcome]:
        """Take all remaining steps.

        Args:
            interrupted: when set, each run saves and ends before its next chunk.

        Returns:
            The result of each run, or the error that ended it.
        """
        outcomes: dict[int, Outcome] = {}
        with ExitStack() as stack:
            steppings = [
                stack.enter_context(closing(run.stepping(info, interrupted)))
                for run, info in zip(self._runs, self._infos, strict=True)
            ]

            def advance(place: int, taken: Taken | None) -> None:
                try:
                    # A generator must be sent None first; its type cannot express that.
                    self._waiting[place] = steppings[place].send(taken)  # type: ignore[arg-type]
                except StopIteration as done:
                    outcomes[place] = done.value
                except VinciError as error:
                    outcomes[place] = error

            for place in range(len(steppings)):
                advance(place, None)
            while self._waiting:
                for place, taken in self._take(self._pop_earliest()):
                    advance(place, taken)
        return [outcomes[place] for place in sorted(outcomes)]

    def _pop_earliest(self) -> dict[int, Chunk]:
        """Remove and return the earliest chunk, with each run that asks for it."""

        def asked(chunk: Chunk) -> tuple[int, int, tuple[int, ...]]:
            return chunk.start, chunk.count, tuple(bound.stream for bound in chunk.updates)

        first = min(map(asked, self._waiting.values()))
        due = [place for place, chunk in self._waiting.items() if asked(chunk) == first]
        return {place: self._waiting.pop(place) for place in sorted(due)}

    def _take(self, chunks: dict[int, Chunk]) -> list[tuple[int, Taken]]:
        places = list(chunks)
        chunk = chunks[places[0]]
        began = time.perf_counter()
        if len(places) == 1:
            metrics = [self._runs[places[0]].engine.run(chunk.updates, chunk.start, chunk.count)]
        else:
            # Always the first run's engine: its compiled loop serves any subset of the runs.
            template = self._runs[0]
            updates = [template.learner.updates[bound.stream] for bound in chunk.updates]
            engines = [self._runs[place].engine for place in places]
            metrics = template.engine.run_members(engines, updates, chunk.start, chunk.count)
        elapsed = time.perf_counter() - began
        if chunk.count:
            self.steps += chunk.count * len(places)
            self.seconds += elapsed
        return [(place, (each, elapsed)) for place, each in zip(places, metrics, strict=True)]
