"""The Python surface of training: typed options, names that are misspelt, and results that read well."""

import dataclasses
import typing

import numpy as np
import pandas as pd
import pytest

from vinci_offline import Evaluation, TrainingConfig, TrainResult, UsageError, VinciError, train
from vinci_offline.training.config import TrainingOptions


def test_typed_options_are_the_fields_of_the_config():
    fields = {field.name for field in dataclasses.fields(TrainingConfig)}
    assert set(TrainingOptions.__annotations__) == fields
    options, config = (typing.get_type_hints(each) for each in (TrainingOptions, TrainingConfig))
    assert {name: options[name] for name in fields} == {name: config[name] for name in fields}


@pytest.mark.parametrize(
    ("given", "meant"), [("stepps", "steps"), ("outputs", "output"), ("batchsize", "batch_size")]
)
def test_misspelt_argument_names_the_nearest(given, meant):
    with pytest.raises(UsageError, match=rf"no argument '{given}'.*did you mean '{meant}'\?") as raised:
        train("pendulum-mixed", **{given: 1})
    assert "\n" not in str(raised.value)


def test_evaluation_shows_its_mean():
    several = Evaluation("CartPole-v1", 2, (100.0, 300.0), (100, 300))
    assert repr(several) == "<Evaluation CartPole-v1: return 200 ± 141.4 over 2 episodes of 200 steps>"
    assert repr(Evaluation(None, 1, (1.5,), (7,))) == "<Evaluation: return 1.5 over 1 episode of 7 steps>"


def test_result_shows_its_losses_and_has_history_and_policy(tmp_path):
    options = {"steps": 20, "log_every": 10, "jit": "off", "progress": False}
    settings = {"hidden": (8,)}
    result = train("pendulum-mixed", "bc", output=tmp_path / "run", settings=settings, **options)
    assert repr(result).startswith(f"<TrainResult {tmp_path / 'run'}: 20 steps at ")
    assert "loss/actor" in repr(result)
    assert result.untrained == ()
    assert list(result.history.index) == [10, 20]
    assert result.history["loss/actor"].notna().all()
    assert result.policy(np.zeros((1, 3), "f4")).shape == (1, 1)


def test_results_of_several_seeds_have_one_history(tmp_path):
    members = []
    for seed in (0, 1):
        folder = tmp_path / f"seed-{seed}"
        folder.mkdir()
        pd.DataFrame({"step": [1, 2], "loss/actor": [0.5, seed]}).to_csv(folder / "metrics.csv", index=False)
        members.append(TrainResult(folder, 2, 1.0, {}))
    together = TrainResult(tmp_path, 2, 2.0, {}, members=tuple(members))
    assert together.history.loc[("seed-1", 2), "loss/actor"] == 1
    assert "2 seeds" in repr(together)
    with pytest.raises(VinciError, match=r"members\[0\]\.policy"):
        _ = together.policy
    with pytest.raises(VinciError, match="before its first row of metrics"):
        _ = TrainResult(tmp_path / "nothing", 0, 1.0, {}).history
