"""The convert command: its output and its options."""

import json
from functools import wraps

import h5py
import numpy as np
import pytest
import typer
from data_examples import continuous_spec, discrete_spec, make_columns
from typer.testing import CliRunner

from vinci_offline import Dataset, EnvironmentSpec
from vinci_offline.cli.console import errors_as_exit_codes
from vinci_offline.cli.convert import convert
from vinci_offline.convert.conversion import write


@pytest.fixture
def run():
    app = typer.Typer()

    @app.command()
    @wraps(convert)
    def guarded(*args, **kwargs):
        with errors_as_exit_codes():
            convert(*args, **kwargs)

    return lambda *words: CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture
def dataset():
    spec = continuous_spec()
    return Dataset.from_columns(make_columns(spec, [5, 3], terminated=[True, False], infos=["cost"]), spec)


@pytest.fixture
def own(dataset, tmp_path):
    return dataset.save(tmp_path / "own.h5").path


def test_json_output_is_one_object(run, own, tmp_path):
    result = run(own, tmp_path / "dump.h5", "--to", "d3rlpy", "--json")
    content = json.loads(result.stdout)
    assert (content["file"], content["rows"], content["episodes"]) == (str(tmp_path / "dump.h5"), 8, 2)
    assert content["dropped"] == {}
    assert content["lost"][0] == "infos/cost"


def test_output_lists_decisions_and_dropped_rows(run, own, tmp_path):
    run(own, tmp_path / "flat.hdf5")
    with h5py.File(tmp_path / "flat.hdf5", "r+") as file:
        del file["next_observations"]
    result = run(tmp_path / "flat.hdf5", tmp_path / "back.h5", "--json")
    content = json.loads(result.stdout)
    assert content["rows"] == 7
    assert list(content["dropped"].values()) == [1]
    told = run(tmp_path / "flat.hdf5", tmp_path / "back2.h5").output
    assert "dropped" in told
    assert "decided" in told


def test_target_settings_begin_with_to(run, own, dataset, tmp_path):
    run(own, tmp_path / "flat.hdf5", "--set", "to.final_rows=yes")
    back = run(tmp_path / "flat.hdf5", tmp_path / "back.h5", "--json")
    assert json.loads(back.stdout)["rows"] == len(dataset)


def test_environment_gives_number_of_choices(run, tmp_path):
    columns = make_columns(discrete_spec(2), [3], terminated=[True])
    for path in ("observations", "next_observations"):
        columns[path] = np.pad(columns[path], ((0, 0), (0, 1)))
    spec = EnvironmentSpec(continuous_spec(4).observation_space, discrete_spec(2).action_space)
    write(Dataset.from_columns(columns, spec), tmp_path / "dump.h5", kind="d3rlpy")
    refused = run(tmp_path / "dump.h5", tmp_path / "back.h5")
    assert refused.exit_code == 1
    assert "say --env ENV" in refused.stderr
    assert run(tmp_path / "dump.h5", tmp_path / "back.h5", "--env", "CartPole-v1").exit_code == 0
    assert Dataset.open(tmp_path / "back.h5").spec.id == "CartPole-v1"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--from", "hdf"], "unknown format 'hdf'"),
        (["--ends", "both"], "--ends must be terminal, timeout or limit, not 'both'"),
        (["--set", "final_rows"], "write it as --set KEY=VALUE"),
        (["--set", "colour=blue"], "has no setting colour"),
        (["--to", "vinci", "--set", "to.colour=blue"], "has no setting colour"),
    ],
)
def test_wrong_options_exit_with_two(run, own, tmp_path, words, message):
    refused = run(own, tmp_path / "new.h5", *words)
    assert refused.exit_code == 2
    assert message in refused.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["own.h5"]


def test_existing_target_needs_overwrite(run, own, tmp_path):
    target = tmp_path / "flat.hdf5"
    target.write_text("mine")
    assert run(own, target).exit_code == 2
    assert target.read_text() == "mine"
    assert run(own, target, "--overwrite").exit_code == 0


@pytest.mark.parametrize("way", ["itself", "link"])
def test_source_is_never_the_target(run, own, tmp_path, way):
    before, target = own.read_bytes(), own
    if way == "link":
        target = tmp_path / "link.h5"
        target.symlink_to(own)
    refused = run(own, target, "--overwrite")
    assert refused.exit_code == 2
    assert "is the source itself" in refused.stderr
    assert own.read_bytes() == before


def test_map_option_maps_table_columns(run, tmp_path):
    (tmp_path / "log.csv").write_text("age,item,click,pscore\n0.5,a,1,0.5\n1.5,b,0,0.25\n")
    mapping = [
        f"--map={pair}" for pair in ("observation=age", "action=item", "reward=click", "propensity=pscore")
    ]
    said = ["--ends", "terminal", "--set", "actions=3", "--set", "categories=item", "--json"]
    result = run(tmp_path / "log.csv", tmp_path / "log.h5", *mapping, *said)
    assert json.loads(result.stdout)["episodes"] == 2
    np.testing.assert_allclose(
        Dataset.open(tmp_path / "log.h5").columns["infos/action_log_probs"], np.log([0.5, 0.25]), rtol=1e-6
    )
