"""Episodes in TFRecord files, one ``tf.train.Example`` each, as TFDS writes them. TensorFlow reads them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from vinci_offline.convert.rlds.features import Feature
from vinci_offline.errors import DatasetError, UsageError
from vinci_offline.inputs import check_regular
from vinci_offline.keras_setup import import_tensorflow
from vinci_offline.text import printable
from vinci_offline.types import Array, Columns

SPLIT = "train"
TEMPLATE = "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"

_FILE = re.compile(r".+-(?P<split>[^-]+)\.tfrecord(-\d+(-of-\d+)?)?")
_SHARD_BYTES = 2**27


def record_files(folder: Path, split: str | None) -> list[Path]:
    """Return the files of a split, in order; None is the only split.

    Raises:
        DatasetError: there are none.
        UsageError: there are several splits, and which is not said.
    """
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        if match := _FILE.fullmatch(path.name):
            found.setdefault(match["split"], []).append(path)
    names = ", ".join(map(printable, found))
    if split is None and len(found) > 1:
        raise UsageError(f"{folder} has the splits {names}: choose one with --set split=NAME")
    if not found or (split is not None and split not in found):
        raise DatasetError(
            f"{folder} has no {'' if split is None else split + ' '}.tfrecord files; splits: {names}"
        )
    return found[next(iter(found)) if split is None else split]


def read_records(files: list[Path]) -> Iterator[tuple[str, Any]]:
    """Yield each record's place in words, and its features by name.

    Raises:
        DatasetError: a record is damaged, or no Example.
    """
    tensorflow = import_tensorflow()
    from google.protobuf.message import DecodeError

    for path in files:
        _check_lengths(path)
        records = tensorflow.data.TFRecordDataset(str(path)).as_numpy_iterator()
        number = 0
        while True:
            where = f"{path}: episode {number}"
            try:
                content = next(records, None)
                if content is None:
                    break
                example = tensorflow.train.Example.FromString(content)
            except (tensorflow.errors.OpError, DecodeError, OSError) as error:
                reason = printable(" ".join(str(error).split()))[:100]
                raise DatasetError(f"{where} is damaged ({reason}): copy or download it again") from error
            yield where, example.features.feature
            number += 1


def _check_lengths(path: Path) -> None:
    """Refuse a file whose records do not end where it does: TensorFlow would reserve whatever a length says.

    A record is its length in 8 bytes, a check of that in 4, its content, and a check of that in 4
    (https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details).
    """
    check_regular(path)
    with path.open("rb") as file:
        end, place, number = os.fstat(file.fileno()).st_size, 0, 0
        while place < end:
            head = os.pread(file.fileno(), 8, place)
            length = int.from_bytes(head, "little")
            if len(head) < 8 or length > end - place - 16:
                raise DatasetError(
                    f"{path}: episode {number} is damaged (it ends beyond the file): copy or download it again"
                )
            place, number = place + 16 + length, number + 1


def unpack(record: Any, part: str, features: Mapping[str, Feature], where: str) -> Columns:
    """Return the values of some features of a record, ``[T, …]`` by path.

    Raises:
        DatasetError: one is missing, damaged, or has more or fewer values than the others.
    """
    found: Columns = {}
    for path, feature in features.items():
        key, place = f"{part}/{path}", f"{where}: {part}/{printable(path)}"
        if key not in record:
            raise DatasetError(f"{place} is missing: it is damaged")
        found[path] = feature.unpack(record[key], place)
    lengths = {len(values) for values in found.values()}
    if len(lengths) > 1 or lengths == {0}:
        raise DatasetError(f"{where} has features of no or different lengths: it is damaged")
    return found


class RecordWriter:
    """Writer of episodes, used as a context, in a folder of its own.

    Raises:
        OSError: the disk is full.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._name = folder, name
        self._tensorflow = import_tensorflow()
        self._writer: Any = None
        self._bytes = 0
        self.lengths: list[int] = []

    def append(self, parts: Mapping[str, tuple[Mapping[str, Feature], Mapping[str, Array]]]) -> None:
        """Write an episode: features and values of each part."""
        packed = {
            f"{part}/{path}": features[path].pack(values[path], self._tensorflow)
            for part, (features, values) in parts.items()
            for path in features
        }
        train = self._tensorflow.train
        record = train.Example(features=train.Features(feature=packed)).SerializeToString(deterministic=True)
        try:
            if self._writer is None or self._bytes > _SHARD_BYTES:
                self._close()
                self._writer = self._tensorflow.io.TFRecordWriter(str(self._shard(len(self.lengths))))
                self._bytes = 0
                self.lengths.append(0)
            self._writer.write(record)
        except self._tensorflow.errors.OpError as error:
            raise OSError(str(error)) from error
        self._bytes += len(record)
        self.lengths[-1] += 1

    def __enter__(self) -> RecordWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._close()
        if kind is None:
            count = len(self.lengths)
            for number in range(count):
                shard = self._shard(number)
                shard.rename(shard.with_name(f"{shard.name}-of-{count:05d}"))

    def _shard(self, number: int) -> Path:
        return self._folder / f"{self._name}-{SPLIT}.tfrecord-{number:05d}"

    def _close(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            try:
                writer.close()
            except self._tensorflow.errors.OpError as error:
                raise OSError(str(error)) from error
