"""Assembly of logged rows: scalars per row get the shape of the environment's spaces."""

import numpy as np
import pytest
from data_examples import box

from vinci_offline import DatasetError
from vinci_offline.data.assembly.context import ImportContext
from vinci_offline.data.assembly.lazy import held
from vinci_offline.data.assembly.logged import Logged, assemble
from vinci_offline.spec import DiscreteSpace, EnvironmentSpec, MultiDiscreteSpace

ONE = np.zeros(1, np.int64), np.full(1, 3, np.int64)
SPACES = {
    "discrete": (DiscreteSpace(4), ()),
    "multi_discrete": (MultiDiscreteSpace((1,), "int64", *ONE), (1,)),
    "integers": (box(1, dtype="int32", low=0, high=3), (1,)),
}


def rows(actions):
    observations = np.arange(12, dtype=np.float32).reshape(4, 3)
    columns = {"observations": observations, "actions": actions, "rewards": np.ones(4, np.float32)}
    return Logged({path: held(values) for path, values in columns.items()}, np.array([4]), np.array([True]))


def assembled(logged, spec):
    return assemble(logged, spec, ImportContext("rows"))


@pytest.mark.parametrize("shape", [(4,), (4, 1)], ids=["numbers", "column"])
@pytest.mark.parametrize("space", SPACES)
def test_integer_actions_get_the_shape_of_the_space(space, shape):
    action_space, wanted = SPACES[space]
    choices = np.array([3, 0, 2, 1])
    found = assembled(rows(choices.reshape(shape)), EnvironmentSpec(box(3), action_space))
    assert found.columns.shape("actions") == (4, *wanted)
    np.testing.assert_array_equal(found.columns["actions"].reshape(-1), choices)


def test_several_choices_per_row_are_not_a_discrete_action():
    with pytest.raises(DatasetError, match=r"rows: .*actions"):
        assembled(rows(np.zeros((4, 2), np.int64)), EnvironmentSpec(box(3), DiscreteSpace(4)))


def test_scalar_observations_get_the_shape_of_the_space():
    logged = rows(np.zeros((4, 2), np.float32))
    columns = dict(logged.columns) | {"observations": held(np.arange(4, dtype=np.float32))}
    found = assembled(Logged(columns, logged.lengths, logged.terminated), EnvironmentSpec(box(1), box(2)))
    assert found.columns["next_observations"].tolist() == [[1], [2], [3], [3]]


def test_next_observations_follow_a_dropped_row_and_a_terminal():
    """A row that is dropped and an own observation that stands in are as many: no row may shift."""
    columns = {
        "observations": np.arange(6, dtype=np.float32)[:, None],
        "actions": np.zeros((6, 1), np.float32),
        "rewards": np.ones(6, np.float32),
    }
    held_columns = {path: held(values) for path, values in columns.items()}
    found = assembled(Logged(held_columns, np.array([2, 2, 2]), np.array([False, True, True])), None).columns
    assert found["observations"].tolist() == [[0], [2], [3], [4], [5]]
    assert found["next_observations"].tolist() == [[1], [3], [3], [5], [5]]
