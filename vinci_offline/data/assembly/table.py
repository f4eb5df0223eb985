"""From a table's columns to a dataset: rows in order, episodes, how they ended, and the spaces."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vinci_offline.data import layout
from vinci_offline.data.assembly.ends import say_ends
from vinci_offline.data.assembly.flat import flags, flat_ends
from vinci_offline.data.assembly.logged import Logged, assemble, fitted
from vinci_offline.data.assembly.mapping import PROPENSITY, Choice, category_names, choose, listed
from vinci_offline.data.assembly.options import ImportOptions
from vinci_offline.data.assembly.order import row_order
from vinci_offline.data.assembly.parts import Parts, checked_columns, episode_table
from vinci_offline.data.columns import in_memory
from vinci_offline.data.dataframe import groups, plain, vector
from vinci_offline.data.episode_columns import LENGTH
from vinci_offline.data.inference import infer_spec
from vinci_offline.data.problem import printable
from vinci_offline.errors import DatasetError, UsageError
from vinci_offline.spec import DiscreteSpace, EnvironmentSpec
from vinci_offline.types import Array, Columns

if TYPE_CHECKING:
    from pandas import DataFrame

_PLACES = {"episode", "step", PROPENSITY}
_ENTRY = re.compile(r"(observation|action|next_observation)_\d+")


def from_mapped_frame(frame: DataFrame, options: ImportOptions, *, float64: bool = True) -> Parts:
    """Make the parts of a dataset from a frame of any column names, as ``options.columns`` maps them.

    Raises:
        DatasetError: a column is missing, or holds no numbers.
        UsageError: it does not tell how episodes ended, and an option must.
    """
    where = "the frame"
    choice = choose([str(name) for name in frame.columns], options.columns, where)
    frame = frame.set_axis([str(name) for name in frame.columns], axis="columns")
    episode = choice.sources.get("episode")
    source = {
        name: frame[name].to_numpy() if name == episode else plain(frame[name])
        for name in dict.fromkeys(choice.sources.values())
    }
    if not len(frame):
        raise DatasetError(f"{where} holds no rows")
    return from_table(source, choice, options, [], where, float64=float64)


def from_table(
    source: Mapping[str, Array],
    choice: Choice,
    options: ImportOptions,
    decisions: list[str],
    where: str,
    *,
    float64: bool = False,
) -> Parts:
    """Make the parts of a dataset from a table.

    Rows are put in the order of ``episode`` and ``step``. Where the table has next observations and both flags, all
    is as it says; otherwise `assemble` does the rest.

    Args:
        source: the chosen columns by the source's names, ``[N]`` each; those of ``categories`` and ``episode`` may
            be texts.
        choice: what they are.
        options: what the user says.
        decisions: what was decided before; what is decided here follows.
        where: the source, for messages.
        float64: keep float64 columns.

    Raises:
        DatasetError: a column is missing, or does not fit the others or the spaces.
        UsageError: the table does not tell how episodes ended, and an option must.
    """
    if choice.left_out:
        decisions.append(f"left out, since nothing is mapped to them: {listed(choice.left_out)}")
    categorised = _categorised(source, options.settings, decisions)
    table = {name: categorised[source_name] for name, source_name in choice.sources.items()}
    columns = _columns(table, options, decisions, where)
    for name in {layout.TERMINALS, layout.TIMEOUTS} & set(columns):
        columns[name] = flags(columns[name], Path(where), name)
    order, begins = row_order(table, decisions, where)
    if order is not None:
        columns = {path: values[order] for path, values in columns.items()}
    spec = _spec(columns, options, decisions, where)
    columns = fitted(columns, spec)
    flagged = {path: columns.pop(path) for path in (layout.TERMINALS, layout.TIMEOUTS) if path in columns}
    lengths, terminated = _lengths(columns, flagged, begins, options, decisions, where)
    if len(flagged) < 2 or layout.NEXT_OBSERVATIONS not in _roots(columns):
        return assemble(Logged(columns, lengths, terminated), spec, decisions, where, float64=float64)
    try:
        spec = spec or infer_spec(in_memory(columns))
        rows = checked_columns(columns | flagged, spec, float64=float64)
        episodes = episode_table(rows, {LENGTH: lengths})
    except DatasetError as error:
        raise DatasetError(f"{where}: {error}") from error
    return Parts(rows, spec, episodes, decisions=tuple(decisions))


def _columns(table: Columns, options: ImportOptions, decisions: list[str], where: str) -> Columns:
    """Columns by path."""
    columns: Columns = {}
    for path, members, is_vector in groups([name for name in table if name not in _PLACES], deep=True):
        parts = [table[name] for name in members]
        columns[path] = vector(parts) if is_vector else parts[0]
    for name in table:
        if _ENTRY.fullmatch(name) and f"{layout.INFOS}/{name}" in columns:
            raise DatasetError(f"{where} has {name} without all of those before it: entries count from _0 on")
    count = len(next(iter(table.values())))
    if layout.REWARDS not in columns and options.settings.get("reward") == "zero":
        columns[layout.REWARDS] = np.zeros(count, np.float32)
        decisions.append("rewards are zero, as --set reward says")
    named = {layout.OBSERVATIONS: "observation", layout.ACTIONS: "action", layout.REWARDS: "reward"}
    if missing := [name for root, name in named.items() if root not in _roots(columns)]:
        raise DatasetError(
            f"{where} has no column {', '.join(missing)}: say which it is with --map {missing[0]}=NAME, or columns= "
            f"in Python; there are {listed(table)}"
        )
    if PROPENSITY in table:
        columns[layout.ACTION_LOG_PROBS] = _log_probabilities(table[PROPENSITY], where)
        decisions.append("infos/action_log_probs are the logarithms of the propensities")
    return columns


def _log_probabilities(propensity: Array, where: str) -> Array:
    wrong = ~((propensity > 0) & (propensity <= 1))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise DatasetError(f"{where}: the propensity of row {row} is {propensity[row]}, not in (0, 1]")
    return np.log(propensity.astype(np.float64))


def _categorised(source: Mapping[str, Array], settings: Mapping[str, str], decisions: list[str]) -> Columns:
    """Columns in which texts are their places among the sorted ones, where ``categories`` says so."""
    columns = dict(source)
    for name in category_names(settings):
        texts, columns[name] = np.unique(columns[name], return_inverse=True)
        first = ", ".join(printable(str(text))[:16] for text in texts[:3])
        decisions.append(
            f"{printable(name)}: {len(texts)} texts became 0 … {len(texts) - 1} in sorted order ({first} …)"
        )
    return columns


def _lengths(
    columns: Columns,
    flagged: Columns,
    begins: Array | None,
    options: ImportOptions,
    decisions: list[str],
    where: str,
) -> tuple[Array, Array]:
    """``[E]`` lengths of the episodes, and whether each terminated."""
    terminal, timeout = flagged.get(layout.TERMINALS), flagged.get(layout.TIMEOUTS)
    count = len(columns[layout.REWARDS])
    if begins is None and not flagged:
        begins = _each_row(count, options, decisions, where)
    if terminal is not None and timeout is None and begins is None:
        ends = flat_ends(Path(where), columns, terminal, None, options, decisions)
    else:
        ends = np.append(np.zeros(count - 1, np.bool_) if begins is None else begins[1:], True)
        for marks in flagged.values():
            ends = ends | marks
    lengths = np.diff(np.flatnonzero(ends) + 1, prepend=0)
    cut = np.zeros(len(lengths), np.bool_) if timeout is None else timeout[ends]
    if terminal is None:
        terminated, said = say_ends(lengths, options, where)
        decisions.append(said)
        return lengths, terminated & ~cut
    if unsaid := int((~terminal[ends] & ~cut).sum()):
        decisions.append(f"{unsaid} episodes end in a row without a flag: they were cut there")
    return lengths, terminal[ends]


def _each_row(count: int, options: ImportOptions, decisions: list[str], where: str) -> Array:
    """Begins of episodes where nothing tells rows of one episode from those of another."""
    if options.ends not in {"terminal", "timeout"}:
        raise UsageError(
            f"{where} has no episode, step, terminal or timeout: map them, as with --map episode=NAME; or say "
            "--ends terminal if each row is an episode of its own, as a bandit's are"
        )
    decisions.append("each row is an episode of its own, since nothing tells which rows belong together")
    return np.ones(count, np.bool_)


def _spec(
    columns: Columns, options: ImportOptions, decisions: list[str], where: str
) -> EnvironmentSpec | None:
    """The environment as far as options say it; columns are made to fit what will be inferred otherwise."""
    spec, text, actions = options.spec, options.settings.get("actions"), columns.get(layout.ACTIONS)
    if spec is not None and text is not None:
        raise UsageError(
            f"{where}: the environment says already what the actions are: leave --set actions out"
        )
    if spec is None:
        _as_boxes(columns, decisions)
        if text is None:
            if actions is not None and actions.dtype.kind in "biu":
                raise UsageError(
                    f"{where}: actions are whole numbers, and the largest seen need not be the last there is: say "
                    "--set actions=N or --env ENV, or in Python spec="
                )
            return None
        if not text.isdecimal() or int(text) < 1:
            raise UsageError(f"--set actions={text}: give the number of choices, as in actions=2")
        observed = {path: values for path, values in columns.items() if path.startswith(layout.OBSERVATIONS)}
        stand_in = {layout.ACTIONS: np.zeros((1, 1), np.float32)}
        spec = replace(infer_spec(in_memory(observed | stand_in)), action_space=DiscreteSpace(int(text)))
    if isinstance(spec.action_space, DiscreteSpace) and actions is not None:
        low, high = spec.action_space.start, spec.action_space.start + spec.action_space.n - 1
        wrong = (actions < low) | (actions > high) | (actions != np.trunc(actions))
        if wrong.any():
            row = int(np.argmax(wrong))
            raise DatasetError(f"{where}: the action of row {row} is {actions[row]}, not of {low} … {high}")
    return spec


def _as_boxes(columns: Columns, decisions: list[str]) -> None:
    """Observations of whole numbers as floats, and single floats as vectors: what a space is inferred from."""
    for path in list(columns):
        root, values = path.partition("/")[0], columns[path]
        if root in {layout.OBSERVATIONS, layout.NEXT_OBSERVATIONS} and values.dtype.kind in "biu":
            values = values.astype(np.float32)
            decisions.append(f"{path} are whole numbers: they were taken as floats")
        if (
            root in {layout.OBSERVATIONS, layout.ACTIONS, layout.NEXT_OBSERVATIONS}
            and values.dtype.kind == "f"
        ):
            values = values.reshape(len(values), -1) if values.ndim == 1 else values
        columns[path] = values


def _roots(columns: Columns) -> set[str]:
    return {path.partition("/")[0] for path in columns}
