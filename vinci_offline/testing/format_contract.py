"""Pytest suite for dataset formats.

Subclass it, and give one line of parametrisation for each format::

@pytest.mark.parametrize("case", [FormatCase("d4rl", "data.hdf5", BOX)])
class TestFormats(FormatContract):
    pass
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from vinci_offline.convert.conversion import read, write
from vinci_offline.convert.registry import find_format, recognise
from vinci_offline.data import episode_columns, layout
from vinci_offline.data.assembly.options import ImportOptions
from vinci_offline.data.columns import Column, LazyColumns
from vinci_offline.data.dataset import Dataset
from vinci_offline.errors import DatasetError, UsageError, VinciError
from vinci_offline.spec import (
    BoxSpace,
    DictSpace,
    DiscreteSpace,
    EnvironmentSpec,
    MultiDiscreteSpace,
    Space,
    TupleSpace,
)
from vinci_offline.types import Array, Columns

LENGTHS = (5, 3, 1, 4)
TERMINATED = (True, False, True, False)


def _box(size: int, bound: float) -> BoxSpace:
    limit = np.full(size, bound, np.float32)
    return BoxSpace((size,), "float32", -limit, limit)


BOX = EnvironmentSpec(_box(3, np.inf), _box(2, 1.0))
"""Vectors and continuous actions."""

DISCRETE = EnvironmentSpec(_box(2, np.inf), DiscreteSpace(4))
"""Vectors and Discrete actions."""

DICT = EnvironmentSpec(DictSpace({"goal": _box(2, np.inf), "state": _box(3, np.inf)}), _box(2, 1.0))
"""Dict observations."""

_FEWEST, _MOST = np.array([0, 1]), np.array([3, 2])
TUPLE = EnvironmentSpec(
    TupleSpace.of([_box(2, np.inf), DiscreteSpace(4)]), MultiDiscreteSpace((2,), "int64", _FEWEST, _MOST)
)
"""Tuple observations and MultiDiscrete actions."""


@dataclass(frozen=True)
class FormatCase:
    """A format, and a kind of data that it can store.

    Attributes:
        kind: name of the format.
        file: name of its file or folder.
        spec: environment of the data; the importer gets it too.
        settings: settings of the importer.
        writing: settings of the exporter.
    """

    kind: str
    file: str
    spec: EnvironmentSpec
    settings: Mapping[str, str] = field(default_factory=dict)
    writing: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        kinds = {id(BOX): "box", id(DISCRETE): "discrete", id(DICT): "dict"}
        return f"{self.kind}-{kinds.get(id(self.spec), 'own')}"

    @property
    def options(self) -> ImportOptions:
        """Options for the importer."""
        return ImportOptions(spec=self.spec, settings=self.settings)


def example(spec: EnvironmentSpec) -> Dataset:
    """Return four episodes, two of them terminated. Within an episode each next observation is the next row's."""
    rng, count = np.random.default_rng(0), sum(LENGTHS)
    last = np.cumsum(LENGTHS) - 1
    columns: Columns = {layout.REWARDS: rng.normal(size=count).astype(np.float32)}
    for path, slot in layout.spec_slots(spec).items():
        if path.startswith((layout.OBSERVATIONS, layout.ACTIONS)) and slot.space is not None:
            columns[path] = _draw(slot.space, count, rng)
        if path.startswith(layout.OBSERVATIONS) and slot.space is not None:
            columns[f"next_{path}"] = np.roll(columns[path], -1, axis=0)
            columns[f"next_{path}"][last] = _draw(slot.space, len(last), rng)
    columns[layout.TERMINALS], columns[layout.TIMEOUTS] = np.zeros(count, np.bool_), np.zeros(count, np.bool_)
    columns[layout.TERMINALS][last] = TERMINATED
    columns[layout.TIMEOUTS][last] = ~np.array(TERMINATED)
    return Dataset.from_columns(columns, spec)


def _draw(space: Space, count: int, rng: np.random.Generator) -> Array:
    if isinstance(space, DiscreteSpace):
        return rng.integers(space.start, space.start + space.n, count)
    if isinstance(space, MultiDiscreteSpace):
        return rng.integers(space.low, space.high + 1, (count, *space.shape))
    assert isinstance(space, BoxSpace)
    return rng.uniform(-1, 1, (count, *space.shape)).astype(space.dtype)


