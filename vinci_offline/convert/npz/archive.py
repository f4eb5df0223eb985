"""NumPy archives in the layouts that offline RL knows: OGBench's, imitation's, Stable-Baselines', and D4RL's names."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np

from vinci_offline.convert.format import Exported, Format, Imported, refuse_dict
from vinci_offline.convert.npz import layouts
from vinci_offline.data import layout
from vinci_offline.data.assembly.logged import assemble
from vinci_offline.data.assembly.options import ImportOptions
from vinci_offline.data.dataset import Dataset
from vinci_offline.data.problem import printable
from vinci_offline.errors import DatasetError, UsageError
from vinci_offline.files import published, refuse_existing
from vinci_offline.spec import DiscreteSpace, EnvironmentSpec
from vinci_offline.types import Columns

_BEST_RATIO = 1100
"""Deflate cannot do better; a member that claims to is not unfolded."""


class NpzFormat(Format):
    """One archive of arrays; nothing in it is unpickled."""

    name = "npz"
    title = "a NumPy archive"
    suffixes = (".npz",)

    def recognises(self, path: Path) -> bool:
        """Whether it is a zip of arrays."""
        try:
            with zipfile.ZipFile(path) as archive:
                names = archive.namelist()
        except (OSError, zipfile.BadZipFile, ValueError):
            return False
        return bool(names) and all(name.endswith(".npy") for name in names)

    def read(self, path: Path, options: ImportOptions) -> Imported:
        """Import; the layout is told by the names of the arrays.

        ``reward=zero`` says that rewards are zero where there are none; ``actions=N`` that whole numbers are choices
        of a Discrete space of N.
        """
        self.check_settings(options.settings, ("actions", "reward"))
        decisions: list[str] = []
        arrays = _arrays(path, decisions)
        for kind in layouts.LAYOUTS:
            if kind.names <= set(arrays):
                decisions.append(f"the arrays are laid out as {kind.title}")
                logged = kind.read(path, arrays, options, decisions)
                break
        else:
            known = "; ".join(f"{', '.join(sorted(kind.names))} ({kind.title})" for kind in layouts.LAYOUTS)
            raise DatasetError(
                f"{path} has {', '.join(map(printable, sorted(arrays)))}: known layouts have {known}"
            )
        spec = _counted(path, logged.columns, options) if "actions" in options.settings else options.spec
        return Imported.of(assemble(logged, spec, decisions, str(path)))

    def write(
        self,
        dataset: Dataset,
        path: Path,
        *,
        overwrite: bool = False,
        settings: Mapping[str, str] = MappingProxyType({}),
    ) -> Exported:
        """Export under D4RL's names; ``infos/KEY`` keep their paths."""
        self.check_settings(settings)
        refuse_dict(dataset, "a NumPy archive")
        refuse_existing(path, overwrite=overwrite)
        with published(path) as temporary:
            np.savez_compressed(
                temporary, allow_pickle=False, **{name: dataset.columns[name] for name in dataset.columns}
            )
        lost = ("the environment's spaces and id, the episode table, provenance",)
        return Exported(path, (f"{len(dataset):,} rows under D4RL's names",), lost)


def _arrays(path: Path, decisions: list[str]) -> Columns:
    """The archive's arrays of numbers; what would have to be unpickled is left out."""
    if not path.is_file():
        raise DatasetError(f"{path} does not exist" if not path.exists() else f"{path} is not a file")
    found: Columns = {}
    try:
        with zipfile.ZipFile(path) as archive:
            swollen = [
                info
                for info in archive.infolist()
                if info.file_size > _BEST_RATIO * max(1, info.compress_size)
            ]
        if swollen:
            raise DatasetError(
                f"{path}: {printable(swollen[0].filename)} claims a size that its bytes cannot unfold to"
            )
        with np.load(path, allow_pickle=False) as archive:
            for name in archive.files:
                try:
                    values = archive[name]
                except ValueError as error:
                    if "Object arrays" not in str(error) and "pickle" not in str(error):
                        raise
                    decisions.append(
                        f"{printable(name)} was left out: it is pickled, and nothing is unpickled"
                    )
                    continue
                if values.dtype.kind in "biuf":
                    found[name] = values
                else:
                    decisions.append(f"{printable(name)} was left out: {values.dtype} values are no numbers")
    except (
        zipfile.BadZipFile,
        ValueError,
        OSError,
        EOFError,
        KeyError,
        NotImplementedError,
        zlib.error,
    ) as error:
        reason = printable(" ".join(str(error).split()))
        raise DatasetError(
            f"{path} is no NumPy archive, or damaged ({reason}): copy or record it again"
        ) from error
    return found


def _counted(path: Path, columns: Mapping[str, object], options: ImportOptions) -> EnvironmentSpec:
    """The spec of observations without bounds and of ``actions=N`` choices."""
    text = options.settings["actions"]
    if not text.isdecimal() or int(text) < 1:
        raise UsageError(f"--set actions={text}: give the number of choices, as in actions=2")
    if options.spec is not None:
        raise UsageError(f"{path}: --env says already what the actions are: leave --set actions out")
    observations = np.asarray(columns[layout.OBSERVATIONS])
    return EnvironmentSpec(layouts.unbounded(observations), DiscreteSpace(int(text)))
