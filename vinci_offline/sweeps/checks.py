"""Checks of a sweep before it trains: agents and data fit each other, and what is there is the same sweep."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vinci_offline.data.dataset import Dataset
from vinci_offline.errors import UsageError
from vinci_offline.runs.sweep_directory import SweepDirectory
from vinci_offline.sweeps.cell import Cell
from vinci_offline.sweeps.spec import Draw, SweepSpec
from vinci_offline.training.arguments import check_arguments
from vinci_offline.training.config import TrainingConfig


def check_fit(spec: SweepSpec, cells: Sequence[Cell], directory: SweepDirectory | None) -> dict[str, Dataset]:
    """Check agents, data and environments against each other, a pair of agent and dataset once.

    Args:
        spec: the spec.
        cells: its cells.
        directory: where the sweep goes on; None where it begins.

    Returns:
        The opened datasets by the spec's names.

    Raises:
        VinciError: they do not fit.
    """
    opened = {name: Dataset.open(name) for name in spec.datasets}
    first: dict[tuple[str, str], Cell] = {}
    for cell in cells:
        first.setdefault((cell.agent, cell.dataset), cell)
    for cell in first.values():
        check_arguments(
            opened[cell.dataset],
            cell.agent,
            TrainingConfig(**cell.options),
            settings=cell.settings,
            networks=spec.networks,
            env=spec.env,
            env_kwargs=spec.env_kwargs,
            output=Path("cells", cell.name) if directory is None else directory.cell(cell.name).path,
            resume=True,
        )
    return opened


def check_extends(directory: SweepDirectory, cells: Sequence[Cell]) -> None:
    """Refuse a spec that lacks or changes a cell of the sweep. More cells and more steps are welcome.

    Raises:
        UsageError: it does.
    """
    here = {cell.name: cell.to_json() for cell in cells}
    for old in directory.read()["cells"]:
        name = old["name"]
        if name not in here:
            raise UsageError(
                f"{directory.path} has the cell {name}, which the spec no longer has: a sweep that goes on may have "
                "more cells and more steps, not fewer; choose another -o"
            )
        before, after = ({**each, "options": dict(each["options"])} for each in (old, here[name]))
        steps = before["options"].pop("steps", 0), after["options"].pop("steps")
        if before != after:
            changed = [
                key
                for part in ("options", "settings")
                for key in {**before[part], **after[part]}
                if before[part].get(key) != after[part].get(key)
            ] or [key for key in after if before.get(key) != after[key]]
            raise UsageError(
                f"{directory.path} has the cell {name} with another {changed[0]}: give the spec that it was begun "
                "with, or choose another -o"
            )
        if steps[1] < steps[0]:
            raise UsageError(
                f"{directory.path} has the cell {name} with {steps[0]:,} steps: go on with as many or more, not "
                f"{steps[1]:,}"
            )


def check_same_data(
    directory: SweepDirectory, cells: Sequence[Cell], datasets: Mapping[str, Dataset]
) -> None:
    """Refuse to go on where a cell has learned from other data than its dataset holds now.

    Raises:
        UsageError: there is such a cell.
    """
    hashes: dict[str, str] = {}
    for cell in cells:
        run = directory.cell(cell.name)
        if not run.has_dataset():
            continue
        if cell.dataset not in hashes:
            hashes[cell.dataset] = datasets[cell.dataset].hash
        if run.dataset().get("hash") != hashes[cell.dataset]:
            raise UsageError(
                f"{cell.dataset} has changed since the cell {cell.name} learned from it: a table would mix old and "
                f"new data; restore the file, or delete {run.path} and its like to train them again, or choose "
                "another -o"
            )


def draws_of(directory: SweepDirectory, spec: SweepSpec) -> tuple[Draw, ...]:
    """Return the draws that a sweep has made.

    Raises:
        UsageError: the spec would draw them in another way.
        VinciError: ``sweep.json`` is damaged.
    """
    content = directory.read()
    try:
        before = SweepSpec.of(content["spec"])
        found = tuple(_draw_of(each) for each in content.get("draws", ()))
    except (KeyError, TypeError, UsageError) as error:
        raise directory.damaged() from error
    if not (spec.learns or before.learns):
        return ()
    for key in ("sampler", "round_size", "sample_seed"):
        if getattr(before, key) != getattr(spec, key):
            told = key.removesuffix("_size")
            raise UsageError(
                f"{directory.path} was begun with another {told}: give that one, or choose another -o"
            )
    for agent in set(before.agents) & set(spec.agents):
        one, other = before.varied(agent), spec.varied(agent)
        changed = [key for key in {**one, **other} if one.get(key) != other.get(key)]
        if changed:
            raise UsageError(
                f"{directory.path} was begun with other values of {changed[0].removeprefix('train.')} for {agent}: the "
                "draws so far came from those; give them, or choose another -o"
            )
    made = max(Counter((each.agent, each.dataset) for each in found).values(), default=0)
    if made > (spec.samples or 0):
        raise UsageError(
            f"{directory.path} has {made} draws: go on with as many samples or more, not {spec.samples}"
        )
    for each in found:
        if each.agent in spec.agents and each.values.keys() != spec.varied(each.agent).keys():
            raise directory.damaged()
    return found


def _draw_of(content: Any) -> Draw:
    return Draw(str(content["agent"]), str(content["dataset"]), dict(content["values"]))
