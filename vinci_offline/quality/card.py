"""The card of a dataset: what `quality` found, as lines and a table of text."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from vinci_offline.text import counted

_MOST_DIMENSIONS = 24
_UNSEEN = 0.01


def card_lines(summary: dict[str, Any]) -> list[tuple[str, str]]:
    """Return what is known of a dataset: pairs of a name and a text.

    Args:
        summary: the result of `vinci_offline.quality.assessment.quality`.
    """
    lines = [
        ("environment", str(summary["env"] or "not recorded")),
        ("observations", _shape(summary["observation_shape"])),
        ("actions", _actions(summary)),
        ("rows", f"{summary['rows']:,}"),
        *_episodes(summary),
        *_quantiles(summary["returns"]),
        ("reward", _range(summary, "reward") + _deviation(summary["reward_std"])),
        *_signal(summary),
        ("ends", f"{counted(summary['terminals'], 'terminal')}, {counted(summary['timeouts'], 'timeout')}"),
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
            ("episodes", f"none whole: {counted(count, 'fragment')} of episodes, whose returns are not known")
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


def card_dimensions(summary: dict[str, Any]) -> Iterator[Sequence[str]]:
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
