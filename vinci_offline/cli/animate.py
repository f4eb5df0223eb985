"""``vinci-offline animate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vinci_offline.cli.console import print_json, say


def animate(
    run: Annotated[
        str,
        typer.Argument(
            metavar="RUN_DIR", help="A run whose observations are two numbers.", show_default=False
        ),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE.gif", help="The animation.")] = Path(
        "evolution.gif"
    ),
    frames: Annotated[
        int, typer.Option(metavar="N", help="The most frames; of more portraits every few are taken.")
    ] = 60,
    fps: Annotated[float, typer.Option(metavar="N", help="Frames a second; the last stays longer.")] = 6.0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file that is there.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print everything as one JSON object.")] = False,
) -> None:
    """Draw how a run's policy and value changed, as an animated GIF.

    A run keeps a portrait at each evaluation, for example:

    vinci-offline train mountaincar-mixed --steps 3000 --eval-every 100 -o runs/car

    vinci-offline animate runs/car -o car.gif
    """
    from vinci_offline.plots.animation import animate as write_animation

    made = write_animation(run, output, frames=frames, fps=fps, overwrite=overwrite)
    size = made.path.stat().st_size
    if json_:
        print_json(
            {
                "animation": str(made.path),
                "bytes": size,
                "frames": made.frames,
                "first_step": made.first_step,
                "last_step": made.last_step,
                "seconds": made.seconds,
            }
        )
        return
    say(
        f"{made.path}: {made.frames} frames of steps {made.first_step:,} to {made.last_step:,}, "
        f"{made.seconds:.1f} s, {size / 1000:,.0f} kB"
    )
