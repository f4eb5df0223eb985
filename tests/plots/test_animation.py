"""`animate`: frames of a run's portraits on common scales, and errors that say why there are none."""

import json
from dataclasses import replace

import keras
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from vinci_offline.cli.app import app
from vinci_offline.envs.evaluator import Evaluation
from vinci_offline.errors import UsageError, VinciError
from vinci_offline.hooks.hook import RunInfo
from vinci_offline.hooks.phase_plane import PhasePlane
from vinci_offline.hooks.portrait import Portrait
from vinci_offline.hooks.portrait_figure import Scales
from vinci_offline.hooks.snapshot import Snapshot, read_snapshot, stored_snapshots
from vinci_offline.plots.animation import animate
from vinci_offline.spec import BoxSpace, EnvironmentSpec


def box(*bounds):
    low, high = np.array(bounds, np.float32).T
    return BoxSpace(low.shape, "float32", low, high)


CAR = EnvironmentSpec(box((-1.2, 0.6), (-0.07, 0.07)), box((-1, 1)), "MountainCarContinuous-v0")
AXIS = np.linspace(0, 1, 5, dtype=np.float32)


def snapshot(step, level=0.5, value=1.0, **given):
    field = np.full((5, 5), level, np.float32)
    return Snapshot(step, PhasePlane(AXIS, AXIS, field, None if value is None else value * field), **given)


@pytest.fixture
def make_stored(tmp_path):
    """Make a run directory that holds these snapshots."""

    def make(*snapshots, spec=CAR):
        run = tmp_path / "run"
        (run / "portraits").mkdir(parents=True)
        config = {"agent": "td3bc", "environment": spec.to_object()}
        (run / "config.json").write_text(json.dumps(config))
        for each in snapshots:
            each.write(run / "portraits")
        return run

    return make


def test_hook_keeps_what_animate_draws(tmp_path, make_stored):
    run = make_stored()
    observation = keras.Input((2,))
    policy = keras.Model(observation, observation[:, 1:] * 10)
    observations = np.random.default_rng(0).uniform([-1.2, -0.07], [0.6, 0.07], (50, 2)).astype(np.float32)
    portrait = Portrait()
    portrait.start(RunInfo(run, "bc", {}, {}, CAR, 0, 20, {}, policy, observations))
    path = np.array([[-0.5, 0.0], [-0.4, 0.01]], np.float32)
    portrait.evaluation(10, Evaluation(None, 1, (-3.5,), (1,), path=path))
    portrait.finish(20)
    files = stored_snapshots(run / "portraits")
    assert list(files) == [10, 20]
    first, last = (read_snapshot(file, step) for step, file in files.items())
    np.testing.assert_array_equal(first.path, path)
    assert (first.return_mean, last.return_mean, last.path) == (-3.5, None, None)
    np.testing.assert_allclose(first.plane.action[:, 0], first.plane.y * 10, rtol=1e-5)
    made = animate(run, tmp_path / "car.gif")
    assert (made.frames, made.first_step, made.last_step) == (2, 10, 20)


def test_frames_have_times_and_the_last_one_stays(tmp_path, make_stored):
    run = make_stored(*(snapshot(step, step / 100, return_mean=float(step)) for step in range(10, 80, 10)))
    made = animate(run, tmp_path / "out" / "car.gif", frames=3, fps=4)
    assert (made.frames, made.first_step, made.last_step) == (3, 10, 70)
    with Image.open(made.path) as image:
        assert (image.format, image.size, image.n_frames, image.info["loop"]) == ("GIF", (900, 500), 3, 0)
        times, colours, values = [], [], []
        for frame in range(3):
            image.seek(frame)
            times.append(image.info["duration"])
            colours.append(image.convert("RGB").getpixel((200, 200)))
            values.append(image.convert("RGB").getpixel((650, 200)))
    assert times == [250, 250, 3000]
    assert made.seconds == pytest.approx(3.5)
    assert len(set(colours)) == 3
    assert len(set(values)) == 3  # on one scale, a value that grows changes its colour
    # A positive action is red; a greater one is redder.
    assert all(red > blue for red, _, blue in colours)
    assert sorted(colours, key=lambda colour: -colour[2]) == colours


def test_all_frames_share_scales(make_stored):
    planes = [snapshot(1, 0.5, 2.0).plane, snapshot(2, 1.0, 8.0).plane, snapshot(3, value=None).plane]
    assert Scales.of(planes, CAR) == Scales((-1.0, 1.0), (1.0, 8.0))
    free = replace(CAR, action_space=box((-np.inf, np.inf)))
    assert Scales.of(planes, free).action == (-1.0, 1.0)


