"""Folders of several files: RLDS, LeRobot and Minari."""

from __future__ import annotations

import io
import json
import os
import shutil
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hostile.archives import minari
from hostile.frame import Reading, attack, command
from hostile.hdf5 import sound
from vinci_offline.convert import conversion
from vinci_offline.keras_setup import import_tensorflow

ROWS = 1000


def exported(folder: Path, kind: str) -> Path:
    """Write a sound folder of 1,000 rows."""
    target = folder / ("walk-v0" if kind.startswith("minari") else "walk")
    kind, _, storage = kind.partition("-")
    settings = {"storage": storage} if storage else {}
    source = conversion.read(sound(folder / "sound.h5"))
    conversion.write(source.dataset, target, kind=kind, settings=settings)
    return target


def converted(source: Path, *options: str, right: bool = False) -> Reading:
    return command(
        "convert", source, source.parent / "converted.h5", *options, right=_has_rows if right else None
    )


def _has_rows(output: str) -> bool:
    return "1,000 in " in output


def described(path: Path, **changed: Any) -> None:
    """Change entries of a JSON file."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **changed}))


@attack
def rlds_that_is_sound(folder: Path) -> Reading:
    return converted(exported(folder, "rlds"), right=True)


@attack
def lerobot_that_is_sound(folder: Path) -> Reading:
    return converted(exported(folder, "lerobot"), right=True)


@attack
def minari_arrow_that_is_sound(folder: Path) -> Reading:
    return converted(exported(folder, "minari-arrow"), right=True)


@attack
def minari_parquet_that_is_sound(folder: Path) -> Reading:
    return converted(exported(folder, "minari-parquet"), right=True)


def rlds_of(folder: Path, steps: dict[str, Any], record: dict[str, Any] | bytes) -> Path:
    """Write an RLDS folder of one record."""
    tf = import_tensorflow()

    name = "tensorflow_datasets.core.features.features_dict.FeaturesDict"
    features = {
        "pythonClassName": name,
        "featuresDict": {
            "features": {"steps": {"sequence": {"feature": {"featuresDict": {"features": steps}}}}}
        },
    }
    target = folder / "walk"
    target.mkdir()
    (target / "features.json").write_text(json.dumps(features))
    if isinstance(record, dict):
        example = tf.train.Example(features=tf.train.Features(feature=record))
        record = example.SerializeToString()
    with tf.io.TFRecordWriter(str(target / "walk-train.tfrecord-00000-of-00001")) as file:
        file.write(record)
    return target


def tensor(dtype: str = "float32", *shape: int, encoding: str = "none") -> dict[str, Any]:
    dimensions = {"dimensions": [str(size) for size in shape]}
    return {"tensor": {"shape": dimensions, "dtype": dtype, "encoding": encoding}}


def feature(**kind: Any) -> Any:
    tf = import_tensorflow()

    lists = {
        "bytes_list": tf.train.BytesList,
        "float_list": tf.train.FloatList,
        "int64_list": tf.train.Int64List,
    }
    return tf.train.Feature(**{name: lists[name](value=value) for name, value in kind.items()})


def rlds_with(folder: Path, observation: dict[str, Any], values: list[bytes]) -> Path:
    count = len(values)
    steps = {"observation": observation, "action": tensor(), "reward": tensor()}
    record = {
        "steps/observation": feature(bytes_list=values),
        "steps/action": feature(float_list=[0.5] * count),
        "steps/reward": feature(float_list=[0.5] * count),
    }
    return rlds_of(folder, steps, record)


@attack
def rlds_of_packed_values(folder: Path) -> Reading:
    """100 values of 40 MB of zeros each."""
    value = zlib.compress(bytes(4 * 10**7), 9)
    return converted(
        rlds_with(folder, tensor("uint8", 4 * 10**7, encoding="zlib"), [value] * 100), "--ends", "timeout"
    )


@attack
def rlds_of_packed_images(folder: Path) -> Reading:
    """100 images of 8,000 by 8,000 black pixels."""
    from PIL import Image

    file = io.BytesIO()
    Image.new("RGB", (8000, 8000)).save(file, "PNG")
    observation = {"image": {"shape": {"dimensions": ["8000", "8000", "3"]}, "dtype": "uint8"}}
    return converted(rlds_with(folder, observation, [file.getvalue()] * 100), "--ends", "timeout")


@attack
def rlds_of_images_that_lie(folder: Path) -> Reading:
    """Images that say they have 60,000 by 60,000 pixels where 4 by 4 are described."""
    content = b"IHDR" + struct.pack(">2L5B", 60_000, 60_000, 8, 2, 0, 0, 0)
    image = b"\x89PNG\r\n\x1a\n" + struct.pack(">L", 13) + content + struct.pack(">L", zlib.crc32(content))
    observation = {"image": {"shape": {"dimensions": ["4", "4", "3"]}, "dtype": "uint8"}}
    return converted(rlds_with(folder, observation, [image] * 3), "--ends", "timeout")


@attack
def rlds_of_huge_shapes(folder: Path) -> Reading:
    steps = {"observation": tensor("float32", 2**40, 2**40), "action": tensor(), "reward": tensor()}
    return converted(
        rlds_of(folder, steps, {"steps/observation": feature(float_list=[])}), "--ends", "timeout"
    )


@attack
def rlds_of_a_lying_length(folder: Path) -> Reading:
    """A record whose length is 2**60, with the right check: TensorFlow would reserve it."""
    target = exported(folder, "rlds")
    path = next(target.glob("*.tfrecord*"))
    length = struct.pack("<Q", 2**60)
    path.write_bytes(length + struct.pack("<I", masked_crc(length)) + path.read_bytes()[12:])
    return converted(target)


def masked_crc(content: bytes) -> int:
    """Return TFRecord's check of some bytes: CRC-32C, turned and moved."""
    value = 0xFFFFFFFF
    for byte in content:
        value ^= byte
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 & -(value & 1))
    value ^= 0xFFFFFFFF
    return (((value >> 15) | (value << 17)) + 0xA282EAD8) & 0xFFFFFFFF


