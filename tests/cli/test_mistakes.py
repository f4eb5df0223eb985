"""Mistakes of the command line: answered in one line, with the nearest right name, before TensorFlow is loaded."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from vinci_offline.cli.app import _at_home
from vinci_offline.cli.options import _whole
from vinci_offline.errors import UsageError
from vinci_offline.keras_setup import check_backend

MISTAKES = {
    "--set alpha": "--set 'alpha' is not KEY=VALUE",
    "--set alhpa=1": "did you mean 'alpha'?",
    "--agent td3b": "did you mean 'td3bc'?",
    "--agent dqn": "choose one of bc, ddpg, iql, td3bc",
    "--only critc": "did you mean 'critic'?",
    "--phases critic:5,acto:5": "did you mean 'actor'?",
    "--schedule actr:cosine": "actr",
    "--backend torch": "--backend must be tensorflow or jax, not 'torch'",
    "-o {folder}": "choose another with -o",
    "-o {folder} --overwrite": "--overwrite replaces runs only",
    "--resume --overwrite": "give one of them",
    "--batch-size 1e9": "--batch-size must be from 1",
}

SCRIPT = """
import json, sys
from typer.testing import CliRunner
from vinci_offline.cli.app import app
said = [CliRunner().invoke(app, words).stderr for words in json.loads(sys.argv[1])]
print(json.dumps([said, [name for name in ("keras", "tensorflow", "jax") if name in sys.modules]]))
"""


def test_mistakes_are_answered_before_tensorflow_is_loaded(tmp_path):
    (tmp_path / "note.txt").write_text("mine")
    words = [each.format(folder=tmp_path).split() for each in MISTAKES]
    lines = [["train", "pendulum-mixed", *each] for each in words] + [["train", "pendulum-mixd"]]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(lines)], capture_output=True, text=True, check=True
    )
    said, loaded = json.loads(done.stdout)
    assert loaded == []
    for line, told in zip(said, [*MISTAKES.values(), "did you mean 'pendulum-mixed'?"], strict=True):
        assert line.startswith("error: ")
        assert len(line.splitlines()) == 1
        assert told in line


def test_backend_of_the_environment_is_refused_in_one_line(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    monkeypatch.delitem(sys.modules, "keras", raising=False)
    with pytest.raises(UsageError, match="KERAS_BACKEND must be tensorflow or jax, not 'torch'"):
        check_backend()
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"jax is not installed: pip install 'vinci-offline\[jax\]'"):
        check_backend()


@pytest.mark.parametrize(
    ("text", "number"), [("1e5", 100_000), ("2.5e3", 2_500), ("100_000", 100_000), ("-1", -1)]
)
def test_whole_numbers_have_several_spellings(text, number):
    assert _whole(text) == number


@pytest.mark.parametrize("text", ["1e-5", "2.5", "many", "inf", "nan", "1e999999999"])
def test_other_numbers_are_not_whole(text):
    with pytest.raises(typer.BadParameter, match="is not a valid integer"):
        _whole(text)


def test_home_is_expanded():
    assert _at_home(["~/a.h5", "b"]) == [str(Path.home() / "a.h5"), "b"]
    assert _at_home(Path("~/run")) == Path.home() / "run"
    assert _at_home("~terminal") == "~terminal"
