from __future__ import annotations

import json

import h5py
import numpy as np
import pytest
import typer
from data_examples import box, continuous_spec, discrete_spec, make_columns
from typer.testing import CliRunner

from vinci_offline import Dataset, EnvironmentSpec
from vinci_offline.cli.console import errors_as_exit_codes
from vinci_offline.cli.datasets import datasets
from vinci_offline.cli.info import info
from vinci_offline.cli.validate import validate
from vinci_offline.data import shipped

SCRIPTS_RELY_ON = [
    *("rows", "episodes", "return_mean", "return_std", "return_min", "return_max", "terminals", "timeouts"),
    *("observation_shape", "action_shape", "env", "hash"),
]


@pytest.fixture
def run():
    from functools import wraps

    app = typer.Typer()
    for function in (info, validate, datasets):

        def command(function):
            @wraps(function)
            def guarded(*args, **kwargs):
                with errors_as_exit_codes():
                    function(*args, **kwargs)

            return guarded

        app.command()(command(function))
    return lambda *words: CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture
def path(tmp_path):
    spec = continuous_spec()
    attributes = {"policy": "[red]random[/red]", "noise": "\x1b[31m", "seed": 7}
    dataset = Dataset.from_columns(make_columns(spec, [4, 3]), spec, {"length": [4, 3]}, attributes)
    return dataset.save(tmp_path / "d.h5").path


def test_info_json_keys(run, path):
    result = run("info", path, "--json")
    assert result.exit_code == 0
    content = json.loads(result.stdout)
    assert set(SCRIPTS_RELY_ON) <= set(content)
    assert {"agent": "td3", "fits": True, "because": "continuous actions"} in content["fitting"]
    assert "fit (continuous actions): awac, bc, " in run("info", path).stdout
    dataset = Dataset.open(path)
    assert content["rows"] == len(dataset.to_pandas()) == 7
    assert content["return_mean"] == pytest.approx(dataset.episodes["return"].mean())
    assert content["hash"] == dataset.hash


def test_info_in_a_pipe_is_a_plain_table(run, path):
    result = run("info", path)
    assert result.exit_code == 0
    lines = dict(line.split(None, 1) for line in result.stdout.splitlines() if line.strip())
    assert lines["rows"].strip() == "7"
    assert lines["environment"].strip() == "Test-v0"
    assert lines["hash"].strip() == Dataset.open(path).hash


def test_texts_of_a_file_are_printed_literally(run, path):
    result = run("info", path)
    assert "[red]random[/red]" in result.stdout
    assert "\x1b" not in result.stdout


def test_info_shows_bars_value_and_agents(run, path, monkeypatch):
    assert "7 rows do not tell which agents suit" in run("info", path).stdout
    monkeypatch.setattr("vinci_offline.quality.suitability.FEWEST", 7)
    result = run("info", path, "--gamma", "0.5")
    assert "at gamma 0.5" in result.stdout
    assert "█" * 32 in result.stdout
    assert "td3bc" in result.stdout
    assert "the data do not tell which is best" in result.stdout
    assert run("info", path, "--gamma", "2").exit_code == 2


@pytest.mark.parametrize(("rows", "told"), [(slice(0, 6), "fragments"), (slice(1, 3), "none whole")])
def test_info_says_what_it_left_out(run, path, tmp_path, rows, told):
    part = Dataset.open(path).rows(rows).save(tmp_path / "part.h5")
    result = run("info", part.path, "--plot", tmp_path / "part.png")
    assert result.exit_code == 0, result.output
    assert told in result.stdout
    assert part.episodes["return"].isna().sum() == 1
    content = json.loads(run("info", part.path, "--json").stdout)
    assert content["fragments"] == 1
    assert content["return_max"] == part.episodes["return"].dropna().max() or content["return_max"] is None


