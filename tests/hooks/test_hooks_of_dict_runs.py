"""Every hook of a run works where observations are a Dict."""

import numpy as np
import pandas as pd
import pytest

from vinci_offline import SpecError
from vinci_offline.envs.evaluator import Evaluation
from vinci_offline.hooks.csv_log import CsvLog
from vinci_offline.hooks.phase_plane import phase_plane
from vinci_offline.hooks.portrait import Portrait
from vinci_offline.hooks.progress import Progress
from vinci_offline.hooks.tensorboard import TensorBoard
from vinci_offline.hooks.value_alarm import ValueAlarm
from vinci_offline.spec import DictSpace, EnvironmentSpec


@pytest.fixture
def dict_run(tmp_path, make_run, box):
    """Make a run whose two keys have two numbers each, as many as a portrait needs."""
    part = box([-1.0, -1.0], [1.0, 1.0])
    spec = EnvironmentSpec(DictSpace({"goal": part, "position": part}), box([-1.0], [1.0]), "Goal-v0")
    sample = np.zeros((5, 2), np.float32)
    return make_run(tmp_path, spec=spec, observations={"goal": sample, "position": sample})


def test_default_hooks_follow_a_run_of_dict_observations(dict_run):
    board = TensorBoard()
    portrait = Portrait(board, every=1)
    for hook in (CsvLog(), board, portrait, ValueAlarm(board.note), Progress()):
        hook.start(dict_run)
        hook.metrics(10, {"loss/critic": 1.5, "q/min": 0.0, "q/max": 1.0})
        hook.evaluation(20, Evaluation("Goal-v0", 2, (1.0, 3.0), (5, 5)))
        hook.finish(20)
    folder = dict_run.directory
    assert pd.read_csv(folder / "metrics.csv")["loss/critic"].tolist() == [1.5]
    assert pd.read_csv(folder / "evaluations.csv")["return_mean"].tolist() == [2.0]
    assert len(list(folder.glob("events.out.tfevents.*"))) == 1
    assert not (folder / "portraits").exists()


def test_phase_plane_refuses_dict_observations(dict_run):
    with pytest.raises(SpecError, match="needs observations of two numbers"):
        phase_plane(dict_run)
