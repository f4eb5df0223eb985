import dataclasses

import keras
import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from vinci_offline.envs.evaluator import Evaluation
from vinci_offline.hooks.phase_plane import RESOLUTION, phase_plane
from vinci_offline.hooks.portrait import Portrait
from vinci_offline.hooks.tensorboard import TensorBoard
from vinci_offline.spec import EnvironmentSpec


@pytest.fixture(scope="module")
def observation():
    return keras.Input((2,))


@pytest.fixture(scope="module")
def policy(observation):
    """Make a policy whose action is the sign of the velocity."""
    return keras.Model(observation, keras.ops.sign(observation[:, 1:]))


@pytest.fixture(scope="module")
def critic(observation):
    """Make a critic of two members, action + position and action + position + 1; their minimum drops the 1."""
    action = keras.Input((1,))
    q = action[:, 0] + observation[:, 0]
    return keras.Model([observation, action], keras.ops.stack([q + 1, q]))


def test_values_on_the_plane(tmp_path, make_run, policy, critic):
    run = make_run(tmp_path, policy=policy, nets={"critic": critic})
    plane = phase_plane(run)
    x, y = np.meshgrid(plane.x, plane.y)
    assert plane.action.shape == (RESOLUTION, RESOLUTION)
    np.testing.assert_array_equal(plane.action, np.sign(y))
    np.testing.assert_allclose(plane.value, np.sign(y) + x, rtol=1e-6)
    assert plane.x[0] < run.observations[:, 0].min()
    assert plane.x[-1] > run.observations[:, 0].max()


def test_critic_gets_scaled_actions(tmp_path, make_run, policy, critic, box):
    wide = EnvironmentSpec(box([-1, -1], [1, 1]), box([-4.0], [4.0]))
    plane = phase_plane(make_run(tmp_path, policy=policy, nets={"critic": critic}, spec=wide))
    x, y = np.meshgrid(plane.x, plane.y)
    np.testing.assert_allclose(plane.value, np.sign(y) / 4 + x, rtol=1e-5)


def test_discrete_value_is_of_the_best_action(tmp_path, make_run, observation, discrete_spec):
    policy = keras.Model(observation, keras.ops.cast(observation[:, 1] > 0, "int64") * 2)
    q = keras.ops.stack([observation, -observation], axis=0)  # two members, two "actions"
    critic = keras.Model(observation, q)
    run = make_run(tmp_path, policy=policy, nets={"critic": critic}, spec=discrete_spec)
    plane = phase_plane(run)
    x, y = np.meshgrid(plane.x, plane.y)
    np.testing.assert_allclose(plane.value, np.maximum(-abs(x), -abs(y)), rtol=1e-6)
    portrait = Portrait()
    portrait.start(run)
    portrait.finish(3)
    assert (tmp_path / "portraits" / "step-00000003.png").stat().st_size > 1000


def test_value_network_comes_before_the_critics(tmp_path, make_run, policy, critic, observation):
    value = keras.Model(observation, observation[:, 0] * 7)
    plane = phase_plane(make_run(tmp_path, policy=policy, nets={"critic": critic, "value": value}))
    np.testing.assert_allclose(plane.value[0], plane.x * 7, rtol=1e-6)


def test_portrait_at_evaluations_and_end_and_in_tensorboard(tmp_path, make_run, policy, critic):
    run = make_run(tmp_path, policy=policy, nets={"critic": critic})
    board = TensorBoard()
    hooks = (board, Portrait(board))
    for hook in hooks:
        hook.start(run)
    for hook in hooks:
        hook.metrics(5, {"loss/critic": 1.0})
        hook.metrics(10, {"loss/critic": 1.0})
        hook.evaluation(10, Evaluation(None, 1, (93.5,), (5,)))
    for hook in hooks:
        hook.finish(20)
    names = sorted(path.name for path in (tmp_path / "portraits").iterdir())
    assert names == [f"step-000000{step}.{kind}" for step in (10, 20) for kind in ("npz", "png")]
    images = (
        EventAccumulator(str(tmp_path), size_guidance={"images": 0})
        .Reload()
        .Images("training_statistics/portrait")
    )
    assert [(image.step, image.width) for image in images] == [(10, 1800), (20, 1800)]
    shown = EventAccumulator(str(tmp_path), size_guidance={"images": 0}).Reload()
    (strip,) = shown.Images("training_statistics/portraits over time")
    assert (strip.step, strip.width, strip.height) == (20, 400, 430)
    assert images[0].encoded_image_string == (tmp_path / "portraits" / names[1]).read_bytes()


def test_portrait_of_actor_alone_at_every_second_call(tmp_path, make_run, policy):
    portrait = Portrait(every=2)
    portrait.start(make_run(tmp_path, policy=policy))
    for step in (1, 2, 3, 4):
        portrait.metrics(step, {})
    portrait.finish(4)
    files = sorted((tmp_path / "portraits").glob("*.png"))
    assert [path.stem for path in files] == ["step-00000002", "step-00000004"]
    width = int.from_bytes(files[0].read_bytes()[16:20], "big")
    assert width == 900


def test_resume_drops_portraits_of_later_steps(tmp_path, make_run, policy):
    folder = tmp_path / "portraits"
    folder.mkdir()
    kept = {"step-00000010.png", "step-00000020.png", "step-00000020.npz", "mine.png"}
    for name in (*kept, "step-00000030.png", "step-00000030.npz"):
        (folder / name).touch()
    Portrait().start(make_run(tmp_path, policy=policy, start_step=20))
    assert {path.name for path in folder.iterdir()} == kept


def test_strip_holds_eight_sound_portraits_of_many(tmp_path, make_run, policy):
    (tmp_path / "portraits").mkdir()
    (tmp_path / "portraits" / "step-00000000.npz").touch()  # damaged
    board = TensorBoard()
    run = make_run(tmp_path, policy=policy, start_step=1)
    portrait = Portrait(board, every=1)
    for hook in (board, portrait):
        hook.start(run)
    for step in range(2, 20):
        portrait.metrics(step, {})
    portrait.finish(20)
    shown = EventAccumulator(str(tmp_path), size_guidance={"images": 0}).Reload()
    (strip,) = shown.Images("training_statistics/portraits over time")
    assert (strip.step, strip.width, strip.height) == (20, 1400, 230)


def test_other_observation_shapes_have_no_portrait(tmp_path, make_run, policy, box):
    spec = EnvironmentSpec(box([-1, -1, -1], [1, 1, 1]), box([-1.0], [1.0]), "Pendulum-v1")
    portrait = Portrait()
    portrait.start(make_run(tmp_path, policy=policy, spec=spec, observations=np.zeros((5, 3), np.float32)))
    portrait.finish(20)
    assert not (tmp_path / "portraits").exists()


def test_diverged_run_has_no_portrait(tmp_path, make_run, observation):
    broken = keras.Model(observation, keras.ops.log(-keras.ops.abs(observation[:, :1]) - 1))
    portrait = Portrait()
    portrait.start(make_run(tmp_path, policy=broken))
    portrait.finish(20)
    assert not (tmp_path / "portraits").exists()


def test_constant_dataset_and_constant_critic_are_drawn(tmp_path, make_run, observation, policy):
    constant = keras.Model(observation, observation[:, 0] * 0)
    run = make_run(tmp_path, policy=policy, nets={"value": constant})
    portrait = Portrait()
    portrait.start(dataclasses.replace(run, observations=np.zeros((3, 2), np.float32)))
    portrait.finish(1)
    assert (tmp_path / "portraits" / "step-00000001.png").exists()