def test_info_plot_keeps_an_existing_file(run, path, tmp_path):
    picture = tmp_path / "plots" / "d.png"
    assert run("info", path, "--plot", picture).exit_code == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert run("info", path, "--plot", picture).exit_code == 2
    assert run("info", path, "--plot", picture, "--overwrite", "--json").exit_code == 0


def test_info_of_discrete_actions_and_images(run, tmp_path):
    Dataset.from_columns(make_columns(discrete_spec(3), [5]), discrete_spec(3)).save(tmp_path / "d.h5")
    result = run("info", tmp_path / "d.h5")
    assert "one of 3" in result.stdout
    assert "action shares" in result.stdout
    spec = EnvironmentSpec(box(20, 30, 3, dtype="uint8", low=0, high=255), box(40, low=-1, high=1))
    Dataset.from_columns(make_columns(spec, [5]), spec).save(tmp_path / "e.h5")
    result = run("info", tmp_path / "e.h5")
    assert "20 x 30 x 3" in result.stdout
    assert "actions: 16 more with --json" in result.stdout


def test_info_json_has_null_for_non_finite_numbers(run, tmp_path):
    columns = make_columns(continuous_spec(), [3])
    columns["rewards"][0] = np.nan
    Dataset.from_columns(columns, continuous_spec()).save(tmp_path / "d.h5")
    result = run("info", tmp_path / "d.h5", "--json")
    assert json.loads(result.stdout)["return_mean"] is None


def test_errors_exit_1_with_one_line(run, tmp_path):
    result = run("info", tmp_path / "nothing.h5")
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""


def test_validate_exits_0_on_a_sound_file(run, path):
    result = run("validate", path)
    assert (result.exit_code, result.stdout) == (0, "")
    assert "is sound" in result.stderr


def test_validate_exits_1_with_each_problem(run, path):
    with h5py.File(path, "r+") as file:
        file["rewards"][2] = np.nan
        file["actions"][1, 0] = 3
    result = run("validate", path)
    assert result.exit_code == 1
    places = [line.partition(":")[0] for line in result.stdout.splitlines()]
    assert places == ["rewards row 2", "actions row 1", "attribute 'content_hash'"]
    assert "3 problems" in result.stderr


def test_validate_as_json(run, path):
    with h5py.File(path, "r+") as file:
        file["actions"][1, 0] = 3
        file["actions"][:, 1] = 0.5
    result = run("validate", path, "--json")
    assert result.exit_code == 1
    content = json.loads(result.stdout)
    assert (content["file"], content["sound"]) == (str(path), False)
    assert [problem["where"] for problem in content["problems"]] == [
        "actions row 1",
        "attribute 'content_hash'",
    ]
    assert [note["where"] for note in content["notes"]] == ["actions"]
    assert {"where", "what", "advice"} <= set(content["problems"][0])


def test_validate_exits_0_with_notes_alone(run, tmp_path):
    columns = make_columns(continuous_spec(), [4, 3])
    columns["rewards"][:] = 1
    Dataset.from_columns(columns, continuous_spec()).save(tmp_path / "d.h5")
    result = run("validate", tmp_path / "d.h5")
    assert result.exit_code == 0
    assert result.stdout.startswith("note: rewards: the same in every row; ")
    assert "is sound" in result.stderr


def test_validate_repairs(run, path, tmp_path):
    with h5py.File(path, "r+") as file:
        file["rewards"][2] = np.nan
    result = run("validate", path)
    assert "2 problems; --repair OUT.h5 writes a file without them" in result.stderr
    out = tmp_path / "out.h5"
    result = run("validate", path, "--repair", out)
    assert result.exit_code == 0
    assert result.stdout.startswith("repaired: rows: 1 row with NaN or infinite values dropped")
    assert f"{out} is sound" in result.stderr
    assert run("validate", path, "--repair", out).exit_code == 2
    content = json.loads(run("validate", path, "--repair", out, "--overwrite", "--json").stdout)
    assert (content["file"], content["output"], content["sound"]) == (str(path), str(out), True)
    assert [each["where"] for each in content["repairs"]][:2] == ["rows", "timeouts"]
    assert run("validate", out).exit_code == 0


