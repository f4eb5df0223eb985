"""``vinci-offline demo``."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vinci_offline.cli.console import print_json, say, tell
from vinci_offline.data.episode_columns import RETURN

if TYPE_CHECKING:
    from vinci_offline.data.dataset import Dataset
    from vinci_offline.envs.evaluator import Evaluation
    from vinci_offline.types import Array

_ENV = "Pendulum-v1"
_ROWS, _STEPS, _EPISODES = 20_000, 15_000, 100
# Small networks learn the swing-up as well as wide ones, in seconds; random actions deserve little imitation.
_SETTINGS = {"hidden": (64, 64), "alpha": 100.0}


def demo(
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="DIR", help="Folder of all results.")
    ] = Path("demo"),
    seed: Annotated[int, typer.Option(help="Seed of the recording, the training and the evaluation.")] = 0,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Start again instead of reusing what is there.")
    ] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")] = False,
) -> None:
    """Run the whole job in about two minutes: record random actions, train from the file, evaluate, plot.

    Random actions never balance the Pendulum; TD3+BC learns to swing it up from their recording alone.
    """
    from vinci_offline import evaluate

    output.mkdir(parents=True, exist_ok=True)
    dataset = _record(output, seed, overwrite=overwrite)
    run = _train(output, seed, overwrite=overwrite)
    tell(f"3 of 4  evaluating over {_EPISODES} episodes")
    random = evaluate("random", _ENV, episodes=_EPISODES, seed=seed)
    trained = evaluate(run, episodes=_EPISODES, seed=seed)
    tell("4 of 4  plotting")
    _plot(output, dataset, random, trained)
    if json_:
        recorded = dataset.episodes[RETURN].mean()
        print_json({"random": random.to_json(), "dataset": recorded, "trained": trained.to_json()})
    else:
        _show(output, dataset, random, trained)


def _record(output: Path, seed: int, *, overwrite: bool) -> Dataset:
    from vinci_offline import collect

    tell(f"1 of 4  recording {_ROWS:,} transitions of {_ENV} under random actions")
    data = output / "random.h5"
    return collect(_ENV, data, steps=_ROWS, seed=seed, resume=not overwrite, overwrite=overwrite)


def _train(output: Path, seed: int, *, overwrite: bool) -> Path:
    """Train from the recording, and return the run directory."""
    from vinci_offline import train

    data, run = output / "random.h5", output / "run"
    tell(f"2 of 4  training TD3+BC for {_STEPS:,} steps from {data} alone")
    result = train(
        data,
        "td3bc",
        output=run,
        settings=_SETTINGS,
        steps=_STEPS,
        seed=seed,
        eval_every=_STEPS // 5,
        log_every=500,
        resume=not overwrite,  # reuse the run of an earlier call
        overwrite=overwrite,
    )
    if result.interrupted:
        raise KeyboardInterrupt
    return run


def _plot(output: Path, dataset: Dataset, random: Evaluation, trained: Evaluation) -> None:
    from vinci_offline.plots.runs import plot_curves, plot_returns

    returns: dict[str, Sequence[float] | Array] = {
        "random policy": random.returns,
        "dataset": dataset.episodes[RETURN].dropna().to_numpy(),
        "trained policy": trained.returns,
    }
    plot_returns(output / "returns.png", returns, title=f"{_ENV}: learned from random actions alone")
    plot_curves(output / "curves.png", [output / "run"])


def _show(output: Path, dataset: Dataset, random: Evaluation, trained: Evaluation) -> None:
    from vinci_offline.cli.tables import show_table

    recorded = dataset.episodes[RETURN].dropna()
    show_table(
        [
            ("random policy", f"{random.return_mean:.0f}", f"{random.return_std:.0f}", f"{random.episodes}"),
            ("dataset", f"{recorded.mean():.0f}", f"{recorded.std():.0f}", f"{len(recorded)}"),
            (
                "trained policy",
                f"{trained.return_mean:.0f}",
                f"{trained.return_std:.0f}",
                f"{trained.episodes}",
            ),
        ],
        header=(_ENV, "mean return", "std", "episodes"),
        numbers_from=1,
    )
    say(f"plots        {output}/returns.png, {output}/curves.png")
    say(f"policy       {output}/run/policy.keras")
    say(f"more         {shlex.join(('tensorboard', '--logdir', str(output)))}")
