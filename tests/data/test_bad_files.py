"""Bad files are refused in one line that names the fault and the remedy."""

from __future__ import annotations

import re
import resource

import h5py
import numpy as np
import pytest
from data_examples import continuous_spec, dict_spec, make_columns

from vinci_offline import Dataset, DatasetError
from vinci_offline.quality.validation import validate


@pytest.fixture
def path(tmp_path):
    spec = continuous_spec(4)
    lengths = [3000] * 4
    return (
        Dataset.from_columns(make_columns(spec, lengths), spec, {"length": lengths})
        .save(tmp_path / "d.h5")
        .path
    )


def refusal(path):
    with pytest.raises(DatasetError) as caught:
        Dataset.open(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


def edit(path, change):
    with h5py.File(path, "r+") as file:
        change(file)
    return path


def replace(file, name, **options):
    del file[name]
    file.create_dataset(name, **options)


def test_missing_file(tmp_path):
    assert "does not exist" in refusal(tmp_path / "nothing.h5")


def test_directory(tmp_path):
    assert "is an empty folder" in refusal(tmp_path)


@pytest.mark.parametrize("content", [b"", b"hello", b"\x93NUMPY" + b"\0" * 4000])
def test_not_hdf5(tmp_path, content):
    (tmp_path / "d.h5").write_bytes(content)
    assert "is not an HDF5 file" in refusal(tmp_path / "d.h5")


@pytest.mark.parametrize("share", [0.01, 0.5, 0.999])
def test_truncated(path, share):
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    assert "d.h5 is truncated" in refusal(path)


def test_damaged_inside(path):
    content = bytearray(path.read_bytes())
    content[60:400] = b"\xff" * 340
    path.write_bytes(content)
    assert "damaged" in refusal(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda f: f.pop("actions"),
            "columns: missing actions (found: next_observations, observations, rewards",
        ),
        (lambda f: (f.pop("rewards"), f.pop("terminals")), "missing rewards, terminals"),
        (lambda f: f.pop("timeouts"), "missing timeouts"),
        (lambda f: f.pop("next_observations"), "next_observations: missing, .* convert the file first"),
        (
            lambda f: replace(f, "rewards", data=np.zeros(7, "f")),
            "unequal lengths (observations 12000, actions 12000, rewards 7",
        ),
        (
            lambda f: [replace(f, n, shape=(0,), dtype="u1") for n in list(f) if n != "metadata"],
            "the file holds no rows",
        ),
        (
            lambda f: replace(f, "rewards", data=np.array(["a"] * 12_000, dtype="S1")),
            "rewards: dtype |S1 where numbers",
        ),
        (
            lambda f: replace(f, "rewards", shape=(12_000,), dtype=h5py.string_dtype()),
            "rewards: dtype object where numbers",
        ),
        (
            lambda f: replace(f, "rewards", shape=(12_000,), dtype="c8"),
            "rewards: dtype complex64 where numbers",
        ),
        (
            lambda f: replace(f, "rewards", shape=(12_000,), dtype=[("a", "f4")]),
            "rewards: dtype .* where numbers",
        ),
        (
            lambda f: replace(f, "terminals", data=np.zeros(12_000, "f")),
            "terminals: dtype float32 where booleans",
        ),
        (lambda f: replace(f, "rewards", data=3.0), "rewards: a single value"),
        (lambda f: replace(f, "rewards", data=h5py.Empty("f")), "rewards: a single value"),
        (
            lambda f: replace(f, "actions", data=np.zeros((12_000, 5), "f")),
            "actions: rows have shape (5,), the space (2,)",
        ),
        (lambda f: f.create_dataset("observations2", data=1), None),
        (
            lambda f: f.attrs.__setitem__("version", 2),
            "format version 2, .* reads up to 1: upgrade vinci-offline",
        ),
        (lambda f: f.attrs.__setitem__("version", "x"), "'version' is 'x', not a number"),
        (lambda f: f.attrs.__setitem__("environment", "{}"), "attribute 'environment': .*not valid"),
        (lambda f: f.attrs.__delitem__("environment"), "attribute 'environment': .*not valid"),
        (
            lambda f: replace(f, "metadata/episodes/length", data=np.ones(3)),
            "metadata/episodes: unequal lengths",
        ),
    ],
)
def test_structure(path, change, message):
    edit(path, change)
    if message is None:
        assert len(Dataset.open(path)) == 12_000
        return
    pattern = re.escape(message).replace(r"\.\*", ".*")
    assert re.search(pattern, refusal(path))


def test_all_structural_problems_are_reported(path):
    edit(
        path,
        lambda f: (
            replace(f, "rewards", data=np.zeros((12_000, 1), "f")),
            replace(f, "actions", data=np.zeros(4)),
        ),
    )
    told = [str(problem) for problem in validate(path)]
    assert len(told) == 3
    assert any("unequal lengths" in text for text in told)
    assert any(text.startswith("rewards:") for text in told)
    assert any(text.startswith("actions:") for text in told)