@attack
def rlds_of_a_lying_message(folder: Path) -> Reading:
    """A message whose inner length is 2 GB."""
    return converted(
        rlds_of(
            folder,
            {"action": tensor(), "observation": tensor(), "reward": tensor()},
            b"\x0a\xff\xff\xff\xff\x07x",
        )
    )


@attack
def rlds_of_deep_features(folder: Path) -> Reading:
    target = exported(folder, "rlds")
    (target / "features.json").write_text('{"featuresDict": {"features": {"steps": ' * 50_000)
    return converted(target, "--from", "rlds")


@attack
def rlds_of_a_pipe(folder: Path) -> Reading:
    target = exported(folder, "rlds")
    path = next(target.glob("*.tfrecord*"))
    path.unlink()
    os.mkfifo(path)
    return converted(target)


@attack
def rlds_of_a_link(folder: Path) -> Reading:
    """The record file is a link to a file outside."""
    target = exported(folder, "rlds")
    path = next(target.glob("*.tfrecord*"))
    path.rename(folder.parent / "inside" / "elsewhere")
    path.symlink_to(folder / "elsewhere")
    return converted(target)


@attack
def lerobot_of_links(folder: Path) -> Reading:
    """A chunk that is a link to a folder outside."""
    target = exported(folder, "lerobot")
    chunk = target / "data" / "chunk-000"
    shutil.move(chunk, folder / "elsewhere")
    chunk.symlink_to(folder / "elsewhere")
    return converted(target)


@attack
def lerobot_of_other_places(folder: Path) -> Reading:
    """Patterns of paths that climb, and that name attributes: chunks lie where they do, whatever is said."""
    target = exported(folder, "lerobot")
    path = "../../outside/{episode_chunk.__class__.__mro__}/{chunk_index}.parquet"
    described(target / "meta" / "info.json", data_path=path, video_path="/dev/zero", chunks_size=-1)
    return converted(target, right=True)


