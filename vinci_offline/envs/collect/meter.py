"""Progress of a collection on standard error."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import TypeAlias

from vinci_offline.envs.collect.job import Job
from vinci_offline.envs.collect.shards import ShardFolder
from vinci_offline.text import markup

Report: TypeAlias = Callable[[int, int], None]
"""Takes the numbers of steps and episodes recorded since the last call."""


@contextlib.contextmanager
def meter(job: Job, folder: ShardFolder, finished: Mapping[int, int], *, show: bool) -> Iterator[Report]:
    """Show steps, steps a second and the time left. Show nothing where standard error is not a terminal.

    Args:
        job: the collection.
        folder: the folder of its shards.
        finished: the rows of each shard that an earlier run recorded.
        show: False shows nothing.
    """
    if not (show and sys.stderr.isatty()):
        yield lambda steps, episodes: None
        return
    from rich.console import Console
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
    with Progress(*columns, console=Console(stderr=True)) as bars:
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
