"""Dict observations as one vector."""

import gymnasium
import numpy as np
import pytest
from data_examples import box, continuous_spec, dict_spec, make_columns
from typer.testing import CliRunner

from vinci_offline import Dataset, EnvironmentSpec, SpecError
from vinci_offline.cli.app import app
from vinci_offline.curate.flatten import flatten
from vinci_offline.spec import DictSpace, DiscreteSpace

SPACE = DictSpace(
    {
        "achieved_goal": box(2),
        "desired_goal": box(2),
        "gear": DiscreteSpace(3, start=1),
        "observation": box(3),
    }
)
SPEC = EnvironmentSpec(SPACE, box(2, low=-1, high=1), id="Reach-v0", max_episode_steps=9)


def goals():
    columns = make_columns(SPEC, [4, 3])
    apart = columns["next_observations/achieved_goal"] - columns["next_observations/desired_goal"]
    columns["rewards"] = -(np.linalg.norm(apart, axis=1) > 0.5).astype(np.float32)
    return Dataset.from_columns(columns, SPEC)


def test_keys_follow_each_other_as_gymnasium_flattens_them():
    dataset = goals()
    flat, (note,) = flatten(dataset)
    sizes = {"achieved_goal": 2, "desired_goal": 2, "observation": 3}
    parts = {key: gymnasium.spaces.Box(-np.inf, np.inf, (size,)) for key, size in sizes.items()}
    space = gymnasium.spaces.Dict({**parts, "gear": gymnasium.spaces.Discrete(3, start=1)})
    for root in ("observations", "next_observations"):
        for row in range(len(dataset)):
            observation = {key: dataset.columns[f"{root}/{key}"][row] for key in SPACE.spaces}
            expected = gymnasium.spaces.flatten(space, {key: observation[key] for key in space.spaces})
            np.testing.assert_array_equal(flat.columns[root][row], expected)
    assert flat.spec.observation_space.shape == gymnasium.spaces.flatten_space(space).shape == (10,)
    assert (flat.spec.id, flat.spec.max_episode_steps) == (None, 9)
    assert (
        "one vector of achieved_goal (2), desired_goal (2), gear (3), observation (3), in this order" in note
    )
    assert flat.attributes["flattened"]["environment"] == "Reach-v0"
    np.testing.assert_array_equal(flat.columns["rewards"], dataset.columns["rewards"])


def test_select_flattens_relabelled_rows(tmp_path):
    path = goals().save(tmp_path / "a.h5").path
    words = ["select", str(path), "-o", str(tmp_path / "b.h5"), "--flatten"]
    result = CliRunner().invoke(app, [*words, "--relabel", "future:1", "--reward-threshold", "0.5"])
    assert result.exit_code == 0, result.output
    found = Dataset.open(tmp_path / "b.h5")
    assert found.columns.shape("observations") == (len(found), 10)
    assert len(found) > 7
    assert "achieved_goal (2), desired_goal (2), gear (3), observation (3)" in " ".join(result.output.split())


def test_images_are_refused_and_vectors_stay():
    spec = dict_spec()
    with pytest.raises(
        SpecError, match="observations/picture holds images: --flatten makes a vector of numbers"
    ):
        flatten(Dataset.from_columns(make_columns(spec, [3]), spec))
    vectors = Dataset.from_columns(make_columns(continuous_spec(), [3]), continuous_spec())
    assert flatten(vectors) == (vectors, ["observations are one array already: --flatten changes nothing"])
