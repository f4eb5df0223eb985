"""Listener to the run of a cell: it tells the sweep how far the cell is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from vinci_offline.hooks.hook import Hook, RunInfo

if TYPE_CHECKING:
    from vinci_offline.envs.evaluator import Evaluation


class Reporter(Hook):
    """Reporter of steps and returns.

    Args:
        send: called with the kind of a message and its content.
        look: called after every chunk; it may ask the run to end.
    """

    def __init__(self, send: Callable[..., None], look: Callable[[], Any] = lambda: None) -> None:
        self._send, self._look = send, look

    def start(self, run: RunInfo) -> None:
        """Tell where the run goes on."""
        self._send("step", run.start_step, None)

    def metrics(self, step: int, metrics: Mapping[str, float]) -> None:
        """Tell the step and the speed."""
        self._send("step", step, metrics.get("steps_per_second"))
        self._look()

    def evaluation(self, step: int, evaluation: Evaluation) -> None:
        """Tell the mean return."""
        self._send("return", step, evaluation.return_mean)
