"""The contract of a format: its importer, its exporter, and what each returns."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from vinci_offline.data import layout
from vinci_offline.data.assembly.options import ImportOptions
from vinci_offline.data.assembly.parts import Parts
from vinci_offline.data.dataset import Dataset
from vinci_offline.errors import SpecError, UsageError


@dataclass(frozen=True)
class ExportOptions:
    """Options of an export.

    Attributes:
        overwrite: replace what is there.
        settings: what the format asks for, by name; a format refuses names that it does not know.
    """

    overwrite: bool = False
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Imported:
    """An imported dataset, and the decisions behind it.

    Attributes:
        dataset: the rows.
        decisions: a line each: how terminals were told from timeouts, where next observations came from, what was
            converted.
        dropped: how many rows, or episodes, were left out, by the reason in words; empty where nothing was.
    """

    dataset: Dataset
    decisions: tuple[str, ...] = ()
    dropped: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, parts: Parts) -> Imported:
        """Put the parts of a dataset together."""
        dataset = Dataset(
            parts.columns, parts.spec, table=lambda: parts.episodes, attributes=parts.attributes
        )
        return cls(dataset, parts.decisions, parts.dropped)


@dataclass(frozen=True)
class Exported:
    """A written file or folder, and the facts that the format has no place for.

    Attributes:
        path: the file or folder.
        decisions: a line each: names, layout, what was converted.
        lost: a line each: columns or facts that the format has no place for; empty where it holds everything.
    """

    path: Path
    decisions: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()


class Format(ABC):
    """A format: an importer, and perhaps an exporter.

    Subclasses are stateless. Everything that a source can have wrong is a `DatasetError` that names the file, the
    part and the row, and says what to do; nothing from outside is unpickled or executed.
    """

    name: ClassVar[str]
    """The name for ``--from`` and ``--to``."""
    title: ClassVar[str]
    """A description in a few words."""
    suffixes: ClassVar[tuple[str, ...]] = ()
    """Endings of its files, the exporter's choice first. Empty for a folder, and if another format has the usual
    ending."""
    writes: ClassVar[bool] = True
    """True if it has an exporter."""
    maps: ClassVar[bool] = False
    """True if `ImportOptions.columns` says which of the source's columns is which; otherwise a mapping is refused."""
    keeps_fragments: ClassVar[bool] = False
    """True if it has a place for the knowledge that an episode is a fragment."""
    keeps_attributes: ClassVar[bool] = False
    """True if it has a place for all attributes of a dataset."""

    def check_settings(self, settings: Mapping[str, str], known: Iterable[str] = ()) -> None:
        """Refuse settings that this format does not have.

        Raises:
            UsageError: it names them, and those that there are.
        """
        if unknown := sorted(set(settings) - set(known)):
            there = f"it has {', '.join(sorted(known))}" if set(known) else "it has none"
            raise UsageError(f"{self.name} has no setting {', '.join(unknown)}: {there}")

    @abstractmethod
    def recognises(self, path: Path) -> bool:
        """Tell whether an existing file or folder looks like this format. Cheap; never raises."""

    @abstractmethod
    def read(self, path: Path, options: ImportOptions) -> Imported:
        """Import.

        Raises:
            DatasetError: the source is damaged, or is no transition dataset.
            UsageError: it is ambiguous, and an option must say what is meant; or an option is not this format's.
            SpecError: the spaces of ``options.spec`` are not the source's.
        """

    def write(self, dataset: Dataset, path: Path, options: ExportOptions) -> Exported:
        """Export; what stands at ``path`` appears whole or not at all.

        Raises:
            UsageError: the target exists and may not be replaced, this format cannot be exported to, or it has no such
                setting.
            SpecError: the format cannot hold such spaces.
            VinciError: the disk is full or fails.
        """
        raise UsageError(f"{self.title} cannot be written, only read: choose another --to")


def refuse_dict(dataset: Dataset, what: str) -> None:
    """Keep Dict observations out of a format of single columns.

    Raises:
        SpecError: the observations are several columns.
    """
    if layout.OBSERVATIONS not in dataset.columns:
        raise SpecError(f"{what} holds no Dict observations: choose another format with --to")
