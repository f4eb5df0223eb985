"""Sweeps in one process, with workers that train nothing: order, failures, results and what the user sees."""

import json
import threading
from contextlib import suppress
from multiprocessing import Pipe
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

import vinci_offline as vinci
from vinci_offline.cli.app import app
from vinci_offline.cli.sweep import _cost
from vinci_offline.errors import UsageError, VinciError
from vinci_offline.locks import Locks
from vinci_offline.sweeps import local
from vinci_offline.sweeps import sweep as sweeping
from vinci_offline.sweeps.queue import Queue
from vinci_offline.sweeps.spec import SweepSpec
from vinci_offline.sweeps.work import Order

SPEC = {
    "agents": ["td3bc", "bc"],
    "datasets": ["pendulum-mixed"],
    "seeds": 2,
    "steps": 10,
    "set": {"td3bc": {"alpha": [1, 2.5]}},
}
RESULT = {
    "planned": 10,
    "steps": 10,
    "steps_per_second": 5.0,
    "compile_seconds": 1.0,
    "final_metrics": {"loss/actor": 2.0},
    "notes": ["the fit is too short"],
}


class Trainer:
    """Stand-in for the workers: cells are finished at once, but those whose names hold ``fails``."""

    def __init__(self, monkeypatch, fails="nothing", stops_after=100):
        self.trained = []

        def pool(queue, order, workers, listener):
            return SimpleNamespace(run=lambda: self.run(queue, Path(order.folder), listener))

        self._fails, self._left = fails, stops_after
        monkeypatch.setattr(sweeping, "Pool", pool)

    def run(self, queue, folder, listener):
        while (cell := queue.take()) is not None:
            if not self._left:
                raise KeyboardInterrupt
            self._left -= 1
            self.trained.append(cell.name)
            if self._fails in cell.name:
                listener.failed(cell, "it diverged")
            else:
                (folder / cell.name).mkdir(exist_ok=True)
                (folder / cell.name / "config.json").write_text("{}")
                listener.at(cell, 5, 7.0)
                listener.finished(cell, {**RESULT, "planned": cell.steps})


def write(tmp_path, **more):
    path = tmp_path / "spec.yaml"
    path.write_text(json.dumps({**SPEC, **more}))  # JSON is YAML
    return str(path)


def test_a_sweep_goes_on_with_what_is_not_finished(monkeypatch, tmp_path):
    first = Trainer(monkeypatch, stops_after=2)
    with pytest.raises(KeyboardInterrupt):
        vinci.sweep(SPEC, tmp_path / "sweep", progress=False)
    second = Trainer(monkeypatch)
    with pytest.raises(UsageError, match="exists, a sweep: resume=True goes on with it"):
        vinci.sweep(SPEC, tmp_path / "sweep", progress=False)
    result = vinci.sweep(SPEC, tmp_path / "sweep", resume=True, progress=False)
    assert len(first.trained) == 2
    assert sorted(first.trained + second.trained) == sorted(cell.name for cell in result.cells)
    assert set(result.results) == {cell.name for cell in result.cells}
    assert result.steps_left == 0
    longer = Trainer(monkeypatch)
    vinci.sweep({**SPEC, "steps": 30}, tmp_path / "sweep", resume=True, progress=False)
    assert len(longer.trained) == 6


def test_a_failed_cell_is_one_line_and_the_others_go_on(monkeypatch, tmp_path):
    trainer = Trainer(monkeypatch, fails="alpha=2.5-seed-1")
    shown = CliRunner().invoke(app, ["sweep", write(tmp_path), "-o", str(tmp_path / "sweep")])
    assert shown.exit_code == 1
    assert len(trainer.trained) == 6
    assert "error: pendulum-mixed-td3bc-alpha=2.5-seed-1: it diverged" in shown.stderr
    assert "6 cells, 5 finished" in shown.stdout
    content = json.loads((tmp_path / "sweep" / "sweep.json").read_text())
    assert content["failures"] == {"pendulum-mixed-td3bc-alpha=2.5-seed-1": "it diverged"}
    again = Trainer(monkeypatch)
    shown = CliRunner().invoke(
        app, ["sweep", write(tmp_path), "-o", str(tmp_path / "sweep"), "--resume", "--json"]
    )
    assert shown.exit_code == 0
    assert again.trained == ["pendulum-mixed-td3bc-alpha=2.5-seed-1"]
    told = json.loads(shown.stdout)
    assert {cell["state"] for cell in told["cells"]} == {"finished"}
    assert told["cells"][0]["result"]["final_metrics"] == {"loss/actor": 2.0}


def test_a_sweep_without_evaluations_shows_losses(monkeypatch, tmp_path):
    Trainer(monkeypatch)
    shown = CliRunner().invoke(app, ["sweep", write(tmp_path), "-o", str(tmp_path / "sweep")])
    assert "loss/actor" in shown.stdout
    assert "no cell was evaluated" in shown.stdout
    assert "note: the fit is too short (6 cells)" in shown.stdout


