"""Each agent trains from the command line on a shipped dataset of its kind of action, and `evaluate` takes the run."""

import json

import pytest
from typer.testing import CliRunner

from vinci_offline.agents.registry import agents
from vinci_offline.cli.app import app
from vinci_offline.runs.run_directory import RunDirectory

DATA = {"continuous": "pendulum-mixed", "discrete": "cartpole-mixed"}
FAST = ("rebrac-continuous", "bcq-discrete")
"""A sample for every run of the suite: recorded next actions, and a third role."""
TINY = {
    "hidden": "8,8",
    "latent_hidden": "8,8",
    "choice_hidden": "8,8",
    "critics": 3,
    "samples": 2,
    "elites": 1,
    "acting_samples": 3,
    "discrepancy_samples": 2,
}
OPTIONS = (
    "--steps 4 --log-every 2 --batch-size 8 --jit off --n-step 3 --schedule cosine --warmup 1 --clip-norm 1 "
    "--weight-decay 1e-4 --policy-ema 0.9 --validation 0.1"
)
CASES = [(name, kind) for name, cls in agents().items() for kind in cls.action_kinds]


def call(*words):
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        pytest.param(
            name, kind, id=(both := f"{name}-{kind}"), marks=() if both in FAST else pytest.mark.slow
        )
        for name, kind in CASES
    ],
)
def test_agent_trains_with_every_option_and_is_evaluated(name, kind, tmp_path):
    fields = agents()[name].__dataclass_fields__
    tiny = [word for key, value in TINY.items() if key in fields for word in ("--set", f"{key}={value}")]
    run = tmp_path / "run"
    shift = 0.0 if name == "fqe" else 0.5  # a shifted value is not that of the policy: it would warn
    reward = f"scale:0.1,shift:{shift}" if shift else "scale:0.1"
    options = (*tiny, *OPTIONS.split(), "--reward", reward)
    trained = call("train", DATA[kind], "--agent", name, *options, "-o", run, "--json")
    assert trained["steps"] == 4
    metrics = trained["final_metrics"]
    updates = {key.removeprefix("loss/") for key in metrics if key.startswith("loss/")}
    assert updates
    assert {f"validation/{update}" for update in updates} <= metrics.keys()
    assert RunDirectory(run).config()["units"]["rewards"] == {"factor": 0.1, "shift": shift}
    assert len(call("evaluate", run, "--episodes", 2, "--json")["returns"]) == 2
