"""LeRobot's dataset folders, versions 2 and 3 (https://huggingface.co/docs/lerobot/lerobot-dataset-v3)."""

from __future__ import annotations

from pathlib import Path

from vinci_offline.convert.format import Exported, ExportOptions, Format, Imported
from vinci_offline.convert.lerobot.rows import logged
from vinci_offline.convert.lerobot.writer import LerobotWriter
from vinci_offline.convert.sources.folders import read_json, refuse_replacing
from vinci_offline.convert.trajectories import cut_episodes, trajectories
from vinci_offline.data import layout
from vinci_offline.data.assembly.context import ImportContext
from vinci_offline.data.assembly.logged import assemble
from vinci_offline.data.assembly.options import ImportOptions
from vinci_offline.data.dataset import Dataset
from vinci_offline.data.episode_columns import FRAGMENT
from vinci_offline.data.episodes import known_facts
from vinci_offline.errors import DatasetError, UsageError
from vinci_offline.files import disk_errors, published_folder
from vinci_offline.text import printable

_INFO = Path("meta", "info.json")


class LerobotFormat(Format):
    """A folder with ``meta/info.json`` and frames in ``data``. A frame is a step."""

    name = "lerobot"
    title = "a LeRobot dataset"

    def recognises(self, path: Path) -> bool:
        """Tell whether ``meta/info.json`` describes features."""
        try:
            return {"codebase_version", "features"} <= set(read_json(path / _INFO))
        except DatasetError:
            return False

    def read(self, path: Path, options: ImportOptions) -> Imported:
        """Import the features that are numbers; ``reward=zero`` says that rewards are zero where there are none."""
        self.check_settings(options.settings, ("reward",))
        if not (path / _INFO).is_file():
            what = "does not exist" if not path.exists() else f"has no {_INFO.as_posix()}"
            raise DatasetError(f"{path} {what}: give the folder of a LeRobot dataset")
        info = read_json(path / _INFO)
        version = str(info.get("codebase_version"))
        if not version.startswith(("v2.", "v3.")):
            raise DatasetError(
                f"{path} is of LeRobot's version {printable(version)}, and v2 and v3 can be read: convert it with "
                "LeRobot's own scripts"
            )
        context = ImportContext(path, options)
        return Imported.of(assemble(logged(path, info, context), options.spec, context))

    def write(self, dataset: Dataset, path: Path, options: ExportOptions) -> Exported:
        """Export; ``fps=N`` says how many steps a second has, ``task=TEXT`` what is done."""
        self.check_settings(options.settings, ("fps", "task"))
        fps = options.settings.get("fps", "1")
        if not fps.isdecimal() or int(fps) < 1:
            raise UsageError(f"fps={fps}: LeRobot needs a whole number of steps a second, as in fps=50")
        path = path if path.name else path.resolve()
        refuse_replacing(
            path,
            ("meta", "data"),
            "a LeRobot dataset",
            there=self.recognises(path),
            overwrite=options.overwrite,
        )
        task = options.settings.get("task") or dataset.spec.id or "unnamed"
        with disk_errors(path), published_folder(path) as folder:
            with LerobotWriter(folder, dataset, int(fps), task) as writer:
                for each in trajectories(dataset):
                    writer.append(each)
            writer.describe(dataset)
        said = [f"the task is {task!r}", "next.done is a terminal, next.truncated a timeout"]
        said.append(
            "each frame has its next observation too, as next.observation.…, which LeRobot's policies skip"
        )
        if "fps" not in options.settings:
            said.append("a step counts as a second: --set to.fps=N says otherwise")
        if cut := cut_episodes(dataset):
            said.append(f"{cut} episodes lack rows: each of their pieces is an episode")
        return Exported(path, tuple(said), tuple(_lost(dataset)))


def _lost(dataset: Dataset) -> list[str]:
    lost = ["the environment's spaces, id and arguments"]
    names = known_facts(dataset.episode_columns)
    lost += [f"{name} of each episode" for name in names if name != FRAGMENT]
    if names := [name for name in dataset.attributes if name != "lerobot"]:
        lost.append(f"provenance ({', '.join(map(printable, names))})")
    if any(len(dataset.columns.shape(path)) > 2 for path in layout.spec_slots(dataset.spec)):
        lost.append(
            "statistics of features with more than one axis, which LeRobot computes itself from images"
        )
    return lost
