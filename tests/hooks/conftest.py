from pathlib import Path

import numpy as np
import pytest

from vinci_offline.hooks.hook import RunInfo
from vinci_offline.spec import BoxSpace, DiscreteSpace, EnvironmentSpec


@pytest.fixture
def box():
    def make(low, high):
        bounds = np.asarray(low, np.float32), np.asarray(high, np.float32)
        return BoxSpace(bounds[0].shape, "float32", *bounds)

    return make


@pytest.fixture
def make_run(box):
    """Make a run as hooks see it, by default of a two-dimensional environment."""

    def make(
        directory: Path, *, start_step=0, steps=20, nets=None, policy=None, spec=None, observations=None
    ):
        spec = spec or EnvironmentSpec(
            box([-1.2, -0.07], [0.6, 0.07]), box([-1.0], [1.0]), "MountainCarContinuous-v0"
        )
        if observations is None:
            observations = (
                np.random.default_rng(0).uniform([-1.2, -0.07], [0.6, 0.07], (50, 2)).astype(np.float32)
            )
        return RunInfo(
            directory=directory,
            agent="td3bc",
            config={
                "hyperparameters": {"alpha": 2.5, "hidden": [256, 256], "double": True, "none": None},
                "training": {"batch_size": 256, "seed": 7},
            },
            dataset={"files": ["None", "/data/my car.h5"], "rows": 1000, "return_mean": -3.25, "env": "a|b"},
            spec=spec,
            start_step=start_step,
            steps=steps,
            nets=nets or {},
            policy=policy,
            observations=observations,
        )

    return make


@pytest.fixture
def discrete_spec(box):
    return EnvironmentSpec(box([-1.2, -0.07], [0.6, 0.07]), DiscreteSpace(3), "MountainCar-v0")
