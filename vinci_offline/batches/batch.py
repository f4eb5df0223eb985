"""A batch as losses see it: columns by attribute."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

from vinci_offline.batches.names import INFOS, TRANSITION
from vinci_offline.errors import VinciError
from vinci_offline.types import Tensor, Transitions


class MissingColumnError(VinciError, AttributeError):
    """A batch without a column that a loss reads."""


class Batch:
    """Rows of the columns that an agent asked for. The leading axes are ``[B]``, or ``[B, K]`` for windows.

    Each column is an attribute: ``batch.reward``, ``batch.next_action``. ``batch.observation`` is a tensor, or a dict
    of tensors by key where observations are a Dict. The dataset column ``infos/cost`` is ``batch.cost``; a ``/`` in its
    name becomes ``_``. ``batch["infos/cost"]`` reads a column by its full name.

    Args:
        columns: tensors by name, with ``observation/KEY`` for each key of a Dict observation.

    Attributes:
        columns: the same mapping.
    """

    def __init__(self, columns: Mapping[str, Tensor]) -> None:
        self.columns = dict(columns)

    def __getattr__(self, name: str) -> Tensor:
        # Copying looks for special methods before `columns` is there.
        if name.startswith("__") or name == "columns":
            raise AttributeError(name)
        if name in self.columns:
            return self.columns[name]
        if parts := self._parts(name):
            return cast("Tensor", parts)  # a dict: indexed by key, as a tensor is by number
        for path in self.columns:
            if attribute_name(path) == name:
                return self.columns[path]
        raise self._missing(name)

    def __getitem__(self, name: str) -> Tensor:
        if name in self.columns:
            return self.columns[name]
        if parts := self._parts(name):
            return cast("Tensor", parts)  # a dict: indexed by key, as a tensor is by number
        raise self._missing(name)

    def get(self, name: str) -> Tensor | None:
        """Return the column that `batch[name]` finds; None where there is none."""
        try:
            return self[name]
        except MissingColumnError:
            return None

    def __contains__(self, name: object) -> bool:
        """Return True where `batch[name]` finds a column."""
        return name in self.columns or (isinstance(name, str) and bool(self._parts(name)))

    def __repr__(self) -> str:
        return f"<Batch {', '.join(self.columns)}>"

    def replace(self, **columns: Any) -> Batch:
        """Return a batch with other columns in place of these, or besides them. Names are attribute names.

        Example: ``batch.replace(observation=batch.observation + noise)``. A dict replaces the keys that it names.
        """
        changed = dict(self.columns)
        paths = {attribute_name(path): path for path in self.columns}
        for name, values in columns.items():
            if isinstance(values, Mapping):
                changed |= {f"{name}/{key}": value for key, value in values.items()}
            else:
                changed[paths.get(name, name)] = values
        return Batch(changed)

    def map(self, function: Callable[[Tensor], Tensor]) -> Batch:
        """Return a batch with ``function`` applied to every column."""
        return Batch({name: function(column) for name, column in self.columns.items()})

    def _parts(self, name: str) -> dict[str, Tensor]:
        """Return the columns below ``name/`` by key."""
        prefix = f"{name}/"
        return {
            path.removeprefix(prefix): column
            for path, column in self.columns.items()
            if path.startswith(prefix)
        }

    def _missing(self, name: str) -> MissingColumnError:
        return MissingColumnError(
            f"the batch has no column {name!r}: add it to the agent's columns (it has {', '.join(self.columns)})"
        )


def attribute_name(path: str) -> str:
    """Return the name of a column as an attribute of a batch: ``infos/cost`` is ``cost``."""
    return path.removeprefix(INFOS).replace("/", "_") if path.startswith(INFOS) else path


def transition_columns(transitions: Transitions) -> dict[str, Tensor]:
    """Return transitions as the columns of a pool. A Dict observation becomes one column a key."""
    columns: dict[str, Tensor] = {}
    for name, values in zip(TRANSITION, transitions, strict=True):
        if isinstance(values, Mapping):
            columns |= {f"{name}/{key}": value for key, value in values.items()}
        else:
            columns[name] = values
    return columns
