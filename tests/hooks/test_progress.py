import io
import sys

import pytest

from vinci_offline import progress
from vinci_offline.envs.evaluator import Evaluation
from vinci_offline.hooks.progress import Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def terminal_of(monkeypatch):
    """Put a terminal in the place of standard error, and return it. Pytest has its own there before the test begins."""
    shown = Terminal()
    monkeypatch.setattr(sys, "stderr", shown)
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setenv("TERM", "xterm")
    return shown


def follow(run):
    hook = Progress()
    hook.start(run)
    hook.compiling(0)
    for step in (5, 10):
        hook.metrics(step, {"loss/critic": 0.125, "steps_per_second": 5.0})
    hook.note(10, "a \x1b[2Jnote")
    hook.evaluation(10, Evaluation("Pendulum-v1", 2, (-1.0, -3.0), (5, 5)))
    hook.finish(20)


def test_lines_elsewhere_than_on_a_terminal(tmp_path, make_run, capfd):
    run = make_run(tmp_path)
    run.config["training"] = {"log_every": 10}
    follow(run)
    out, error = capfd.readouterr()
    assert out == ""
    assert error.splitlines() == [
        "compiling",
        "step 10 of 20, 5 steps/s, 2 s left, critic 0.125",
        "step 10: a \N{REPLACEMENT CHARACTER}[2Jnote",
        "step 10: return -2.0 ± 1.4 over 2 episodes",
    ]


def test_shows_step_speed_loss_and_return_on_a_terminal(tmp_path, make_run, monkeypatch, capsys):
    terminal = terminal_of(monkeypatch)
    follow(make_run(tmp_path))
    shown = terminal.getvalue()
    for part in ("td3bc", "20/20", "5 steps/s", "critic 0.125", "step 10: return -2.0 ± 1.4 over 2 episodes"):
        assert part in shown
    assert capsys.readouterr().out == ""


def test_compiling_is_shown_on_a_terminal(tmp_path, make_run, monkeypatch):
    terminal = terminal_of(monkeypatch)
    hook = Progress()
    hook.start(make_run(tmp_path))
    hook.compiling(0)
    hook.finish(0)
    assert "compiling" in terminal.getvalue()


@pytest.mark.parametrize(("widgets", "bar"), [(True, True), (False, False)])
def test_notebook_has_bars_where_it_can_draw_them(monkeypatch, widgets, bar):
    monkeypatch.setitem(sys.modules, "ipykernel", sys)
    monkeypatch.setattr(progress, "find_spec", lambda name: widgets or None)
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    assert (progress.live_console() is not None) == bar


def test_silence_is_broken(monkeypatch, capsys):
    monkeypatch.setattr(progress, "_QUIET", 0.02)
    monkeypatch.setattr(progress, "_LOOK", 0.01)
    with progress.never_silent():
        progress.doing("reading the data")
        told = ""
        while not told:
            told = capsys.readouterr().err
    assert told.startswith("reading the data, since 0 s\n")


def test_bar_is_no_silence(monkeypatch, capsys):
    monkeypatch.setattr(progress, "_QUIET", 0.0)
    monkeypatch.setattr(progress, "_LOOK", 0.001)
    with progress.shown_bar(), progress.never_silent():
        progress._State.end.wait(0.05)
    assert capsys.readouterr().err == ""
