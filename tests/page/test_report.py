"""`report`: the figures on the page, and that nothing from files acts in it."""

import base64
import html
import json
import re

import pytest
from html_pages import Page
from typer.testing import CliRunner
from written_runs import run

import vinci_offline
from vinci_offline.cli.app import app
from vinci_offline.errors import UsageError, VinciError
from vinci_offline.page.curves import MOST_POINTS, over_seeds
from vinci_offline.page.repeat import train_command
from vinci_offline.page.report import report
from vinci_offline.runs.run_directory import RunDirectory
from vinci_offline.runs.sweep_directory import SweepDirectory


def written(tmp_path, runs, **options):
    report(runs, tmp_path / "page.html", **options)
    return Page(tmp_path / "page.html")


def metrics(path, *rows):
    (path / "metrics.csv").write_text("\n".join([*rows, ""]))
    return path


def test_table_and_verdict_are_those_of_compare(tmp_path):
    runs = [run(tmp_path, "iql", seed, [value]) for seed, value in enumerate([100, 101, 102])]
    runs += [run(tmp_path, "bc", seed, [value]) for seed, value in enumerate([1, 2, 3])]
    page = written(tmp_path, runs)
    # Both deviate by 1: 4.302653 (t, 2 degrees of freedom) / sqrt(3) = 2.484.
    assert page.rows[1][:3] == ["iql", "101.00", "98.52 to 103.48"]
    assert page.rows[2][:3] == ["bc", "2.00", "-0.48 to 4.48"]
    assert "iql is better than bc: iql above bc in 100% of pairs of seeds" in page.source
    # Welch with equal deviations is Student with 4 degrees of freedom: 99 ± 2.776445 sqrt(2/3) = 99 ± 2.267.
    assert (
        "leads bc by 99 of return (101 against 2); 95% interval of the difference over seeds 96.73 to 101.3"
        in (page.source)
    )


def test_curves_are_means_over_seeds_with_their_range(tmp_path):
    runs = [run(tmp_path, "bc", 0, [1, 5]), run(tmp_path, "bc", 1, [3, 4])]
    metrics(runs[0], "step,loss/actor,q/mean,steps_per_second", "10,2,nan,9", "20,1,7,9")
    charts = list(written(tmp_path, runs).charts.values())
    returns = {"name": "bc", "place": 0, "mean": [2.0, 4.5], "low": [1.0, 4.0], "high": [3.0, 5.0]}
    assert charts[0] == {"title": "mean return", "steps": [50, 100], "series": [returns]}
    assert [(chart["title"], chart["steps"]) for chart in charts[1:]] == [
        ("q/mean", [20]),
        ("loss/actor", [10, 20]),
    ]


def test_an_agent_has_one_colour_in_all_tasks(tmp_path):
    runs = [run(tmp_path, "bc", 0, [1]), run(tmp_path, "iql", 0, [2])]
    runs += [run(tmp_path, "bc", 0, [2], data="other"), run(tmp_path, "iql", 0, [1], data="other")]
    page = written(tmp_path, runs)
    found = [(each["name"], each["place"]) for chart in page.charts.values() for each in chart["series"]]
    assert found == [("iql", 0), ("bc", 1), ("bc", 1), ("iql", 0)]
    buttons = [each for each in page.all("button") if "data-place" in each]
    assert [each["data-place"] for each in buttons] == ["0", "1", "1", "0"]


def test_many_rows_are_averaged():
    rows = [{"step": float(step), "loss": float(step)} for step in range(2 * MOST_POINTS)]
    curve = over_seeds("loss", [rows])
    assert len(curve) == MOST_POINTS
    assert curve[1] == (0.5, 0.5, 0.5)  # steps 0 and 1


def test_runs_without_evaluations_are_told(tmp_path):
    runs = [metrics(run(tmp_path, "bc", 0, []), "step,loss/actor", "10,2"), run(tmp_path, "iql", 0, [3])]
    page = written(tmp_path, runs)
    assert "1 run has no evaluation, and so no part in the table and the verdict" in page.source
    assert [series["name"] for chart in page.charts.values() for series in chart["series"]] == ["iql", "bc"]
    page = written(tmp_path, runs[:1], overwrite=True)
    assert "no run was evaluated" in page.source


HOSTILE = "</script><script>alert(1)</script><img src=http://evil.example/x onerror='alert(2)'>\u202e{{ 7*7 }}\x1b[31m"


def test_nothing_from_files_acts(tmp_path):
    files = [f"/data/{HOSTILE}.h5".replace("/x", "x")]
    runs = [
        metrics(
            run(tmp_path, HOSTILE.replace("/", ""), 0, [1], files=files, hash_=HOSTILE),
            "step,loss/actor",
            "1,2",
        ),
        run(tmp_path, "bc", 0, [2], files=files, hash_=HOSTILE, **{HOSTILE: HOSTILE}),
    ]
    (runs[1] / "metrics.csv").write_text(f'step,"loss/{HOSTILE}"\n1,2\n', encoding="utf-8")
    sweep = SweepDirectory(tmp_path / "sweep")
    (tmp_path / "sweep").mkdir()
    sweep.save({"spec": {HOSTILE: [HOSTILE]}, "cells": [{"name": "one"}], "failures": {HOSTILE: HOSTILE}})
    (tmp_path / "sweep" / "cells").mkdir()
    run(tmp_path / "sweep" / "cells", "bc", 5, [2]).rename(sweep.cell("one").path)
    sweep.finish("one", {})
    page = written(tmp_path, [*runs, tmp_path / "sweep"])
    assert [each.get("type") for each in page.all("script")] == ["application/json", None, None]
    assert page.all("img") == []
    assert not [name for _, each in page.elements for name in each if name.startswith("on")]
    assert {each["href"][0] for each in page.all("a")} == {"#"}
    assert not re.search("[\u202e\x1b]", page.source)
    assert "{{ 7*7 }}" in html.unescape(page.source)
    assert any("<script>alert(1)" in chart["title"] for chart in page.charts.values())