def test_validate_exits_1_where_a_repair_leaves_problems(run, path, tmp_path):
    with h5py.File(path, "r+") as file:
        file["actions"][2] = 9
    result = run("validate", path, "--repair", tmp_path / "out.h5")
    assert result.exit_code == 1
    assert "\nactions row 2: 1 row outside the space" in result.stdout


def test_unrepairable_problems_name_the_file(run, path, tmp_path):
    out = tmp_path / "out.h5"
    run("validate", path, "--repair", out)
    with h5py.File(path, "r+") as file:
        del file["actions"]
    result = run("validate", path, "--repair", out, "--overwrite")
    assert result.exit_code == 1
    assert result.stderr.startswith(f"{path}: 1 problem")
    assert run("validate", out).exit_code == 0


def test_validate_refuses_options_of_a_repair_without_one(run, path):
    result = run("validate", path, "--drop-duplicates")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "--drop-duplicates needs --repair OUT.h5" in result.stderr


@pytest.fixture
def pendulum(tmp_path):
    from vinci_offline import collect

    return collect("Pendulum-v1", tmp_path / "pendulum.h5", steps=50, progress=False).path


def test_validate_replays(run, pendulum):
    result = run("validate", pendulum, "--replay", 20)
    assert result.exit_code == 0
    assert result.stdout.startswith("replay: 20 rows in Pendulum-v1: next observations off by at most ")
    content = json.loads(run("validate", pendulum, "--env", "Pendulum-v1", "--json").stdout)
    assert content["replay"]["rows"] == 50
    assert content["sound"]
    columns = dict(Dataset.open(pendulum).columns)
    columns["actions"] = -columns["actions"]
    Dataset.from_columns(columns, Dataset.open(pendulum).spec).save(pendulum, overwrite=True)
    result = run("validate", pendulum, "--replay", 20, "--json")
    assert result.exit_code == 1
    content = json.loads(result.stdout)
    assert not content["sound"]
    assert content["problems"][0]["where"].startswith("next_observations row ")
    assert run("validate", pendulum, "--tolerance", 10).exit_code == 0


def test_validate_uses_spaces_of_env_option(run, pendulum, tmp_path):
    with h5py.File(tmp_path / "flat.hdf5", "w") as file:
        for name, values in Dataset.open(pendulum).columns.items():
            file[name] = values
        file["actions"][4] = 3
    result = run("validate", tmp_path / "flat.hdf5", "--env", "Pendulum-v1", "--replay", 0)
    assert result.exit_code == 1
    assert result.stdout.startswith("actions row 4: 1 row outside the space")
    assert run("validate", tmp_path / "flat.hdf5", "--replay", 20).exit_code == 2


def test_datasets_lists_shipped_datasets(run, tmp_path, monkeypatch):
    spec = continuous_spec()
    dataset = Dataset.from_columns(make_columns(spec, [3]), spec).save(tmp_path / "toy-mixed.h5")
    (tmp_path / "toy-mixed.md").write_text("# toy-mixed\n\nThree rows of nothing.\n")
    monkeypatch.setattr(shipped, "_FOLDERS", (tmp_path,))
    content = json.loads(run("datasets", "--json").stdout)
    assert content["toy-mixed"]["rows"] == 3
    assert content["toy-mixed"]["env"] == "Test-v0"
    assert content["toy-mixed"]["return_mean"] == pytest.approx(dataset.episodes["return"].mean())
    assert content["toy-mixed"]["about"] == "Three rows of nothing."
    result = run("datasets")
    assert "toy-mixed  Test-v0" in result.stdout
    assert result.stdout.endswith("vinci-offline info toy-mixed\n")
