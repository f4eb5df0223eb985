"""Histograms of the policy's actions and the critic's values over observations of the dataset."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from vinci_offline.hooks.hook import Hook, RunInfo
from vinci_offline.hooks.phase_plane import policy_actions, state_values
from vinci_offline.spec import BoxSpace
from vinci_offline.types import Array

if TYPE_CHECKING:
    from vinci_offline.envs.evaluator import Evaluation
    from vinci_offline.hooks.tensorboard import TensorBoard

ROWS = 512
"""The most observations: enough for the shape of a distribution."""
_NUMBERS = 2**18
"""The most numbers in these observations: of images there are fewer."""
_DIMENSIONS = 6
"""The most dimensions of actions that are shown."""


class Distributions(Hook):
    """Histograms in TensorBoard, over a sample of the dataset's observations.

    ``training_states/action/policy`` beside ``training_states/action/data`` shows whether the policy does what was
    recorded; of an action of several numbers each of the first six has its own. ``training_states/value`` is the value
    V(s) that `Portrait` draws. They are written at evaluations and at the end, since they cost a call of each network.

    Args:
        tensorboard: hook that shows them.
    """

    def __init__(self, tensorboard: TensorBoard) -> None:
        self._tensorboard = tensorboard

    def start(self, run: RunInfo) -> None:
        """Take the sample; show the recorded actions once."""
        self._run = run
        self._written = -1
        parts = run.observations if isinstance(run.observations, Mapping) else {"": run.observations}
        count = min(map(len, parts.values()))
        width = sum(int(np.prod(values.shape[1:])) for values in parts.values())
        rows = np.linspace(0, count - 1, min(count, ROWS, max(1, _NUMBERS // max(width, 1)))).astype(int)
        sample = {key: values[rows] for key, values in parts.items()}
        self._observations = sample if isinstance(run.observations, Mapping) else sample[""]
        self._numbers = isinstance(run.spec.observation_space, BoxSpace)
        if run.actions is not None and run.start_step == 0:
            self._write(0, dict(_by_dimension("data", run.actions[rows])))

    def evaluation(self, step: int, evaluation: Evaluation) -> None:
        """Write the histograms."""
        self._draw(step)

    def finish(self, step: int) -> None:
        """Write those of the final networks."""
        self._draw(step)

    def _draw(self, step: int) -> None:
        if step == self._written:
            return
        self._written = step
        actions = policy_actions(self._run, self._observations)
        found = dict(_by_dimension("policy", actions))
        if self._numbers and isinstance(self._observations, np.ndarray):
            value = state_values(self._run, self._observations, actions)
            found |= {} if value is None else {"value": value}
        self._write(step, found)

    def _write(self, step: int, found: Mapping[str, Array]) -> None:
        for tag, values in found.items():
            if np.isfinite(values).all():  # otherwise the run has diverged, and reports it itself
                self._tensorboard.histogram(step, tag, values)


def _by_dimension(name: str, actions: Array) -> Iterator[tuple[str, Array]]:
    columns = actions.reshape(len(actions), -1).T
    for place, values in enumerate(columns[:_DIMENSIONS]):
        yield f"action/{name}" if len(columns) == 1 else f"action_{place}/{name}", values
