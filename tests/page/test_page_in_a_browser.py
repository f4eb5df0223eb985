"""The page in headless Chromium: no message on the console, and charts that answer keys and buttons."""

import json
import re
import shutil
import subprocess

import numpy as np
import pytest
from data_examples import continuous_spec, make_columns
from written_runs import run

from vinci_offline.data.dataset import Dataset
from vinci_offline.page import sections
from vinci_offline.page.actions import Actions
from vinci_offline.page.report import report
from vinci_offline.spec import BoxSpace, EnvironmentSpec

BROWSER = next(
    filter(None, map(shutil.which, ("chromium-headless-shell", "chromium", "google-chrome"))), None
)

DRIVER = """<!doctype html><title>driver</title><iframe src="page.html" width="%d" height="900"></iframe><pre></pre>
<script>
onload = () => setTimeout(() => {
  const page = frames[0].document, Key = frames[0].KeyboardEvent;
  const [plot] = page.querySelectorAll(".plot"), [button] = page.querySelectorAll(".chips button");
  const readout = () => page.querySelector(".readout").textContent;
  const said = {canvases: page.querySelectorAll("canvas").length};
  const press = (key) => plot.dispatchEvent(new Key("keydown", {key, bubbles: true}));
  press("End");
  page.querySelector(".actions .plot").dispatchEvent(new Key("keydown", {key: "End", bubbles: true}));
  setTimeout(() => {
    said.last = readout();
    said.choice = page.querySelector(".actions .readout").textContent;
    button.click();
    press("Home");
    setTimeout(() => {
      said.without = readout();
      const list = page.querySelector(".episodes");
      const [, , rows] = list.querySelectorAll("th button");
      rows.click();
      rows.click();
      said.longest = list.querySelector("tbody tr").children[2].textContent;
      list.querySelector("tbody a").click();
      said.strips = [...page.querySelectorAll("details.strip[open] summary")].map((each) => each.textContent);
      said.page = list.querySelector(".told").textContent;
      said.pressed = button.getAttribute("aria-pressed");
      said.overflow = page.documentElement.scrollWidth > page.documentElement.clientWidth;
      document.querySelector("pre").textContent = JSON.stringify(said);
    }, 100);
  }, 100);
}, 100);
</script>"""


@pytest.mark.skipif(BROWSER is None, reason="there is no headless Chromium here")
@pytest.mark.parametrize("width", [1200, 390])
def test_charts_answer_keys_and_buttons(tmp_path, width, monkeypatch):
    steps = [-0.2, 0.2, 0.8, 1.2]
    shares = [("data", -1, [0.25, None, 0.75, None]), ("bc", 0, [None, 0.5, None, 0.4])]
    series = [
        {"name": name, "place": place, "mean": each, "low": each, "high": each}
        for name, place, each in shares
    ]
    chart = {"title": "choices", "of": "Action", "kind": "choices", "steps": steps, "series": series}
    monkeypatch.setattr(sections, "actions_of", lambda *_: Actions([chart], "as a policy"))
    runs = [run(tmp_path, agent, seed, [seed, 10 * seed]) for agent in ("bc", "iql") for seed in (1, 2)]
    for path in runs:
        (path / "metrics.csv").write_text("step,loss/actor,gradient_norm/actor\n50,1,1\n100,2,1\n")
    low, high = np.zeros((8, 6), np.uint8), np.full((8, 6), 255, np.uint8)
    spec = EnvironmentSpec(BoxSpace((8, 6), "uint8", low, high), continuous_spec().action_space)
    lengths = [2] * 25 + [9]
    columns = make_columns(spec, lengths)
    columns["rewards"] = np.arange(sum(lengths), dtype=np.float32) % 2
    data = Dataset.from_columns(columns, spec, {"length": lengths})
    report([*runs, data.save(tmp_path / "d.h5").path], tmp_path / "page.html")
    (tmp_path / "driver.html").write_text(DRIVER % width)
    flags = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    flags += [
        "--allow-file-access-from-files",
        "--disable-background-networking",
        "--virtual-time-budget=5000",
    ]
    command = [BROWSER, *flags, "--enable-logging=stderr", "--dump-dom", (tmp_path / "driver.html").as_uri()]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert "CONSOLE" not in shown.stderr
    said = json.loads(re.search(r"<pre>(.+)</pre>", shown.stdout)[1])
    assert said["canvases"] == 7
    assert said["choice"] == "Action 1: data 0.75; bc 0.4"
    assert said["last"] == "Step 100: bc 15 (10 to 20); iql 15 (10 to 20)"
    assert said["without"] == "Step 50: iql 1.5 (1 to 2)"
    assert (said["longest"], said["page"]) == ("9", "26 episodes, page 1 of 2")
    assert said["strips"] == [
        "Episode 0, the first, the worst: return 1, 2 rows",
        "Episode 25, the best: return 4, 9 rows",
    ]
    assert said["pressed"] == "false"
    assert not said["overflow"]
