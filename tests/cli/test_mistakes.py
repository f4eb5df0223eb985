"""Mistakes at the command line and in Python: one line with the nearest right name, before TensorFlow is loaded."""

import importlib
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

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts" / "usability"))
try:
    mistakes = importlib.import_module("mistakes")
finally:
    del sys.path[0]

SCRIPT = """
import json, os, sys
from typer.testing import CliRunner
from vinci_offline.cli.app import app
heavy = ("keras", "tensorflow", "jax")
answers = []
for words, environment in json.load(sys.stdin):
    done = CliRunner().invoke(app, words, env=environment, prog_name="vinci-offline")
    answers.append([done.exit_code, done.stderr, [name for name in heavy if sys.modules.pop(name, None)]])
print(json.dumps(answers))
"""

CALLS = """
import json, sys
import vinci_offline as vinci
read = lambda: vinci.Dataset.open("pendulum-mixed").rows(slice(9))
answers = []
for call in json.load(sys.stdin):
    try:
        answers.append([0, repr(eval(call)), []])
    except vinci.VinciError as error:
        loaded = [name for name in ("tensorflow", "jax") if sys.modules.pop(name, None)]
        answers.append([error.exit_code, f"error: {error}", loaded])
print(json.dumps(answers))
"""


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """Return the answers to all mistakes, which one process without TensorFlow gives one after the other."""
    folder = tmp_path_factory.mktemp("mistakes")
    mistakes.prepare(folder)
    lines = [[each.words.split(), each.environment] for each in mistakes.MISTAKES]
    told = told_by(SCRIPT, lines, folder) + told_by(CALLS, [each.words for each in mistakes.CALLS], folder)
    return dict(zip(mistakes.MISTAKES + mistakes.CALLS, told, strict=True))


def told_by(script, given, folder):
    command = [sys.executable, "-c", script]
    given = json.dumps(given)
    done = subprocess.run(command, input=given, cwd=folder, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@pytest.mark.parametrize("mistake", mistakes.MISTAKES + mistakes.CALLS, ids=lambda mistake: mistake.words)
def test_mistake_is_answered_in_one_line_before_tensorflow_is_loaded(answers, mistake):
    code, said, loaded = answers[mistake]
    assert mistakes.fault(mistake, code, said) is None
    assert loaded == []


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
    with pytest.raises(typer.BadParameter, match="is not a whole number"):
        _whole(text)


def test_home_is_expanded():
    assert _at_home(["~/a.h5", "b"]) == [str(Path.home() / "a.h5"), "b"]
    assert _at_home(Path("~/run")) == Path.home() / "run"
    assert _at_home("~terminal") == "~terminal"
