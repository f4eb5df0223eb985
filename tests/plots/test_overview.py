import numpy as np
import pytest

from vinci_offline.errors import UsageError
from vinci_offline.plots.overview import plot_overview

AGENTS = [
    {"agent": "iql", "verdict": "well", "because": "x" * 80},
    {"agent": "bc", "verdict": "poorly", "because": "y"},
]


def draw(path, count=60, **changes):
    rng = np.random.default_rng(0)
    shown = {
        "returns": rng.normal(size=count),
        "lengths": rng.integers(1, 9, count),
        "actions": rng.normal(size=(200, 14)),
        "plane": rng.normal(size=(200, 2)),
        "explained": 0.7,
        "agents": AGENTS,
        "discrete": False,
        **changes,
    }
    plot_overview(path, "mixed.h5", **shown)
    return path


def test_overview_has_titles_and_is_reproducible(tmp_path):
    text = draw(tmp_path / "a.svg").read_text()
    for told in (
        "mixed.h5",
        "Return of an episode",
        "iql",
        "poorly",
        "first axis (both: 70% of",
        "second axis",
        "rows of 200",
        "return",
        "steps",
        "episodes",
        "dimension (2 more)",
        "mean of 3",
    ):
        assert f"<!-- {told}" in text
    assert draw(tmp_path / "a.png").read_bytes() == draw(tmp_path / "b.png").read_bytes()


def test_constant_length_is_one_line(tmp_path):
    text = draw(tmp_path / "a.svg", lengths=np.full(60, 200)).read_text()
    assert "<!-- each of 60 episodes: 200" in text
    assert (
        text.count("<!-- median") == text.count("<!-- mean") - 1 == 1
    )  # those of the returns, and their running mean


@pytest.mark.parametrize(
    "changes",
    [
        {"discrete": True, "actions": np.array([[0], [3], [3]])},
        {"plane": None},
        {"returns": np.array([np.nan]), "lengths": np.array([5]), "actions": np.full((3, 1), np.nan)},
        {"returns": np.array([2.0, 2.0]), "actions": np.zeros((3, 2)), "agents": []},
    ],
)
def test_overview_draws_odd_data(tmp_path, changes):
    assert draw(tmp_path / "a.png", **changes).read_bytes().startswith(b"\x89PNG")


def test_unknown_picture_format_is_refused(tmp_path):
    with pytest.raises(UsageError, match="does not name a picture"):
        draw(tmp_path / "a.doc")
