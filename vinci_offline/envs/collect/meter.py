"""Progress of a collection on standard error."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TypeAlias

from vinci_offline.envs.collect.job import Job
from vinci_offline.envs.collect.shards import ShardFolder
from vinci_offline.progress import doing, line_if_due, live_console, never_silent, shown_bar
from vinci_offline.text import markup

Report: TypeAlias = Callable[[int, int], None]
"""Takes the numbers of steps and episodes recorded since the last call."""


@contextlib.contextmanager
def meter(job: Job, folder: ShardFolder, finished: Mapping[int, int], *, show: bool) -> Iterator[Report]:
    """Show steps, steps a second and the time left: a bar on a terminal and in a notebook, elsewhere lines.

    Args:
        job: the collection.
        folder: the folder of its shards.
        finished: the rows of each shard that an earlier run recorded.
        show: False shows nothing.
    """
    if not show:
        yield lambda steps, episodes: None
        return
    console = live_console()
    if console is None:
        with never_silent():
            yield _lines(job, sum(finished.values()))
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("recording {task.fields[name]}"),
        BarColumn(),
        TextColumn("{task.fields[steps]:,} steps, {task.fields[rate]:,.0f} a second"),
        TimeRemainingColumn(),
    )
    steps = sum(finished.values())
    episodes = sum(len(folder.lengths(index)) for index in finished)
    by_steps = job.plan.steps is not None
    recorded = [0]
    with shown_bar(), Progress(*columns, console=console) as bars:
        task = bars.add_task(
            "",
            total=job.plan.steps if by_steps else job.plan.episodes,
            completed=steps if by_steps else episodes,
            name=markup(job.spec.id or ""),
            steps=steps,
            rate=0.0,
        )

        def report(new_steps: int, new_episodes: int) -> None:
            bars.update(task, advance=new_steps if by_steps else new_episodes)
            state = bars.tasks[0]
            recorded[0] += new_steps
            done = steps + recorded[0]
            rate = recorded[0] / state.elapsed if state.elapsed else 0.0
            # Workers record ahead: their shards may pass the end of the dataset.
            shown = done if job.plan.steps is None else min(done, job.plan.steps)
            bars.update(task, steps=shown, rate=rate)

        yield report


def _lines(job: Job, finished: int) -> Report:
    """Return a report that shows a line now and then."""
    recorded, began = [0], time.monotonic()
    of = "" if job.plan.steps is None else f" of {job.plan.steps:,}"
    doing(f"recording {job.spec.id or ''}")

    def report(new_steps: int, new_episodes: int) -> None:
        recorded[0] += new_steps
        rate = recorded[0] / max(time.monotonic() - began, 1e-9)
        line_if_due(f"recorded {finished + recorded[0]:,}{of} steps, {rate:,.0f} a second")

    return report