class FormatContract:
    """Test suite of one format; parametrise ``case`` on the subclass."""

    @pytest.fixture
    def written(self, case: FormatCase, tmp_path: Path) -> Path:
        """Export the example."""
        path = tmp_path / case.file
        exported = write(example(case.spec), path, kind=case.kind, settings=case.writing)
        assert exported.path == path
        return path

    def test_columns_round_trip(self, case: FormatCase, written: Path) -> None:
        """Import every exported column and the spaces. Drop no row."""
        expected, imported = example(case.spec), read(written, kind=case.kind, options=case.options)
        found = imported.dataset
        assert not imported.dropped
        for path in expected.columns:
            np.testing.assert_array_equal(found.columns[path], expected.columns[path], err_msg=path)
            assert found.columns.dtype(path) == expected.columns.dtype(path), path
        assert found.spec.observation_space == case.spec.observation_space
        assert found.spec.action_space == case.spec.action_space

    def test_episodes_round_trip(self, case: FormatCase, written: Path) -> None:
        """Import the lengths of episodes. Tell terminals from timeouts."""
        table = read(written, kind=case.kind, options=case.options).dataset.episode_columns
        assert table[episode_columns.LENGTH].tolist() == list(LENGTHS)
        assert table[episode_columns.TERMINATED].tolist() == list(TERMINATED)
        assert table[episode_columns.TRUNCATED].tolist() == [not ended for ended in TERMINATED]

    def test_file_is_recognised(self, case: FormatCase, written: Path) -> None:
        """Recognise the file as this format, not as another."""
        assert recognise(written).name == case.kind

    def test_existing_target_needs_overwrite(self, case: FormatCase, written: Path) -> None:
        """Keep an existing target, unless ``overwrite`` is set."""
        before = _content(written)
        with pytest.raises(UsageError, match="exists already"):
            write(example(case.spec), written, kind=case.kind, settings=case.writing)
        assert _content(written) == before
        write(example(case.spec), written, kind=case.kind, settings=case.writing, overwrite=True)
        assert (
            read(written, kind=case.kind, options=case.options)
            .dataset.episode_columns[episode_columns.LENGTH]
            .sum()
            == 13
        )

    def test_failed_export_leaves_nothing(self, case: FormatCase, tmp_path: Path) -> None:
        """Leave no partial and no temporary file after an error."""

        def fail(rows: slice) -> Array:
            raise DatasetError("the source went away")

        whole = example(case.spec)
        columns = {
            path: Column(
                whole.columns.shape(path), whole.columns.dtype(path), whole.columns[path].__getitem__
            )
            for path in whole.columns
        }
        columns[layout.ACTIONS] = Column(columns[layout.ACTIONS].shape, columns[layout.ACTIONS].dtype, fail)
        broken = Dataset(LazyColumns(columns), case.spec, table=lambda: dict(whole.episode_columns))
        with pytest.raises(DatasetError, match="went away"):
            write(broken, tmp_path / case.file, kind=case.kind, settings=case.writing)
        assert not [path for path in tmp_path.rglob("*") if path.is_file()]

    def test_unknown_settings_are_refused(self, case: FormatCase, written: Path) -> None:
        """Refuse unknown settings in the importer and in the exporter."""
        options = ImportOptions(case.spec, settings={**case.settings, "colour": "blue"})
        with pytest.raises(UsageError, match="colour"):
            read(written, kind=case.kind, options=options)
        target = written.with_name(f"other-{written.name}")
        with pytest.raises(UsageError, match="colour"):
            write(example(case.spec), target, kind=case.kind, settings={**case.writing, "colour": "blue"})
        assert not target.exists()

    def test_missing_source_is_refused_in_one_line(self, case: FormatCase, tmp_path: Path) -> None:
        """Name a missing file in the error."""
        self._refused(case, tmp_path / case.file)

    @pytest.mark.parametrize("content", [b"", b"hello", b"\x93NUMPY\0\0", b"PK\x03\x04\0\0"])
    def test_other_content_is_refused_in_one_line(
        self, case: FormatCase, tmp_path: Path, content: bytes
    ) -> None:
        """Refuse content that is not of this format."""
        path = tmp_path / case.file
        path.write_bytes(content)
        assert not find_format(case.kind).recognises(path)
        self._refused(case, path)

    @pytest.mark.parametrize("share", [0.3, 0.7, 0.95])
    def test_truncated_source_is_refused_in_one_line(
        self, case: FormatCase, written: Path, share: float
    ) -> None:
        """Refuse a source whose largest file ends too early."""
        files = [
            path
            for path in ([written] if written.is_file() else sorted(written.rglob("*")))
            if path.is_file()
        ]
        largest = max(files, key=lambda path: path.stat().st_size)
        largest.write_bytes(largest.read_bytes()[: int(largest.stat().st_size * share)])
        self._refused(case, written)

    def _refused(self, case: FormatCase, path: Path) -> None:
        with pytest.raises(VinciError) as caught:
            read(path, kind=case.kind, options=case.options)
        assert "\n" not in str(caught.value)
        assert path.name in str(caught.value)


def _content(path: Path) -> dict[str, bytes]:
    files = [path] if path.is_file() else sorted(path.rglob("*"))
    return {str(file): file.read_bytes() for file in files if file.is_file()}
