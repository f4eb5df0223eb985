"""Packages made by tests: a module and its metadata in one folder, as after an installation."""

from pathlib import Path

FORMAT = '''
import numpy as np

from vinci_offline import Dataset
from vinci_offline.convert.format import Exported, Format, Imported


class SumFormat(Format):
    """Text format with a line for each row: observation, action, reward. Each row is a terminated episode."""

    title = "a file of sums"
    suffixes = (".sums",)

    def recognises(self, path):
        return path.is_file() and path.read_bytes()[:4] == b"sums"

    def read(self, path, options):
        rows = np.loadtxt(path, np.float32, skiprows=1, ndmin=2)
        columns = {
            "observations": rows[:, :1],
            "actions": rows[:, 1:2],
            "rewards": rows[:, 2],
            "next_observations": rows[:, :1],
            "terminals": np.ones(len(rows), bool),
            "timeouts": np.zeros(len(rows), bool),
        }
        from vinci_offline.spec import BoxSpace, EnvironmentSpec

        box = BoxSpace((1,), "float32", -np.ones(1, np.float32), np.ones(1, np.float32))
        spec = options.spec or EnvironmentSpec(box, box)
        return Imported(Dataset.from_columns(columns, spec), ("each row is an episode",))

    def write(self, dataset, path, *args, **kwargs):
        rows = [dataset.columns[name].reshape(-1) for name in ("observations", "actions", "rewards")]
        path.write_text("sums\\n" + "\\n".join(" ".join(map(repr, map(float, row))) for row in zip(*rows)) + "\\n")
        return Exported(path)
'''
"""Source of a package with the format `SumFormat`."""

AGENT = '''
from dataclasses import dataclass

from vinci_offline.agents.bc import BC


@dataclass(frozen=True)
class Copycat(BC):
    """Behaviour cloning under another name."""
'''
"""Source of a package with the agent `Copycat`."""


def make_package(folder: Path, name: str, source: str, **groups: dict[str, str]) -> Path:
    """Install a package into a folder for ``sys.path``; return the folder.

    Args:
        folder: the folder.
        name: name of the distribution and of its module.
        source: source of the module.
        groups: entry points by name, by the last part of their group: ``formats={"sums": "SumFormat"}``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.py").write_text(source)
    metadata = folder / f"{name}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = [
        line
        for group, points in groups.items()
        for line in (f"[vinci_offline.{group}]", *(f"{key} = {name}:{kind}" for key, kind in points.items()))
    ]
    (metadata / "entry_points.txt").write_text("\n".join(lines) + "\n")
    return folder
