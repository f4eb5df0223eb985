"""Cells of one compiled call: which ones share it, and that each ends as it would alone."""

import numpy as np
import pytest
from backends import TENSORFLOW

import vinci_offline as vinci
from vinci_offline.errors import UsageError
from vinci_offline.runs.checkpoint import latest_checkpoint
from vinci_offline.sweeps.spec import SweepSpec
from vinci_offline.sweeps.together import _others, batches, train_together
from vinci_offline.sweeps.work import Order

SPEC = {
    "agents": ["td3bc"],
    "datasets": ["pendulum-mixed"],
    "steps": 4,
    "log_every": 2,
    "batch_size": 8,
    "set": {"hidden": [4], "alpha": [1, 2.5]},
}


def test_cells_of_one_call_differ_in_seeds_and_numbers_alone():
    cells = SweepSpec.of(
        {**SPEC, "seeds": 2, "set": {"alpha": [1, 2.5], "policy_delay": [1, 2], "hidden": [[4], [8]]}}
    ).cells()
    found = batches(cells, lambda cell: (cell.agent, cell.dataset, cell.options, _others(cell)))
    assert [len(each) for each in found] == [4, 4, 4, 4]
    assert {cell.settings["alpha"] for cell in found[0]} == {1.0, 2.5}
    assert len({(cell.settings["policy_delay"], str(cell.settings["hidden"])) for cell in found[0]}) == 1


def test_a_call_holds_at_most_64_cells():
    cells = SweepSpec.of({**SPEC, "seeds": 50}).cells()
    assert [len(each) for each in batches(cells, lambda cell: cell.agent)] == [64, 36]


@pytest.mark.skipif(not TENSORFLOW, reason="JAX has it")
def test_tensorflow_has_no_map_over_learners(tmp_path):
    with pytest.raises(UsageError, match="vmap needs JAX: set KERAS_BACKEND=jax"):
        train_together([], Order(str(tmp_path), None, None, None, True), None)


@pytest.mark.slow
@pytest.mark.skipif(TENSORFLOW, reason="JAX alone maps learners over settings")
def test_sixteen_cells_in_one_call_equal_sixteen_single_runs(tmp_path):
    spec = {**SPEC, "set": {"hidden": [4], "alpha": [0.5 + 0.25 * number for number in range(16)]}}
    result = vinci.sweep(spec, tmp_path / "sweep", parallel="vmap", progress=False)
    assert len(result.results) == 16
    for cell in result.cells:
        settings = {"hidden": (4,), "alpha": cell.settings["alpha"]}
        options = {"steps": 4, "log_every": 2, "batch_size": 8, "progress": False}
        alone = vinci.train(
            "pendulum-mixed", "td3bc", settings=settings, output=tmp_path / cell.name, **options
        )
        expected, found = (
            latest_checkpoint(path / "checkpoints").state
            for path in (alone.run, tmp_path / "sweep" / "cells" / cell.name)
        )
        for name, value in expected.items():
            np.testing.assert_allclose(found[name], value, rtol=1e-4, atol=1e-6, err_msg=name)
