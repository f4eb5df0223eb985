"""``vinci-offline info``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vinci_offline.cli import completion
from vinci_offline.cli.bars import bars
from vinci_offline.cli.console import print_json, say
from vinci_offline.cli.tables import show_table

if TYPE_CHECKING:
    from vinci_offline.data.dataset import Dataset

_MOST_DIMENSIONS = 24
_UNSEEN = 0.01


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
    show_table([("file", str(dataset.path)), *_lines(summary)])
    for name, spread in (("return", summary["returns"]), ("length", summary["lengths"])):
        if spread is not None and len(spread["counts"]) > 1:
            say()
            show_table(_histogram(spread), header=(f"{name} from", "episodes", ""), numbers_from=None)
    say()
    show_table(_dimensions(summary), header=("", "mean", "std", "min", "max"), numbers_from=1)
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
    from vinci_offline.quality.assessment import picture
    from vinci_offline.report.overview import plot_overview

    name = dataset.path.name if dataset.path else "dataset"
    shown = picture(dataset)
    cut = f", without {_count(summary['fragments'], 'fragment')} of episodes" if summary["fragments"] else ""
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


def _lines(summary: dict[str, Any]) -> list[tuple[str, str]]:
    lines = [
        ("environment", str(summary["env"] or "not recorded")),
        ("observations", _shape(summary["observation_shape"])),
        ("actions", _actions(summary)),
        ("rows", f"{summary['rows']:,}"),
        *_episodes(summary),
        *_quantiles(summary["returns"]),
        ("reward", _range(summary, "reward") + _deviation(summary["reward_std"])),
        *_signal(summary),
        ("ends", f"{_count(summary['terminals'], 'terminal')}, {_count(summary['timeouts'], 'timeout')}"),
    ]
    if summary["action_saturation"] is not None:
        lines.append(
            ("action saturation", f"{summary['action_saturation']:.2%} of action entries at a bound")
        )
    if summary["action_counts"] is not None:
        shares = (
            f"{action}: {count / summary['rows']:.1%}" for action, count in summary["action_counts"].items()
        )
        lines.append(("action shares", ", ".join(shares)))
    if (coverage := summary["coverage"]) is not None:
        text = f"{coverage['cells']:,} state-action cells in {coverage['rows']:,} rows"
        lines.append(("coverage", f"{text}, as diverse as {coverage['perplexity']:,.0f} evenly visited ones"))
    lines += _behaviour(summary)
    if summary["infos"]:
        lines.append(("infos", ", ".join(summary["infos"])))
    lines += [(name, _text(value)) for name, value in _provenance(summary["provenance"]).items()]
    return [*lines, ("hash", summary["hash"])]


def _signal(summary: dict[str, Any]) -> list[tuple[str, str]]:
    """Return a line where all rewards are equal."""
    if (why := summary["no_reward_signal"]) is not None:
        return [("reward signal", f"none: {why}; only imitation (bc) fits")]
    if summary["reward_min"] == summary["reward_max"]:
        return [("reward signal", "only where episodes terminate: all rewards are equal")]
    return []


def _episodes(summary: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the lines on episodes and returns, and one on the fragments that they leave out."""
    count, fragments = summary["episodes"], summary["fragments"]
    if fragments == count:
        return [
            ("episodes", f"none whole: {_count(count, 'fragment')} of episodes, whose returns are not known")
        ]
    lines = [
        ("episodes", f"{count - fragments:,}, {_range(summary, 'length')} rows each"),
        ("return", _range(summary, "return") + _deviation(summary["return_std"])),
    ]
    if fragments:
        text = "1 piece of an episode" if fragments == 1 else f"{fragments:,} pieces of episodes"
        lines.insert(1, ("fragments", f"{text}, left out of episodes, lengths, returns and values"))
    return lines


def _deviation(value: float | None) -> str:
    """Return the deviation after a range; nothing for a single value, which has none."""
    return "" if value is None else f", deviation {value:.4g}"


def _quantiles(spread: dict[str, Any] | None) -> list[tuple[str, str]]:
    if spread is None:
        return []
    shown = (f"{float(share):.0%} {value:.5g}" for share, value in spread["quantiles"].items())
    return [("return quantiles", ", ".join(shown))]


def _behaviour(summary: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the lines on the behaviour policy: its value and its randomness."""
    lines = []
    if (value := summary["behaviour_value"]) is not None:
        text = (
            f"{value['mean']:.5g} (standard error {value['standard_error']:.2g}) at gamma {value['gamma']:g}"
        )
        if value["unseen"] >= _UNSEEN:
            text += f"; what came after the ends would count {value['unseen']:.0%}"
        lines.append(("behaviour value", text))
    if (found := summary["stochasticity"]) is not None:
        by = (
            "by the log probabilities" if found["method"] == "log_probs" else "from neighbouring observations"
        )
        bound = ", an upper bound: neighbours are far" if found["upper_bound"] else ""
        lines.append(("randomness", f"{found['level']:.2f} of 1, {by}{bound}"))
    return lines


def _histogram(spread: dict[str, Any]) -> Iterator[Sequence[str]]:
    """Return a row for each bin: its lower edge, its count and a bar."""
    edges, counts = spread["edges"], spread["counts"]
    for edge, count, bar in zip(edges, counts, bars(counts), strict=False):
        yield f"{edge:,.6g}", f"{count:,}", bar


def _provenance(stored: dict[str, Any]) -> dict[str, Any]:
    """Return the provenance, without empty entries and entries of other lines; --json prints all."""
    shown = dict(stored)
    if isinstance(collection := shown.get("collection"), dict):
        told = {"spaces", "environment", *stored}
        shown["collection"] = {
            key: value
            for key, value in collection.items()
            if key not in told and value not in (None, [], {}, False)
        }
    return shown


def _dimensions(summary: dict[str, Any]) -> Iterator[Sequence[str]]:
    """Return a row for each dimension: mean, deviation and range."""
    columns = dict(summary["observations"])
    if summary["actions"] is not None:
        columns["actions"] = summary["actions"]
    for name, moments in columns.items():
        count = len(moments["mean"])
        for index in range(min(count, _MOST_DIMENSIONS)):
            label = f"{name} {index}" if count > 1 else name
            numbers = (moments[key][index] for key in ("mean", "std", "min", "max"))
            yield label, *("-" if number is None else f"{number:.4g}" for number in numbers)
        if count > _MOST_DIMENSIONS:
            yield f"{name}: {count - _MOST_DIMENSIONS} more with --json", "", "", "", ""


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _shape(shape: Any) -> str:
    if isinstance(shape, dict):
        return ", ".join(f"{key} {_shape(part)}" for key, part in shape.items())
    return " x ".join(map(str, shape)) or "one number"


def _actions(summary: dict[str, Any]) -> str:
    if summary["action_counts"] is not None:
        return f"one of {len(summary['action_counts'])}"
    return _shape(summary["action_shape"])


def _range(summary: dict[str, Any], name: str) -> str:
    mean, low, high = (summary[f"{name}_{key}"] for key in ("mean", "min", "max"))
    return f"mean {mean:.6g} ({low:.6g} to {high:.6g})"


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_text(item)}" for key, item in value.items())
    return value if isinstance(value, str) else json.dumps(value)
