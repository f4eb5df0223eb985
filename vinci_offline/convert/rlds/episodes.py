"""Rows of RLDS episodes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vinci_offline.convert.rlds.features import Feature, described
from vinci_offline.convert.rlds.records import read_records, record_files, unpack
from vinci_offline.convert.sources.spool import Spool
from vinci_offline.data import layout
from vinci_offline.data.assembly.context import ImportContext
from vinci_offline.data.assembly.ends import say_ends
from vinci_offline.data.assembly.lazy import zeros
from vinci_offline.data.assembly.logged import Logged
from vinci_offline.data.episode_columns import DERIVED
from vinci_offline.errors import DatasetError, UsageError
from vinci_offline.text import printable
from vinci_offline.types import Array, Columns

_BOOKKEEPING = {"is_first", "is_last", "is_terminal", "discount"}
_METADATA = "episode_metadata"


@dataclass(frozen=True)
class _Plan:
    """The features that are taken of a step.

    Attributes:
        features: by path.
        columns: the features that make each column: one, or the parts of an action.
        is_whole: the last step is one like the others.
        has_terminals: steps say whether they are terminal, and the options do not.
    """

    features: Mapping[str, Feature]
    columns: Mapping[str, list[str]]
    is_whole: bool
    has_terminals: bool


def logged(path: Path, content: Mapping[str, Any], info: Mapping[str, Any], context: ImportContext) -> Logged:
    """Return the rows of a dataset's episodes.

    Args:
        path: the dataset's folder.
        content: of ``features.json``.
        info: of ``dataset_info.json``.
        context: the import; its settings are ``action``, ``last``, ``reward`` and ``split``.

    Raises:
        DatasetError: the dataset is damaged, or has no steps of numbers.
        UsageError: an option must say what is meant.
    """
    plan = _plan(path, content, context)
    facts: dict[str, Feature] = {}
    if _METADATA in content["featuresDict"]["features"]:
        every, _ = described(content, _METADATA, str(path))
        facts = {name: each for name, each in every.items() if not each.shape and layout.is_name(name)}
    files, rows = record_files(path, context.setting("split")), _Rows(plan, facts, context)
    for where, record in read_records(files):
        with context.episode():
            rows.append(record, where)
    _check_count(path, files, info, rows.records)
    if not rows.lengths:
        raise DatasetError(f"{path} holds no steps with an action: there is nothing to convert")
    columns = rows.spool.columns()
    if layout.REWARDS not in columns:
        columns[layout.REWARDS] = zeros(rows.spool.rows)
        context.decide("rewards are zero, as --set reward says")
    rows.tell()
    lengths, ended = np.array(rows.lengths, np.int64), np.array(rows.terminated, np.bool_)
    if not plan.has_terminals:
        ended, said = say_ends(lengths, context)
        context.decide(said)
    remarks = {name: str(info[name]) for name in ("name", "version") if name in info}
    return Logged(columns, lengths, ended, rows.table(), {"rlds": remarks})


class _Rows:
    """Collector of the rows of records.

    Attributes:
        spool: the rows.
        lengths: of the episodes.
        terminated: whether each terminated, where steps say it.
        records: how many there were.
    """

    def __init__(self, plan: _Plan, facts: Mapping[str, Feature], context: ImportContext) -> None:
        self.spool = Spool(context.where)
        self.lengths: list[int] = []
        self.terminated: list[bool] = []
        self.records = 0
        self._plan, self._facts, self._context = plan, facts, context
        self._known: list[Columns] = []
        self._spoken = self._alone = 0

    def append(self, record: Any, where: str) -> None:
        """Add an episode."""
        self.records += 1
        steps = unpack(record, "steps", self._plan.features, where)
        rows = {column: _joined(steps, names) for column, names in self._plan.columns.items()}
        if not self._plan.is_whole:
            said = [column for column in (layout.ACTIONS, layout.REWARDS) if column in rows]
            self._spoken += any(rows[column][-1].any() for column in said)
            rows = _transitions(rows)
        count = len(rows[layout.ACTIONS])
        if not count:
            self._alone += 1
            return
        known = unpack(record, _METADATA, self._facts, where) if self._facts else {}
        terminated = self._plan.has_terminals and _terminal(steps["is_terminal"], where)
        self.spool.append(rows)
        self.lengths.append(count)
        self._known.append(known)
        self.terminated.append(terminated)

    def table(self) -> Columns:
        """Return what else is known of each episode."""
        names = [name for name in self._facts if name not in DERIVED]
        return {name: np.concatenate([each[name] for each in self._known]) for name in names}

    def tell(self) -> None:
        """Note the steps that were left out."""
        if self._spoken:
            self._context.decide(
                f"{self._spoken} episodes have an action or a reward in their last step, which RLDS gives no meaning: "
                "passed over (--set last=step takes that step like the others)"
            )
        if self._alone:
            self._context.decide(f"{self._alone} episodes of one step, and so of no action, were left out")


def _plan(path: Path, content: Mapping[str, Any], context: ImportContext) -> _Plan:
    where = str(path / "features.json")
    features, others = described(content, "steps", where)
    if others:
        context.decide(f"{printable(', '.join(others))} were left out: only numbers are rows")
    last = context.setting("last") or "observation"
    if last not in {"observation", "step"}:
        raise UsageError(f"--set last={last}: observation or step")
    columns = {layout.ACTIONS: _actions(features, context, where)}
    columns |= {column: [name] for name in features if (column := _column(name)) is not None}
    if not any(column.partition("/")[0] == layout.OBSERVATIONS for column in columns):
        raise DatasetError(f"{where} has no observations that are numbers")
    said = context.setting("reward")
    if layout.REWARDS in columns and said is not None:
        raise UsageError(f"{path} has rewards: leave --set reward out")
    if layout.REWARDS not in columns and said != "zero":
        raise UsageError(f"{path} has no rewards: say --set reward=zero if they are all zero")
    has_terminals = context.options.ends is None and "is_terminal" in features
    if has_terminals and features["is_terminal"].shape:
        raise DatasetError(f"{where}: is_terminal is no single number")
    taken = [name for names in columns.values() for name in names] + ["is_terminal"] * has_terminals
    return _Plan({name: features[name] for name in taken}, columns, last == "step", has_terminals)


def _column(name: str) -> str | None:
    """Return the column that a feature becomes; None for actions, and for features that are no columns."""
    root, _, rest = name.partition("/")
    if root == "observation":
        return f"{layout.OBSERVATIONS}/{rest}" if rest else layout.OBSERVATIONS
    if name == "reward":
        return layout.REWARDS
    key = (rest if root == layout.INFOS and rest else name).replace("/", ".")
    if root == "action" or name in _BOOKKEEPING or not layout.is_name(key):
        return None
    return f"{layout.INFOS}/{key}"


def _actions(features: Mapping[str, Feature], context: ImportContext, where: str) -> list[str]:
    said = context.setting("action")
    parts = [name.removeprefix("action/") for name in features if name.startswith("action/")]
    shown = printable(", ".join(parts)) or "no parts"
    if said is not None:
        names = [name.strip() for name in said.split(",")]
        if unknown := [name for name in names if name not in parts]:
            raise UsageError(f"--set action={said}: {unknown[0]} is no part of the action; those are {shown}")
        return [f"action/{name}" for name in names]
    if "action" in features:
        return ["action"]
    if not parts:
        raise DatasetError(f"{where} has no actions that are numbers")
    raise UsageError(
        f"{where}: actions have the parts {shown}: say which, in what order, with --set action=KEY,KEY"
    )


def _terminal(flags: Array, where: str) -> bool:
    """Tell whether the last step is terminal."""
    if flags[:-1].any():
        raise DatasetError(
            f"{where}: step {int(np.argmax(flags))} is terminal and not the last: it is damaged"
        )
    return bool(flags[-1])


def _joined(steps: Columns, names: list[str]) -> Array:
    """Return ``[T, …]`` of one feature, or ``[T, A]`` of the parts of an action."""
    if len(names) == 1:
        return steps[names[0]]
    return np.concatenate([steps[name].reshape(len(steps[name]), -1) for name in names], axis=1)


def _transitions(rows: Columns) -> Columns:
    """Return the rows of all steps but the last, which holds the final observation."""
    found = {column: values[:-1] for column, values in rows.items()}
    observed = [column for column in rows if column.partition("/")[0] == layout.OBSERVATIONS]
    return found | {f"next_{column}": rows[column][1:] for column in observed}


def _check_count(path: Path, files: list[Path], info: Mapping[str, Any], count: int) -> None:
    """Refuse a folder that has other episodes than ``dataset_info.json`` counts."""
    expected = dict(_expected(info))
    for split, lengths in expected.items():
        if all(f"-{split}.tfrecord" in file.name for file in files) and sum(lengths) != count:
            raise DatasetError(
                f"{path} has {count} episodes of the split {printable(split)}, and {sum(lengths)} are listed: it was "
                "copied in part"
            )


def _expected(info: Mapping[str, Any]) -> Iterator[tuple[str, list[int]]]:
    splits = info.get("splits")
    for split in splits if isinstance(splits, list) else ():
        try:
            yield str(split["name"]), [int(length) for length in split["shardLengths"]]
        except (KeyError, TypeError, ValueError):
            continue
