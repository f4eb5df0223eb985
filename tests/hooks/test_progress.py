import io
import sys

from vinci_offline.envs.evaluator import Evaluation
from vinci_offline.hooks.progress import Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def follow(run):
    hook = Progress()
    hook.start(run)
    hook.metrics(10, {"loss/critic": 0.125, "steps_per_second": 1234.0})
    hook.evaluation(10, Evaluation("Pendulum-v1", 2, (-1.0, -3.0), (5, 5)))
    hook.finish(20)


def test_silent_when_not_on_a_terminal(tmp_path, make_run, capfd):
    follow(make_run(tmp_path))
    assert capfd.readouterr() == ("", "")


def test_shows_step_speed_loss_and_return_on_a_terminal(tmp_path, make_run, monkeypatch, capsys):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setenv("TERM", "xterm")
    follow(make_run(tmp_path))
    shown = terminal.getvalue()
    for part in (
        "td3bc",
        "20/20",
        "1,234 steps/s",
        "critic 0.125",
        "step 10: return -2.0 ± 1.4 over 2 episodes",
    ):
        assert part in shown
    assert capsys.readouterr().out == ""
