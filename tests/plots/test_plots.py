import numpy as np
import pytest

from vinci_offline.errors import UsageError, VinciError
from vinci_offline.hooks.csv_log import CsvTable
from vinci_offline.plots.runs import plot_curves, plot_returns


def png_size(path):
    content = path.read_bytes()
    assert content.startswith(b"\x89PNG")
    return tuple(int.from_bytes(content[at : at + 4], "big") for at in (16, 20))


def test_returns_plot_grows_with_groups_and_is_reproducible(tmp_path):
    returns = np.linspace(-1200, -800, 30)
    plot_returns(tmp_path / "two.png", {"random": returns, "trained": [-150.0, -120.0]})
    plot_returns(tmp_path / "four.png", dict.fromkeys("abcd", returns))
    assert png_size(tmp_path / "four.png")[0] > png_size(tmp_path / "two.png")[0] >= 700
    plot_returns(tmp_path / "again.png", {"random": returns, "trained": [-150.0, -120.0]})
    assert (tmp_path / "again.png").read_bytes() == (tmp_path / "two.png").read_bytes()


def test_returns_plot_shows_means(tmp_path):
    plot_returns(tmp_path / "returns.svg", {"random": [1.0, 2.0, 6.0]}, title="Pendulum-v1")
    text = (tmp_path / "returns.svg").read_text()
    assert "<!-- mean 3.0 -->" in text
    assert "<!-- Pendulum" in text


@pytest.mark.parametrize(
    ("name", "groups"),
    [("a.png", {}), ("a.png", {"x": []}), ("a.png", {"x": [1.0, float("nan")]}), ("a.doc", {"x": [1.0]})],
)
def test_bad_returns_are_refused(tmp_path, name, groups):
    with pytest.raises(UsageError):
        plot_returns(tmp_path / name, groups)
    assert not list(tmp_path.iterdir())


def test_curves_have_a_panel_for_each_loss(tmp_path):
    for run in ("a", "b"):
        (tmp_path / run).mkdir()
        metrics = CsvTable(tmp_path / run / "metrics.csv")
        metrics.append(1, {"loss/critic": 1.0})
        metrics.append(2, {"loss/critic": 0.5, "loss/actor": 1.0})
    evaluations = CsvTable(tmp_path / "b" / "evaluations.csv")
    evaluations.append(2, {"return_mean": 1.0, "return_std": 0.5})
    plot_curves(tmp_path / "one.png", [tmp_path / "a"])
    plot_curves(tmp_path / "both.png", [tmp_path / "a", tmp_path / "b"])
    assert png_size(tmp_path / "both.png")[1] == png_size(tmp_path / "one.png")[1] * 3 // 2


def test_curves_refuse_a_folder_without_run(tmp_path):
    with pytest.raises(VinciError, match="neither"):
        plot_curves(tmp_path / "x.png", [tmp_path])
