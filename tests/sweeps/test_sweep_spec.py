"""Specs of sweeps: what a file may say, the cells that it means, and mistakes in one line."""

import pytest

from vinci_offline.errors import UsageError
from vinci_offline.sweeps.spec import SweepSpec, read_spec
from vinci_offline.sweeps.values import Range, draw

SMALL = {"agents": ["td3bc", "bc"], "datasets": ["pendulum-mixed"], "steps": 10}


def cells(**content):
    return SweepSpec.of({**SMALL, **content}).cells()


def test_every_agent_meets_every_dataset_seed_and_value():
    found = cells(datasets=["one.h5", "two.h5"], seeds=3, set={"td3bc": {"alpha": [1, 2.5]}})
    # td3bc: 2 datasets x 3 seeds x 2 values; bc: 2 x 3.
    assert len(found) == 12 + 6
    assert len({cell.name for cell in found}) == 18
    assert found[0].name == "one-td3bc-alpha=1.0-seed-0"
    assert found[-1].name == "two-bc-seed-2"
    assert found[0].settings == {"alpha": 1.0}
    assert [cell.seed for cell in found[:3]] == [0, 1, 2]


def test_a_setting_of_all_agents_and_one_of_an_agent():
    found = cells(set={"hidden": [32, 32], "td3bc": {"alpha": 1, "hidden": [[8], [16]]}})
    assert [(cell.agent, dict(cell.settings)) for cell in found] == [
        ("td3bc", {"hidden": [8], "alpha": 1.0}),
        ("td3bc", {"hidden": [16], "alpha": 1.0}),
        ("bc", {"hidden": [32, 32]}),
    ]


def test_options_of_train_may_have_several_values():
    found = cells(batch_size=[64, 256], gamma=0.9)
    assert [cell.name for cell in found[:2]] == [
        "pendulum-mixed-td3bc-batch_size=64-seed-0",
        "pendulum-mixed-td3bc-batch_size=256-seed-0",
    ]
    assert found[0].options == {"steps": 10, "batch_size": 64, "gamma": 0.9}


def test_yaml_and_toml_say_the_same(tmp_path):
    yaml, toml = tmp_path / "spec.yaml", tmp_path / "spec.toml"
    # YAML 1.1 reads 1e5 and 1e-3 as texts, and off as false.
    yaml.write_text(
        "agents: td3bc\ndatasets: [pendulum-mixed]\nseeds: [4, 5]\nsteps: 1e5\njit: off\neval-every: 1e4\n"
        "set: {alpha: [1, 1e-3]}\n"
    )
    toml.write_text(
        'agents = ["td3bc"]\ndatasets = "pendulum-mixed"\nseeds = [4, 5]\nsteps = 100_000\njit = "off"\n'
        "eval_every = 10_000\nset.alpha = [1, 1e-3]\n"
    )
    assert read_spec(yaml).cells() == read_spec(toml).cells()
    (first, *_) = read_spec(yaml).cells()
    assert first.options == {"steps": 100_000, "jit": "off", "eval_every": 10_000}


def test_a_spec_that_is_written_reads_the_same():
    spec = SweepSpec.of(
        {**SMALL, "samples": 3, "set": {"td3bc": {"alpha": {"low": 1, "high": 9, "log": True}}}}
    )
    assert SweepSpec.of(spec.to_json()) == spec
    assert SweepSpec.of(spec.to_json()).cells() == spec.cells()


def test_random_draws_lie_in_their_range_and_grow_at_the_end():
    ranges = {"td3bc": {"alpha": {"low": 0.1, "high": 10, "log": True}}}
    few, many = cells(agents="td3bc", samples=4, set=ranges), cells(agents="td3bc", samples=8, set=ranges)
    assert many[:4] == few
    assert len({cell.name for cell in many}) == 8
    assert all(0.1 <= cell.settings["alpha"] <= 10 for cell in many)
    other = cells(agents="td3bc", samples=4, sample_seed=1, set=ranges)
    assert {cell.name for cell in other}.isdisjoint(cell.name for cell in few)


def test_a_draw_depends_on_its_own_name_and_number_alone():
    alone = cells(agents="td3bc", samples=2, set={"alpha": {"low": 1, "high": 2}})
    beside = cells(
        agents="td3bc", samples=2, set={"alpha": {"low": 1, "high": 2}, "tau": {"low": 0.1, "high": 0.2}}
    )
    assert [cell.settings["alpha"] for cell in alone] == [cell.settings["alpha"] for cell in beside]