@attack
def lerobot_of_endless_counts(folder: Path) -> Reading:
    target = exported(folder, "lerobot")
    counts = dict.fromkeys(("total_episodes", "total_frames", "total_tasks", "fps", "chunks_size"), 10**12)
    described(target / "meta" / "info.json", **counts, splits={"train": f"0:{10**12}"})
    return converted(target, right=True)


@attack
def lerobot_of_huge_shapes(folder: Path) -> Reading:
    """A shape whose product is the right one in 64 bits alone."""
    target = exported(folder, "lerobot")
    info = json.loads((target / "meta" / "info.json").read_text())
    info["features"]["observation.state"]["shape"] = [3, 2**32, 2**32 + 1]
    (target / "meta" / "info.json").write_text(json.dumps(info))
    return converted(target)


@attack
def lerobot_of_packed_tasks(folder: Path) -> Reading:
    """A task of 10 MB, a hundred times."""
    target = exported(folder, "lerobot")
    tasks = pa.table({"task_index": np.arange(100), "task": ["x" * 10**7] * 100})
    pq.write_table(tasks, target / "meta" / "tasks.parquet")
    return converted(target)


@attack
def minari_of_packed_arrow(folder: Path) -> Reading:
    """A buffer of 400 MB of zeros, packed by zstd."""
    target = exported(folder, "minari-arrow")
    part = next((target / "data" / "0").glob("*.arrow"))
    big = pa.table({"rewards": pa.array(np.zeros(5 * 10**7))})
    with pa.OSFile(str(part), "wb") as sink:
        options = pa.ipc.IpcWriteOptions(compression="zstd")
        with pa.ipc.new_file(sink, big.schema, options=options) as writer:
            writer.write_table(big, max_chunksize=10**8)
    return converted(target)


@attack
def minari_of_lying_arrow(folder: Path) -> Reading:
    """A footer with other places than there are."""
    target = exported(folder, "minari-arrow")
    part = next((target / "data" / "0").glob("*.arrow"))
    content = bytearray(part.read_bytes())
    size = int.from_bytes(content[-10:-6], "little")
    for place in range(len(content) - 10 - size, len(content) - 10, 4):
        content[place : place + 4] = b"\xff\xff\xff\x7f"
    part.write_bytes(content)
    return converted(target)


@attack
def minari_of_deep_spaces(folder: Path) -> Reading:
    target = exported(folder, "minari-arrow")
    deep = '{"type": "Tuple", "subspaces": [' * 100_000
    described(target / "data" / "metadata.json", observation_space=deep)
    return converted(target)


@attack
def minari_of_huge_spaces(folder: Path) -> Reading:
    target = exported(folder, "minari-arrow")
    described(
        target / "data" / "metadata.json", observation_space=json.dumps({"type": "MultiBinary", "n": 10**11})
    )
    return converted(target)


@attack
def minari_of_huge_boxes(folder: Path) -> Reading:
    box = {"type": "Box", "dtype": "float32", "shape": [10**5, 10**5], "low": -1.0, "high": 1.0}
    return converted(minari(folder, "arrow", observation_space=json.dumps(box)))


@attack
def minari_of_endless_counts(folder: Path) -> Reading:
    target = exported(folder, "minari-arrow")
    described(target / "data" / "metadata.json", total_episodes=10**12, total_steps=10**12)
    return converted(target)


@attack
def minari_of_a_large_description(folder: Path) -> Reading:
    """60 MB of empty lists."""
    target = exported(folder, "minari-arrow")
    (target / "data" / "metadata.json").write_text(
        '{"data_format": "arrow", "x": [' + "[]," * 2 * 10**7 + "0]}"
    )
    return converted(target, "--from", "minari")
