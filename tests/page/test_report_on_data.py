"""`report` of datasets: findings, card and episodes."""

import h5py
import numpy as np
from data_examples import continuous_spec, make_columns
from html_pages import Page
from written_runs import run

from vinci_offline.data.dataset import Dataset
from vinci_offline.page.datasets import MOST_EPISODES, _chosen, _unusual
from vinci_offline.page.report import report

LENGTHS = [4, 5, 6, 5, 20]


def saved(path, rewards=None, **attributes):
    spec = continuous_spec()
    columns = make_columns(spec, LENGTHS, terminated=[True, False, True, False, True])
    if rewards is not None:
        columns["rewards"] = np.repeat(np.float32(rewards), LENGTHS)
    return Dataset.from_columns(columns, spec, {"length": LENGTHS}, attributes).save(path).path


def written(tmp_path, paths):
    report(paths, tmp_path / "page.html", overwrite=True)
    return Page(tmp_path / "page.html")


def test_episodes_are_listed_with_returns_ends_and_outliers(tmp_path):
    page = written(tmp_path, [saved(tmp_path / "d.h5", rewards=[1, 1, 1, 1, 0.25])])
    # Lengths 4, 5, 5, 6, 20: quartiles 5 and 6, so more than 7.5 is unusual. Returns 4, 5, 6, 5, 5 have the quartiles 5
    # and 5: most are equal, and none is unusual.
    assert page.charts["data-0-episodes"] == [
        [0, 4.0, 4, "terminal", False],
        [1, 5.0, 5, "timeout", False],
        [2, 6.0, 6, "terminal", False],
        [3, 5.0, 5, "timeout", False],
        [4, 5.0, 20, "terminal", True],
    ]
    assert page.charts["data-0-returns"]["series"][0]["mean"] == [4, 5, 6, 5, 5]
    assert "1 episode of 5 with an unusual return or length" in page.source
    assert "sound: validate found no problem" in page.source
    assert "<dt>rows</dt><dd>40</dd>" in page.source


def test_unusual_values_are_beyond_the_fences():
    # In order -1.6, 1, 2, 3, 3, 4, 6.6: the quartiles are 1.5 and 3.5, the fences -1.5 and 6.5.
    values = np.array([1.0, 2, 3, 4, 6.6, -1.6, np.nan, 3])
    assert _unusual(values).tolist() == [False, False, False, False, True, True, False, False]
    assert _unusual(np.array([np.nan, np.nan])).tolist() == [False, False]


def test_many_episodes_are_sampled_with_the_unusual_ones():
    unusual = np.zeros(3 * MOST_EPISODES, dtype=bool)
    unusual[[7, 29_990]] = True
    chosen = _chosen(unusual)
    assert {7, 29_990} <= set(chosen.tolist())
    assert len(chosen) <= MOST_EPISODES


def test_a_fault_is_shown_and_a_file_that_does_not_open_too(tmp_path):
    path = saved(tmp_path / "d.h5")
    with h5py.File(path, "r+") as file:
        file["rewards"][3] = np.nan
    page = written(tmp_path, [path])
    assert "validate found" in page.source
    assert "<li>rewards row 3: 1 row with NaN or infinite values" in page.source
    with h5py.File(path, "r+") as file:
        del file["rewards"]
    page = written(tmp_path, [path])
    assert "<li>columns: missing rewards" in page.source
    assert "<dl>" not in page.source


def test_texts_of_a_file_do_not_act(tmp_path):
    hostile = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"
    page = written(tmp_path, [saved(tmp_path / "<img src=x>.h5", **{"policy": hostile, hostile[-28:]: 1})])
    assert [each.get("type") for each in page.all("script")] == ["application/json", None, None]
    assert page.all("img") == []
    assert "&lt;img src=x&gt;.h5" in page.source


def test_runs_and_data_share_a_page(tmp_path):
    page = written(tmp_path, [saved(tmp_path / "d.h5"), run(tmp_path, "bc", 0, [1])])
    assert "1 run, d.h5</h1>" in page.source
    assert [each["href"] for each in page.all("a")] == ["#main", "#task-0", "#data-0"]
    targets = {each["id"] for _, each in page.elements if "id" in each}
    assert {"main", "task-0", "data-0"} <= targets
