"""Progress of a run on the terminal: step, speed, time left, losses and return."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from vinci_offline.hooks.hook import Hook, RunInfo
from vinci_offline.text import markup

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

    from vinci_offline.envs.evaluator import Evaluation


class Progress(Hook):
    """Line on standard error that follows the run; silent where standard error is not a terminal."""

    def start(self, run: RunInfo) -> None:
        """Show the line."""
        self._bar: Bar | None = None
        self._compiler = run.config.get("compiler")
        self._fields: dict[str, Any] = {"speed": "", "losses": "", "score": ""}
        if not sys.stderr.isatty():
            return
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        self._bar = Bar(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TextColumn("[cyan]{task.fields[speed]}"),
            TimeRemainingColumn(compact=True),
            TextColumn("[dim]{task.fields[losses]}"),
            TextColumn("[green]{task.fields[score]}"),
            console=Console(stderr=True),
        )
        self._task = self._bar.add_task(
            markup(run.agent), total=run.steps, completed=run.start_step, **self._fields
        )
        self._bar.start()

    def metrics(self, step: int, metrics: Mapping[str, float]) -> None:
        """Advance the bar to ``step``; show the speed and the losses."""
        losses = (f"{name[5:]} {value:.3g}" for name, value in metrics.items() if name.startswith("loss/"))
        self._fields["losses"] = markup(" ".join(losses))
        if "compile_seconds" in metrics and self._bar is not None:
            told = f"compiled in {metrics['compile_seconds']:.1f} s by {self._compiler}"
            self._bar.console.print(markup(told), highlight=False)
        if "steps_per_second" in metrics:
            self._fields["speed"] = f"{metrics['steps_per_second']:,.0f} steps/s"
        self._show(step)

    def evaluation(self, step: int, evaluation: Evaluation) -> None:
        """Show the mean return, and print it above the line."""
        score = f"return {evaluation.return_mean:.1f}"
        self._fields["score"] = score
        self._show(step)
        if self._bar is not None:
            spread = "" if evaluation.episodes == 1 else f" ± {evaluation.return_std:.1f}"
            count = f"{evaluation.episodes} episode{'s' if evaluation.episodes > 1 else ''}"
            self._bar.console.print(f"step {step:,}: {score}{spread} over {count}", highlight=False)

    def note(self, step: int, text: str) -> None:
        """Print the note above the line."""
        if self._bar is not None:
            self._bar.console.print(f"step {step:,}: {markup(text)}", highlight=False)

    def finish(self, step: int) -> None:
        """Stop the bar."""
        self._show(step)
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _show(self, step: int) -> None:
        if self._bar is not None:
            self._bar.update(self._task, completed=step, **self._fields)
