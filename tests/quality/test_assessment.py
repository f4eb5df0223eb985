from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from data_examples import box, continuous_spec, dict_spec, make_columns
from typer.testing import CliRunner

import vinci_offline
from vinci_offline import Dataset, EnvironmentSpec
from vinci_offline.cli.app import app
from vinci_offline.data.columns import LazyColumns
from vinci_offline.quality.assessment import picture, quality
from vinci_offline.quality.distribution import distribution
from vinci_offline.quality.suitability import suitable_agents
from vinci_offline.spec.gymnasium_bridge import reward_threshold


def test_distribution_by_hand():
    found = distribution(np.array([0.0, 1, 2, 3, 12, np.nan, np.inf]))
    assert found["quantiles"]["0.5"] == 2
    assert found["edges"] == list(range(13))
    assert found["counts"] == [1, 1, 1, 1] + [0] * 7 + [1]
    assert distribution(np.full(3, 7.5))["counts"] == [3]
    assert distribution(np.array([np.nan])) is None
    assert sum(distribution(np.array([-1e308, 1e308]))["counts"]) == 2


@pytest.mark.parametrize("values", [[200, 200], [1, 24], [0, 12], [3, 507, 9], [5]])
def test_integers_have_integer_edges(values):
    found = distribution(np.array(values))
    assert all(isinstance(edge, int) for edge in found["edges"])
    assert len(found["counts"]) <= 12
    assert sum(found["counts"]) == len(values)


def test_quality_extends_the_summary():
    spec = continuous_spec()
    dataset = Dataset.from_columns(make_columns(spec, [5, 6, 249]), spec)
    found = quality(dataset, gamma=0.9)
    assert found["rows"] == 260
    assert found["behaviour_value"]["gamma"] == 0.9
    assert found["returns"]["counts"][-1] >= 1
    assert sum(found["lengths"]["counts"]) == 3
    assert found["reward_mode_share"] == pytest.approx(1 / 260)
    assert {each["agent"] for each in found["agents"]} == {"bc", "td3bc", "iql", "ddpg"}
    assert found["no_verdict"] is None
    json.dumps(found)


def test_reads_are_bounded_by_blocks(tmp_path, monkeypatch):
    spec = continuous_spec()
    path = tmp_path / "d.h5"
    Dataset.from_columns(make_columns(spec, [100] * 20), spec).save(path)
    monkeypatch.setattr("vinci_offline.data.columns.BLOCK_BYTES", 400)
    monkeypatch.setattr("vinci_offline.data.columns._GAP_BYTES", 100)
    monkeypatch.setattr("vinci_offline.quality.assessment._ROWS", 50)
    monkeypatch.setattr("vinci_offline.quality.neighbours._REFERENCES", 50)
    dataset = Dataset.open(path)
    # The smallest column, of one-byte flags, has five times as many bytes as a block.
    assert min(dataset.columns.dtype(path).itemsize * len(dataset) for path in dataset.columns) == 2000
    read = []
    original = LazyColumns.read

    def measured(self, path, rows):
        values = original(self, path, rows)
        read.append(values.nbytes)
        return values

    monkeypatch.setattr(LazyColumns, "read", measured)
    quality(dataset)
    picture(dataset)
    assert max(read) <= 400
    assert not dataset.columns._loaded


def test_picture_of_dict_image_and_vector():
    spec = continuous_spec()
    rng = np.random.default_rng(0)
    line = np.outer(rng.normal(size=50), [1, -2, 0])
    shown = picture(Dataset.from_columns({**make_columns(spec, [25, 25]), "observations": line}, spec))
    assert shown.plane.shape == (50, 2)
    assert shown.explained == pytest.approx(1)
    assert shown.actions.shape == (50, 2)
    assert len(shown.returns) == len(shown.lengths) == 2
    assert picture(Dataset.from_columns(make_columns(dict_spec(), [6]), dict_spec())).plane is not None
    images = EnvironmentSpec(box(20, 20, dtype="uint8", low=0, high=255), box(1))
    assert picture(Dataset.from_columns(make_columns(images, [5]), images)).plane is None


