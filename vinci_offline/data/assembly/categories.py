"""Codes of categories: texts that became whole numbers, by one list for an observation and its next observation."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vinci_offline.data import layout
from vinci_offline.data.assembly.context import ImportContext
from vinci_offline.data.assembly.lazy import blocks, whole
from vinci_offline.data.assembly.mapping import Choice
from vinci_offline.data.assembly.roles import categories, list_name
from vinci_offline.data.assembly.texts import Texts
from vinci_offline.data.columns import Column
from vinci_offline.data.hdf5.inspect import inspect
from vinci_offline.errors import DatasetError, UsageError
from vinci_offline.text import printable

_HDF5 = b"\x89HDF\r\n\x1a\n"


def categorised(
    source: Mapping[str, Column | Texts], choice: Choice, context: ImportContext
) -> tuple[dict[str, Column | Texts], dict[str, list[str]]]:
    """Return columns in which texts are their codes, where ``categories`` says so, and the code lists by frame name.

    A text's code is its place in its list: the sorted texts of all columns that share the list, or the list that
    ``codes`` gives.

    Raises:
        DatasetError: a text is not in the list that ``codes`` gives, or an action has none.
        UsageError: ``categories`` or ``codes`` say what cannot be.
    """
    columns, lists = dict(source), categories(choice, context.options.settings)
    given = _given(context.setting("codes"))
    kept: dict[str, list[str]] = {}
    for name in dict.fromkeys(lists.values()):
        members = [each for each, shared in lists.items() if shared == name]
        texts = {each: _texts(source[each]) for each in members}
        order = given.get(name) or next((given[each] for each in members if each in given), None)
        if order is None:
            order = sorted({text for each in texts.values() for text in each.texts})
        for each, found in texts.items():
            _check_texts(found, order, each, is_action=name.startswith("action"), context=context)
            columns[each] = found.codes(order)
        kept[name] = list(order)
        first = ", ".join(printable(text)[:16] or "the empty text" for text in order[:3])
        told = " and ".join(map(printable, members))
        in_order = "in sorted order" if name not in given else "as --set codes says"
        context.decide(f"{told}: {len(order)} texts became 0 … {len(order) - 1} {in_order} ({first} …)")
    return columns, kept | _attached(columns, choice, given, kept, context)


def _texts(column: Column | Texts) -> Texts:
    return column if isinstance(column, Texts) else Texts.of(whole(column))


def _check_texts(
    found: Texts, order: Sequence[str], name: str, *, is_action: bool, context: ImportContext
) -> None:
    if is_action and (row := found.first_row(frozenset({""}))) is not None:
        raise DatasetError(
            f"{context.where}: {context.place(row)}: nothing in {printable(name)}: an action cannot be made up"
        )
    if unknown := set(found.texts) - set(order):
        text = min(unknown)
        row = next(
            first + int(np.argmax(block == found.texts.index(text)))
            for first, block in blocks(found.numbers)
            if (block == found.texts.index(text)).any()
        )
        raise DatasetError(
            f"{context.where}: {context.place(row)}: {printable(name)} is {printable(text)[:40]!r}, which the list of "
            "--set codes does not have: add it at the end of the list"
        )


def _attached(
    columns: Mapping[str, Column | Texts],
    choice: Choice,
    given: Mapping[str, list[str]],
    kept: Mapping[str, list[str]],
    context: ImportContext,
) -> dict[str, list[str]]:
    """Return the lists of ``codes`` for columns that hold codes already, as an exported table does."""
    found = {}
    for target, source in choice.sources.items():
        name = list_name(target)
        column = columns[source]
        if name not in given or name in kept or isinstance(column, Texts):
            continue
        for first, block in blocks(column):
            wrong = ~np.isin(block, np.arange(len(given[name])))
            if wrong.any():
                row = int(np.argmax(wrong))
                raise DatasetError(
                    f"{context.where}: {context.place(first + row)}: {printable(source)} is {block[row]}, no code of "
                    f"the {len(given[name])} texts that --set codes has for it"
                )
        found[name] = given[name]
    return found


def _given(setting: str | None) -> dict[str, list[str]]:
    """Return the lists of a file: a JSON object of lists, or the attribute of a dataset.

    Raises:
        UsageError: it is none.
    """
    if setting is None:
        return {}
    path = Path(setting).expanduser()
    asked = f"--set codes={setting}: give a dataset that has {layout.ATTRIBUTE_CATEGORIES}, or a JSON file such as "
    example = '{"observation_2": ["Hit", "Normal"]}'
    try:
        with path.open("rb") as file:
            is_dataset = file.read(len(_HDF5)) == _HDF5
        content: Any = (
            inspect(path).attributes.get(layout.ATTRIBUTE_CATEGORIES)
            if is_dataset
            else json.loads(path.read_text("utf-8"))
        )
    except (OSError, ValueError, RecursionError) as error:
        reason = printable(" ".join(str(error).split()))[:100]
        raise UsageError(f"{asked}{example} ({reason})") from None
    lists = code_lists(content)
    if not lists:
        raise UsageError(f"{asked}{example}")
    return lists


def code_lists(content: object) -> dict[str, list[str]]:
    """Return the code lists of an attribute; empty where it is none: it comes from a stranger's file."""
    if not isinstance(content, Mapping):
        return {}
    alright = all(
        isinstance(texts, list)
        and all(isinstance(text, str) for text in texts)
        and len(set(texts)) == len(texts)
        for texts in content.values()
    )
    return {str(name): list(texts) for name, texts in content.items()} if alright else {}