def test_the_page_loads_nothing(tmp_path):
    page = written(tmp_path, [run(tmp_path, "bc", 0, [1])])
    assert not [each for _, each in page.elements if {"src", "srcset", "data", "action"} & set(each)]
    assert page.all("link") == []
    policy = page.all("meta")[1]["content"]
    assert policy.startswith("default-src 'none'")
    assert policy.count("'sha256-") == 2
    assert not re.search(r"url\(|@import", page.source)
    ids = [each["id"] for _, each in page.elements if "id" in each]
    assert len(ids) == len(set(ids))
    assert (tmp_path / "page.html").stat().st_size < 200_000


def test_the_last_portrait_is_inside_the_page(tmp_path, monkeypatch):
    path, other = run(tmp_path, "bc", 0, [1]), run(tmp_path, "iql", 0, [1])
    for each, name, content in [
        (path, "step-000010.png", b"\x89PNG\r\n\x1a\nearly"),
        (path, "step-000020.png", b"\x89PNG\r\n\x1a\nlast"),
        (other, "step-000020.png", b"<svg onload='alert(1)'/>"),
    ]:
        (each / "portraits").mkdir(exist_ok=True)
        (each / "portraits" / name).write_bytes(content)
    (image,) = written(tmp_path, [path, other]).all("img")
    assert image["src"] == "data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n\x1a\nlast").decode()
    assert image["alt"] == "Action and value of bc, seed 0 at each observation"
    monkeypatch.setattr("vinci_offline.page.report._PORTRAITS", 10)  # less than this one has
    assert written(tmp_path, [path], overwrite=True).all("img") == []


def test_the_command_repeats_a_run(tmp_path):
    path = run(
        tmp_path,
        "td3bc",
        4,
        [],
        files=["/data/my file.h5"],
        training={"gamma": 0.9},
        alpha=2.5,
        hidden=[8, 8],
    )
    assert train_command(RunDirectory(path)) == (
        "vinci-offline train '/data/my file.h5' --agent td3bc --steps 100 --gamma 0.9 --seed 4 --eval-every 50 "
        f"--set alpha=2.5 --set hidden=8,8 -o {path}"
    )


def test_the_command_has_what_the_user_named_and_nothing_imports_it(tmp_path):
    trap = tmp_path / "trap.py"
    trap.write_text(f"open({str(tmp_path / 'imported')!r}, 'w')")
    path = run(tmp_path, "own", 0, [1])
    config = json.loads((path / "config.json").read_text())
    config["named"] = {
        "agent": f"{trap}:Own",
        "env": f"{trap}:</code><script>",
        "env_kwargs": {"g": 9.81},
        "objects": ["hooks"],
    }
    config["networks"] = ["actor"]
    (path / "config.json").write_text(json.dumps(config))
    page = written(tmp_path, [path])
    assert (
        f"--agent {trap}:Own --steps 100 --seed 0 --eval-every 50 --env '{trap}:</code><script>' "
        """--env-kwargs '{"g": 9.81}' -o"""
    ) in html.unescape(page.source)
    assert "this one lacks: hooks, networks." in page.source
    assert [each.get("type") for each in page.all("script")] == ["application/json", None, None]
    assert not (tmp_path / "imported").exists()


def test_mistakes_are_one_line(tmp_path):
    path = run(tmp_path, "bc", 0, [1])
    with pytest.raises(UsageError, match=r"page\.txt is no page: name it with \.html"):
        report([path], tmp_path / "page.txt")
    report([path], tmp_path / "page.html")
    with pytest.raises(UsageError, match="exists already"):
        report([path], tmp_path / "page.html")
    with pytest.raises(VinciError, match="does not exist"):
        report([tmp_path / "none"], tmp_path / "other.html")
    (path / "config.json").write_text("{}")
    with pytest.raises(VinciError, match="does not describe a run"):
        report([path], tmp_path / "other.html")


def test_python_has_the_function(tmp_path):
    page = vinci_offline.report(run(tmp_path, "bc", 0, [1]), tmp_path / "page.html")
    assert isinstance(page, vinci_offline.Report)
    with pytest.raises(UsageError, match="overwrite=True"):
        vinci_offline.report([tmp_path / "none"], tmp_path / "page.html")
    with pytest.raises(UsageError, match="paths must be"):
        vinci_offline.report(3, tmp_path / "other.html")


def test_the_command_says_what_it_wrote(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = run(tmp_path, "bc", 0, [1])
    shown = CliRunner().invoke(app, ["report", str(path)])
    assert shown.exit_code == 0
    assert "bc ran alone here" in shown.stdout
    assert re.search(r"report\.html: 1 run, \d+ kB", shown.stdout)
    told = json.loads(CliRunner().invoke(app, ["report", str(path), "--overwrite", "--json"]).stdout)
    assert told["runs"] == 1
    assert list(told["verdicts"]) == ["Count-v0, abc abc12345"]
