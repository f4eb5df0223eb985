"""`evaluate`: success rates and other infos, the table of episodes, kinds of films."""

import json
import sys
from types import ModuleType
from typing import ClassVar

import gymnasium
import numpy as np
import pytest
from evaluation_env import SeededLength
from typer.testing import CliRunner

from vinci_offline import evaluate
from vinci_offline.cli.app import app
from vinci_offline.envs.episode_infos import EpisodeInfos, WantedInfo
from vinci_offline.envs.video import filmed
from vinci_offline.errors import UsageError


class Informing(SeededLength):
    """Environment that says at each step how many steps are left, and whether these are few."""

    def step(self, action):
        observation, reward, terminated, truncated, _ = super().step(action)
        info = {"left": np.array([self.left]), "is_success": self.left == 0, "text": "none"}
        return observation, reward, terminated, truncated, info


ENV = "test_evaluation_infos:Informing"


def of_steps(name, infos):
    collected = EpisodeInfos([WantedInfo.parse(name)])
    for info in infos:
        collected.add(info)
    return collected.finish()[0]


@pytest.mark.parametrize(
    ("name", "value"),
    [("speed", 4), ("last:speed", 4), ("max:speed", 9), ("mean:speed", 5), ("sum:speed", 15)],
)
def test_infos_of_steps_become_one_number(name, value):
    assert of_steps(name, [{"speed": 2}, {"speed": np.float32(9)}, {"speed": np.array([4])}]) == value


def test_a_key_may_come_at_the_end_alone_or_be_missing_in_between():
    assert of_steps("is_success", [{}, {}, {"is_success": True}]) == 1
    assert of_steps("max:speed", [{"speed": 2}, {}]) == 2
    with pytest.raises(UsageError, match="info at an episode's end has no 'speed'; it has: cost"):
        of_steps("speed", [{"speed": 2}, {"cost": 0}])
    with pytest.raises(UsageError, match="the environment's info has no 'speed'; it has: nothing"):
        of_steps("sum:speed", [{}, {}])


@pytest.mark.parametrize("value", ["far", [1.0, 2.0], None, [[1], [2, 3]]])
def test_an_info_that_is_no_number_is_refused(value):
    with pytest.raises(UsageError, match="info 'speed' is no number: it is of type"):
        of_steps("speed", [{"speed": value}])


def test_success_rates_have_wilsons_interval():
    found = evaluate(lambda _: np.zeros(1), Informing, episodes=8, infos=["is_success", "max:left"])
    assert found.infos["is_success"] == (1.0,) * 8
    # z = 1.959964: 8 / (8 + z^2) is the lower end of 8 successes of 8 (Wilson, 1927).
    assert found.rate_interval("is_success") == pytest.approx((8 / (8 + 1.959964**2), 1), abs=1e-6)
    assert found.infos["max:left"] == tuple(length - 1 for length in found.lengths)
    assert found.rate_interval("max:left") is None
    told = found.to_json()["infos"]
    assert told["is_success"]["mean"] == 1
    assert set(told["max:left"]) == {"mean", "std"}
    assert "infos" not in evaluate("random", Informing, episodes=2).to_json()


def test_the_table_has_a_row_an_episode_whatever_the_workers(tmp_path):
    options = {"episodes": 7, "lanes": 2, "infos": ["is_success"]}
    one = evaluate("random", ENV, csv=tmp_path / "one.csv", **options)
    evaluate("random", ENV, workers=2, csv=tmp_path / "two.csv", **options)
    assert (tmp_path / "one.csv").read_text() == (tmp_path / "two.csv").read_text()
    header, first, *rest = (tmp_path / "one.csv").read_text().splitlines()
    assert header == "episode,return,length,terminated,is_success"
    assert first == f"0,{one.returns[0]!r},{one.lengths[0]},True,1.0"
    assert len(rest) == 6
    with pytest.raises(UsageError, match=r"one.csv exists already"):
        evaluate("random", ENV, csv=tmp_path / "one.csv", **options)
    evaluate("random", ENV, csv=tmp_path / "one.csv", overwrite=True, **{**options, "episodes": 2})
    assert len((tmp_path / "one.csv").read_text().splitlines()) == 3


def test_the_command_shows_rates_and_means():
    arguments = ["evaluate", "random", "--env", ENV, "--episodes", "4", "--infos", "is_success, max:left"]
    shown = CliRunner().invoke(app, arguments)
    assert shown.exit_code == 0, shown.output
    assert "is_success  100.0%, 95% interval 51.0% to 100.0%" in shown.stdout
    assert "max:left    " in shown.stdout
    content = json.loads(CliRunner().invoke(app, [*arguments, "--json"]).stdout)
    assert content["infos"]["is_success"]["low"] == pytest.approx(4 / (4 + 1.959964**2), abs=1e-6)


def test_a_key_that_is_named_twice_or_empty_is_refused():
    for infos in (["a", "a"], ["max:"]):
        with pytest.raises(UsageError, match="give each key once"):
            evaluate("random", Informing, episodes=1, infos=infos)


class Drawn(SeededLength):
    """Environment whose frames are of one grey that counts them."""

    metadata: ClassVar = {"render_modes": ["rgb_array"], "render_fps": 100}
    frames = 0

    def render(self):
        self.frames += 1
        return np.full((4, 4, 3), self.frames, np.uint8)


def test_a_gif_has_every_second_frame_of_a_fast_environment(tmp_path, monkeypatch):
    written = []

    class Clip:
        def __init__(self, frames, fps):
            self.told = [int(frame[0, 0, 0]) for frame in frames], fps

        def write_gif(self, path, logger):
            written.append((path, *self.told))

    for name in ("moviepy", "moviepy.video", "moviepy.video.io", "moviepy.video.io.ImageSequenceClip"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setattr(
        sys.modules["moviepy.video.io.ImageSequenceClip"], "ImageSequenceClip", Clip, raising=False
    )
    env: gymnasium.Env = filmed(Drawn(render_mode="rgb_array"), tmp_path, 1, "gif")
    env.reset(seed=1)
    env.unwrapped.left = 4
    for _ in range(4):
        env.step(np.zeros(1, np.float32))
    env.reset(seed=2)  # ends the film; the next episode is not filmed
    env.close()
    assert written == [(str(tmp_path / "episode-001-episode-0.gif"), [1, 3, 5], 50)]
