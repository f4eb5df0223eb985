"""Our own file. Nothing is decided, dropped or lost."""

from __future__ import annotations

from pathlib import Path

from vinci_offline.convert.format import Exported, ExportOptions, Format, Imported
from vinci_offline.convert.sources.hdf5 import hdf5_tree
from vinci_offline.data import layout
from vinci_offline.data.assembly.options import ImportOptions
from vinci_offline.data.dataset import Dataset
from vinci_offline.errors import DatasetError


class VinciFormat(Format):
    """The file that `Dataset.save` writes and `Dataset.open` reads."""

    name = "vinci"
    title = "a vinci-offline dataset"
    suffixes = (".h5",)
    keeps_fragments = True
    keeps_attributes = True

    def recognises(self, path: Path) -> bool:
        """Tell whether the file says that it is ours."""
        try:
            with hdf5_tree(path) as tree:
                return tree.attributes("/").get(layout.ATTRIBUTE_FORMAT) == layout.FORMAT
        except DatasetError:
            return False

    def read(self, path: Path, options: ImportOptions) -> Imported:
        """Open it; ``options.spec`` must have the file's spaces."""
        self.check_settings(options.settings)
        return Imported(Dataset.open(path, spec=options.spec))

    def write(self, dataset: Dataset, path: Path, options: ExportOptions) -> Exported:
        """Save the dataset."""
        self.check_settings(options.settings)
        dataset.save(path, overwrite=options.overwrite)
        return Exported(path)
