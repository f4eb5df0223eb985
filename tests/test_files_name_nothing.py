"""Every text in every file that we read names code, a file or a class in turn, and nothing of it is imported or run.

An audit hook of the interpreter watches: imports, opened files, processes, connections, classes looked up for pickles.
"""

import json
import shutil
import sys
import zipfile
from contextlib import suppress
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import pytest

from vinci_offline import Dataset, collect, train
from vinci_offline.convert import conversion
from vinci_offline.curate.select import choose, merged
from vinci_offline.curate.selection import Selection
from vinci_offline.envs.collect.shards import ShardFolder
from vinci_offline.envs.evaluation_job import EvaluationJob
from vinci_offline.envs.evaluator import evaluate
from vinci_offline.envs.replay_check import replay
from vinci_offline.errors import UsageError, VinciError
from vinci_offline.keras_setup import load_keras_model
from vinci_offline.quality.validation import check
from vinci_offline.runs import checkpoint, run_directory
from vinci_offline.runs.run_directory import RunDirectory
from vinci_offline.runs.seeds_directory import SeedsDirectory
from vinci_offline.training import arguments, starting
from vinci_offline.training.config import TrainingConfig

CANARY = "vinci_canary"
PROCESSES = (
    "subprocess.Popen",
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.spawn",
    "pty.spawn",
    "os.startfile",
)
FLAT = ("d4rl", "d3rlpy", "npz", "csv", "jsonl", "parquet")
"""Formats without such texts."""
NETWORK = ("socket.connect", "urllib.Request")
FORMATS = ("d4rl", "d3rlpy", "robomimic", "minari", "lerobot", "rlds", "npz", "csv", "jsonl", "parquet")


class Watch:
    """What the interpreter did while it was watched that no file may ask for."""

    def __init__(self):
        self.folder, self.active, self.seen = None, False, []
        sys.addaudithook(self._note)

    def _note(self, event, args):
        if not self.active:
            return
        named = str(args[0]) if args else ""
        foreign = event in ("import", "open") and (CANARY in named or named.startswith(self.folder))
        ran = event == "exec" and getattr(args[0], "co_filename", "").startswith(self.folder)
        if foreign or ran or event in (*PROCESSES, *NETWORK, "pickle.find_class"):
            self.seen.append((event, named[:80]))

    def __call__(self, *functions):
        """Call functions that may refuse their file in one line."""
        self.active = True
        try:
            for function in functions:
                with suppress(VinciError):
                    function()
        finally:
            self.active = False
        assert self.seen == []


@pytest.fixture(scope="module")
def watch():
    return Watch()


@pytest.fixture(scope="module")
def evil(watch, tmp_path_factory):
    """Return texts that name code. The watch sees it if the code is so much as opened."""
    folder = tmp_path_factory.mktemp("evil")
    for name in (CANARY, "evil"):
        (folder / f"{name}.py").write_text("class Thing:\n    pass\n")
    watch.folder = str(folder)
    sys.path.insert(0, str(folder))
    yield ["subprocess:getoutput", f"{CANARY}:Thing", CANARY, f"{folder}/evil.py:Thing", f"{folder}/evil.py"]
    sys.path.remove(str(folder))


def variants(content, values):
    """Return the content once for each text in it and each value, with the value in its place.

    A text that is JSON itself counts as its content.
    """
    if isinstance(content, dict):
        for key, part in content.items():
            yield from ({**content, key: changed} for changed in variants(part, values))
    elif isinstance(content, list):
        for index, part in enumerate(content[:3]):
            for changed in variants(part, values):
                yield [*content[:index], changed, *content[index + 1 :]]
    elif isinstance(content, str):
        yield from values
        with suppress(ValueError):
            inner = json.loads(content)
            if isinstance(inner, dict | list):
                yield from (json.dumps(changed) for changed in variants(inner, values))
    elif content is None:
        yield from values


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "data.h5"
    collect("Pendulum-v1", path, steps=30, env_kwargs={"g": 9.0, "max_episode_steps": 10}, progress=False)
    with h5py.File(path, "r+") as file:
        told = json.loads(file.attrs["environment"])
        told["kwargs"]["render_mode"] = "rgb_array"
        file.attrs["environment"] = json.dumps(told)
    return path


