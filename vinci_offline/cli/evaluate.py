"""``vinci-offline evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vinci_offline.cli import completion
from vinci_offline.cli.console import print_json, say
from vinci_offline.cli.options import with_options
from vinci_offline.envs.options import EvaluateOptions
from vinci_offline.errors import UsageError

if TYPE_CHECKING:
    from vinci_offline.envs.evaluator import Evaluation


@with_options
def evaluate(
    policy: Annotated[
        str,
        typer.Argument(
            metavar="RUN_DIR|policy.keras",
            help="A run directory or a .keras policy; also an .onnx file, sb3:ALGO:FILE.zip[:VECNORMALIZE], "
            "random, module:object or file.py:object.",
        ),
    ],
    env: Annotated[
        str | None,
        typer.Option(
            metavar="ENV",
            help="A Gymnasium id, module:EnvId or module:Class; a run directory knows its own.",
            autocompletion=completion.environments,
        ),
    ] = None,
    *,
    options: EvaluateOptions,
    best: Annotated[
        bool, typer.Option("--best", help="Of a run directory, the best policy instead of the last.")
    ] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")] = False,
) -> None:
    """Run a policy in its environment and report the return of seeded, whole episodes."""
    from vinci_offline.envs.evaluator import evaluate as run_evaluation

    if best:
        policy = _best_of(policy)
    result = run_evaluation(policy, env, **vars(options), progress=True)
    if json_:
        print_json(result.to_json())
    else:
        _print_summary(policy, result)
        if options.csv is not None:
            say(f"episodes    {options.csv}")
        if options.video is not None:
            say(f"videos in   {options.video}")


def _best_of(policy: str) -> str:
    from vinci_offline.runs.run_directory import RunDirectory

    best = RunDirectory(Path(policy)).best
    if not best.exists():
        raise UsageError(
            f"{policy} has no best policy: --best is for runs trained with --eval-every or --validation"
        )
    return str(best.path)


def _print_summary(policy: str, result: Evaluation) -> None:
    from statistics import median

    count = f"{result.episodes:,} episode{'s' if result.episodes > 1 else ''}"
    say(f"{policy} on {result.env or 'the environment'}, {count}")
    spread = f" ± {result.return_std:.2f}" if result.episodes > 1 else ""
    lines = [
        ("return", f"{result.return_mean:.2f}{spread}"),
        ("  median", f"{median(result.returns):.2f}"),
        ("  range", f"{min(result.returns):.2f} to {max(result.returns):.2f}"),
        ("length", f"{result.length_mean:.1f} steps"),
    ]
    if result.reference is not None:
        scale = result.reference
        about = ", of another version" if scale.approximate else ""
        ends = f"0 is {scale.random:.4g}, 100 is {scale.expert:.4g} ({scale.source}{about})"
        lines += [("score", f"{result.normalized_mean:.1f}"), ("  scale", ends)]
    lines += [(name, _info(result, name)) for name in result.infos]
    width = max(10, *(len(name) for name, _ in lines))
    for name, text in lines:
        say(f"{name:<{width}}  {text}")


def _info(result: Evaluation, name: str) -> str:
    """Return the mean of an episode's number: of a success rate with its interval, otherwise with its deviation."""
    from statistics import fmean, stdev

    values = result.infos[name]
    mean, ends = fmean(values), result.rate_interval(name)
    if ends is not None:
        return f"{mean:.1%}, 95% interval {ends[0]:.1%} to {ends[1]:.1%}"
    return f"{mean:.4g}" + (f" ± {stdev(values):.4g}" if len(values) > 1 else "")
