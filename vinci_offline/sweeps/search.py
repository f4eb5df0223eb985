"""Cells of a sweep: all at once, or in rounds of draws where each learns from the returns of the rounds before."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from vinci_offline.sweeps.on_optuna import check_optuna, propose
from vinci_offline.sweeps.spec import Draw, SweepSpec
from vinci_offline.training.config import TrainingConfig

_AT_RANDOM = 8
"""First draws of each agent and dataset. They are those of random search: a sampler has nothing to learn from yet."""


class Search:
    """Cells of a sweep as far as they are known.

    Each agent and dataset is searched for itself. A round is drawn when all cells of the rounds before have ended. So
    draws depend neither on the number of workers nor on which cell ends first.

    Args:
        spec: the spec.
        draws: the draws that were made before, in order.

    Attributes:
        draws: all draws in order; none where the spec tries everything at once.
        cells: all cells that are known.

    Raises:
        UsageError: the sampler's package is missing, or a cell is not valid.
    """

    def __init__(self, spec: SweepSpec, draws: Sequence[Draw] = ()) -> None:
        self._spec = spec
        self.draws = list(draws)
        if spec.learns:
            check_optuna(spec.sampler)
        if spec.learns and not draws:
            self.draws = list(self._next_round({}))
        self.cells = spec.cells(self.draws)

    @property
    def cells_to_come(self) -> int:
        """Number of cells that are not drawn yet."""
        if not self._spec.learns:
            return 0
        return len(self._spec.seeds) * sum(
            max(0, self._wanted(agent) - len(self._of(agent, dataset))) for agent, dataset in self._pairs()
        )

    @property
    def steps_to_come(self) -> int:
        """Gradient steps of the cells that are not drawn yet."""
        (steps,) = self._spec.options.get("steps", (TrainingConfig.steps,)) if self.cells_to_come else (0,)
        return self.cells_to_come * int(steps)

    def go_on(self, results: Mapping[str, Mapping[str, Any]]) -> bool:
        """Draw the next round. Return False where there is none.

        Args:
            results: the result of each finished cell, by its name. All other cells have failed.
        """
        if not self._spec.learns:
            return False
        returns = {
            (cell.group, cell.seed): results[cell.name]["final_metrics"].get("return/mean")
            for cell in self.cells
            if cell.name in results
        }
        fresh = list(self._next_round(returns))
        self.draws += fresh
        self.cells = self._spec.cells(self.draws)
        return bool(fresh)

    def content(self) -> dict[str, Any]:
        """Return what ``sweep.json`` says of the spec, its draws and its cells."""
        draws = {"draws": [each.to_json() for each in self.draws]} if self._spec.learns else {}
        return {"spec": self._spec.to_json(), **draws, "cells": [cell.to_json() for cell in self.cells]}

    def _next_round(self, returns: Mapping[tuple[str, int], float | None]) -> Iterator[Draw]:
        """Yield a round of each agent and dataset.

        Args:
            returns: the last mean return of finished cells, by their group and seed.
        """
        spec = self._spec
        for agent, dataset in self._pairs():
            tried, before = spec.varied(agent), self._of(agent, dataset)
            numbers = range(len(before), min(len(before) + spec.round_size, self._wanted(agent)))
            at_random = [number for number in numbers if number < _AT_RANDOM]
            values = [spec.at_random(tried, number) for number in at_random]
            learned = numbers[len(at_random) :]
            if learned:
                told = [(each.values, self._score(each, returns)) for each in before]
                values += propose(tried, told, learned, f"{spec.sample_seed}/{agent}")
            yield from (Draw(agent, dataset, each) for each in values)

    def _score(self, drawn: Draw, returns: Mapping[tuple[str, int], float | None]) -> float | None:
        """Return the mean return over seeds; None where a cell failed."""
        cells = self._spec.cells([drawn])
        found = [value for cell in cells if (value := returns.get((cell.group, cell.seed))) is not None]
        return math.fsum(found) / len(found) if len(found) == len(cells) else None

    def _pairs(self) -> Iterator[tuple[str, str]]:
        return itertools.product(self._spec.agents, self._spec.datasets)

    def _of(self, agent: str, dataset: str) -> list[Draw]:
        return [each for each in self.draws if (each.agent, each.dataset) == (agent, dataset)]

    def _wanted(self, agent: str) -> int:
        """Return the number of draws; one where there is nothing to draw."""
        return (self._spec.samples or 1) if self._spec.varied(agent) else 1