@pytest.mark.parametrize(
    ("tried", "place", "value"),
    [
        (Range(0, 10), 0.25, 2.5),
        (Range(0.01, 1, log=True), 0.5, 0.1),  # the geometric mean
        (Range(1, 4, whole=True), 0.0, 1),
        (Range(1, 4, whole=True), 0.999, 4),  # both ends are drawn
        (Range(0, 3), 1 / 3, 1.0),
        (Range(0, 1), 0.123456, 0.1235),  # four digits
    ],
)
def test_a_place_in_a_range(tried, place, value):
    assert tried.at(place) == pytest.approx(value, rel=1e-12)
    assert isinstance(tried.at(place), int) == tried.whole


def test_a_list_is_drawn_from():
    assert {draw(["a", "b"], "x", number, 0) for number in range(20)} == {"a", "b"}


def test_datasets_of_one_name_keep_apart():
    found = cells(agents="bc", datasets=["here/data.h5", "there/data.h5"])
    assert [cell.name for cell in found] == ["here-data-bc-seed-0", "there-data-bc-seed-0"]


def test_names_are_short_and_plain():
    found = cells(agents="bc", datasets=[f"{'x' * 300}.h5", f"{'x' * 300}y.h5", "a b$c.h5"])
    assert all(len(cell.name) < 140 for cell in found)
    assert found[0].name != found[1].name
    assert found[2].name == "a_b_c-bc-seed-0"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"agnets": ["bc"]}, "the spec has no key 'agnets'; it has .*; did you mean 'agents'"),
        ({"agent": "bc"}, "did you mean 'agents'"),
        ({"seed": 1}, "did you mean 'seeds'"),
        ({"alpha": 1}, "hyperparameters of agents stand under set"),
        ({"agents": []}, "agents is empty"),
        ({"agents": ["td3bd"]}, "unknown agent 'td3bd'; .*did you mean 'td3bc'"),
        ({"seeds": 0}, "seeds must be a whole number from 1 on, not 0"),
        ({"seeds": [0, -1]}, "seeds must be a whole number from 0 on, not -1"),
        ({"steps": "many"}, "steps must be a whole number, not 'many'"),
        ({"steps": 0}, "steps must be at least 1"),
        ({"batch_size": []}, "batch_size is empty"),
        ({"set": ["alpha"]}, "set must hold settings"),
        ({"set": {"alpha": 1}}, "agent 'bc' has no hyperparameter 'alpha'; give it to td3bc alone"),
        ({"set": {"td3bc": {"alhpa": 1}}}, "no hyperparameter 'alhpa'; did you mean 'alpha'"),
        ({"set": {"td3bc": 1}}, "td3bc is an agent: give its settings"),
        ({"set": {"iql": {"tau": 1}}}, "iql is none of the sweep's agents"),
        ({"set": {"td3bc": {"alpha": []}}}, "alpha is empty"),
        ({"set": {"td3bc": {"alpha": -1}}}, "alpha=-1.0 is not valid"),
        ({"set": {"td3bc": {"alpha": {"low": 1, "high": 2}}}}, "alpha is a range: say how many draws"),
        ({"samples": 2, "set": {"td3bc": {"alpha": {"low": 2, "high": 1}}}}, "low end below its high end"),
        (
            {"samples": 2, "set": {"td3bc": {"alpha": {"lo": 2}}}},
            "has 'lo', and a range has .*did you mean 'low'",
        ),
        ({"samples": 2, "set": {"td3bc": {"alpha": {"low": 0, "high": 1, "log": True}}}}, "by its logarithm"),
        ({"seeds": 20_000}, "more than 10,000 cells"),
        ({"env_kwargs": 3}, "env_kwargs must hold arguments"),
    ],
)
def test_mistakes_are_one_line(content, told):
    with pytest.raises(UsageError, match=told) as caught:
        cells(**content)
    assert "\n" not in str(caught.value)


def test_missing_keys_are_named():
    with pytest.raises(UsageError, match=r"needs datasets: write for instance datasets: \[data.h5\]"):
        SweepSpec.of({"agents": ["bc"]})


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("spec.yaml", "agents: [bc", "cannot be read: while parsing"),
        ("spec.yaml", "!!python/object/apply:os.system ['true']", "could not determine a constructor"),
        ("spec.yaml", "bc", "holds no keys"),
        ("spec.toml", "agents = [", "cannot be read"),
        ("spec.json", "{}", "a spec is a file .yaml, .yml or .toml"),
        ("spec.yaml", "agents: [bc]\nfoo: 1\ndatasets: [a]\n", "spec.yaml: the spec has no key 'foo'"),
    ],
)
def test_files_that_are_no_specs(tmp_path, name, text, told):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(UsageError, match=told):
        read_spec(path)


def test_a_missing_file_names_one_that_is_there(tmp_path):
    (tmp_path / "sweep.yaml").write_text("agents: bc")
    with pytest.raises(UsageError, match=r"does not exist.*did you mean '.*sweep.yaml'"):
        read_spec(tmp_path / "sweeps.yaml")
