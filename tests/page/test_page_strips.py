"""Frames of episodes on the page."""

import base64
import io

import numpy as np
import pytest
from data_examples import continuous_spec, make_columns
from html_pages import Page
from PIL import Image

from vinci_offline.data.dataset import Dataset
from vinci_offline.page import strips
from vinci_offline.page.report import report
from vinci_offline.spec import BoxSpace, EnvironmentSpec

LENGTHS = [30, 4, 5]


def images(path, shape, rewards=(0.0, 3.0, -3.0)):
    """Save episodes whose frames are as bright as their row's number."""
    low, high = np.zeros(shape, np.uint8), np.full(shape, 255, np.uint8)
    spec = EnvironmentSpec(BoxSpace(shape, "uint8", low, high), continuous_spec().action_space)
    columns = make_columns(spec, LENGTHS)
    rows = np.arange(sum(LENGTHS), dtype=np.uint8)
    columns["observations"] = np.broadcast_to(rows.reshape(-1, *[1] * len(shape)), (len(rows), *shape)).copy()
    columns["rewards"] = np.repeat(np.float32(rewards), LENGTHS)
    return Dataset.from_columns(columns, spec, {"length": LENGTHS}).save(path).path


def decoded(address):
    kind, content = address.split(",")
    assert kind in {"data:image/png;base64", "data:image/jpeg;base64"}
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content))))


@pytest.mark.parametrize("shape", [(8, 6), (8, 6, 3), (4, 20, 20), (8, 6, 1)])
def test_first_best_and_worst_episodes_have_frames(tmp_path, shape):
    report([images(tmp_path / "d.h5", shape)], tmp_path / "page.html")
    page = Page(tmp_path / "page.html")
    shown = page.all("img")
    assert [each["alt"] for each in shown[12:16]] == [f"Episode 1 at step {step}" for step in range(4)]
    assert [each["alt"] for each in shown[:2]] == ["Episode 0 at step 0", "Episode 0 at step 3"]
    assert len(shown) == 12 + 4 + 5
    frame = decoded(shown[13]["src"])  # row 31
    assert frame.shape[:2] == {(4, 20, 20): (20, 20)}.get(shape, (8, 6))
    assert np.abs(frame.astype(int) - 31).max() <= 2
    assert "Episode 1, the best: return 12, 4 rows" in page.source
    assert "Episode 2, the worst: return -15, 5 rows" in page.source
    assert [each["id"] for each in page.all("details") if each.get("class") == "strip"] == [
        f"data-0-episodes-strip-{number}" for number in (0, 1, 2)
    ]


def test_large_frames_are_made_smaller(tmp_path):
    report([images(tmp_path / "d.h5", (256, 512, 3))], tmp_path / "page.html")
    assert decoded(Page(tmp_path / "page.html").all("img")[0]["src"]).shape == (64, 128, 3)


def test_frames_that_do_not_fit_are_left_out(tmp_path, monkeypatch):
    path = images(tmp_path / "d.h5", (8, 6))
    monkeypatch.setattr(strips, "MOST_BYTES", 12 * 130)
    report([path], tmp_path / "page.html")
    assert len(Page(tmp_path / "page.html").all("img")) == 12


def test_why_an_episode_is_chosen():
    unusual = np.array([False, True, False, True, True, True])
    returns = np.array([2.0, 1, np.nan, 5, 2, 2])
    assert strips._chosen(returns, unusual) == {
        0: ["the first"],
        3: ["the best", "unusual"],
        1: ["the worst", "unusual"],
        4: ["unusual"],
    }
    assert strips._chosen(np.array([1.0]), np.array([False])) == {0: ["the first"]}