def test_actor_alone_is_half_as_wide(tmp_path, make_stored):
    made = animate(make_stored(snapshot(1, value=None), snapshot(2, value=None)), tmp_path / "bc.gif")
    with Image.open(made.path) as image:
        assert image.size == (450, 390)


def test_same_run_makes_same_bytes(tmp_path, make_stored):
    run = make_stored(snapshot(1), snapshot(2, 0.9))
    first, second = (animate(run, tmp_path / f"{name}.gif").path.read_bytes() for name in "ab")
    assert first == second


def test_run_without_portraits_says_why_and_what_to_do(tmp_path, make_stored):
    run = make_stored(snapshot(5))
    with pytest.raises(UsageError, match=r"one portrait only.*train with --eval-every"):
        animate(run, tmp_path / "a.gif")
    (run / "portraits" / "step-00000005.npz").unlink()
    with pytest.raises(UsageError, match="no portraits with their numbers"):
        animate(run, tmp_path / "a.gif")
    with pytest.raises(VinciError, match="not a run directory"):
        animate(tmp_path, tmp_path / "a.gif")
    assert not (tmp_path / "a.gif").exists()


def test_observations_of_three_numbers_are_named(tmp_path, make_stored):
    run = make_stored(spec=replace(CAR, observation_space=box((-1, 1), (-1, 1), (-8, 8))))
    with pytest.raises(UsageError, match=r"an observation is two numbers, and here it is .*\(3,\)"):
        animate(run, tmp_path / "a.gif")


@pytest.mark.parametrize(
    ("output", "given", "told"),
    [("a.png", {}, "with .gif"), ("a.gif", {"frames": 1}, "--frames"), ("a.gif", {"fps": 0}, "--fps")],
)
def test_wrong_options_are_refused(tmp_path, make_stored, output, given, told):
    with pytest.raises(UsageError, match=told):
        animate(make_stored(snapshot(1), snapshot(2)), tmp_path / output, **given)


def test_existing_file_is_kept_unless_overwritten(tmp_path, make_stored):
    run, output = make_stored(snapshot(1), snapshot(2)), tmp_path / "a.gif"
    output.write_text("mine")
    with pytest.raises(UsageError, match="exists"):
        animate(run, output)
    assert output.read_text() == "mine"
    animate(run, output, overwrite=True)
    assert output.read_bytes().startswith(b"GIF89a")


def archive(**arrays):
    good = {"x": AXIS, "y": AXIS, "action": np.zeros((5, 5), np.float32)}
    return lambda path: np.savez(path, **{**good, **arrays})


@pytest.mark.parametrize(
    ("write", "told"),
    [
        (lambda path: path.write_bytes(b"not a zip"), "not a zip"),
        (archive(action=np.zeros((5, 4), np.float32)), "5 by 5"),
        (archive(value=np.full((5, 5), np.nan, np.float32)), "finite"),
        (archive(x=AXIS[::-1].copy()), "do not rise"),
        (archive(x=np.zeros((5, 1))), "no lines"),
        (archive(path=np.zeros((4, 3))), "two numbers a step"),
        (archive(path=np.zeros((2**20, 2, 2))), "more than"),
        (archive(x=np.arange(2000.0)), "no lines"),
        (archive(path=np.zeros((0, 2))), "path"),
        (archive(return_mean=np.zeros(3)), "reshape"),
        (archive(action=np.zeros((5, 5), "U1")), "finite"),
        (lambda path: np.savez(path, x=AXIS, y=AXIS), "action"),
        (lambda path: path.mkdir(), "regular file"),
    ],
)
def test_damaged_numbers_are_named(tmp_path, make_stored, write, told):
    run = make_stored(snapshot(1))
    broken = run / "portraits" / "step-00000002.npz"
    write(broken)
    with pytest.raises(VinciError, match=f"step-00000002.npz is no portrait's numbers .*{told}"):
        animate(run, tmp_path / "a.gif")


def test_command_reports_what_it_made(tmp_path, make_stored):
    run = make_stored(snapshot(100, return_mean=-1.0), snapshot(2000, return_mean=93.0))
    output = tmp_path / "car.gif"
    told = CliRunner().invoke(app, ["animate", str(run), "-o", str(output)])
    assert told.exit_code == 0
    assert "2 frames of steps 100 to 2,000, 3.2 s" in told.stdout
    again = CliRunner().invoke(app, ["animate", str(run), "-o", str(output), "--overwrite", "--json"])
    assert json.loads(again.stdout) == {
        "animation": str(output),
        "bytes": output.stat().st_size,
        "frames": 2,
        "first_step": 100,
        "last_step": 2000,
        "seconds": pytest.approx(19 / 6),
    }
    refused = CliRunner().invoke(app, ["animate", str(run), "-o", str(output)])
    assert refused.exit_code == 2
