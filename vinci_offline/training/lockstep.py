"""Several runs in lockstep: one call takes the steps of all that stand at the same place."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from typing import TypeAlias

from vinci_offline.errors import VinciError
from vinci_offline.hooks.hook import RunInfo
from vinci_offline.training.run import Chunk, Run, Taken, TrainResult

Outcome: TypeAlias = TrainResult | VinciError


class Lockstep:
    """Runs of like learners on the same data, each with its own schedule, hooks and directory.

    Those furthest behind are stepped, all that ask for the same chunk in one call: so runs that were interrupted at
    different steps fall in with each other, and one that ends early leaves the others going.

    Args:
        runs: the runs, each with what its hooks are told at the start.

    Attributes:
        steps: gradient steps taken by all of them together.
        seconds: the time spent taking them, compilation left out.
    """

    def __init__(self, runs: Sequence[tuple[Run, RunInfo]]) -> None:
        self.steps = 0
        self.seconds = 0.0
        self._runs = [run for run, _ in runs]
        self._infos = [info for _, info in runs]
        self._waiting: dict[int, Chunk] = {}

    def execute(self, interrupted: threading.Event) -> list[Outcome]:
        """Take every step that is left.

        Args:
            interrupted: when set, each run saves and ends before its next chunk.

        Returns:
            What each run came to, or what ended it.
        """
        outcomes: dict[int, Outcome] = {}
        with ExitStack() as stack:
            steppings = [
                stack.enter_context(closing(run.stepping(info, interrupted)))
                for run, info in zip(self._runs, self._infos, strict=True)
            ]

            def advance(place: int, taken: Taken | None) -> None:
                try:
                    # A generator's first word is None, which its type has no way to say.
                    self._waiting[place] = steppings[place].send(taken)  # type: ignore[arg-type]
                except StopIteration as done:
                    outcomes[place] = done.value
                except VinciError as error:
                    outcomes[place] = error

            for place in range(len(steppings)):
                advance(place, None)
            while self._waiting:
                for place, taken in self._take(self._furthest_behind()):
                    advance(place, taken)
        return [outcomes[place] for place in sorted(outcomes)]

    def _furthest_behind(self) -> dict[int, Chunk]:
        """The runs that ask for the same chunk as the one furthest behind."""

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
            # Always the first run's engine: what it compiled serves whichever of them are left.
            template = self._runs[0]
            updates = [template.learner.updates[bound.stream] for bound in chunk.updates]
            engines = [self._runs[place].engine for place in places]
            metrics = template.engine.run_members(engines, updates, chunk.start, chunk.count)
        elapsed = time.perf_counter() - began
        if chunk.count:
            self.steps += chunk.count * len(places)
            self.seconds += elapsed
        return [(place, (each, elapsed)) for place, each in zip(places, metrics, strict=True)]
