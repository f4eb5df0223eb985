"""``vinci-offline evaluate``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vinci_offline.cli.console import print_json
from vinci_offline.errors import UsageError

if TYPE_CHECKING:
    from vinci_offline.envs.evaluator import Evaluation


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
        typer.Option(help="A Gymnasium id, module:EnvId or module:Class; a run directory knows its own."),
    ] = None,
    episodes: Annotated[int, typer.Option(help="Whole episodes to run.")] = 100,
    seed: Annotated[int, typer.Option(help="Seeds the starting state of every episode.")] = 0,
    workers: Annotated[int, typer.Option(help="Processes; their number does not change the returns.")] = 1,
    lanes: Annotated[int, typer.Option(help="Environments stepped together.")] = 16,
    best: Annotated[
        bool, typer.Option("--best", help="Of a run directory, the best policy instead of the last.")
    ] = False,
    stochastic: Annotated[
        bool, typer.Option("--stochastic", help="Sample from the policy's distribution.")
    ] = False,
    env_kwargs: Annotated[
        str | None,
        typer.Option(metavar="JSON", help="Arguments of the environment: '{\"max_episode_steps\": 500}'."),
    ] = None,
    video: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Film the first episodes into a new folder.")
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")] = False,
) -> None:
    """Run a policy in its environment and report the return of seeded, whole episodes."""
    from vinci_offline.envs.evaluator import evaluate as run_evaluation

    if best:
        policy = _best_of(policy)
    result = run_evaluation(
        policy,
        env,
        episodes=episodes,
        seed=seed,
        workers=workers,
        lanes=lanes,
        stochastic=stochastic,
        env_kwargs=_env_kwargs(env_kwargs),
        video=video,
        progress=True,
    )
    if json_:
        print_json(result.to_json())
    else:
        _print_summary(policy, result)
        if video is not None:
            print(f"videos in   {video}")


def _best_of(policy: str) -> str:
    best = Path(policy) / "best"
    if not (best / "config.json").is_file():
        raise UsageError(
            f"{policy} has no best policy: --best is for runs trained with --eval-every or --validation"
        )
    return str(best)


def _env_kwargs(text: str | None) -> dict[str, Any]:
    try:
        content = json.loads(text) if text is not None else {}
    except ValueError as error:
        raise UsageError(
            f"--env-kwargs is not JSON ({error}): write for instance '{{\"gravity\": 9.8}}'"
        ) from error
    if not isinstance(content, dict):
        raise UsageError("--env-kwargs must be a JSON object: write for instance '{\"gravity\": 9.8}'")
    return content


def _print_summary(policy: str, result: Evaluation) -> None:
    from statistics import median

    count = f"{result.episodes:,} episode{'s' if result.episodes > 1 else ''}"
    print(f"{policy} on {result.env or 'the environment'}, {count}")
    print(f"return      {result.return_mean:.2f} ± {result.return_std:.2f}")
    print(f"  median    {median(result.returns):.2f}")
    print(f"  range     {min(result.returns):.2f} to {max(result.returns):.2f}")
    print(f"length      {result.length_mean:.1f} steps")
    if result.normalized_mean is not None:
        print(f"D4RL score  {result.normalized_mean:.1f}")
