"""Checkpoints survive a killed writer, damage and a full disk."""

import hashlib
import io
import json
import os
import warnings
import zipfile

import numpy as np
import pytest

from vinci_offline import VinciError, VinciWarning
from vinci_offline.files import drop_unfinished
from vinci_offline.runs.archive import ArrayLayout
from vinci_offline.runs.checkpoint import Checkpoint, latest_checkpoint, save_checkpoint


def checkpoint(step):
    state = {"networks/critic/0": np.full(3, step, np.float32)}
    standings = {"return": {"score": 1.5, "step": step, "since": 0}}
    return Checkpoint(step, {"critic": step, "actor": 0}, state, standings)


def test_round_trip_keeps_the_newest_two(tmp_path):
    for step in (10, 200, 3000):
        save_checkpoint(tmp_path, checkpoint(step))
    assert len(list(tmp_path.glob("*"))) == 2
    latest = latest_checkpoint(tmp_path)
    assert latest.step == 3000
    assert latest.trained == {"critic": 3000, "actor": 0}
    np.testing.assert_array_equal(latest.state["networks/critic/0"], np.full(3, 3000, np.float32))


def newest_two(folder):
    save_checkpoint(folder, checkpoint(1))
    return save_checkpoint(folder, checkpoint(2))


def members_of(path):
    """Return the bytes of each member of an archive."""
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write_members(path, members, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members:
            archive.writestr(name, content)


def npy(values, **options):
    file = io.BytesIO()
    np.lib.format.write_array(file, values, **options)
    return file.getvalue()


def meta_of(path, change):
    """Return a meta member with other JSON."""
    with np.load(path) as archive:
        meta = json.loads(str(archive["meta"]))
    change(meta)
    return npy(np.array(json.dumps(meta)))


def signed(change):
    """Return a change of JSON after which the digest fits, as a deliberate forger would make it."""

    def apply(meta):
        change(meta)
        del meta["sha256"]
        meta["sha256"] = hashlib.sha256(json.dumps(meta, sort_keys=True).encode()).hexdigest()

    return apply


ARRAY = "networks/critic/0.npy"
CLAIM = (
    b"\x93NUMPY\x01\x00v\x00"
    + b"{'descr': '<f4', 'fortran_order': False, 'shape': (2147483648,), }".ljust(117)
)
THREE_TWOS = np.full(3, 2, np.float32).tobytes()
DAMAGES = {
    "cut short": lambda path: path.write_bytes(path.read_bytes()[:100]),
    "empty": lambda path: path.write_bytes(b""),
    "a bit of an array": lambda path: path.write_bytes(path.read_bytes().replace(THREE_TWOS, THREE_TWOS[::-1])),
    "array missing": {ARRAY: None},
    "array added": {"networks/critic/1.npy": npy(np.zeros(3, np.float32))},
    "another value": {ARRAY: npy(np.zeros(3, np.float32))},
    "another dtype": {ARRAY: npy(np.full(3, 2, np.float64))},
    "another shape": {ARRAY: npy(np.full((3, 1), 2, np.float32))},
    "pickled objects": {ARRAY: npy(np.array([{}], object), allow_pickle=True)},
    "claim of 8 GiB": {ARRAY: CLAIM + b"\n" + bytes(12)},
    "nested header": {ARRAY: b"\x93NUMPY\x01\x00\xff\xff" + b"(" * 65535},
    "text that is no meta": {"meta.npy": npy(np.array("[" * 100_000))},
    "meta of bytes": {"meta.npy": npy(np.array(b"{}"))},
    "no meta": {"meta.npy": None},
    "another step": lambda meta: meta.update(step=1),
    "forged step": signed(lambda meta: meta.update(step=1)),
    "step of a bool": signed(lambda meta: meta.update(step=True)),
    "negative counter": signed(lambda meta: meta["trained"].update(critic=-1)),
    "counter of a float": signed(lambda meta: meta["trained"].update(critic=2.0)),
    "huge counter": signed(lambda meta: meta["trained"].update(critic=10**30)),
    "counters in a list": signed(lambda meta: meta.update(trained=[1])),
    "score that is NaN": signed(lambda meta: meta["standings"]["return"].update(score=float("nan"))),
    "score of a later step": signed(lambda meta: meta["standings"]["return"].update(step=3)),
    "score of a text": signed(lambda meta: meta["standings"]["return"].update(score="9")),
    "list of arrays emptied": signed(lambda meta: meta.update(arrays={})),
    "list of arrays of another type": signed(lambda meta: meta.update(arrays=[])),
    "list of arrays removed": lambda meta: meta.pop("arrays"),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_damaged_checkpoint_falls_back_to_the_previous(tmp_path, damage):
    path = newest_two(tmp_path)
    if isinstance(damage, dict):
        members = {**members_of(path), **damage}
        write_members(path, [(name, content) for name, content in members.items() if content is not None])
    elif damage in list(DAMAGES.values())[:3]:
        damage(path)
    else:
        write_members(path, {**members_of(path), "meta.npy": meta_of(path, damage)}.items())
    with pytest.warns(
        VinciWarning, match=r"step-0000000002\.npz cannot be used \(.+\): step-0000000001"
    ) as told:
        assert latest_checkpoint(tmp_path).step == 1
    assert str(told[0].message).isprintable()


def test_archive_tricks_are_damage(tmp_path):
    path = newest_two(tmp_path)
    members = members_of(path)
    tricks = {
        "compressed": lambda: write_members(path, members.items(), zipfile.ZIP_DEFLATED),
        "twice": lambda: write_members(path, [*members.items(), (ARRAY, members[ARRAY])]),
        "no array": lambda: write_members(path, [*members.items(), ("../outside", b"")]),
        "encrypted": lambda: path.write_bytes(encrypted(path.read_bytes())),
    }
    for trick, damage in tricks.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # zipfile warns of the name that it writes twice
            damage()
        with pytest.warns(VinciWarning, match="cannot be used"):
            assert latest_checkpoint(tmp_path).step == 1, trick
        write_members(path, members.items())
    assert latest_checkpoint(tmp_path).step == 2


def encrypted(content):
    """Set the flag of encryption in every header of a zip archive."""
    changed = bytearray(content)
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = changed.find(mark)
        while at >= 0:
            changed[at + place] |= 1
            at = changed.find(mark, at + 4)
    return bytes(changed)


def test_pipe_in_place_of_a_checkpoint_does_not_wait(tmp_path):
    path = newest_two(tmp_path)
    path.unlink()
    os.mkfifo(path)
    with pytest.warns(VinciWarning, match="not a regular file"):
        assert latest_checkpoint(tmp_path).step == 1


def test_fortran_order_reads_as_the_same_values(tmp_path):
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    path = save_checkpoint(tmp_path, Checkpoint(1, {}, {"x": values}))
    write_members(path, {**members_of(path), "x.npy": npy(np.asfortranarray(values))}.items())
    np.testing.assert_array_equal(latest_checkpoint(tmp_path).state["x"], values)


def test_interrupt_while_reading_is_no_damage(tmp_path, monkeypatch):
    newest_two(tmp_path)

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(zipfile, "ZipFile", interrupt)
    with pytest.raises(KeyboardInterrupt):
        latest_checkpoint(tmp_path)


def test_only_damaged_checkpoints_are_one_line(tmp_path):
    newest_two(tmp_path)
    for each in tmp_path.glob("*.npz"):
        each.write_bytes(b"")
    with pytest.raises(VinciError, match=r"can be used \(step-0000000002\.npz: .+\): restore") as raised:
        latest_checkpoint(tmp_path)
    assert "\n" not in str(raised.value)


def test_state_of_other_networks_falls_back(tmp_path):
    newest_two(tmp_path)
    other = {"networks/critic/0": np.zeros(4, np.float32)}
    save_checkpoint(tmp_path, Checkpoint(3, {}, other))
    expected = {"networks/critic/0": ArrayLayout(np.dtype(np.float32), (3,))}
    with pytest.warns(VinciWarning, match="belongs to other networks"):
        assert latest_checkpoint(tmp_path, expected).step == 2


def test_checkpoint_without_a_list_is_checked_against_the_networks(tmp_path):
    state = {"a": np.ones(2, np.float32), "b": np.zeros((), np.int64)}
    expected = {name: ArrayLayout(values.dtype, values.shape) for name, values in state.items()}
    meta = np.array(json.dumps({"step": 5, "trained": {"actor": 5}}))
    np.savez(tmp_path / "step-0000000005.npz", meta=meta, **state)
    assert latest_checkpoint(tmp_path, expected).trained == {"actor": 5}
    np.savez(
        tmp_path / "step-0000000006.npz", meta=np.array(json.dumps({"step": 6, "trained": {}})), a=state["a"]
    )
    with pytest.warns(VinciWarning, match="other networks"):
        assert latest_checkpoint(tmp_path, expected).step == 5


def test_later_checkpoints_that_were_passed_over_do_not_push_out_sound_ones(tmp_path):
    for step in (40, 20, 10):
        (tmp_path / f"step-{step:010d}.npz").write_bytes(b"damaged")
    save_checkpoint(tmp_path, checkpoint(5))
    save_checkpoint(tmp_path, checkpoint(8))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-0000000005.npz", "step-0000000008.npz"]


def test_failed_save_keeps_the_last_checkpoint(tmp_path, monkeypatch):
    save_checkpoint(tmp_path, checkpoint(1))

    def full_disk(file, **_):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full_disk)
    with pytest.raises(VinciError, match="the disk is full"):
        save_checkpoint(tmp_path, checkpoint(2))
    assert latest_checkpoint(tmp_path).step == 1
    assert len(list(tmp_path.iterdir())) == 1


def test_no_checkpoint_is_none(tmp_path):
    assert latest_checkpoint(tmp_path / "nowhere") is None


def test_drop_unfinished_removes_only_unfinished_files(tmp_path):
    save_checkpoint(tmp_path, checkpoint(1))
    left = (tmp_path / ".step-2.npz.0a1b2c3d.tmp.npz", tmp_path / ".policy.keras.4d5e6f70.tmp.keras")
    kept = (
        tmp_path / ".hidden",
        tmp_path / "notes.tmp",
        tmp_path / ".mine.tmp",
        tmp_path / ".mine.4321.tmp.h5",
    )
    for path in (*left, *kept):
        path.write_bytes(b"half")
    drop_unfinished(tmp_path)
    assert not any(path.exists() for path in left)
    assert all(path.exists() for path in kept)
    assert latest_checkpoint(tmp_path).step == 1
