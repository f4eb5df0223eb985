"""``vinci-offline estimate``."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vinci_offline.cli import completion
from vinci_offline.cli.console import print_json, say
from vinci_offline.cli.options import key_values
from vinci_offline.cli.tables import show_table
from vinci_offline.errors import UsageError
from vinci_offline.text import counted

if TYPE_CHECKING:
    from vinci_offline.evaluation.findings import Estimates


def estimate(
    policy: Annotated[
        str,
        typer.Argument(
            metavar="RUN_DIR|policy.keras|random",
            help="The policy to judge: a run directory, a .keras policy, or any that evaluate takes.",
            show_default=False,
        ),
    ],
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE.h5",
            help="Recorded episodes that say how probable their actions were.",
            show_default=False,
            autocompletion=completion.datasets,
        ),
    ],
    method: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="is, pdis, wis, wpdis; dice; fqe, dm, dr, wdr train a model of values. For episodes of one step "
            "ipw, snipw, dm, dr, switch, shrinkage. By default all that suit and train no network.",
            autocompletion=completion.methods,
        ),
    ] = None,
    gamma: Annotated[float, typer.Option(help="Discount factor.")] = 0.99,
    interval: Annotated[
        str,
        typer.Option(
            metavar="bootstrap|t|bernstein",
            help="The kind of interval; bernstein needs --bounds.",
            autocompletion=completion.choices(("bootstrap", "t", "bernstein")),
        ),
    ] = "bootstrap",
    level: Annotated[float, typer.Option(help="Share of such intervals that hold the true value.")] = 0.95,
    bounds: Annotated[
        str | None,
        typer.Option(
            metavar="LOW:HIGH",
            help="The smallest and the greatest weighted return that an episode can have, known beforehand.",
        ),
    ] = None,
    stochastic: Annotated[
        bool, typer.Option("--stochastic", help="Judge the policy that samples from its own distribution.")
    ] = False,
    steps: Annotated[int, typer.Option(help="Gradient steps of each model of values.", min=1)] = 50_000,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="NAME.KEY=VALUE", help="A setting of fqe, bc, switch, shrinkage or kernel."
        ),
    ] = None,
    behaviour: Annotated[
        str,
        typer.Option(
            metavar="logged|fit",
            help="Take the probabilities of actions that the file tells, or fit them by bc.",
        ),
    ] = "logged",
    seed: Annotated[int, typer.Option(help="Seed of the bootstrap and of models.")] = 0,
    plot: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.png", help="Draw the values with their intervals, the ratios and the weights."
        ),
    ] = None,
    keep: Annotated[
        bool,
        typer.Option(
            "--keep", help="Keep the estimates in the run directory: report compares them with returns."
        ),
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the picture.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")] = False,
) -> None:
    """Estimate how good a policy is from recorded episodes alone, with intervals; say when they cannot tell."""
    from vinci_offline.evaluation.estimates import estimate as run_estimate
    from vinci_offline.evaluation.kept import FILE
    from vinci_offline.files import refuse_existing
    from vinci_offline.plots.figures import check_picture

    if plot is not None:
        refuse_existing(plot, overwrite=overwrite)
        check_picture(plot)
    result = run_estimate(
        policy,
        file,
        methods=[name.strip() for name in method.split(",") if name.strip()] if method else None,
        gamma=gamma,
        interval=interval,
        level=level,
        bounds=_bounds(bounds),
        stochastic=stochastic,
        steps=steps,
        settings=key_values(settings or []),
        progress=True,
        behaviour=behaviour,
        seed=seed,
        keep=keep,
    )
    if plot is not None:
        from vinci_offline.evaluation.picture import plot_estimates

        plot_estimates(plot, result)
    if json_:
        print_json(result.to_json())
    else:
        _show(policy, file, result)
        if keep:
            say(f"kept in {Path(policy) / FILE}, for report")
    if not result.estimates:
        raise typer.Exit(1)


def _bounds(text: str | None) -> tuple[float, float] | None:
    if text is None:
        return None
    try:
        low, high = map(float, text.split(":"))
    except ValueError:
        raise UsageError(f"--bounds {text}: write two numbers as LOW:HIGH, such as 0:500") from None
    return low, high


def _show(policy: str, file: str, result: Estimates) -> None:
    say(f"{policy} judged by {counted(result.episodes, 'episode')} of {file}")
    say()
    header = ("method", "return", f"{result.level:.0%} from", "to", "effective episodes", "largest weight")
    show_table(_rows(result), header=header, numbers_from=1)
    say()
    for name, why in result.refusals.items():
        say(f"{name} refused: {why}")
    for name, found in result.estimates.items():
        if found.warning:
            say(f"{name} warning: {found.warning}")
        if found.details:
            say(f"{name}: {', '.join(f'{key} {value:.5g}' for key, value in found.details.items())}")
    if result.behaviour is not None:
        say(f"note: {result.behaviour.summary}")
    for note in result.notes:
        say(f"note: {note}")
    say(f"verdict: {result.verdict}")


def _rows(result: Estimates) -> Iterator[tuple[str, ...]]:
    for name, found in (("logged policy", result.logged), *result.estimates.items()):
        low, high = ("" if math.isnan(end) else f"{end:.5g}" for end in (found.low, found.high))
        yield (
            name,
            f"{found.value:.5g}",
            low,
            high,
            f"{found.effective_sample_size:,.1f}",
            f"{found.largest_weight:.1%}",
        )
