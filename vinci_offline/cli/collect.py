"""``vinci-offline collect``."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

from vinci_offline.cli.console import err
from vinci_offline.cli.options import with_options
from vinci_offline.data.episode_columns import RETURN
from vinci_offline.envs.options import CollectOptions


@with_options
def collect(
    env: Annotated[
        str,
        typer.Argument(metavar="ENV", help="A Gymnasium id, module:EnvId, or module:Class (file.py:Class)."),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE.h5", help="The dataset to write.")],
    options: CollectOptions,
) -> None:
    """Record a policy in an environment to a dataset file.

    Give --steps or --episodes. An interrupted collection goes on with --resume, and ends with the same data.
    """
    from vinci_offline.envs.collect.collector import collect as record

    dataset = record(env, output, **vars(options))
    table = dataset.episodes
    if not math.isfinite(table[RETURN].sum()):
        err.print(
            f"{output} has rewards that are not finite: vinci-offline validate {output} says where",
            markup=False,
        )
    print(f"{output}: {len(dataset):,} rows")
    if options.policy != ["random-state"]:
        print(
            f"{len(table):,} episode{'s' if len(table) > 1 else ''}, mean return {table[RETURN].mean():.2f}"
        )
