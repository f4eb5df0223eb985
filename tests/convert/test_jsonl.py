"""JSON Lines: objects and lists as columns, and lines that are no rows."""

import json

import numpy as np
import pytest
from data_examples import continuous_spec, make_columns
from real import real

from vinci_offline import Dataset
from vinci_offline.convert.conversion import read, write
from vinci_offline.convert.registry import recognise
from vinci_offline.data.assembly.options import ImportOptions
from vinci_offline.errors import DatasetError

REAGENT = {
    "observation": "state_features/*",
    "action": "action/*",
    "next_observation": "next_state_features/*",
    "episode": "mdp_id",
    "step": "sequence_number",
}


def lines(tmp_path, *rows):
    path = tmp_path / "t.jsonl"
    path.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows))
    return path


def test_lists_are_vectors(tmp_path):
    path = lines(
        tmp_path,
        {"observation": [1, 2.5], "action": [0.1], "reward": 1},
        {"observation": [3, 4], "action": [0.2], "reward": 0},
    )
    assert recognise(path).name == "jsonl"
    found = read(path, options=ImportOptions(ends="terminal")).dataset
    assert found.columns["observations"].tolist() == [[1, 2.5], [3, 4]]
    assert found.columns["actions"].shape == (2, 1)


def test_objects_are_dicts(tmp_path):
    row = {"observation": {"car": {"speed": [1.5, 2]}, "fuel": [3.5]}, "action": [0.1], "reward": 1}
    found = read(lines(tmp_path, row), options=ImportOptions(ends="terminal")).dataset
    assert found.columns["observations/car/speed"].tolist() == [[1.5, 2]]
    assert found.columns["observations/fuel"].tolist() == [[3.5]]


def sparse(*states):
    return [{"state": state, "action": [0.1], "reward": 0} for state in states]


def test_missing_fills_sparse_features(tmp_path):
    path = lines(tmp_path, *sparse({"0": 1.0, "10": 2.0}, {"2": 3}))
    columns = {"observation": "state/*", "action": "action_*"}
    with pytest.raises(
        DatasetError, match="line 2: nothing in state/0: say what stands for it, as with --set missing"
    ):
        read(path, options=ImportOptions(ends="terminal", columns=columns))
    options = ImportOptions(ends="terminal", columns=columns, settings={"missing": "0"})
    assert read(path, options=options).dataset.columns["observations"].tolist() == [[1, 0, 2], [0, 3, 0]]


def test_unmapped_values_are_ignored(tmp_path):
    rows = [{**row, "note": ["a", None, {"b": "c"}]} for row in sparse({"0": 1.5})]
    columns = {"observation": "state/*", "action": "action_*"}
    found = read(lines(tmp_path, *rows), options=ImportOptions(ends="terminal", columns=columns))
    assert list(found.dataset.columns) == [
        *("observations", "actions", "rewards", "next_observations", "terminals", "timeouts")
    ]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("{", "line 2 is no JSON object that a row can be"),
        ("[1, 2]", "line 2 is no JSON object that a row can be .it is a list"),
        ('{"observation_0": 1.5, "action_0": "fast", "reward": 1}', "line 2: action_0 is 'fast'"),
        ('{"observation_0": 1.5, "action_0": null, "reward": 1}', "line 2: nothing in action_0"),
        ('{"observation_0": 1.5, "reward": 1}', "line 2: nothing in action_0"),
        (
            '{"observation_0": 1.5, "observation": [1], "action_0": 1, "reward": 1}',
            "observation_0 comes twice",
        ),
        ('{"observation_0": ' + "[" * 10**5, "line 2 is no JSON object"),
        ('{"observation_0": ' + "9" * 5000 + "}", "line 2 is no JSON object"),
        ('{"observation_0": 1.5, "action_0": 1' + "0" * 30 + '1, "reward": 1}', "line 2: action_0 is '1000"),
    ],
)
def test_error_names_line(tmp_path, row, message):
    path = lines(tmp_path, {"observation_0": 0.5, "action_0": 0.5, "reward": 1}, row)
    with pytest.raises(DatasetError, match=message) as caught:
        read(path, options=ImportOptions(ends="terminal"))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


def test_too_many_names_are_refused(tmp_path):
    path = lines(tmp_path, {str(number): 0 for number in range(2**16 + 1)})
    with pytest.raises(DatasetError, match=r"line 1 .*more than 65,536 different names"):
        read(path, options=ImportOptions(ends="terminal"))


def test_pandas_reads_export(tmp_path):
    spec = continuous_spec()
    columns = make_columns(spec, [3, 2], infos=["cost"])
    columns["infos/cost"][:3] = [np.nan, np.inf, -np.inf]
    dataset = Dataset.from_columns(columns, spec)
    write(dataset, tmp_path / "d.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "d.jsonl").read_text().splitlines()]
    assert list(rows[0]) == list(dataset.to_pandas().columns)
    assert rows[3]["terminal"] is False
    found = read(tmp_path / "d.jsonl", options=ImportOptions(spec)).dataset
    np.testing.assert_array_equal(found.columns["infos/cost"], columns["infos/cost"])


def test_reagent_pendulum_dataset():
    path = real("reagent_pendulum.jsonl.bz2")
    found = read(path, options=ImportOptions(ends="timeout", columns=REAGENT))
    columns = found.dataset.columns
    assert len(found.dataset) == 8600
    assert found.dataset.episode_columns["length"].tolist() == [200] * 43
    assert "rows were sorted by episode and step" in found.decisions
    within = ~columns["timeouts"][:-1]
    np.testing.assert_array_equal(
        columns["next_observations"][:-1][within], columns["observations"][1:][within]
    )
    np.testing.assert_allclose((columns["observations"][:, :2] ** 2).sum(axis=1), 1, rtol=1e-6)
