"""``vinci-offline collect``."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vinci_offline.cli import completion
from vinci_offline.cli.console import print_json, say, tell
from vinci_offline.cli.options import with_options
from vinci_offline.cli.signals import resumable
from vinci_offline.data.episode_columns import RETURN
from vinci_offline.envs.options import CollectOptions
from vinci_offline.envs.scores import recorded_reference
from vinci_offline.text import command

if TYPE_CHECKING:
    from vinci_offline.data.dataset import Dataset


@with_options
def collect(
    env: Annotated[
        str,
        typer.Argument(
            metavar="ENV",
            help="A Gymnasium id, module:EnvId, or module:Class (file.py:Class).",
            autocompletion=completion.environments,
        ),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE.h5", help="The dataset to write.")],
    options: CollectOptions,
    json_: Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")] = False,
) -> None:
    """Record a policy in an environment to a dataset file.

    Give --steps or --episodes. An interrupted collection goes on with --resume, and ends with the same data.
    """
    from vinci_offline.envs.collect.collector import collect as record

    try:
        dataset = record(env, output, **vars(options))
    except KeyboardInterrupt:
        if not output.exists():  # otherwise --resume would find the old file complete
            resumable()
        raise
    table = dataset.episode_columns
    if not math.isfinite(table[RETURN].sum()):
        tell(f"{output} has rewards that are not finite: {command('validate', output)} says where")
    if json_:
        print_json(_described(dataset))
        return
    say(f"{output}: {len(dataset):,} rows")
    if options.policy != ["random-state"]:
        say(_episodes(dataset))
    if options.expert is not None and (reference := recorded_reference(dataset.attributes)) is not None:
        say(f"references of scores: random {reference.random:.4g}, expert {reference.expert:.4g}")


def _described(dataset: Dataset) -> dict[str, object]:
    from vinci_offline.data.episodes import whole_returns
    from vinci_offline.deviation import finite, sample_deviation

    returns = whole_returns(dataset.episode_columns)
    count = len(dataset.episode_columns[RETURN])
    return {
        "file": str(dataset.path),
        "env": dataset.spec.id,
        "rows": len(dataset),
        "episodes": count,
        "fragments": count - len(returns),
        "return_mean": float(returns.mean()) if len(returns) else None,
        "return_std": finite(sample_deviation(returns)),
    }


def _episodes(dataset: Dataset) -> str:
    """Return a line on the whole episodes and their mean return, and on a last one that --steps cut."""
    from vinci_offline.data.episodes import whole_returns

    returns = whole_returns(dataset.episode_columns)
    count = len(returns)
    if not count:
        return "a fragment of an episode, which --steps cut"
    text = f"{count:,} episode{'s' if count > 1 else ''}, mean return {returns.mean():.2f}"
    cut = len(dataset.episode_columns[RETURN]) > count
    return text + ("; --steps cut the last episode, a fragment that the mean leaves out" if cut else "")
