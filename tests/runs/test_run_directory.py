"""A run directory gives its files, environment and configuration, and says what is wrong with them."""

import errno
import json
import os

import keras
import numpy as np
import pytest

from vinci_offline.errors import UsageError, VinciError
from vinci_offline.runs.checkpoint import Checkpoint, latest_checkpoint
from vinci_offline.runs.run_directory import RunDirectory
from vinci_offline.spec import BoxSpace, DiscreteSpace, EnvironmentSpec

SPEC = EnvironmentSpec(
    BoxSpace((3,), "float32", np.full(3, -1, "f4"), np.full(3, 1, "f4")), DiscreteSpace(2), "CartPole-v1"
)
CONFIG = {"agent": "dqn", "environment": SPEC.to_object(), "normalization": None, "steps": 5}
DATASET = {"hash": "0" * 64, "files": ["data.h5"]}


def model():
    return keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])


@pytest.fixture
def run(tmp_path):
    directory = RunDirectory(tmp_path / "run")
    directory.claim(CONFIG, DATASET, resume=False, overwrite=False)
    return directory


def test_config_gives_agent_environment_and_normalization(run):
    assert run.config() == CONFIG
    assert run.agent() == "dqn"
    assert run.environment() == SPEC
    assert run.normalization() is None


def test_a_run_whose_configuration_could_not_be_written_can_be_resumed(tmp_path, monkeypatch):
    """The first write of a claim leaves dataset.json alone, and a killed one a temporary file too."""
    directory = RunDirectory(tmp_path / "run")
    sync, files = os.fsync, []

    def fsync(descriptor):
        files.append(descriptor)
        if len(files) == 4:  # after the folder's, and those of dataset.json and its name
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        sync(descriptor)

    with monkeypatch.context() as patch, pytest.raises(VinciError, match=r"config\.json cannot be written"):
        patch.setattr(os, "fsync", fsync)
        directory.claim(CONFIG, DATASET, resume=False, overwrite=False)
    assert [path.name for path in directory.path.iterdir()] == ["dataset.json"]
    (directory.path / ".config.json.0123abcd.tmp.json").touch()
    directory.claim(CONFIG, DATASET, resume=True, overwrite=False)
    assert directory.config() == CONFIG


def test_models_become_files(run):
    run.save_models({"policy": model(), "stochastic_policy": model()}, {"critic": model()})
    assert run.policy_file() == run.path / "policy.keras"
    assert run.policy_file(stochastic=True) == run.path / "stochastic_policy.keras"
    assert sorted(path.name for path in run.path.rglob("*.keras")) == [
        "critic.keras",
        "policy.keras",
        "stochastic_policy.keras",
    ]


def test_best_is_a_run_directory(run):
    run.save_best({"policy": model()}, {"critic": model()}, Checkpoint(3, {"critic": 3}, {}))
    assert run.best.config() == CONFIG
    assert run.best.policy_file().is_file()
    assert latest_checkpoint(run.best.checkpoints).step == 3


def test_missing_policies_say_why(run):
    with pytest.raises(VinciError, match=r"has no policy\.keras"):
        run.policy_file()
    with pytest.raises(VinciError, match=r"has no policy\.keras"):
        run.policy_file(stochastic=True)
    run.save_models({"policy": model()}, {})
    with pytest.raises(UsageError, match="no stochastic policy"):
        run.policy_file(stochastic=True)


@pytest.mark.parametrize("read", [RunDirectory.environment, RunDirectory.agent, RunDirectory.normalization])
@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"environment": 3}'])
def test_damaged_config_names_the_file(run, read, text):
    (run.path / "config.json").write_text(text)
    with pytest.raises(VinciError, match=r"config\.json does not describe a run"):
        read(run)


ZEROS = {"mean": [0.0], "std": [1.0]}
NORMALIZATIONS = [
    7, "mean", ["keys"], {"keys": []}, {"keys": {"x": None}}, {**ZEROS, "mean": [10**400]}, {**ZEROS, "mean": ["x"]},
    {**ZEROS, "mean": [float("nan")]}, {**ZEROS, "std": [-1.0]}, {**ZEROS, "std": [1.0, 1.0]},
    {**ZEROS, "mean": [[1], [2, 3]]},
]  # fmt: skip


@pytest.mark.parametrize("stored", NORMALIZATIONS, ids=str)
def test_normalization_of_other_values_is_one_line(run, stored):
    (run.path / "config.json").write_text(json.dumps({**CONFIG, "normalization": stored}))
    with pytest.raises(VinciError, match=r"config\.json does not describe a run") as raised:
        run.normalization()
    assert str(raised.value).isprintable()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("config.json", "[" * 100_000),
        ("config.json", "\0"),
        ("config.json", '{"agent": ' + '{"a": ' * 600 + "1" + "}" * 601),
        ("dataset.json", '{"hash": "a", "files": 7}'),
        ("dataset.json", "9" * 5000),
        ("dataset.json", "{}"),
    ],
    ids=["nested", "zero", "deep", "files", "digits", "no hash"],
)
def test_resume_of_a_damaged_run_is_one_line(run, name, text):
    (run.path / name).write_text(text)
    with pytest.raises(VinciError) as raised:
        run.claim(CONFIG, DATASET, resume=True, overwrite=False)
    assert str(raised.value).isprintable()
    assert len(str(raised.value)) < 2000


def test_pipe_in_place_of_a_config_does_not_wait(run):
    (run.path / "dataset.json").unlink()
    os.mkfifo(run.path / "dataset.json")
    with pytest.raises(VinciError, match="not a regular file"):
        run.claim(CONFIG, DATASET, resume=True, overwrite=False)


def test_folder_without_config_is_no_run(tmp_path):
    with pytest.raises(VinciError, match="is not a run directory"):
        RunDirectory(tmp_path).environment()


def test_claim_keeps_a_run_unless_told_otherwise(run):
    with pytest.raises(UsageError, match="--resume goes on with it"):
        run.claim(CONFIG, DATASET, resume=False, overwrite=False)
    run.claim({**CONFIG, "steps": 9}, DATASET, resume=True, overwrite=False)
    run.claim({**CONFIG, "agent": "bc"}, DATASET, resume=False, overwrite=True)
    assert run.agent() == "bc"


@pytest.mark.parametrize(
    ("config", "dataset", "message"),
    [
        ({**CONFIG, "agent": "bc"}, DATASET, 'agent was "dqn", is "bc"'),
        (CONFIG, {**DATASET, "hash": "1" * 64}, "trained on another dataset"),
    ],
)
def test_resume_refuses_another_configuration_or_dataset(run, config, dataset, message):
    with pytest.raises(UsageError, match=message):
        run.claim(config, dataset, resume=True, overwrite=False)


def test_overwrite_spares_other_folders(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="is not a run directory"):
        RunDirectory(tmp_path).claim(CONFIG, DATASET, resume=False, overwrite=True)
    assert (tmp_path / "notes.txt").read_text() == "mine"
