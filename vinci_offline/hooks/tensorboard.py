"""A run in TensorBoard: losses, returns, hyperparameters and the dataset."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vinci_offline.deviation import finite
from vinci_offline.hooks.events import Chart, EventFile
from vinci_offline.hooks.hook import Hook, RunInfo
from vinci_offline.text import markdown
from vinci_offline.types import Array

if TYPE_CHECKING:
    from vinci_offline.envs.evaluator import Evaluation


CHARTS = (
    Chart("Return of an evaluation: mean", "return/mean$"),
    Chart(
        "Return of an evaluation: least, mean and greatest episode",
        margin=("return/mean", "training_statistics/return/min", "training_statistics/return/max"),
    ),
    Chart("Losses of critics and values", r"training_loss/.*(critic|value|q)"),
    Chart("Losses of actors and others", r"training_loss/(?!.*(critic|value|q))"),
    Chart(
        "Q of a batch: least, mean and greatest",
        margin=("training_statistics/q/mean", "training_statistics/q/min", "training_statistics/q/max"),
    ),
    Chart("Norms of gradients", "training_statistics/gradient_norm/"),
    Chart("Held-out losses", "validation/"),
)
"""Charts of the Custom Scalars tab, in their order. A run has those that it has numbers for."""


class TensorBoard(Hook):
    """Writer of event files in the run directory; see them with ``tensorboard --logdir runs``.

    TensorBoard sorts scalars and images by name, opens the first two groups, and shows the first five scalars in the
    HParams tab. So the returns keep their names, losses are ``training_loss/critic`` and so on, and everything else is
    ``training_statistics/...``. The HParams tab compares runs by agent, dataset, seed and what differs from the
    defaults; the Text tab shows the dataset. The Custom Scalars tab has `CHARTS`.
    """

    def start(self, run: RunInfo) -> None:
        """Open an event file; TensorBoard drops what an earlier process wrote past ``run.start_step``."""
        self._steps = run.steps
        resumed = run.start_step > 0
        self._events = EventFile(run.directory, first_step=run.start_step + 1 if resumed else 0)
        self._shown: list[Chart] = []
        self._events.hyperparameters(dict(_hyperparameters(run)), group=str(run.directory))
        if not resumed:
            self._events.text("dataset", _table(run.dataset))

    def metrics(self, step: int, metrics: Mapping[str, float]) -> None:
        """Write every metric as a scalar."""
        self._scalars(step, {_tag(name): value for name, value in metrics.items()})

    def evaluation(self, step: int, evaluation: Evaluation) -> None:
        """Write mean, deviation, least and greatest of the return, the mean length and the normalised score."""
        scalars = {
            "return/mean": evaluation.return_mean,
            _tag("length/mean"): evaluation.length_mean,
            "training_statistics/return/min": min(evaluation.returns),
            "training_statistics/return/max": max(evaluation.returns),
        }
        if (deviation := finite(evaluation.return_std)) is not None:
            scalars["return/std"] = deviation
        if evaluation.normalized_mean is not None:
            scalars["return/normalized_mean"] = evaluation.normalized_mean
        self._scalars(step, scalars)

    def note(self, step: int, text: str) -> None:
        """Show the note in the Text tab."""
        self._events.text("notes", markdown(text), step)

    def image(self, step: int, tag: str, png: bytes) -> None:
        """Show a PNG image as ``training_statistics/TAG``. Other hooks call this, at any time after ``start``."""
        self._events.image(step, _tag(tag), png)

    def histogram(self, step: int, tag: str, values: Array) -> None:
        """Show the distribution of finite numbers as ``training_states/TAG``. Other hooks call this, as `image`."""
        self._events.histogram(step, f"training_states/{tag}", values)

    def _scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Write numbers, and the layout again if some of them need a chart that it lacks."""
        self._events.scalars(step, values)
        shown = [chart for chart in CHARTS if chart in self._shown or any(map(chart.shows, values))]
        if shown != self._shown:
            self._shown = shown
            self._events.charts(step, "Overview", shown)

    def finish(self, step: int) -> None:
        """Mark the run as done, unless it was interrupted."""
        if step >= self._steps:
            self._events.succeeded()


def _tag(name: str) -> str:
    """Return a metric's name in TensorBoard, where the returns come first and the losses second."""
    if name.startswith(("return/", "validation/")):
        return name
    loss = name.removeprefix("loss/")
    return f"training_statistics/{name}" if loss == name else f"training_loss/{loss}"


def _hyperparameters(run: RunInfo) -> Iterator[tuple[str, bool | float | str]]:
    """Return agent, dataset, seed and what differs from the defaults; everything where that is not known."""
    yield "agent", run.agent
    if run.dataset.get("files"):
        yield "dataset", _names(run.dataset)
    training, agent = (run.config.get(key, {}) for key in ("training", "hyperparameters"))
    chosen = {**training, **agent} if run.chosen is None else {"seed": training.get("seed"), **run.chosen}
    for name, value in chosen.items():
        if value is not None:
            yield name, value if isinstance(value, bool | int | float | str) else json.dumps(value)


def _names(summary: Mapping[str, Any]) -> str:
    """Return the names of the files that the run learns from."""
    names = (Path(str(file)).name for file in summary.get("files", ()))
    return ", ".join("in memory" if name == "None" else name for name in names)


def _table(summary: Mapping[str, Any]) -> str:
    rows = "\n".join(f"| {markdown(name)} | {_cell(value)} |" for name, value in summary.items())
    return f"| dataset | {markdown(_names(summary))} |\n| --- | --- |\n{rows}"


def _cell(value: Any) -> str:
    return f"{value:,.6g}" if isinstance(value, float) else markdown(str(value))