def use(path):
    """Return calls that use a dataset as the commands do."""
    return (
        lambda: check(path),
        lambda: replay(Dataset.open(path), rows=1),
        lambda: merged(choose([Dataset.open(path)], Selection()), {}),
        lambda: collect("Pendulum-v1", path, steps=30, resume=True, progress=False),
        lambda: evaluation_of(path),
    )


def evaluation_of(path):
    """Prepare a training run that evaluates in the dataset's environment."""
    arguments.evaluation_environment(TrainingConfig(eval_every=1), Dataset.open(path).spec, None, None)


def test_attributes_of_datasets(recorded, evil, watch, tmp_path):
    path, count = tmp_path / "data.h5", 0
    for place, key, value in attributes_of(recorded):
        for changed in variants(value, evil[1:2]):
            shutil.copy(recorded, path)
            set_attribute(Path(), place, key, changed, path)
            watch(*use(path))
            count += 1
    assert count > 20


@pytest.mark.parametrize(
    ("name", "kwargs"),
    [
        ("subprocess:getoutput", {"cmd": "touch executed"}),
        (f"{CANARY}:Thing", {}),
        (f"{CANARY}:Pendulum-v1", {}),
        ("vinci_offline.loading:load_module", {"source": CANARY}),
        ("Pendulum-v1", {"entry_point": f"{CANARY}:Thing"}),
        (
            "Pendulum-v1",
            {"additional_wrappers": [{"entry_point": f"{CANARY}:Thing", "name": "x", "kwargs": {}}]},
        ),
        ("GymV26Environment-v0", {"env_id": f"{CANARY}:Pendulum-v1"}),
        ("Ant-v5", {"xml_file": "evil.xml"}),
    ],
)
@pytest.mark.usefixtures("evil")
def test_environments_with_arguments(name, kwargs, recorded, watch, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = shutil.copy(recorded, tmp_path / "data.h5")
    with h5py.File(path, "r+") as file:
        told = json.loads(file.attrs["environment"])
        file.attrs["environment"] = json.dumps({**told, "id": name, "kwargs": kwargs})
    with pytest.raises(UsageError, match="name it yourself with environment="):
        replay(Dataset.open(path), rows=1)
    with pytest.raises(UsageError, match="name it yourself with --env"):
        evaluation_of(path)
    watch(*use(path))
    assert [each.name for each in tmp_path.iterdir()] == ["data.h5"]


@pytest.fixture(scope="module")
def trained(recorded, tmp_path_factory):
    run = tmp_path_factory.mktemp("runs") / "run"
    options = {"settings": {"hidden": (4,)}, "steps": 2, "batch_size": 4, "jit": "off"}
    train(recorded, "bc", output=run, progress=False, **options)
    return run


@pytest.mark.parametrize("name", ["config.json", "dataset.json"])
def test_descriptions_of_runs(name, trained, recorded, evil, watch, monkeypatch, tmp_path):
    run = RunDirectory(shutil.copytree(trained, tmp_path / "run"))
    monkeypatch.setattr(EvaluationJob, "execute", lambda *_: [])
    monkeypatch.setattr(run_directory, "publish_text", lambda *_: None)
    content = json.loads((run.path / name).read_text())
    config, dataset = run.config(), json.loads((run.path / "dataset.json").read_text())
    count = 0
    for changed in variants(content, evil[1:2]):
        (run.path / name).write_text(json.dumps(changed))
        watch(
            lambda: evaluate(run.path, episodes=1),
            lambda: run.claim(config, dataset, resume=True, overwrite=False),
            lambda: starting.choose_units(None, Dataset.open(recorded), run, None),
            run.agent,
            run.normalization,
        )
        count += 1
    assert count > 20 if name == "config.json" else count > 5


def test_models_of_runs(trained, evil, watch, tmp_path):
    with zipfile.ZipFile(trained / "policy.keras") as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    path, count = tmp_path / "policy.keras", 0
    for changed in variants(json.loads(parts["config.json"]), [CANARY]):
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in {**parts, "config.json": json.dumps(changed).encode()}.items():
                archive.writestr(name, content)
        watch(lambda: load_keras_model(path))
        count += 1
    assert count > 20


def test_meta_of_checkpoints(trained, evil, watch, tmp_path):
    """The digest is made anew, so that a changed text is not refused for it alone."""
    made = next((trained / "checkpoints").iterdir())
    with np.load(made) as archive:
        arrays = dict(archive)
    meta = json.loads(str(arrays.pop("meta")))
    del meta["sha256"]
    meta["standings"] = {"evaluation": {"score": None, "step": 1, "since": 0}}
    count = 0
    for changed in variants(meta, evil[1:2]):
        for digest in ({"sha256": checkpoint._digest_of_json(changed)}, {}):
            np.savez(tmp_path / made.name, meta=np.array(json.dumps(changed | digest)), **arrays)
            watch(lambda: checkpoint.latest_checkpoint(tmp_path))
            count += 1
    assert count > 20


def test_description_of_seeds(evil, watch, tmp_path):
    run = SeedsDirectory(tmp_path / "run")
    run.claim([0, 1], resume=False, overwrite=False)
    run.save([0, 1], {"members": [{"run": "seed-1", "steps_per_second": None, "error": "it diverged"}]})
    content, count = json.loads((run.path / "seeds.json").read_text()), 0
    for changed in variants({**content, "seeds": ["0", "1"]}, evil[1:2]):
        (run.path / "seeds.json").write_text(json.dumps(changed))
        watch(run.read, lambda: run.claim([0, 1], resume=True, overwrite=False))
        count += 1
    assert count >= 6


def test_description_of_an_interrupted_collection(evil, watch, tmp_path, monkeypatch):
    path = tmp_path / "data.h5"
    options = {"steps": 4, "env_kwargs": {"g": 9.0}, "progress": False}
    monkeypatch.setattr(ShardFolder, "remove", lambda _: None)
    collect("Pendulum-v1", path, **options)
    path.unlink()
    stored = tmp_path / "data.h5.shards" / "collection.json"
    count = 0
    for changed in variants(json.loads(stored.read_text()), evil[1:2]):
        stored.write_text(json.dumps(changed))
        watch(lambda: collect("Pendulum-v1", path, resume=True, **options))
        assert not path.exists(), "it was recorded with another configuration"
        count += 1
    assert count > 5


@pytest.mark.parametrize("kind", FORMATS)
def test_files_of_other_formats(kind, recorded, evil, watch, tmp_path):
    made = tmp_path / "made"
    try:
        conversion.write(Dataset.open(recorded), made, kind=kind)
    except VinciError as error:
        pytest.skip(str(error))
    count = 0
    for change in changes_of(made, evil[1:2]):
        shutil.rmtree(tmp_path / "copy", ignore_errors=True)
        copy = tmp_path / "copy"
        shutil.copytree(made, copy) if made.is_dir() else shutil.copy(made, copy)
        change(copy)
        watch(lambda copy=copy: replay(conversion.read(copy, kind=kind).dataset, rows=1))
        count += 1
    assert count or kind in FLAT


def changes_of(made, values):
    """Return functions that change a copy of a file or folder: a text of JSON or of an attribute of HDF5 each."""
    files = [path for path in sorted(made.rglob("*")) if path.is_file()] if made.is_dir() else [made]
    for path in files:
        inner = path.relative_to(made)
        if h5py.is_hdf5(path):
            for name, key, value in attributes_of(path):
                for changed in variants(value, values):
                    yield partial(set_attribute, inner, name, key, changed)
        elif path.suffix == ".json":
            for changed in variants(json.loads(path.read_text()), values):
                yield partial(set_text, inner, json.dumps(changed))


def attributes_of(path):
    """Return the place, the name and the value of each attribute of an HDF5 file that is a text."""
    with h5py.File(path) as file:
        places = ["/"]
        file.visit(places.append)
        every = [(place, key, value) for place in places for key, value in file[place].attrs.items()]
    return [each for each in every if isinstance(each[2], str)]


def set_attribute(inner, name, key, value, copy):
    with h5py.File(copy / inner if inner.parts else copy, "r+") as file:
        file[name].attrs[key] = value


def set_text(inner, text, copy):
    (copy / inner if inner.parts else copy).write_text(text)