def verdicts(level=0.3, upper_bound=False, discrete=False, **changes):
    facts = {
        "episodes": 50,
        "rows": 1000,
        "return_mean": -100.0,
        "return_std": 60.0,
        "reward_std": 1.0,
        "reward_mean": -1.0,
        "terminals": 50,
        "reward_threshold": None,
        "reward_mode_share": 0.1,
        "action_counts": {0: 5, 1: 5} if discrete else None,
        "stochasticity": None if level is None else {"level": level, "upper_bound": upper_bound},
        **changes,
    }
    found = suitable_agents(facts)
    assert all(each.source for each in found)
    return {each.agent: each.verdict for each in found}


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"level": 0.6}, {"td3bc": "perhaps", "iql": "perhaps", "bc": "perhaps", "ddpg": "perhaps"}),
        ({"return_std": 9.0}, {"bc": "perhaps"}),
        ({"return_std": 0.0, "level": 0.0}, {"bc": "perhaps"}),
        (
            {"level": 0.0, "reward_threshold": -110.0},
            {"bc": "well", "td3bc": "well", "iql": "well", "ddpg": "poorly"},
        ),
        ({"return_std": 0.0, "level": 0.0, "reward_threshold": -90.0}, {"bc": "perhaps", "iql": "perhaps"}),
        ({"level": 0.6, "reward_threshold": -110.0}, {"bc": "well", "ddpg": "perhaps"}),
        (
            {"level": 0.95, "reward_threshold": -110.0},
            {"bc": "perhaps", "td3bc": "perhaps", "iql": "perhaps"},
        ),
        ({"return_mean": None, "return_std": None, "reward_threshold": -110.0}, {"bc": "perhaps"}),
        ({"level": 0.95}, {"bc": "perhaps", "ddpg": "well", "iql": "perhaps", "td3bc": "perhaps"}),
        ({"level": 0.95, "upper_bound": True}, {"bc": "perhaps", "ddpg": "perhaps"}),
        ({"level": None}, {"bc": "perhaps", "ddpg": "perhaps", "td3bc": "perhaps"}),
        ({"level": 0.05}, {"td3bc": "perhaps", "iql": "perhaps", "ddpg": "poorly"}),
        ({"reward_mode_share": 0.99}, {"td3bc": "perhaps", "iql": "perhaps"}),
        ({"reward_mode_share": 1.0, "reward_std": 0.0}, {"td3bc": "perhaps"}),
        ({"reward_std": 0.0, "reward_mean": 0.0}, {"td3bc": "poorly", "iql": "poorly", "ddpg": "poorly"}),
        ({"reward_std": 0.0, "terminals": 0}, {"td3bc": "poorly", "iql": "poorly", "bc": "perhaps"}),
        ({"reward_std": 0.0, "reward_mean": 0.0, "discrete": True}, {"dqn": "poorly"}),
        ({"discrete": True, "level": 0.3}, {"dqn": "perhaps", "bc": "perhaps"}),
        ({"discrete": True, "level": 0.29}, {"dqn": "poorly"}),
        ({"discrete": True, "level": 0.8}, {"dqn": "perhaps", "bc": "perhaps"}),
        ({"discrete": True, "level": 0.95}, {"dqn": "well", "bc": "poorly"}),
        ({"discrete": True, "level": None}, {"dqn": "perhaps"}),
    ],
)
def test_thresholds_of_rules(facts, expected):
    found = verdicts(**facts)
    assert {agent: found[agent] for agent in expected} == expected


@pytest.mark.parametrize("rows", [1, 255])
def test_few_rows_get_no_verdict(rows, tmp_path):
    spec = continuous_spec()
    dataset = Dataset.from_columns(make_columns(spec, [rows]), spec)
    found = quality(dataset)
    assert found["agents"] == []
    path = dataset.save(tmp_path / "a.h5").path
    result = CliRunner().invoke(app, ["info", str(path), "--plot", str(tmp_path / "a.svg")])
    assert result.exit_code == 0
    assert result.stdout.endswith(f"{found['no_verdict']}\n")
    assert found["no_verdict"].startswith(f"{rows} row")
    assert "<!-- the data do not tell" in (tmp_path / "a.svg").read_text()


def test_constant_rewards_do_not_tell_actions_apart():
    spec = continuous_spec()
    columns = {**make_columns(spec, [5, 295]), "rewards": np.zeros(300)}
    told = quality(Dataset.from_columns(columns, spec))["agents"]
    assert not any("rewards tell actions apart" in each["because"] for each in told)
    assert {each["because"] for each in told if each["agent"] != "bc"} == {
        "all rewards are 0: no action is better than another"
    }


@pytest.mark.parametrize(
    ("reward", "terminated", "said"),
    [
        (
            0,
            True,
            "reward signal none: all rewards are 0: no action is better than another; only imitation (bc)",
        ),
        (
            1,
            False,
            "none: the same reward in every row, and no episode terminates: .* only imitation (bc) fits",
        ),
        (1, True, "only where episodes terminate: all rewards are equal"),
        (None, True, None),
    ],
)
def test_info_says_that_there_is_no_reward_signal(reward, terminated, said, tmp_path):
    spec = continuous_spec()
    columns = make_columns(spec, [5, 6], terminated=[terminated, terminated])
    if reward is not None:
        columns["rewards"] = np.full(11, reward, np.float32)
    path = Dataset.from_columns(columns, spec).save(tmp_path / "a.h5").path
    shown = " ".join(CliRunner().invoke(app, ["info", str(path)]).stdout.split())
    if said is None:
        assert "reward signal" not in shown
    else:
        assert re.search(" ".join(said.split()).replace("(bc)", r"\(bc\)"), shown)


@pytest.mark.parametrize(
    ("name", "limit", "kwargs", "expected"),
    [
        ("CartPole-v1", 500, {}, 475.0),
        ("CartPole-v1", 50, {}, None),
        ("CartPole-v1", 500, {"sutton_barto_reward": True}, None),
        ("Pendulum-v1", 200, {}, None),
        ("nobody:Knows-v0", None, {}, None),
        (None, None, {}, None),
    ],
)
def test_threshold_is_of_the_registered_environment(name, limit, kwargs, expected):
    spaces = continuous_spec()
    spec = EnvironmentSpec(spaces.observation_space, spaces.action_space, name, kwargs, limit)
    assert reward_threshold(spec) == expected


def test_named_agents_exist():
    found = verdicts()
    folder = Path(vinci_offline.__file__).parent / "agents"
    assert all((folder / f"{name}.py").is_file() for name in {*found, *verdicts(discrete=True)})
    order = ["well", "perhaps", "poorly"]
    assert list(found.values()) == sorted(found.values(), key=order.index)
