import h5py
import typer
from typer.testing import CliRunner

from vinci_offline import Dataset
from vinci_offline.cli.collect import collect


def invoke(*arguments):
    app = typer.Typer()
    app.command()(collect)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_command_records_and_reports(tmp_path):
    path = tmp_path / "data.h5"
    result = invoke(
        "Pendulum-v1",
        "-o",
        path,
        "--episodes",
        2,
        "--seed",
        5,
        "--env-kwargs",
        '{"g": 5.0, "max_episode_steps": 20}',
    )
    assert result.exit_code == 0, result.output
    assert "40 rows" in result.stdout
    assert "2 episodes, mean return -" in result.stdout
    data = Dataset.open(path)
    assert data.spec.kwargs["g"] == 5.0
    assert data.attributes["seed"] == 5
    assert data.attributes["policy"] == "random"


def test_command_tells_a_cut_episode(toys, tmp_path):
    options = ("vinci_toys:Counter", "--env-kwargs", '{"length": 4}', "--policy", "vinci_toys:follow")
    whole = invoke(*options, "-o", tmp_path / "a.h5", "--steps", 10).stdout
    assert "2 episodes, mean return" in whole
    assert "--steps cut the last episode, a fragment that the mean leaves out" in whole
    assert (
        "a fragment of an episode, which --steps cut"
        in invoke(*options, "-o", tmp_path / "b.h5", "--steps", 3).stdout
    )


def test_command_takes_several_policies_and_infos(toys, tmp_path):
    path = tmp_path / "data.h5"
    options = ("--policy", "random", "--policy", "vinci_toys:follow", "--record-infos", "count, pair")
    result = invoke("vinci_toys:Counter", "-o", path, "--episodes", 4, *options)
    assert result.exit_code == 0, result.output
    data = Dataset.open(path)
    assert data.episodes["policy"].tolist() == [0, 1, 0, 1]
    assert {"infos/count", "infos/pair"} <= set(data.columns)


def test_bad_options_are_named(tmp_path):
    path = tmp_path / "data.h5"
    for options, says in (
        (("--steps", 5, "--engine", "spark"), "--engine must be local or ray, not 'spark'"),
        (("--steps", 5, "--env-kwargs", "{"), "is not JSON"),
        (("--steps", 5, "--env-kwargs", "[1]"), "not a JSON object"),
    ):
        result = invoke("Pendulum-v1", "-o", path, *options)
        assert says in str(result.exception)
        assert not path.exists()


def test_frames_option_sets_storage(tmp_path):
    for frames in ("once", "plain"):
        invoke("Pendulum-v1", "-o", tmp_path / f"{frames}.h5", "--steps", 20, "--frames", frames)
    with h5py.File(tmp_path / "once.h5") as once, h5py.File(tmp_path / "plain.h5") as plain:
        assert once["observations"].is_virtual
        assert not plain["observations"].is_virtual
        assert once.attrs["content_hash"] == plain.attrs["content_hash"]
