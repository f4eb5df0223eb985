import errno
import math
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vinci_offline import VinciError
from vinci_offline.envs.evaluator import Evaluation
from vinci_offline.hooks.csv_log import CsvLog, CsvTable, last_values


def test_rows_read_back_exactly(tmp_path, make_run):
    log = CsvLog()
    log.start(make_run(tmp_path))
    log.metrics(1000, {"loss/critic": 0.1 + 0.2})
    log.evaluation(1000, Evaluation("Hopper-v5", 2, (1.0, 4.0), (10, 30)))
    metrics = pd.read_csv(tmp_path / "metrics.csv")
    assert metrics.to_dict("list") == {"step": [1000], "loss/critic": [0.1 + 0.2]}
    (row,) = pd.read_csv(tmp_path / "evaluations.csv").to_dict("records")
    assert (row["step"], row["return_mean"], row["return_std"], row["length_mean"], row["episodes"]) == (
        1000, 2.5, 3 / math.sqrt(2), 20.0, 2,
    )  # fmt: skip
    assert row["normalized_mean"] == pytest.approx(100 * (2.5 + 20.272305) / (3234.3 + 20.272305))


def test_missing_score_is_an_empty_cell(tmp_path, make_run):
    log = CsvLog()
    log.start(make_run(tmp_path))
    log.evaluation(5, Evaluation("Pendulum-v1", 1, (1.0,), (10,)))
    row = pd.read_csv(tmp_path / "evaluations.csv").iloc[0]
    assert math.isnan(row["normalized_mean"])
    assert math.isnan(row["return_std"])  # of a single episode
    assert ",nan" not in (tmp_path / "evaluations.csv").read_text()


def test_later_metrics_become_columns(tmp_path):
    table = CsvTable(tmp_path / "metrics.csv")
    table.append(1, {"loss/critic": 1.0})
    table.append(2, {"loss/actor": 2.0})
    table.append(3, {"loss/critic": 3.0, "loss/actor": 4.0})
    frame = pd.read_csv(tmp_path / "metrics.csv")
    assert list(frame.columns) == ["step", "loss/critic", "loss/actor"]
    assert frame["loss/critic"].tolist()[::2] == [1.0, 3.0]
    assert frame["loss/actor"].tolist()[1:] == [2.0, 4.0]
    assert frame.isna().sum().tolist() == [0, 1, 1]


def test_resume_drops_later_steps_and_a_half_written_row(tmp_path):
    path = tmp_path / "metrics.csv"
    table = CsvTable(path)
    for step in (10, 20, 30):
        table.append(step, {"a": float(step)})
    whole = path.read_text()
    path.write_text(whole + "40,4")
    CsvTable(path, start_step=20).append(30, {"a": 31.0})
    assert pd.read_csv(path).to_dict("list") == {"step": [10, 20, 30], "a": [10.0, 20.0, 31.0]}


def test_resume_drops_a_row_without_line_end(tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_text("step,a\n10,1.5\n20,2.")  # 2.75 cut short is a number still
    CsvTable(path, start_step=20)
    assert path.read_text() == "step,a\n10,1.5\n"


@pytest.mark.parametrize("left", ["", "st", "step,a", "step,a\n"])
def test_resume_repairs_a_cut_header(tmp_path, left):
    path = tmp_path / "metrics.csv"
    path.write_text(left)
    CsvTable(path, start_step=5).append(6, {"a": 1.0})
    assert path.read_text() == "step,a\n6,1.0\n"


def test_a_new_run_starts_with_empty_tables(tmp_path):
    path = tmp_path / "metrics.csv"
    CsvTable(path).append(1, {"a": 1.0})
    CsvTable(path)
    assert not path.exists()


@given(
    rows=st.lists(
        st.dictionaries(
            st.sampled_from(["a", "b,c", 'd"e']), st.floats(allow_nan=False, allow_infinity=False)
        ),
        max_size=6,
    ),
    cut=st.integers(1, 6),
)
def test_any_rows_survive_growth_and_resume(tmp_path_factory, rows, cut):
    path = tmp_path_factory.mktemp("csv") / "metrics.csv"
    table = CsvTable(path)
    for step, row in enumerate(rows, start=1):
        table.append(step, row)
    CsvTable(path, start_step=cut)
    if rows:
        frame = pd.read_csv(path)
        found = [{k: v for k, v in row.items() if k != "step" and v == v} for row in frame.to_dict("records")]
        assert found == rows[:cut]


def test_a_failing_disk_is_told_in_one_line(tmp_path, monkeypatch):
    table = CsvTable(tmp_path / "metrics.csv")
    table.append(1, {"loss": 0.5})

    def full(self, *_args, **_kwargs):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(VinciError, match=r"metrics\.csv cannot be written: Input/output error"):
        table.append(2, {"loss": 0.25})


@pytest.mark.parametrize(
    "row", ["9" * 5000 + ",1.0", "\u0663,1.0", "5,much", "5"], ids=["digits", "script", "text", "cut"]
)
def test_resume_drops_damaged_rows(tmp_path, row):
    path = tmp_path / "metrics.csv"
    path.write_text(f"step,loss\n1,0.5\n{row}\n", encoding="utf-8")
    CsvTable(path, 9)
    assert path.read_text() == "step,loss\n1,0.5\n"
    assert last_values(path) == {"loss": 0.5}


def test_a_cell_beyond_the_limit_is_one_line(tmp_path):
    (tmp_path / "metrics.csv").write_text("step\n" + "9" * 200_000 + "\n")
    with pytest.raises(VinciError, match=r"metrics\.csv is damaged \(field larger"):
        CsvTable(tmp_path / "metrics.csv", 9)
