"""mypy catches the typical mistakes in a loss: tensors, networks and updates have types."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

LOSS = """
import keras
from keras import ops

from vinci_offline import functional
from vinci_offline.agents.agent import Networks, Update, adam
from vinci_offline.batches.batch import Batch
from vinci_offline.types import Metrics, Tensor


class Losses:
    def loss(self, nets: Networks, batch: Batch, key: Tensor) -> tuple[Tensor, Metrics]:
        values = nets.critic([batch.observation, batch.action])
        target = functional.td_target(batch.reward, batch.discount, ops.min(values, axis=0))
        error = functional.squared_error(values[0], target)
        return ops.mean(error), {{"q/mean": ops.mean(values)}}

    def wrong(self, nets: Networks, batch: Batch, key: Tensor) -> tuple[Tensor, Metrics]:
        values = nets.critic([batch.observation, batch.action])
        {line}
        return ops.mean(values), {{}}


def updates(losses: Losses) -> tuple[Update, ...]:
    return (Update(losses.loss, trains="critic", optimizer=adam(3e-4)),)
"""

MISTAKES = {
    "values.misspelt": 'has no attribute "misspelt"',
    "batch.action.mean()": 'has no attribute "mean"',
    "(batch.reward + values).mean()": 'has no attribute "mean"',
    "ops.meen(values)": 'has no attribute "meen"',
    "ops.mean(values, axes=0)": 'Unexpected keyword argument "axes"',
    "ops.mean(nets.critic)": 'has incompatible type "Model"',
    "functional.squared_error(nets.critic, batch.reward)": 'has incompatible type "Model"',
    "nets.critic.trainable_variable": 'has no attribute "trainable_variable"',
    "keras.layers.Dense(8, activate='relu')": 'Unexpected keyword argument "activate"',
    "Update(lambda nets, batch, key: ops.mean(values), trains='critic', optimizer=adam(3e-4))": "incompatible",
    "Update(self.loss, trains='critic', optimizer=3e-4)": 'has incompatible type "float"',
    "return ops.mean(values)": 'Incompatible return value type (got "Tensor"',
    "return {}, ops.mean(values)": "Incompatible return value type",
}


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """Return mypy's output for a file of each mistake and for one without."""
    folder = tmp_path_factory.mktemp("types")
    for number, line in enumerate(["pass", *MISTAKES]):
        (folder / f"loss_{number}.py").write_text(LOSS.format(line=line))
    files = sorted(map(str, folder.glob("loss_*.py")))
    command = [sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml"), *files]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout


def test_a_correct_loss_has_no_error(report):
    assert "loss_0.py" not in report, report


@pytest.mark.parametrize("line", MISTAKES)
def test_a_mistake_in_a_loss_is_an_error(report, line):
    number = list(MISTAKES).index(line) + 1
    found = [text for text in report.splitlines() if f"loss_{number}.py" in text and ": error: " in text]
    assert any(MISTAKES[line] in text for text in found), found