def test_missing_dict_key(tmp_path):
    spec = dict_spec()
    path = Dataset.from_columns(make_columns(spec, [3]), spec).save(tmp_path / "d.h5").path
    edit(path, lambda f: f.pop("observations/car/gear"))
    assert "observations/car/gear: missing, though the spaces have them" in refusal(path)


@pytest.mark.parametrize("root", ["rewards", "infos"])
def test_links_are_not_followed(path, tmp_path, root):
    secret = tmp_path / "secret.h5"
    with h5py.File(secret, "w") as file:
        file["rewards"] = np.zeros(12_000, "f")

    def link(make):
        def change(file):
            if root in file:
                del file[root]
            file["rewards" if root == "rewards" else "infos/x"] = make

        return change

    edit(path, link(h5py.ExternalLink(str(secret), "/rewards")))
    assert "an external link, which is not followed" in refusal(path)
    edit(path, link(h5py.SoftLink("/actions")))
    assert "a soft link, which is not followed" in refusal(path)


def test_external_storage_is_not_read(path, tmp_path):
    (tmp_path / "secret.bin").write_bytes(b"\1" * 48_000)
    edit(
        path,
        lambda f: replace(
            f, "rewards", shape=(12_000,), dtype="f4", external=[(str(tmp_path / "secret.bin"), 0, 48_000)]
        ),
    )
    assert "rewards: its values lie in other files" in refusal(path)

    def virtual(file):
        del file["rewards"]
        source = h5py.VirtualLayout((12_000,), "f4")
        source[:] = h5py.VirtualSource(str(tmp_path / "secret.h5"), "rewards", (12_000,))
        file.create_virtual_dataset("rewards", source)

    edit(path, virtual)
    assert "rewards: its values lie in other files" in refusal(path)


@pytest.mark.parametrize("options", [{}, {"chunks": (1000,)}, {"chunks": (100_000,), "compression": "gzip"}])
def test_unbacked_sizes_are_not_allocated(path, options):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    edit(path, lambda f: replace(f, "rewards", shape=(10**12,), dtype="f4", **options))
    told = refusal(path)
    if "chunks" in options:
        assert f"rewards: cut into {10**12 // options['chunks'][0]:,} chunks, and the file has" in told
    else:
        what = "(1000000000000,) float32 is declared (4,000,000,000,000 bytes) and 0 bytes are stored"
        assert f"rewards: {what}" in told
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000


def test_cyclic_groups_end(path):
    edit(path, lambda f: f.create_group("infos").__setitem__("again", f["infos"]))
    assert "infos/again: a group that another path leads to" in refusal(path)


def test_huge_specs_are_not_allocated(path):
    space = '{"type": "box", "shape": [1000000, 1000000], "dtype": "float32", "low": null, "high": null}'
    text = '{"id": null, "kwargs": {}, "max_episode_steps": null, "observation_space": A, "action_space": A}'
    edit(path, lambda f: f.attrs.__setitem__("environment", text.replace("A", space)))
    assert "observations: rows have shape (4,), the space (1000000, 1000000)" in refusal(path)


def test_control_characters_are_not_printed(path):
    edit(path, lambda f: f.__setitem__("infos/\x1b[31mred\n", np.array([b"x"] * 12_000)))
    assert "\x1b" not in refusal(path)


def test_damaged_flag_is_reported_on_reading(path):
    def change(file):
        data = np.zeros(12_000, np.uint8)
        data[77] = 9
        replace(file, "terminals", data=data)

    edit(path, change)
    with pytest.raises(DatasetError, match="terminals row 77 is 9, neither 0 nor 1"):
        Dataset.open(path).columns["terminals"]


def test_missing_read_permission(path, monkeypatch):
    def denied(*args, **kwargs):
        raise PermissionError(13, "denied")

    monkeypatch.setattr(h5py, "File", denied)
    assert "permission denied" in refusal(path)


@pytest.mark.parametrize("compress", ["none", "gzip"])
def test_mutated_files_are_refused_or_load(tmp_path, compress):
    spec = dict_spec()
    columns = make_columns(spec, [30] * 3, infos=["speed"])
    sound = Dataset.from_columns(columns, spec, {"length": [30] * 3}).save(
        tmp_path / "d.h5", compress=compress
    )
    content = sound.path.read_bytes()
    rng = np.random.default_rng(0)
    outcomes = []
    for _ in range(60):
        mutated = bytearray(content)
        for place in rng.integers(0, min(len(content), 6000), rng.choice([1, 2, 8])):
            mutated[place] = rng.integers(256)
        sound.path.write_bytes(mutated)
        try:
            outcomes.append([str(problem) for problem in validate(sound.path)])
        except DatasetError as refusal:
            outcomes.append([str(refusal)])
    assert all("\n" not in line for lines in outcomes for line in lines)
    assert any(outcomes)
