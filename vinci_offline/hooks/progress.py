"""Progress of a run: step, speed, time left, losses and return, as a bar or as lines."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from vinci_offline import progress
from vinci_offline.hooks.hook import Hook, RunInfo
from vinci_offline.text import markup

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

    from vinci_offline.envs.evaluator import Evaluation


class Progress(Hook):
    """Bar on standard error, where that is a terminal, or in a notebook; elsewhere a line every ``log_every`` steps."""

    def start(self, run: RunInfo) -> None:
        """Show the bar."""
        self._bar: Bar | None = None
        self._compiler = run.config.get("compiler")
        self._log_every = int(run.config.get("training", {}).get("log_every", 1))
        self._steps = run.steps
        self._rate = 0.0
        self._fields: dict[str, Any] = {"speed": "", "losses": "", "score": ""}
        self._shown = ExitStack()
        self._shown.enter_context(progress.never_silent())
        console = progress.live_console()
        if console is None:
            return
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
            console=console,
        )
        self._task = self._bar.add_task(
            markup(run.agent), total=run.steps, completed=run.start_step, **self._fields
        )
        self._bar.start()
        self._shown.enter_context(progress.shown_bar())

    def compiling(self, step: int) -> None:
        """Say so."""
        self._fields["speed"] = "compiling"
        progress.doing("compiling")
        if self._bar is None:
            progress.line("compiling")
        self._show(step)

    def metrics(self, step: int, metrics: Mapping[str, float]) -> None:
        """Advance to ``step``; show the speed and the losses."""
        losses = (f"{name[5:]} {value:.3g}" for name, value in metrics.items() if name.startswith("loss/"))
        self._losses = " ".join(losses)
        self._fields["losses"] = markup(self._losses)
        if "compile_seconds" in metrics:
            self._say(f"compiled in {metrics['compile_seconds']:.1f} s by {self._compiler}")
        if "steps_per_second" in metrics:
            self._rate = metrics["steps_per_second"]
            self._fields["speed"] = f"{self._rate:,.0f} steps/s"
        progress.doing(f"training after step {step:,} of {self._steps:,}")
        if self._bar is None and (step % self._log_every == 0 or step == self._steps):
            progress.line(self._line(step))
        self._show(step)

    def evaluation(self, step: int, evaluation: Evaluation) -> None:
        """Show the mean return, and print it above the bar."""
        score = f"return {evaluation.return_mean:.1f}"
        self._fields["score"] = score
        self._show(step)
        spread = "" if evaluation.episodes == 1 else f" ± {evaluation.return_std:.1f}"
        count = f"{evaluation.episodes} episode{'s' if evaluation.episodes > 1 else ''}"
        self._say(f"step {step:,}: {score}{spread} over {count}")

    def note(self, step: int, text: str) -> None:
        """Print the note above the bar."""
        self._say(f"step {step:,}: {text}")

    def finish(self, step: int) -> None:
        """Stop the bar."""
        self._show(step)
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
        self._shown.close()

    def _say(self, text: str) -> None:
        if self._bar is None:
            progress.line(text)
        else:
            self._bar.console.print(markup(text), highlight=False)

    def _line(self, step: int) -> str:
        left = (self._steps - step) / self._rate if self._rate else 0.0
        parts = [f"step {step:,} of {self._steps:,}", self._fields["speed"]]
        parts += [f"{progress.duration(left)} left"] if left >= 1 else []
        return ", ".join(filter(None, (*parts, self._losses)))

    def _show(self, step: int) -> None:
        if self._bar is not None:
            self._bar.update(self._task, completed=step, **self._fields)
