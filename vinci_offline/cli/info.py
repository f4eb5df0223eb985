"""``vinci-offline info``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vinci_offline.cli import completion
from vinci_offline.cli.bars import bars
from vinci_offline.cli.console import print_json, say
from vinci_offline.cli.tables import show_table
from vinci_offline.text import counted

if TYPE_CHECKING:
    from vinci_offline.data.dataset import Dataset


def info(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE.h5",
            help="A dataset file, or a shipped dataset's name.",
            show_default=False,
            autocompletion=completion.datasets,
        ),
    ],
    gamma: Annotated[float, typer.Option(help="Discount factor of the behaviour policy's value.")] = 0.99,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE.png", help="Draw a picture too: .png, .svg or .pdf.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing picture.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print everything as one JSON object.")] = False,
) -> None:
    """Show the quality of a dataset: returns, actions, coverage, behaviour, and the agents that suit it."""
    from vinci_offline.agents.fit import fitting_agents
    from vinci_offline.data.dataset import Dataset
    from vinci_offline.files import refuse_existing
    from vinci_offline.quality.assessment import quality
    from vinci_offline.quality.card import card_dimensions, card_lines

    if plot is not None:
        refuse_existing(plot, overwrite=overwrite)
    dataset = Dataset.open(file)
    summary = quality(dataset, gamma)
    if plot is not None:
        _draw(dataset, summary, plot)
    fits = [each.to_json() for each in fitting_agents(dataset.spec, summary)]
    if json_:
        print_json({**summary, "fitting": fits})
        return
    show_table([("file", str(dataset.path)), *card_lines(summary)])
    for name, spread in (("return", summary["returns"]), ("length", summary["lengths"])):
        if spread is not None and len(spread["counts"]) > 1:
            say()
            show_table(_histogram(spread), header=(f"{name} from", "episodes", ""), numbers_from=None)
    say()
    show_table(card_dimensions(summary), header=("", "mean", "std", "min", "max"), numbers_from=1)
    say()
    for line in _fitting(fits):
        say(line)
    if summary["no_verdict"] is not None:
        say(summary["no_verdict"])
        return
    agents = [(each["agent"], each["verdict"], each["because"], each["source"]) for each in summary["agents"]]
    show_table(agents, header=("agent", "suits", "because", "source"))
    verdicts = [each["verdict"] for each in summary["agents"]]
    if "well" not in verdicts and verdicts.count("perhaps") > 1:
        say("the data do not tell which is best: train several with --eval-every, and compare their returns")


def _fitting(fits: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yield a line for each reason why agents can learn from the dataset, and for each why agents cannot."""
    for can in (True, False):
        reasons: dict[str, list[str]] = {}
        for each in fits:
            if each["fits"] == can:
                reasons.setdefault(each["because"], []).append(each["agent"])
        for because, names in sorted(reasons.items(), key=lambda item: -len(item[1])):
            yield f"{'fit' if can else 'do not fit'} ({because}): {', '.join(names)}"


def _draw(dataset: Dataset, summary: dict[str, Any], path: Path) -> None:
    from vinci_offline.plots.overview import plot_overview
    from vinci_offline.quality.assessment import picture

    name = dataset.path.name if dataset.path else "dataset"
    shown = picture(dataset)
    cut = f", without {counted(summary['fragments'], 'fragment')} of episodes" if summary["fragments"] else ""
    plot_overview(
        path,
        f"{name}: {summary['rows']:,} rows of {summary['env'] or 'an unnamed environment'}{cut}",
        returns=shown.returns,
        lengths=shown.lengths,
        actions=shown.actions,
        plane=shown.plane,
        explained=shown.explained,
        agents=summary["agents"],
        discrete=summary["action_counts"] is not None,
    )


def _histogram(spread: dict[str, Any]) -> Iterator[Sequence[str]]:
    """Return a row for each bin: its lower edge, its count and a bar."""
    edges, counts = spread["edges"], spread["counts"]
    for edge, count, bar in zip(edges, counts, bars(counts), strict=False):
        yield f"{edge:,.6g}", f"{count:,}", bar
