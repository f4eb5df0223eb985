"""A batch: columns by attribute and by name."""

import copy

import numpy as np
import pytest

from vinci_offline import Transitions, VinciError
from vinci_offline.batches.batch import Batch, transition_columns

FLAT = Batch(
    {"observation": np.arange(4), "reward": np.ones(4), "infos/cost": np.zeros(4), "infos/a/b": np.full(4, 2)}
)
DICT = Batch({"observation/goal": np.arange(4), "observation/hand/left": np.ones(4), "reward": np.ones(4)})


def test_columns_are_attributes():
    assert FLAT.observation is FLAT.columns["observation"]
    assert FLAT.cost is FLAT["infos/cost"]
    assert FLAT.a_b is FLAT["infos/a/b"]
    assert "reward" in FLAT
    assert "next_action" not in FLAT


def test_a_dict_observation_is_a_dict_by_key():
    assert list(DICT.observation) == list(DICT["observation"]) == ["goal", "hand/left"]
    assert DICT.observation["goal"] is DICT["observation/goal"]
    assert "observation" in DICT


@pytest.mark.parametrize("read", [lambda batch: batch.next_action, lambda batch: batch["next_action"]])
def test_a_missing_column_is_one_clear_error(read):
    with pytest.raises(
        VinciError, match="the batch has no column 'next_action': add it to the agent's columns"
    ):
        read(FLAT)


def test_replace_takes_attribute_names():
    changed = FLAT.replace(observation=np.full(4, 9), cost=np.ones(4), weight=np.zeros(4))
    assert changed.observation[0] == 9
    assert changed["infos/cost"].all()
    assert list(changed.columns) == [*FLAT.columns, "weight"]
    assert FLAT.observation[0] == 0  # the batch itself stays
    goal = DICT.replace(observation={"goal": np.full(4, 5)})
    assert goal.observation["goal"][0] == 5
    assert goal.observation["hand/left"] is DICT.observation["hand/left"]


def test_map_applies_to_every_column():
    assert {len(column) for column in DICT.map(lambda column: column[1:3]).columns.values()} == {2}


def test_a_batch_can_be_copied():
    assert copy.deepcopy(FLAT).reward.tolist() == [1, 1, 1, 1]


def test_transitions_become_columns():
    flat = transition_columns(Transitions(*range(5)))
    assert flat == {"observation": 0, "action": 1, "reward": 2, "discount": 3, "next_observation": 4}
    by_key = transition_columns(Transitions({"a": 0}, 1, 2, 3, {"a": 4}))
    assert list(by_key) == ["observation/a", "action", "reward", "discount", "next_observation/a"]