def test_a_dry_run_shows_cells_and_costs_and_writes_nothing(tmp_path):
    words = ["sweep", write(tmp_path), "--dry-run"]
    shown = CliRunner().invoke(app, words)
    assert shown.exit_code == 0, shown.output
    assert shown.stdout.count("pendulum-mixed") == 6
    assert "6 cells: 60 steps to take" in shown.stdout
    assert "no estimate of time" in shown.stdout
    CliRunner().invoke(app, [*words, "-o", str(tmp_path / "sweep")])
    assert not (tmp_path / "sweep").exists()


def test_time_is_estimated_from_finished_cells():
    cells = SweepSpec.of({**SPEC, "agents": ["td3bc"]}).cells()
    result = sweeping.SweepResult(None, cells, {cells[0].name: RESULT})
    # 10 steps at 5 a second and 1 s to compile are 3 s a cell; three are left, one at a time.
    assert list(_cost(result, 1))[-1] == (
        "about 9 s, as finished cells of the same agents took (without evaluations)"
    )


def test_a_sweep_in_use_is_refused(monkeypatch, tmp_path):
    Trainer(monkeypatch, stops_after=0)
    with pytest.raises(KeyboardInterrupt):
        vinci.sweep(SPEC, tmp_path / "sweep", progress=False)
    with Locks() as locks:
        locks.take_folder(tmp_path / "sweep")
        with pytest.raises(UsageError, match="is in use by process"):
            vinci.sweep(SPEC, tmp_path / "sweep", resume=True, progress=False)


def test_agents_and_data_that_do_not_fit_are_found_before_a_cell_begins(tmp_path):
    with pytest.raises(
        VinciError, match="agent 'td3bc' learns continuous actions and the dataset's are discrete"
    ):
        vinci.sweep({**SPEC, "datasets": ["pendulum-mixed", "cartpole-mixed"]}, tmp_path / "sweep")
    assert not (tmp_path / "sweep").exists()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"engine": "rya"}, "engine must be local or ray, not 'rya'; did you mean 'ray'"),
        ({"workers": 0}, "workers must be at least 1"),
        ({"resume": True, "overwrite": True}, "give one of them"),
    ],
)
def test_arguments_are_checked(tmp_path, options, told):
    with pytest.raises(UsageError, match=told):
        vinci.sweep(SPEC, tmp_path / "sweep", **options)


def test_a_sweep_needs_a_folder():
    with pytest.raises(UsageError, match="a sweep needs a directory"):
        vinci.sweep(SPEC)


def test_cells_that_differ_in_seeds_go_to_one_worker():
    cells = SweepSpec.of({**SPEC, "seeds": 3}).cells()
    queue = Queue(cells)
    one, other = queue.take(), queue.take()
    assert one.group != other.group
    assert queue.take(one).group == one.group
    assert queue.take(other).group == other.group
    assert queue.take(one) == cells[2]
    assert queue.take(one).agent == "bc"  # nobody has begun it
    queue.put_back(one)
    assert queue.take() == one


class Thread:
    """Stand-in for a worker's process: a thread that closes its pipe at the end."""

    exitcode = -9

    def __init__(self, work, connection, *arguments):
        def run():
            with connection, suppress(EOFError):  # the pool closes the pipe
                work(connection, *arguments)

        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.start()

    def kill(self):
        """Leave the thread: it waits for a message that does not come."""

    def join(self):
        """Say that it has ended."""


def start_thread(started, work, *arguments):
    ours, theirs = Pipe()
    started[ours] = Thread(work, theirs, *arguments)
    return ours


def die_or_finish(connection, order):
    """Train like a worker that dies the first time at seed 0, and every time at seed 1."""
    connection.send(("ready",))
    while (message := connection.recv())[0] == "cell":
        (cell,) = message[1:]
        mark = Path(order.folder, "died")
        if cell.seed == 1 or (cell.seed == 0 and not mark.exists()):
            mark.touch()
            return
        connection.send(("step", 3, 10.0))
        connection.send(("warning", "the data are odd"))
        connection.send(("return", 10, -5.0))
        connection.send(("finished", RESULT))


def test_a_dead_process_is_replaced_and_its_cell_tried_again(monkeypatch, tmp_path):
    heard = []
    names = ("at", "returned", "finished", "failed", "note")
    listener = SimpleNamespace(
        **{name: lambda *what, name=name: heard.append((name, *what)) for name in names}
    )
    monkeypatch.setattr(local, "work", die_or_finish)
    monkeypatch.setattr(local, "start_worker", start_thread)
    monkeypatch.setattr("vinci_offline.envs.processes.time.sleep", lambda _: None)
    cells = SweepSpec.of({**SPEC, "agents": ["bc"], "set": {}, "seeds": 3}).cells()
    order = Order(str(tmp_path), None, None, None, False)
    local.Pool(Queue(cells), order, 1, listener).run()
    ended = {what[1].name: what[0] for what in heard if what[0] in ("finished", "failed")}
    assert ended == {cells[0].name: "finished", cells[1].name: "failed", cells[2].name: "finished"}
    notes = [what[1] for what in heard if what[0] == "note"]
    assert f"{cells[0].name}: its process died (exit code -9); it goes on in another one" in notes
    assert "warning: the data are odd" in notes
    (reason,) = (what[2] for what in heard if what[0] == "failed")
    assert reason.startswith("its process died twice (exit code -9)")
    assert ("returned", cells[0], -5.0) in heard
