"""An environment that fails in an evaluation costs no step: the run is saved, and goes on with the evaluation."""

import gymnasium
import numpy as np
import pytest

from vinci_offline import Dataset, train
from vinci_offline.cli import console, signals
from vinci_offline.errors import ResumableError
from vinci_offline.runs.checkpoint import Checkpoint, latest_checkpoint, save_checkpoint

OPTIONS = {
    "settings": {"hidden": (8,)},
    "steps": 4,
    "log_every": 2,
    "eval_every": 2,
    "eval_episodes": 1,
    "batch_size": 16,
    "jit": "off",
    "progress": False,
}


class Fragile(gymnasium.Wrapper):
    """Pendulum that fails in the evaluation of a given number."""

    evaluations = 0
    failing = 0

    def __init__(self):
        super().__init__(gymnasium.make("Pendulum-v1", max_episode_steps=3))

    def reset(self, *, seed=None, options=None):
        if seed == 0:  # a look at the environment before the episode
            return super().reset(seed=seed, options=options)
        Fragile.evaluations += 1
        if Fragile.evaluations == Fragile.failing:
            raise RuntimeError("the simulator broke")
        return super().reset(seed=seed, options=options)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "pendulum.h5"
    Dataset.open("pendulum-mixed").select_episodes(range(2)).save(path)
    return path


def run(data, output, failing, **options):
    Fragile.evaluations, Fragile.failing = 0, failing
    return train(data, "bc", output=output, env=Fragile, **{**OPTIONS, **options})


@pytest.mark.parametrize("failing", [1, 2])
def test_run_goes_on_with_the_evaluation_that_failed(data, tmp_path, failing):
    whole = run(data, tmp_path / "whole", 0)
    told = f"evaluation at step {2 * failing}: .*the simulator broke .*saved in .*cut: go on with resume=True"
    with pytest.raises(ResumableError, match=told):
        run(data, tmp_path / "cut", failing)
    kept = latest_checkpoint(tmp_path / "cut" / "checkpoints")
    assert (kept.step, kept.evaluation_due) == (2 * failing, True)
    assert (tmp_path / "cut" / "policy.keras").is_file()
    again = run(data, tmp_path / "cut", 0, resume=True)
    assert again.final_metrics["return/mean"] == whole.final_metrics["return/mean"]
    assert again.best_step == whole.best_step
    for name in ("evaluations.csv", "metrics.csv"):
        left, right = ((at / name).read_text().splitlines() for at in (whole.run, again.run))
        assert [row.split(",")[0] for row in left] == [row.split(",")[0] for row in right]
    assert (whole.run / "evaluations.csv").read_text() == (again.run / "evaluations.csv").read_text()
    states = [latest_checkpoint(at / "checkpoints") for at in (whole.run, again.run)]
    assert states[0].standings == states[1].standings
    assert not states[1].evaluation_due
    for name, value in states[0].state.items():
        np.testing.assert_array_equal(value, states[1].state[name])


def test_seed_that_fails_so_can_be_resumed(data, tmp_path):
    with pytest.raises(ResumableError, match=r"seed 0: evaluation at step 2: .*go on with resume=True"):
        run(data, tmp_path / "run", 1, steps=2, seeds=1)
    assert not run(data, tmp_path / "run", 0, steps=2, seeds=1, resume=True).interrupted


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["train", "d"], "error: it broke: go on with: vinci-offline train d --resume\n"),
        (["train", "d", "--overwrite"], "error: it broke: go on with: vinci-offline train d --resume\n"),
        (None, "error: it broke: go on with --resume\n"),
    ],
)
def test_command_line_names_the_whole_command_that_goes_on(monkeypatch, capsys, words, told):
    monkeypatch.setattr(signals._State, "arguments", words)
    monkeypatch.setattr(signals._State, "resumable", False)
    assert console._exit_code(ResumableError("it broke")) == 1
    assert capsys.readouterr().err == told


@pytest.mark.parametrize("due", [True, False])
def test_checkpoint_keeps_that_an_evaluation_is_due(tmp_path, due):
    save_checkpoint(tmp_path, Checkpoint(5, {"actor": 5}, {"a": np.zeros(2)}, evaluation_due=due))
    assert latest_checkpoint(tmp_path).evaluation_due is due
