"""Phase portraits of a run: its actor and critic at evaluations and at the end."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np

from vinci_offline.errors import VinciError
from vinci_offline.files import make_folder, published
from vinci_offline.hooks.hook import Hook, RunInfo
from vinci_offline.hooks.phase_plane import has_plane, phase_plane, plane_observations
from vinci_offline.hooks.portrait_figure import draw_portrait, draw_strip
from vinci_offline.hooks.snapshot import Snapshot, read_snapshot, stored_snapshots
from vinci_offline.types import FloatArray

if TYPE_CHECKING:
    from vinci_offline.envs.evaluator import Evaluation
    from vinci_offline.hooks.tensorboard import TensorBoard

FOLDER = "portraits"
STRIP = 8
"""The most portraits side by side."""


class Portrait(Hook):
    """Pictures of the actor and the critic, for observations of two numbers.

    A portrait is ``portraits/step-00010000.png`` in the run directory. The left panel is the policy's action
    (its first dimension). The right one is the value V(s) of acting so: the least of the critics'
    Q(s, pi(s)), the greatest Q(s, a) for Discrete actions, or the agent's own value network. Dots are
    observations of the dataset: where there are none, both panels are guesses. A line is the first episode of
    the evaluation. An agent without a critic has the left panel only. Observations of other shapes, and Dict
    observations, have no portrait. Beside each picture are its numbers, ``.npz``, from which
    ``vinci-offline animate`` draws all steps on common scales. TensorBoard gets a strip of several steps at the end.

    Args:
        tensorboard: hook that shows the portraits as images; the run's hooks include it already.
        every: draw also at every n-th call of ``metrics``; 0 draws at evaluations and at the end only.
    """

    def __init__(self, tensorboard: TensorBoard | None = None, every: int = 0) -> None:
        self._tensorboard = tensorboard
        self._every = every

    def start(self, run: RunInfo) -> None:
        """Drop the portraits of steps that will be taken again."""
        self._run = run
        self._calls = 0
        self._drawn = -1
        self._applies = has_plane(run.spec)
        self._folder = run.directory / FOLDER
        for path in [*self._folder.glob("step-*.png"), *self._folder.glob("step-*.npz")]:
            step = path.stem.removeprefix("step-")
            if step.isdecimal() and (run.start_step == 0 or int(step) > run.start_step):
                path.unlink()

    def metrics(self, step: int, metrics: Mapping[str, float]) -> None:
        """Draw at every n-th call."""
        self._calls += 1
        if self._every and self._calls % self._every == 0:
            self._draw(step)

    def evaluation(self, step: int, evaluation: Evaluation) -> None:
        """Draw, with the return in the title and the path of the first episode."""
        self._drawn = -1  # draw this step again: its return is known now
        self._draw(step, evaluation.return_mean, evaluation.path)

    def finish(self, step: int) -> None:
        """Draw the final networks, and a strip of several steps."""
        self._draw(step)
        snapshots = self._several() if self._applies and self._tensorboard is not None else []
        if len(snapshots) > 1 and self._tensorboard is not None:
            self._tensorboard.image(step, "portraits over time", draw_strip(snapshots, self._run.spec))

    def _several(self) -> list[Snapshot]:
        """Return the portraits of the strip. A damaged one is left out: a run that is done does not fail by it."""
        stored = list(stored_snapshots(self._folder).items())
        places = np.linspace(0, len(stored) - 1, min(STRIP, len(stored))).round().astype(int)
        found: list[Snapshot] = []
        for step, path in (stored[place] for place in places):
            with suppress(VinciError):
                found.append(read_snapshot(path, step))
        return found

    def _draw(self, step: int, return_mean: float | None = None, path: FloatArray | None = None) -> None:
        if not self._applies or step == self._drawn:
            return
        self._drawn = step
        plane = phase_plane(self._run)
        if not plane.finite:
            return  # the run has diverged, and reports it itself
        snapshot = Snapshot(step, plane, return_mean, path)
        title = f"{self._run.agent} on {self._run.spec.id or 'this dataset'}, step {step:,}"
        if return_mean is not None:
            title += f", return {return_mean:.1f}"
        png = draw_portrait(snapshot, self._run.spec, plane_observations(self._run), title)
        make_folder(self._folder)
        snapshot.write(self._folder)
        with published(self._folder / f"step-{step:08d}.png") as temporary:
            temporary.write_bytes(png)
        if self._tensorboard is not None:
            self._tensorboard.image(step, "portrait", png)
